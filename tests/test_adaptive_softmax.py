"""The adaptive softmax: PyTorch's values, gradients, errors and parameters, and compiled steps."""

from __future__ import annotations

import pytest
from compile_cases import Scene, assert_same
from twin_calls import fail_alike, run_both

import jitgrad as torch
from jitgrad import nn


def made(m, t, **options):
    layer = m.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, **options).double()
    with m.no_grad():
        for _, p in sorted(layer.named_parameters()):
            p.copy_(t(*p.shape))
    return layer


@pytest.mark.parametrize("head_bias", [False, True])
def test_values_and_gradients_are_pytorchs(head_bias):
    def script(m, t):
        layer, x = made(m, t, head_bias=head_bias), t(6, 8, grad=True)
        found = layer(x, m.tensor([0, 3, 4, 9, 10, 19]))
        found.loss.backward()
        grads = [p.grad for p in layer.parameters()]
        one = layer(x[0], m.tensor(12))
        return found, layer.log_prob(x), layer.predict(x), grads, x.grad, one, list(layer.state_dict())

    run_both(script)


def test_compiled_steps_equal_eager_ones():
    def build():
        torch.manual_seed(1)
        layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        batches = [(torch.randn(5, 8), torch.randint(20, (5,))) for _ in range(6)]

        def step(x, y):
            optimizer.zero_grad()
            loss = layer(x, y).loss
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Scene(step, lambda k: batches[k % 6], layer, optimizer)

    assert_same(build)


def refused(cutoffs, classes=20):
    return lambda m, t: m.nn.AdaptiveLogSoftmaxWithLoss(8, classes, cutoffs)


def called(shape, targets):
    return lambda m, t: made(m, t)(t(*shape), m.tensor(targets))


ERRORS = {
    "no cutoffs": (refused([]), "cutoffs length"),
    "order": (refused([5, 3]), "cutoffs increasing [5, 3]"),
    "equal": (refused([5, 5]), "cutoffs increasing"),
    "too large": (refused([5, 20]), "cutoffs 20"),
    "zero": (refused([0, 5]), "cutoffs positive"),
    "batches": (called((3, 8), [1, 2]), "batch (3, 8) (2,)"),
    "class": (called((2, 8), [1, 20]), "[0, 19] 20]"),
    "dimensions": (called((2, 8), [[1, 2]]), "0D 1D"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_does_not_fit_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])
