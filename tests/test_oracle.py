"""The compiled walk against its twin in plain Python, on random tapes."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.engine import layout
from jitgrad.oracle import leaf_gradients

# whole-array operations -----------------------------------------------------------------------------------


def _turned(x):
    return np.swapaxes(x, -1, -2)


def _matmul(operands, outputs, cotangents, words, shapes):
    (a, b), (g,) = operands, cotangents
    gradients = []
    for product, shape in ((None if b is None else g @ _turned(b), shapes[0]),
                           (None if a is None else _turned(a) @ g, shapes[1])):  # fmt: skip
        if product is not None:
            product = product.sum(axis=tuple(range(product.ndim - len(shape))))
        gradients.append(product)
    return gradients


def _linear(operands, outputs, cotangents, words, shapes):
    (x, w, _), (g,) = operands, cotangents
    rows = g.reshape(-1, g.shape[-1])
    return (
        None if w is None else g @ w,
        None if x is None else rows.T @ x.reshape(-1, x.shape[-1]),
        rows.sum(0),
    )


def _softmax(operands, outputs, cotangents, words, shapes):
    (y,), (g,) = outputs, cotangents
    return (y * (g - (g * y).sum(-1, keepdims=True)),)


def _log_softmax(operands, outputs, cotangents, words, shapes):
    (y,), (g,) = outputs, cotangents
    return (g - np.exp(y) * g.sum(-1, keepdims=True),)


def _cat(operands, outputs, cotangents, words, shapes):
    at = words[0]
    return np.split(cotangents[0], np.cumsum([shape[at] for shape in shapes])[:-1], axis=at)


VJPS = {
    "matmul": _matmul,
    "linear": _linear,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "cat": _cat,
}

# random graphs --------------------------------------------------------------------------------------------

UNARY = [
    "tanh",
    "sin",
    "cos",
    "sigmoid",
    "exp",
    "square",
    "neg",
    "abs",
    "relu",
    "sqrt",
    "expm1",
    "atan",
    "erf",
]
BINARY = ["add", "sub", "mul", "maximum", "minimum", "div"]


class Graph:
    """Tensors made by random operations from a few leaves."""

    def __init__(self, seed: int, dtype, in_place: bool) -> None:
        self.choose = random.Random(seed)
        self.values = np.random.default_rng(seed)
        self.dtype = dtype
        self.in_place = in_place
        self.leaves = [self.leaf(shape) for shape in ((3, 4), (4,), (3, 1), ())]
        self.constants = [self.leaf((3, 4), grad=False), self.leaf((1, 4), grad=False)]
        self.pool = [*self.leaves, *self.constants]
        self.steps = [self.unary, self.binary, self.binary, self.binary, self.view, self.view, self.reduce,
                      self.product, self.softmax, self.join, self.write]  # fmt: skip

    def leaf(self, shape, grad=True):
        values = self.values.uniform(0.3, 1.3, shape)
        return torch.tensor(values, dtype=self.dtype, requires_grad=grad)

    def pick(self, *dims):
        """A tensor with that many dimensions, more often than not a recent one, so that graphs grow deep."""
        known = [x for x in self.pool if not dims or x.ndim in dims]
        return self.choose.choice(known[-6:] if self.choose.random() < 0.6 else known)

    def grow(self, count: int) -> None:
        for _ in range(count):
            try:
                made = self.choose.choice(self.steps)()
            except RuntimeError as error:
                if not self.in_place or "a view made before its base was modified" not in str(error):
                    raise
                continue
            if made is None or made.numel() > 200:
                continue
            if float(made.detach().abs().max()) > 4:
                made = made.tanh()
            self.pool.append(made)

    def unary(self):
        name, x = self.choose.choice(UNARY), self.pick()
        return getattr(x.abs() + 0.5 if name == "sqrt" else x, name)()

    def binary(self):
        name, a, b = self.choose.choice(BINARY), self.pick(), self.pick()
        if self.choose.random() < 0.2:
            b = a
        if not fits(a.shape, b.shape):
            b = b.sum()
        return getattr(a, name)(b.abs() + 0.5 if name == "div" else b)

    def view(self):
        x = self.pick(1, 2, 3)
        ways = [
            lambda: x.reshape(-1),
            lambda: x.unsqueeze(self.choose.randint(0, x.ndim)),
            lambda: x.transpose(0, -1),
            lambda: x.flatten()[:: self.choose.choice([1, 2, 3])],
            lambda: x[self.choose.randrange(x.shape[0])],
            lambda: x[1:] if x.shape[0] > 1 else x,
            lambda: x.unsqueeze(0).expand(2, *x.shape),
            lambda: x.permute(*reversed(range(x.ndim))),
            lambda: x.diagonal() if x.ndim == 2 else x.view(1, -1),
            lambda: x.narrow(-1, 0, max(1, x.shape[-1] - 1)),
        ]
        return self.choose.choice(ways)()

    def reduce(self):
        x = self.pick()
        name = self.choose.choice(["sum", "mean"])
        if not x.ndim or self.choose.random() < 0.3:
            return getattr(x, name)()
        return getattr(x, name)(dim=self.choose.randrange(x.ndim), keepdim=self.choose.random() < 0.5)

    def product(self):
        a = self.pick(2)
        if self.choose.random() < 0.5:
            bias = self.leaves[1] if self.choose.random() < 0.5 else None
            weight = self.constants[0].t() @ self.leaves[0]
            return torch.nn.functional.linear(a, weight, bias) if a.shape[1] == 4 else None
        return a @ self.choose.choice([a.t(), a.t().sin()])

    def softmax(self):
        x = self.pick(1, 2)
        return self.choose.choice([torch.softmax, torch.log_softmax])(x, -1)

    def join(self):
        x = self.pick(1, 2)
        return torch.cat([x, x.sin(), x[:1]], 0)

    def write(self):
        """In place, on a tensor of its own or (which must be seen) on one that a row has kept."""
        if not self.in_place:
            return None
        x = self.pick() * 1.5 if self.choose.random() < 0.7 else self.pick()
        if x.is_leaf or is_view(x):
            return None
        other = self.choose.choice([y for y in self.pool if fits_into(y.shape, x.shape)])
        getattr(x, self.choose.choice(["add_", "mul_", "sub_"]))(other)
        return x


def is_view(x) -> bool:
    return bool(x._word(layout.S_FLAGS) & layout.IS_VIEW)


def fits(a, b) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def fits_into(a, b) -> bool:
    return len(a) <= len(b) and all(m in (n, 1) for m, n in zip(a[::-1], b[::-1], strict=False))


def cotangent_for(graph: Graph, x) -> np.ndarray:
    return graph.values.standard_normal(tuple(x.shape))


def roots_of(graph: Graph, count: int):
    known = [x for x in graph.pool if x.requires_grad and not x.is_leaf]
    return graph.choose.sample(known[-8:], min(count, len(known)))


def run_both(graph: Graph, roots):
    """Gradients of the leaves by the twin, then by the compiled walk; or the two errors."""
    cotangents = [cotangent_for(graph, x) for x in roots]
    for leaf in graph.leaves:
        leaf.grad = None
    try:
        expected = leaf_gradients(roots, cotangents, vjps=VJPS)
    except RuntimeError as error:
        expected = error
    try:
        torch.autograd.backward(
            roots, [torch.tensor(g, dtype=graph.dtype) for g in cotangents], retain_graph=True
        )
    except RuntimeError as error:
        return expected, error
    return expected, {x._slot: x.grad.numpy() for x in graph.leaves if x.grad is not None}


def compare(expected, found, tolerance: float) -> None:
    assert not isinstance(found, Exception), found
    assert not isinstance(expected, Exception), expected
    assert set(found) == set(expected)
    for slot, gradient in expected.items():
        scale = max(1.0, float(np.abs(gradient).max(initial=0)))
        np.testing.assert_allclose(found[slot] / scale, gradient / scale, atol=tolerance, rtol=tolerance)


TOLERANCE = {torch.float32: 3e-4, torch.float64: 1e-10}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("seed", range(40))
def test_compiled_walk_equals_the_twin(seed, dtype):
    graph = Graph(seed, dtype, in_place=False)
    graph.grow(40)
    roots = roots_of(graph, 3)
    expected, found = run_both(graph, roots)
    compare(expected, found, TOLERANCE[dtype])
    again_expected, again = run_both(graph, roots)  # the graph was retained
    compare(again_expected, again, TOLERANCE[dtype])


@pytest.mark.parametrize("seed", range(40))
def test_in_place_writes_are_followed_or_refused_by_both(seed):
    graph = Graph(1000 + seed, torch.float64, in_place=True)
    graph.steps += [graph.write] * 3
    graph.grow(30)
    for root in roots_of(graph, 3):
        expected, found = run_both(graph, [root])
        if isinstance(expected, Exception) or isinstance(found, Exception):
            assert isinstance(expected, RuntimeError), f"only the engine refused: {found}"
            assert isinstance(found, RuntimeError), f"only the twin refused: {expected}"
            assert "modified by an inplace operation" in str(found)
        else:
            compare(expected, found, 1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_partial_graphs_leave_the_rest_alone(seed):
    graph = Graph(2000 + seed, torch.float64, in_place=False)
    graph.grow(30)
    first, second = roots_of(graph, 2)
    before, _ = run_both(graph, [second])
    run_both(graph, [first])
    compare(*run_both(graph, [second]), 1e-10)
    assert not isinstance(before, Exception)


@pytest.mark.parametrize("seed", range(20))
def test_grad_of_interior_tensors_equals_the_twin_on_a_cut_graph(seed):
    """`autograd.grad` at an interior tensor is the leaf gradient of the same graph begun there."""
    graph = Graph(3000 + seed, torch.float64, in_place=False)
    graph.grow(16)
    middle = (roots_of(graph, 1) or [graph.leaves[0].sin()])[0]
    state = graph.choose.getstate()
    cut = middle.detach().requires_grad_()

    def tail(x):
        graph.choose.setstate(state)
        y = x * graph.choose.uniform(0.5, 1.5) + x.sin()
        return (y * x.exp()).sum() + (x.reshape(-1)[::2] * y.reshape(-1)[::2]).mean()

    expected = leaf_gradients(tail(cut))[cut._slot]
    (found,) = torch.autograd.grad(tail(middle), [middle], retain_graph=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_twin_reads_only_what_rows_have_kept():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.tanh()
    with torch.no_grad():
        x.zero_()  # tanh keeps its result, not its operand
    np.testing.assert_allclose(leaf_gradients(y)[x._slot], 1 - np.tanh([1.0, 2.0]) ** 2, rtol=1e-6)


def test_twin_refuses_a_stale_value():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.sin()
    with torch.no_grad():
        x.zero_()
    with pytest.raises(RuntimeError, match="oracle: entry 0 of sin is at version 1, not 0"):
        leaf_gradients(y)


def test_twin_needs_a_vjp_for_array_operations():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with pytest.raises(RuntimeError, match="oracle: no vjp for matmul"):
        leaf_gradients(x @ x)


def test_twin_sums_a_diagonal_and_overlapping_windows():
    x = torch.tensor(np.arange(9.0).reshape(3, 3), requires_grad=True)
    y = x.diagonal().expand(2, 3)
    cotangent = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    np.testing.assert_array_equal(leaf_gradients(y, cotangent)[x._slot], np.diag([11.0, 22.0, 33.0]))
    assert math.isclose(float(leaf_gradients(y.sum())[x._slot].sum()), 6.0)
