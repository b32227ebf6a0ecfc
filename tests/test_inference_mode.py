"""Inference mode: its tensors, what may be done with them, and that nothing is recorded in it."""

from __future__ import annotations

import pytest
from custom_functions import Twice
from grad_modes import recording

import jitgrad as torch


def test_inference_tensors_cannot_require_grad_later():
    with torch.inference_mode():
        x = torch.ones(2) * 2
        assert x.is_inference()
    with pytest.raises(RuntimeError, match="inference tensor"):
        x.requires_grad_()
    assert not torch.ones(2).is_inference()


def made_in_inference_mode():
    with torch.inference_mode():
        return torch.ones(2) * 3


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, c: x * c,
        lambda x, c: torch.stack([x, x]) @ c,
        lambda x, c: torch.nn.functional.mse_loss(x, c),
        lambda x, c: (x * 1).mul_(c),
        lambda x, c: c.clone().requires_grad_() * c,
    ],
)
def test_inference_tensors_are_not_saved_for_a_walk(operation):
    x = torch.ones(2, requires_grad=True)
    c = made_in_inference_mode()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        operation(x, c)
    assert operation(x, c.clone()).requires_grad
    with torch.no_grad():
        assert not operation(x.detach(), c).is_inference()


def test_inference_tensors_may_be_used_where_nothing_is_saved():
    x = torch.ones(2, requires_grad=True)
    c = made_in_inference_mode()
    for y in (x + c, c - x, torch.cat([x, c])):
        assert y.requires_grad
        assert not y.is_inference()
        y.sum().backward()
    assert not (c * c).requires_grad


@pytest.mark.parametrize(
    "write", [lambda c: c.add_(1), lambda c: c.mul_(c), lambda c: c.zero_(), lambda c: c.copy_(c + 1)]
)
def test_inference_tensors_are_written_only_in_inference_mode(write):
    c = made_in_inference_mode()
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        write(c)
    with torch.no_grad(), pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        write(c)
    assert c.tolist() == [3.0, 3.0]
    with torch.inference_mode():
        write(c)
    write(c.clone())


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: x.zero_(),
        lambda x: x.uniform_(),
        lambda x: x.clamp_(0, 1),
        lambda x: x[1:].mul_(2),
        lambda x: x.index_add_(0, torch.tensor([1]), torch.ones(1)),
        lambda x: x.__setitem__(0, 5.0),
        lambda x: torch.nn.init.normal_(x),
        lambda x: torch.nn.functional.batch_norm(torch.randn(4, 3), x, torch.ones(3), training=True),
    ],
)
def test_what_is_written_in_inference_mode_stays_an_ordinary_tensor(write):
    x = torch.zeros(3)
    with torch.inference_mode():
        write(x)
        assert not x.is_inference() and (x + 1).is_inference()
    x.add_(1)
    x.requires_grad_().sum().backward()


def test_views_are_inference_tensors_when_their_base_is():
    c = made_in_inference_mode()
    assert c.reshape(2, 1).is_inference()
    assert c[:1].is_inference()
    assert c.detach().is_inference()
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        y = x.reshape(2, 1)
        assert not y.is_inference()
        assert not y.requires_grad


def test_nothing_is_recorded_in_inference_mode_whatever_is_said():
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        assert not torch.is_grad_enabled()
        with torch.enable_grad():
            assert torch.is_grad_enabled()
            assert torch.is_inference_mode_enabled()
            assert not (x * 2).requires_grad
            with torch.no_grad():
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        assert torch.is_grad_enabled()
        assert not (x * 2).requires_grad
        with torch.inference_mode():
            assert not torch.is_grad_enabled()
        assert torch.is_grad_enabled()
        with torch.inference_mode(False):
            assert (x * 2).requires_grad
    assert recording()
    with torch.inference_mode():
        assert not torch.is_grad_enabled()


def test_custom_functions_are_not_recorded_in_inference_mode():
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode(), torch.enable_grad():
        assert not Twice.apply(x).requires_grad


def test_is_inference_mode_enabled():
    assert not torch.is_inference_mode_enabled()
    with torch.inference_mode():
        assert torch.is_inference_mode_enabled()
        with torch.inference_mode(False):
            assert not torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled()
