"""A refused call changes nothing: no value, no version, no gradient, no row, slot or byte."""

from __future__ import annotations

import gc

import pytest
from error_cases import CASES, world
from usage import usage

import jitgrad as torch


@pytest.fixture(scope="module", autouse=True)
def little_garbage():
    """Leave what earlier tests have made out of the collections that these ask for: each would take a second."""
    gc.collect()
    gc.freeze()


def state_of(w):
    """Everything about the tensors that a call could have changed."""
    gc.collect()
    tensors = {name: x for name, x in vars(w).items() if isinstance(x, torch.Tensor)}
    tensors |= {f"linear.{name}": p for name, p in w.linear.named_parameters()}
    return {
        name: (
            x.detach().numpy().tobytes(),
            tuple(x.shape),
            x.stride(),
            x.dtype,
            x._version,
            x.requires_grad,
            x.is_leaf,
            repr(x.grad_fn).split(" ")[0],
            None if x.grad is None else x.grad.tolist(),
        )
        for name, x in tensors.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_refused_call_changes_nothing(name):
    call, kind, message = CASES[name]
    w = world(torch)
    with pytest.raises(kind, match=message):
        call(torch, w)  # what is compiled or imported on the way is there afterwards
    before, held = state_of(w), usage()
    with pytest.raises(kind, match=message):
        call(torch, w)
    assert state_of(w) == before
    assert usage() == held


@pytest.mark.parametrize("name", CASES)
def test_everything_works_after_a_refused_call(name):
    call, kind, _ = CASES[name]
    w = world(torch)
    fresh = world(torch)
    with pytest.raises(kind):
        call(torch, w)
    w.loss.backward()
    fresh.loss.backward()
    assert w.leaf.grad.tolist() == fresh.leaf.grad.tolist()
    assert torch.is_grad_enabled()


def test_messages_are_one_sentence_that_says_more_than_a_class():
    w = world(torch)
    for name, (call, kind, _) in CASES.items():
        with pytest.raises(kind) as caught:
            call(torch, w)
        text = str(caught.value)
        assert len(text) >= 20, name
        assert "0x" not in text, name
        assert "status" not in text, name


def test_there_are_enough_cases():
    assert len(CASES) >= 60
