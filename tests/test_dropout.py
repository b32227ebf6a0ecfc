"""Dropout: what it keeps, its gradients, and the layouts of its input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_cases import MANY, close

import jitgrad as torch


def dropout(x, p):
    return torch.nn.functional.dropout(x, p, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p, dtype):
    torch.manual_seed(0)
    y = dropout(torch.ones(MANY, dtype=dtype), p).numpy()
    assert close((y == 0).mean(), p, math.sqrt(p * (1 - p)))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_passes_gradients_where_it_kept():
    x = torch.randn(37, 5, requires_grad=True)
    g = torch.randn(37, 5)
    y = dropout(x, 0.4)
    kept = y.detach().numpy() != 0
    (y * g).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, g.numpy() / 0.6, 0), rtol=1e-6)


def test_dropout_of_a_transposed_input():
    x = torch.ones(7, 5, requires_grad=True)
    y = dropout(x.t(), 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy().T)


def test_dropout_result_may_change_in_place_before_backward():
    x = torch.ones(50, requires_grad=True)
    y = dropout(x, 0.5)
    kept = y.detach().clone()
    y += 1
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept.numpy())


def test_dropout_without_effect():
    x = torch.ones(5)
    assert torch.nn.functional.dropout(x, 0.5, False) is x
    np.testing.assert_array_equal(dropout(x, 0.0).numpy(), x.numpy())
    np.testing.assert_array_equal(dropout(x, 1.0).numpy(), np.zeros(5))


def test_dropout_drops_others_each_time():
    x = torch.ones(1000)
    assert (dropout(x, 0.5).numpy() != dropout(x, 0.5).numpy()).any()
