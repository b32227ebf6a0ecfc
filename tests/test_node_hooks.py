"""Hooks on nodes: what goes in and out of each operation on the way back."""

from __future__ import annotations

import numpy as np
import pytest
from sample_values import leaf

import jitgrad as torch


def test_node_hooks_see_what_goes_in_and_out_of_each_operand():
    a, log = leaf(3.0), []
    y = a * a
    y.grad_fn.register_prehook(lambda outs: log.append([g.item() for g in outs]))
    y.grad_fn.register_hook(lambda ins, outs: log.append(([g.item() for g in ins], [g.item() for g in outs])))
    (y * 2).backward()
    assert log == [[2.0], ([6.0, 6.0], [2.0])]
    assert a.grad.item() == 12.0


@pytest.mark.parametrize(
    ("operation", "count"),
    [
        (lambda a, b: a * b, 2),
        (lambda a, b: (a * b).sum(), 1),
        (lambda a, b: torch.softmax(a, 0) * b, 2),
        (lambda a, b: a.reshape(2, 1), 1),
        (lambda a, b: a.unsqueeze(0) @ b.unsqueeze(1), 2),
        (lambda a, b: torch.cat([a, b]), 2),
    ],
)
def test_node_hooks_replace_gradients_for_every_kind_of_row(operation, count):
    a, b = leaf(1.0, 2.0), leaf(3.0, 5.0)
    y = operation(a, b)
    y.grad_fn.register_prehook(lambda outs: tuple(g * 3 for g in outs))
    y.grad_fn.register_hook(lambda ins, outs: tuple(None if g is None else g * 2 for g in ins))
    assert len(y.grad_fn.next_functions) == count
    weights = torch.arange(1.0, 1.0 + y.numel()).reshape(y.shape)
    (y * weights).sum().backward()
    found = [t.grad for t in (a, b)]
    a.grad = b.grad = None
    (operation(a, b) * weights).sum().backward()
    for g, t in zip(found, (a, b), strict=True):
        assert (g is None) == (t.grad is None)
        if g is not None:
            np.testing.assert_allclose(g.numpy(), 6 * t.grad.numpy(), rtol=1e-6)


def test_node_hooks_of_a_leaf():
    x, log = leaf(2.0), []
    node = (x * 1).grad_fn.next_functions[0][0]
    node.register_prehook(lambda outs: (outs[0] * 10,))
    node.register_hook(lambda ins, outs: log.append((ins, outs[0].item(), x.grad.item())))
    (x * 3).backward()
    assert x.grad.item() == 30.0
    assert log == [((), 30.0, 30.0)]


def test_node_hooks_of_a_custom_function():
    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b, a - b

        @staticmethod
        def backward(ctx, g, h):
            return g + h, g - h

    a, b, log = leaf(1.0), leaf(2.0), []
    y, z = Two.apply(a, b)
    y.grad_fn.register_prehook(lambda outs: log.append([None if g is None else g.item() for g in outs]))
    z.grad_fn.register_hook(lambda ins, outs: (ins[0] * 10, None))
    (z * 3).backward()
    assert log == [[None, 3.0]]
    assert a.grad.item() == 30.0
    assert b.grad is None


@pytest.mark.parametrize(
    "register",
    [
        lambda node: node.register_hook(lambda ins, outs: (ins[0],) * 3),
        lambda node: node.register_prehook(lambda outs: (outs[0],) * 3),
    ],
)
def test_node_hooks_must_return_as_many(register):
    y = leaf(1.0).exp()
    register(y.grad_fn)
    with pytest.raises(RuntimeError, match=r"incorrect number of values \(got 3, but expected 1\)"):
        y.backward()


def test_a_node_that_is_gone_takes_no_hooks():
    y = leaf(1.0).exp()
    y.backward()
    with pytest.raises(RuntimeError, match="has been freed"):
        y.grad_fn.register_hook(print)


def test_the_class_of_a_node_has_its_name_and_operands_that_functions_made_are_their_nodes():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.factor = 2
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    a = leaf(1.0, 2.0)
    y = Twice.apply(a.exp()).sum()
    names, node = [], y.grad_fn
    while node is not None:
        names.append((type(node).__name__, node.name()))
        assert isinstance(node, torch.autograd.graph.Node)
        if node.name() == "TwiceBackward":
            assert node.factor == 2
        node = node.next_functions[0][0] if node.next_functions else None
    expected = ["SumBackward0", "TwiceBackward", "ExpBackward0", "AccumulateGrad"]
    assert names == [(name, name) for name in expected]


def test_tensors_tell_which_output_of_their_node_they_are():
    a = leaf(1.0, 2.0, 3.0)

    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return 2 * g + 3 * h

    two, three = Two.apply(a)
    assert [t.output_nr for t in (a, a * 2, two, three)] == [0, 0, 0, 1]
    assert (three * 2).grad_fn.next_functions[0] == (three.grad_fn, 1)


def test_nodes_show_the_values_that_they_keep_until_a_walk_frees_them():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    square, product, power = a.pow(2), a * b, a.exp()
    assert square.grad_fn._saved_self.tolist() == [1.0, 2.0]
    assert [product.grad_fn._saved_self.tolist(), product.grad_fn._saved_other.tolist()] == [
        [1.0, 2.0],
        [3.0, 4.0],
    ]
    assert power.grad_fn._saved_result.equal(power) and power.grad_fn._saved_result.requires_grad
    for node, name in (
        (power.grad_fn, "_saved_self"),
        (square.grad_fn, "_saved_other"),
        (square.grad_fn, "_saved"),
    ):
        with pytest.raises(AttributeError, match=name):
            getattr(node, name)
    with pytest.raises(AttributeError, match="_saved_self"):
        _ = square.grad_fn.next_functions[0][0]._saved_self
    node = product.grad_fn
    product.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        _ = node._saved_self


def test_a_kept_value_that_was_overwritten_is_not_shown():
    a = leaf(1.0, 2.0)
    y = a.exp()
    node = y.grad_fn
    with torch.no_grad():
        y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        _ = node._saved_result
