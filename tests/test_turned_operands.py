"""Elementwise operations on operands that lie across one another: the same values bit for bit, in the same places."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.engine.turning import TURNS
from jitgrad.program.show.table import lines_of

SHAPES = [
    ((40, 33), (1, 0)),
    ((2, 3, 20, 24), (0, 2, 3, 1)),
    ((4, 30, 17), (0, 2, 1)),
    ((5, 6, 7, 8), (3, 1, 0, 2)),
]
PLAIN = (33, 40)


def values(shape, dtype="float32", seed=0):
    made = np.random.default_rng([seed, *shape]).standard_normal(shape) * 3
    return (made > 0) if dtype == "bool" else made.astype(dtype)


def permuted(shape, order, dtype="float32", seed=0):
    """A tensor whose dimensions lie in memory in another order, and the same values in row-major order."""
    x = torch.tensor(values(shape, dtype, seed)).permute(*order)
    return x, x.clone()


OPERATIONS = {
    "beside a row-major one": lambda x, y: x + y,
    "behind a row-major one": lambda x, y: y - x,
    "alone": lambda x, _y: -x,
    "with a number": lambda x, _y: x * 3,
    "with itself": lambda x, _y: x * x,
    "with the last dimension repeated": lambda x, y: x + y[..., :1],
    "with a row": lambda x, y: x * y[(0,) * (y.ndim - 1)],
    "compared": lambda x, y: x > y,
    "chosen": lambda x, y: torch.where(x > 0, x, y),
    "three operands": lambda x, y: torch.addcmul(y, x, x),
    "expanded": lambda x, y: x + y[:1].expand(y.shape),
    "in place": lambda x, y: y.clone().add_(x),
    "in place the other way": lambda x, y: x.clone().permute(*range(x.ndim)).mul_(y),
    "out=": lambda x, y: torch.add(x, y, out=torch.empty(x.shape, dtype=x.dtype)),
    "every other element": lambda x, y: x[..., ::2] + y[..., ::2],
    "a part": lambda x, y: x[1:, 1:] - y[1:, 1:],
    "of no elements": lambda x, y: x[:0] + y[:0],
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_results_are_those_of_operands_in_order(name, dtype, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for shape, order in SHAPES:
            x, ordered = permuted(shape, order, dtype)
            y = torch.tensor(values(tuple(x.shape), dtype, seed=1))
            found, expected = OPERATIONS[name](x, y), OPERATIONS[name](ordered, y)
            assert found.shape == expected.shape
            assert found.numpy().tobytes() == expected.numpy().tobytes()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["tanh", "exp", "log1p", "sigmoid", "sqrt", "erf", "sin"])
def test_formulas_round_alike(name):
    x, ordered = permuted(*SHAPES[0])
    assert (
        getattr(torch, name)(x.abs()).numpy().tobytes()
        == getattr(torch, name)(ordered.abs()).numpy().tobytes()
    )


@pytest.mark.parametrize("kind", ["transposed target", "its own transpose"])
def test_writes_in_place_across(kind):
    x = torch.tensor(values((40, 40)))
    expected = x.numpy().copy()
    if kind == "transposed target":
        y = torch.tensor(values((40, 40), seed=1))
        x.t().add_(y)
        expected += y.numpy().T
    else:
        x.add_(x.t())
        expected += expected.T.copy()
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize(("shape", "order"), SHAPES, ids=str)
def test_gradients_are_those_of_operands_in_order(shape, order):
    weights = torch.tensor(values([shape[d] for d in order], seed=2))
    found = []
    for turn in (False, True):
        x = torch.tensor(values(shape), requires_grad=True)
        y = torch.tensor(values(tuple(weights.shape), seed=1), requires_grad=True)
        moved = x.permute(*order) if turn else x.permute(*order).contiguous()
        ((moved * y).tanh() * weights + moved.sigmoid() * y).backward(weights)
        found.append((x.grad.numpy().tobytes(), y.grad.numpy().tobytes()))
        assert x.grad.is_contiguous()
        assert y.grad.is_contiguous()
    assert found[0] == found[1]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("shape", "order"), SHAPES, ids=str)
def test_compiled_steps_have_the_values_of_eager_code(shape, order, threads):
    w = torch.tensor(values([shape[d] for d in order], seed=2), requires_grad=True)

    def step(x):
        moved = x.permute(*order)
        hidden = ((moved * 2 + w).tanh() - moved) * w
        loss = (hidden * hidden).mean()
        w.grad = None
        loss.backward()
        return hidden.detach(), loss.detach(), w.grad

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    compiled = torch.compile(step)
    try:
        for seed in range(4):
            x = torch.tensor(values(shape, seed=seed))
            expected = [t.numpy().tobytes() for t in step(x)]
            assert [t.numpy().tobytes() for t in compiled(x)] == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not TURNS, reason="copies turn no squares here")
def test_an_operand_that_lies_across_is_turned_first():
    step = torch.compile(lambda x, y: (y * x.t()).exp())
    large = step.program(torch.tensor(values((40, 33))), torch.tensor(values(PLAIN)))
    small = step.program(torch.tensor(values((4, 3))), torch.tensor(values((3, 4))))

    def kernels(program):
        return [part.kernel for line in lines_of(program) for part in (line.chain or (line,))]

    assert "copy" in kernels(large)
    assert "copy" not in kernels(small)


STRIDES = {
    "alone": lambda x, _y: x.tanh(),
    "with a number": lambda x, _y: x + 1,
    "with itself": lambda x, _y: x * x,
    "the first of two decides": lambda x, y: x + y,
    "the second does not": lambda x, y: y + x,
    "a row before it": lambda x, y: y[(0,) * (y.ndim - 1)] - x,
    "compared": lambda x, _y: x > 0,
    "two in a row": lambda x, _y: (x * 2).exp(),
    "a copy in order": lambda x, _y: (x + 1).contiguous(),
}


@pytest.mark.parametrize(("shape", "order"), SHAPES, ids=str)
@pytest.mark.parametrize("name", STRIDES)
def test_results_lie_in_memory_as_pytorchs_do(name, shape, order):
    peer = pytest.importorskip("torch")
    found = []
    for library in (torch, peer):
        x = library.tensor(values(shape)).permute(*order)
        found.append(STRIDES[name](x, library.tensor(values(tuple(x.shape), seed=1))))
    assert found[0].stride() == found[1].stride()
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_of_permuted_operands_reach_leaves_in_order():
    x = torch.tensor(values((4, 30, 17)), requires_grad=True)
    hidden = x.permute(2, 0, 1) * 2
    hidden.retain_grad()
    hidden.tanh().sum().backward()
    assert hidden.grad.shape == hidden.shape
    assert x.grad.is_contiguous()


@pytest.mark.parametrize("fold", ["sum", "mean", "amax", "prod", "std"])
@pytest.mark.parametrize(("shape", "order"), SHAPES, ids=str)
def test_a_whole_reduction_takes_elements_as_they_lie(fold, shape, order):
    x = torch.tensor(values(shape, "float64") / 3)
    assert getattr(torch, fold)(x.permute(*order)).item() == getattr(torch, fold)(x).item()


@pytest.mark.parametrize("dims", [(0,), (1,), (0, 1), (0, 2), (1, 2), (-1,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (2, 0, 1)], ids=str)
def test_reductions_over_some_dimensions_of_permuted_and_repeated_operands(order, dims):
    array = values((5, 6, 7), "float64")
    x = torch.tensor(array, requires_grad=True)
    moved = x.permute(*order)
    np.testing.assert_allclose(moved.sum(dims).detach().numpy(), array.transpose(order).sum(dims), rtol=1e-12)
    repeated = moved[:1].expand(moved.shape)
    wanted = np.broadcast_to(array.transpose(order)[:1], moved.shape).sum(dims)
    np.testing.assert_allclose(repeated.sum(dims).detach().numpy(), wanted, rtol=1e-12)
    ((moved.sum(dims) ** 2).sum() / 2).backward()
    expected = np.broadcast_to(array.transpose(order).sum(dims, keepdims=True), moved.shape)
    np.testing.assert_allclose(x.grad.numpy(), expected.transpose(np.argsort(order)), rtol=1e-12)


ARRAY_OPERATIONS = {
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "conv1d": lambda x: torch.nn.functional.conv1d(x, torch.ones(2, x.shape[1], 3)),
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "index": lambda x: x[torch.tensor([2, 0, 1])],
    "cross_entropy": lambda x: torch.nn.functional.cross_entropy(x, torch.ones(4, 17, dtype=torch.int64)),
    "layer_norm": lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
    "cumsum": lambda x: x.cumsum(1),
    "sort": lambda x: x.sort(1)[0],
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ARRAY_OPERATIONS)
def test_operations_on_arrays_take_permuted_operands_as_those_in_order(name, compiled):
    x = torch.tensor(values((4, 17, 30)), requires_grad=True)

    def gradient(order):
        def step(x):
            moved = x.transpose(1, 2) * 2
            out = ARRAY_OPERATIONS[name](moved.contiguous() if order else moved)
            (g,) = torch.autograd.grad((out * out).sum(), x)
            return out.detach(), g

        run = torch.compile(step) if compiled else step
        return [[t.numpy().copy() for t in run(x)] for _ in range(2)]

    for found, expected in zip(gradient(False), gradient(True), strict=True):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)


PICKED = {
    "index": lambda x, i: x[i],
    "index_select": lambda x, i: x.index_select(0, i),
    "two indices": lambda x, i: x[i, i],
    "gather": lambda x, i: x.gather(0, i[:, None].expand(-1, 40)),
    "embedding": lambda x, i: torch.nn.functional.embedding(i, x),
    "embedding_bag": lambda x, i: torch.nn.functional.embedding_bag(i[None], x),
}


@pytest.mark.skipif(not TURNS, reason="copies turn no squares here")
@pytest.mark.parametrize("name", PICKED)
def test_what_picks_a_few_elements_copies_no_others(name):
    x = torch.tensor(values((40, 64))).t()
    pick = torch.compile(PICKED[name])
    found = {}
    for count in (2, 40):
        places = torch.arange(count) * 7 % 40
        program = pick.program(x, places)
        found[count] = [part.kernel for line in lines_of(program) for part in (line.chain or (line,))]
        expected = PICKED[name](x.contiguous(), places)
        np.testing.assert_array_equal(pick(x, places).numpy(), expected.numpy())
    assert not any(kernel.startswith("copy") for kernel in found[2])
    assert any(kernel.startswith("copy") for kernel in found[40]) == (
        name not in ("two indices", "embedding_bag")
    )
