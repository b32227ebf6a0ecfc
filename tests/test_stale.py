"""Values that rows have kept, and writes in place to them, to leaves and to views."""

from __future__ import annotations

import numpy as np
import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch

STALE = "modified by an inplace operation"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.sin(), "SinBackward0"),
        (lambda x: x * torch.tensor([2.0, 3.0], requires_grad=True), "MulBackward0"),
        (lambda x: x**2, "PowBackward0"),
    ],
)
def test_stale_operand_is_named(function, name):
    x = leaf(1.0, 2.0)
    h = x + 0
    y = function(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match=rf"{STALE}.*{name}.*\[2\].*version 1; expected version 0"):
        y.backward(torch.ones(2))
    assert x.grad is None


def test_stale_result_is_named():
    x = leaf(1.0, 2.0)
    y = x.exp()
    kept = y
    y = y * 1
    kept.detach().zero_()
    with pytest.raises(RuntimeError, match=rf"{STALE}.*ExpBackward0.*version 1; expected version 0"):
        y.sum().backward()


def test_stale_through_a_view():
    x = leaf(1.0, 2.0)
    h = x + 0
    y = h.sin()
    with torch.no_grad():
        h[0:1].fill_(9)
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_failed_walk_leaves_the_graph_and_gradients_as_before():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = w + 0
    first = (x * 2).exp()
    y = first * 3 + h.sin()
    h.add_(1)
    before = usage()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=STALE):
            y.sum().backward(retain_graph=True)
    assert usage() == before
    assert x.grad is None
    assert w.grad is None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([2.0, 4.0]), rtol=1e-6)


def test_writes_to_what_is_not_kept_are_allowed():
    x = leaf(1.0, 2.0)
    h = x * 2  # the result of a product is not kept
    h.add_(5)
    h.mul_(3)
    h.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_in_place_operations_are_in_the_graph():
    x = leaf(2.0)
    y = x * 1
    z = y.sin_() if hasattr(y, "sin_") else y.add_(0)
    assert z is y
    y.mul_(x)
    y.backward()
    assert x.grad.item() == pytest.approx(2 * np.cos(2.0) + np.sin(2.0), rel=1e-5)


def test_in_place_on_a_leaf_is_refused_and_changes_nothing():
    x = leaf(1.0, 2.0)
    for write in (lambda: x.add_(1), lambda: x.mul_(x), lambda: x.zero_(), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            write()
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0


def test_in_place_on_a_leaf_without_recording():
    x = leaf(1.0, 2.0)
    with torch.no_grad():
        x.sub_(0.5)
        x[0] = 9.0
    assert x.tolist() == [9.0, 1.5]
    assert x.is_leaf
    assert x.requires_grad


def test_constant_written_into_joins_the_graph():
    x = leaf(1.0, 2.0)
    total = torch.zeros(2)
    total += x * 3
    assert total.requires_grad
    total.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_item_assignment_routes_gradients():
    x = leaf(1.0, 2.0, 3.0)
    v = leaf(10.0)
    y = x * 2
    y[1] = v[0] * 5
    (y * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 200.0]
    assert v.grad.tolist() == [50.0]


def test_view_sees_what_is_written_to_its_base_and_back():
    base = torch.zeros(2, 3)
    row, column = base[1], base[:, 2]
    row.fill_(7)
    column.add_(1)
    assert base.tolist() == [[0, 0, 1], [7, 7, 8]]
    assert base._version == row._version == column._version == 2
