"""Writes in place into views and their bases, recorded: gradients against central differences, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients
from view_programs import LYING, PROGRAMS

import jitgrad as torch

# what no history follows has no derivative that differences could find
CUT = {
    "detached_keeps_no_history",
    "views_of_a_detached_tensor_keep_none_either",
    "a_detached_tensor_is_written",
    "a_view_of_a_detached_tensor_is_written",
    "a_view_of_a_detached_buffer",
    "a_base_drops_its_history",
    "no_grad_write",
}


@pytest.mark.parametrize(("name", "across"), [case for case in LYING if case[0] not in CUT])
def test_gradients(name, across):
    rng = np.random.default_rng(3)
    a = rng.standard_normal((3, 4))

    def function(a, w):
        return torch.cat([y.reshape(-1) for y in PROGRAMS[name](torch, a.t() if across else a, w)])

    check_gradients(function, a.T if across else a, rng.standard_normal(4))


def leaf():
    return torch.ones(3, 4, requires_grad=True)


def test_a_view_shows_what_was_written_into_its_base_and_the_other_way_round():
    a, w = leaf(), torch.full((4,), 2.0, requires_grad=True)
    x = a * 1
    row, column = x[0], x[:, 0]
    x.mul_(3)
    row.mul_(w)
    np.testing.assert_array_equal(column.detach().numpy(), [6, 3, 3])
    assert row.grad_fn is not None and column.requires_grad and x.requires_grad
    column.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [3, 0, 0, 0])
    np.testing.assert_array_equal(a.grad[:, 0].numpy(), [6, 3, 3])
    assert (a.grad[:, 1:] == 0).all()


def test_every_handle_of_the_base_sees_the_write():
    x = leaf() * 1
    same = x
    held = [x]
    x[0].mul_(torch.full((4,), 5.0, requires_grad=True))
    assert same is x and held[0][0, 0].item() == 5


def test_views_of_memory_without_a_base():
    w = torch.full((4,), 2.0, requires_grad=True)
    v = torch.ones(3, 4)[1]
    v.mul_(w)
    v.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), [1, 1, 1, 1])


def test_many_writes_keep_memory_constant():
    w = torch.ones(4, requires_grad=True)
    from jitgrad.store import store

    def once():
        x = torch.zeros(3, 4)
        for k in range(3):
            x[k].add_(w)
        x.sum().backward()
        w.grad = None

    for _ in range(5):
        once()
    before = store.field("free_slots")
    for _ in range(50):
        once()
    assert store.field("free_slots") == before


def test_in_place_on_views_in_a_compiled_step():
    def step(x, w):
        state = x * 1
        state[1].mul_(w)
        state[:, 2:].add_(w[:2])
        loss = (state * state).sum()
        (g,) = torch.autograd.grad(loss, w)
        return loss, g

    compiled = torch.compile(step, fullgraph=True)
    for seed in range(3):
        torch.manual_seed(seed)
        x, w = torch.randn(3, 4), torch.randn(4).requires_grad_()
        for ours, eager in zip(compiled(x, w), step(x, w), strict=True):
            np.testing.assert_array_equal(ours.detach().numpy(), eager.detach().numpy())


def repeated():
    x = (torch.ones(4, requires_grad=True) * 1).expand(3, 4)
    x.mul_(2)


def view_of_a_leaf():
    leaf()[0].mul_(2)


def write_into_a_leaf():
    leaf().mul_(2)


def wrong_shape():
    x = leaf() * 1
    x[0].mul_(torch.ones(2, 4))


REFUSALS = {
    "more than one element": repeated,
    "a view of a leaf Variable": view_of_a_leaf,
    "a leaf Variable that requires grad": write_into_a_leaf,
    "doesn't match the broadcast shape": wrong_shape,
}


@pytest.mark.parametrize("message", REFUSALS)
def test_refusals(message):
    with pytest.raises(RuntimeError, match=message):
        REFUSALS[message]()


def test_a_saved_value_that_was_overwritten_through_a_view_is_noticed():
    x = leaf() * 1
    y = x.exp()
    y[0].mul_(2)  # exp keeps its result
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_view_of_memory_with_gaps_that_cannot_follow_a_write_is_not_used_any_more():
    w = torch.ones(3, requires_grad=True)
    column = torch.zeros(3, 4)[:, 1].detach()
    view = column[1:]
    column.mul_(w)
    with pytest.raises(RuntimeError, match="view made before its base was modified"):
        view.sum()
    assert view.detach().tolist() == [0, 0] and column[1:].requires_grad


BAD_WRITES = {
    "index": lambda x: x.__setitem__(torch.tensor([0, 9]), 3.0),
    "index_put": lambda x: x.index_put_((torch.tensor([0, 9]),), torch.ones(2, 3), accumulate=True),
    "index_add": lambda x: x.index_add_(0, torch.tensor([0, 9]), torch.ones(2, 3)),
    "scatter": lambda x: x.scatter_(0, torch.tensor([[0, 9, 1]]), 1.0),
    "scatter_add": lambda x: x.scatter_add_(0, torch.tensor([[0, 9, 1]]), torch.ones(1, 3)),
}


@pytest.mark.parametrize("write", BAD_WRITES.values(), ids=BAD_WRITES)
def test_a_write_at_a_bad_index_leaves_view_and_base_as_they_were(write):
    x = torch.ones(4, 3, requires_grad=True)
    base = x * 2
    view = base[1:]
    before, version = (base.grad_fn, view.grad_fn), base._version
    with pytest.raises((IndexError, RuntimeError), match="index 9 is out of bounds"):
        write(view)
    assert (base.grad_fn, view.grad_fn) == before and base._version == version
    assert base.tolist() == [[2.0] * 3] * 4 and view.tolist() == [[2.0] * 3] * 3
    view.sum().backward()
    assert x.grad.tolist() == [[0.0] * 3, *[[2.0] * 3] * 3]
