"""Triangles and diagonals of matrices, against NumPy, with gradients and in compiled steps."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_records import run

import jitgrad as torch
from jitgrad.kernels import abi

KINDS = [t.name for t in abi.NUMPY_DTYPES]
SHAPES = [(3, 5), (5, 3), (2, 3, 3), (2, 1, 4, 3), (0, 3), (3, 0), (2, 0, 0)]
NAMES = ["tril", "triu"]


def numbers(shape, kind="float64"):
    return np.random.default_rng(len(shape)).integers(1, 9, shape).astype(kind)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("diagonal", [-9, -2, 0, 1, 9])
def test_a_triangle_stays_and_the_other_is_zero(name, shape, diagonal):
    a, expected = numbers(shape), getattr(np, name)
    np.testing.assert_array_equal(
        getattr(torch, name)(torch.tensor(a), diagonal).numpy(), expected(a, diagonal)
    )
    turned = torch.tensor(a).transpose(-1, -2)
    np.testing.assert_array_equal(getattr(turned, name)(diagonal).numpy(), expected(turned.numpy(), diagonal))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_triangles_of_every_dtype(name, kind):
    a = numbers((4, 3), kind)
    found = getattr(torch.tensor(a), name)()
    assert found.dtype.name == kind
    np.testing.assert_array_equal(found.numpy(), getattr(np, name)(a))


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_make_the_whole(parts):
    a, made = numbers((5, 4, 3)), np.empty((5, 4, 3))
    run("triangle", KINDS.index("float64"), [a, made], (1, 1), parts)
    np.testing.assert_array_equal(made, np.triu(a, 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("diagonal", [-1, 0, 2])
def test_gradients_of_triangles(name, diagonal):
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, 4, 3)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: getattr(x.transpose(1, 2), name)(diagonal), x)
    assert torch.autograd.gradgradcheck(lambda x: getattr(x * x, name)(diagonal), x)


def test_what_is_not_finite_does_not_reach_the_other_triangle():
    x = torch.full((2, 2), float("nan"), requires_grad=True)
    (x.tril() * torch.tensor([[1.0, float("inf")], [2.0, 3.0]])).sum().backward()
    assert x.tril()[0, 1] == 0 and x.grad.tolist() == [[1, 0], [2, 3]]


@pytest.mark.parametrize("name", NAMES)
def test_triangles_of_vectors_are_refused(name):
    with pytest.raises(RuntimeError, match="at least 2 dimensions"):
        getattr(torch.zeros(3), name)()
    with pytest.raises(TypeError, match="must be Tensor"):
        getattr(torch, name)([[1.0]])


@pytest.mark.parametrize("offset", [-2, 0, 1])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0,), (2, 0)])
def test_diagonals_of_lines(shape, offset):
    a = numbers(shape)
    expected = np.zeros((*shape[:-1], *(shape[-1] + abs(offset),) * 2))
    rows = np.arange(shape[-1])
    expected[..., rows + max(-offset, 0), rows + max(offset, 0)] = a
    np.testing.assert_array_equal(torch.diag_embed(torch.tensor(a), offset).numpy(), expected)
    x = torch.tensor(a, requires_grad=True)
    if x.numel():
        assert torch.autograd.gradcheck(lambda x: torch.diag_embed(x, offset), x)
        assert torch.autograd.gradgradcheck(lambda x: torch.diag_embed(x * x, offset, 0, -1), x)


def test_a_compiled_step_takes_triangles_and_diagonals_of_new_values():
    def call(x):
        return x.tril(1) + torch.diag(x[0]) * x.triu()

    step = torch.compile(call, fullgraph=True)
    for k in range(4):
        x = torch.tensor(numbers((3, 3)) + k)
        assert step(x).tolist() == call(x).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_places_of_a_triangle_are_new_at_every_call(name):
    first = getattr(torch, f"{name}_indices")(4, 4, dtype=torch.int64)
    expected = first.tolist()
    first.zero_()
    assert getattr(torch, f"{name}_indices")(4, 4).tolist() == expected
    assert getattr(torch, f"{name}_indices")(70, 70).tolist() == [
        list(line) for line in getattr(np, f"{name}_indices")(70)
    ]
