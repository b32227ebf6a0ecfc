"""Matrix products: values and gradients against NumPy, for every number of dimensions and any strides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gradients import check_gradients
from kernel_records import run
from sample_values import numbers

import jitgrad as torch
from jitgrad.kernels import abi

RTOL = {np.float32: 1e-5, np.float64: 1e-12}


MATMUL_SHAPES = [
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((70, 33), (33, 41)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((6, 2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (6, 2, 4, 5)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((1, 2, 3), (5, 3, 2)),
    ((1, 5), (4, 5, 2)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((0, 3, 4), (4, 5)),
    ((3, 4), (0, 4, 5)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("a", "b"), MATMUL_SHAPES)
def test_matmul_equals_numpy(a, b, dtype):
    x, y = numbers(*a, dtype=dtype), numbers(*b, seed=1, dtype=dtype)
    result = torch.matmul(torch.tensor(x), torch.tensor(y))
    assert result.dtype == torch.tensor(x).dtype
    np.testing.assert_allclose(result.numpy(), np.matmul(x, y), rtol=RTOL[dtype], atol=RTOL[dtype] * 10)


@pytest.mark.parametrize(("a", "b"), [s for s in MATMUL_SHAPES if 70 not in s[0]])
def test_matmul_gradients(a, b):
    check_gradients(torch.matmul, numbers(*a), numbers(*b, seed=1))


VIEWS = {
    "transposed left": (lambda x, y: x.t() @ y, (4, 3), (4, 5)),
    "transposed right": (lambda x, y: x @ y.t(), (3, 4), (5, 4)),
    "both transposed": (lambda x, y: x.t() @ y.t(), (4, 3), (5, 4)),
    "steps": (lambda x, y: x[:, ::2] @ y[1::2], (3, 8), (8, 5)),
    "batch transposed": (lambda x, y: x.transpose(1, 2) @ y, (2, 4, 3), (2, 4, 5)),
    "batch last": (lambda x, y: x.permute(2, 0, 1) @ y, (3, 4, 2), (4, 5)),
    "expanded right": (lambda x, y: x @ y.expand(5, 3, 4), (5, 2, 3), (3, 4)),
    "expanded right, matrix left": (lambda x, y: x @ y.expand(5, 3, 4), (2, 3), (3, 4)),
    "expanded right, row left": (lambda x, y: x @ y.expand(5, 3, 4), (1, 3), (3, 4)),
    "expanded left": (lambda x, y: x.expand(5, 2, 3) @ y, (2, 3), (5, 3, 4)),
    "sum makes an expanded cotangent": (lambda x, y: (x @ y).sum(), (3, 4), (4, 5)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_matmul_gradients_through_views(name):
    function, a, b = VIEWS[name]
    check_gradients(function, numbers(*a), numbers(*b, seed=1))


@pytest.mark.parametrize("rows", [(), (1,), (5,), (0,), (2, 4), (2, 0), (2, 3, 2)])
@pytest.mark.parametrize("features", [1, 2, 17])
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear_and_gradients(rows, features, with_bias):
    arrays = [numbers(*rows, 3), numbers(features, 3), numbers(features)][: 2 + with_bias]
    expected = arrays[0] @ arrays[1].T + (arrays[2] if with_bias else 0)
    result = torch.nn.functional.linear(*(torch.tensor(a) for a in arrays))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12)
    check_gradients(torch.nn.functional.linear, *arrays)


LINEAR_VIEWS = {
    "rows that do not merge": (
        lambda x, w, b: torch.nn.functional.linear(x.transpose(0, 1), w, b),
        (3, 2, 4),
    ),
    "cotangent that does not merge": (
        lambda x, w, b: torch.nn.functional.linear(x, w, b).transpose(0, 1).contiguous().exp(),
        (3, 2, 4),
    ),
    "bias with gaps": (
        lambda x, w, b: torch.nn.functional.linear(x, w[:3], b[::2]),
        (3, 4),
    ),
    "weight of a view": (lambda x, w, b: torch.nn.functional.linear(x, w.t()[:, 1:], b[:4]), (3, 4)),
    "sum": (lambda x, w, b: torch.nn.functional.linear(x, w, b).sum(), (5, 4)),
    "sum of columns": (lambda x, w, b: torch.nn.functional.linear(x, w, b).sum(0), (5, 4)),
}


@pytest.mark.parametrize("name", LINEAR_VIEWS)
def test_linear_gradients_through_views(name):
    function, shape = LINEAR_VIEWS[name]
    check_gradients(function, numbers(*shape), numbers(5, 4, seed=1), numbers(5, seed=2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("features", [1, 2, 4, 8, 3, 16])
@pytest.mark.parametrize("rows", [1, 4, 7, 8, 64, 65, 200])
def test_gradient_of_a_bias_sums_all_rows(rows, features, dtype):
    """Where a vector holds several rows, whole vectors are summed first, and then their parts."""
    x, w = (torch.tensor(numbers(n, 3, dtype=dtype), requires_grad=True) for n in (rows, features))
    bias, g = torch.zeros(features, dtype=w.dtype, requires_grad=True), numbers(rows, features, dtype=dtype)
    torch.nn.functional.linear(x, w, bias).backward(torch.tensor(g))
    expected = g.astype(np.float64).sum(0)
    np.testing.assert_allclose(bias.grad.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_linear_with_a_vector_weight():
    check_gradients(torch.nn.functional.linear, numbers(5, 4), numbers(4, seed=1))


def test_products_of_integers_are_exact():
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    result = torch.tensor(a) @ torch.tensor(b)
    assert result.dtype == torch.int64
    np.testing.assert_array_equal(result.numpy(), a @ b)


def test_matmul_takes_a_numpy_array_on_either_side():
    a, b = numbers(2, 3), numbers(3, 4)
    np.testing.assert_allclose((torch.tensor(a) @ b).numpy(), a @ b)
    assert isinstance(torch.tensor(a).__rmatmul__(numbers(4, 2)), torch.Tensor)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (torch.mm, [(2, 3), (3, 4)]),
        (torch.bmm, [(5, 2, 3), (5, 3, 4)]),
        (torch.mv, [(2, 3), (3,)]),
        (torch.dot, [(3,), (3,)]),
        (torch.outer, [(3,), (4,)]),
        (torch.inner, [(2, 3), (4, 3)]),
        (torch.kron, [(2, 3), (4, 5)]),
        (torch.kron, [(3,), (4, 5)]),
        (torch.chain_matmul, [(2, 3), (3, 5), (5, 1), (1, 4)]),
        (torch.addmm, [(4,), (3, 2), (2, 4)]),
        (torch.addmv, [(3,), (3, 2), (2,)]),
        (torch.addr, [(3, 4), (3,), (4,)]),
        (torch.baddbmm, [(5, 3, 4), (5, 3, 2), (5, 2, 4)]),
        (torch.addbmm, [(3, 4), (5, 3, 2), (5, 2, 4)]),
        (lambda i, a, b: torch.addmm(i, a, b, beta=0.5, alpha=2.0), [(3, 4), (3, 2), (2, 4)]),
        (lambda a, b: torch.tensordot(a, b, dims=2), [(2, 3, 4), (3, 4, 5)]),
        (lambda a, b: torch.tensordot(a, b, dims=([1, 0], [0, 2])), [(2, 3, 4), (3, 5, 2)]),
    ],
)
def test_gradients_of_the_other_products(function, shapes):
    check_gradients(function, *(numbers(*s, seed=k) for k, s in enumerate(shapes)))


def test_values_of_the_other_products():
    a, b, v = numbers(2, 3), numbers(3, 4), numbers(3)
    A, B, V = torch.tensor(a), torch.tensor(b), torch.tensor(v)
    i = numbers(2, 4)
    np.testing.assert_allclose(torch.mv(A, V).numpy(), a @ v)
    np.testing.assert_allclose(torch.dot(V, V).item(), v @ v)
    np.testing.assert_allclose(torch.outer(V, V).numpy(), np.outer(v, v))
    np.testing.assert_allclose(torch.kron(A, B).numpy(), np.kron(a, b))
    np.testing.assert_allclose(torch.addmm(torch.tensor(i), A, B, beta=2, alpha=3).numpy(), 2 * i + 3 * a @ b)
    np.testing.assert_allclose(torch.tensordot(A, B, dims=1).numpy(), a @ b)
    np.testing.assert_allclose(torch.chain_matmul(A, B, B.t()).numpy(), a @ b @ b.T)
    nan = torch.full((2, 4), float("nan"), dtype=torch.float64)
    np.testing.assert_allclose(torch.addmm(nan, A, B, beta=0).numpy(), a @ b)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij,jk->ik", (3, 3, 2), (2, 4)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    ("bn,anm,bm->ba", (2, 5), (3, 5, 4), (2, 4)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ijk,ij->k", (2, 3, 4), (2, 3)),
    ("ab,cd->abcd", (2, 3), (4, 5)),
    ("ij,ij,ij->i", (2, 3), (2, 3), (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum_equals_numpy(case):
    equation, *shapes = case
    arrays = [numbers(*s, seed=k) for k, s in enumerate(shapes)]
    result = torch.einsum(equation, *(torch.tensor(a) for a in arrays))
    expected = np.einsum(equation, *arrays)
    assert tuple(result.shape) == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum_gradients(case):
    equation, *shapes = case
    check_gradients(
        lambda *x: torch.einsum(equation, *x), *(numbers(*s, seed=k) for k, s in enumerate(shapes))
    )


def test_einsum_broadcasts_what_the_dots_stand_for():
    a, b = numbers(1, 2, 3), numbers(6, 3, 4)
    result = torch.einsum("...ij,...jk", [torch.tensor(a), torch.tensor(b)])
    np.testing.assert_allclose(result.numpy(), a @ b)


@pytest.mark.parametrize("result", [([0, 2],), ()])
def test_einsum_takes_lists_of_numbers_for_an_equation(result):
    a, b = numbers(2, 3), numbers(4, 3)
    made = torch.einsum(torch.tensor(a), [0, 30], torch.tensor(b), [2, 30], *result)
    np.testing.assert_allclose(made.numpy(), a @ b.T)
    dots = torch.einsum(torch.tensor(a), [..., 1], torch.tensor(b[0]), [1], [...])
    np.testing.assert_allclose(dots.numpy(), a @ b[0])


def ones(*shape: int, dtype=torch.float32):
    return torch.ones(*shape, dtype=dtype)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ones(2, 3) @ ones(4, 5), RuntimeError, ["matmul", "(2, 3) @ (4, 5)"]),
        (lambda: ones(2, 3, 4) @ ones(3, 4, 5), RuntimeError, ["matmul", "batch", "(2, 3, 4) @ (3, 4, 5)"]),
        (lambda: ones(3) @ ones(4), RuntimeError, ["inconsistent tensor size", "[3]", "[4]"]),
        (lambda: ones() @ ones(3), RuntimeError, ["at least 1D", "0D and 1D"]),
        (lambda: ones(2, 2) @ ones(2, 2, dtype=torch.float64), RuntimeError, ["float32 != float64"]),
        (lambda: ones(2, 2) @ 3, TypeError, ["@"]),
        (lambda: torch.matmul(ones(2, 2), [1, 2]), TypeError, ["matmul", "list"]),
        (lambda: torch.mm(ones(2, 3), ones(3)), RuntimeError, ["mm", "matrix", "(3,)"]),
        (lambda: torch.bmm(ones(2, 3), ones(3, 3)), RuntimeError, ["bmm", "3D"]),
        (lambda: torch.bmm(ones(2, 3, 4), ones(2, 3, 4)), RuntimeError, ["[2, 4]", "[2, 3]"]),
        (lambda: torch.mv(ones(3, 2), ones(3)), RuntimeError, ["mv", "(3, 2)", "(3,)"]),
        (lambda: torch.dot(ones(3, 2), ones(3)), RuntimeError, ["1D tensors expected", "2D and 1D"]),
        (lambda: torch.outer(ones(3, 2), ones(3)), RuntimeError, ["outer", "(3, 2)"]),
        (lambda: torch.addmm(ones(5), ones(2, 3), ones(3, 4)), RuntimeError, ["addmm", "(5,)", "(2, 4)"]),
        (lambda: torch.tensordot(ones(2, 3), ones(2, 3), dims=1), RuntimeError, ["contracted dimensions"]),
        (lambda: torch.einsum("ij,jk->iz", ones(2, 3), ones(3, 2)), RuntimeError, ["'z'"]),
        (lambda: torch.einsum("ij,jk", ones(2, 3), ones(4, 2)), RuntimeError, ["'j'", "4", "3"]),
        (lambda: torch.einsum("ij", ones(2, 3), ones(4, 2)), RuntimeError, ["expected 1 operands"]),
        (lambda: torch.einsum("i", ones(2, 3)), RuntimeError, ["subscripts", "2 dimensions"]),
        (lambda: torch.einsum("i%", ones(2, 3)), RuntimeError, ["'%'"]),
        (lambda: torch.einsum(ones(2, 3), [0, 52], [0]), ValueError, ["0 to 51", "52"]),
        (lambda: torch.einsum(ones(2, 3), ones(3)), TypeError, ["equation", "list of numbers", "Tensor"]),
        (
            lambda: torch.nn.functional.linear(ones(2, 3), ones(4, 5), ones(4)),
            RuntimeError,
            ["linear", "(2, 3)", "(4, 5)"],
        ),
        (
            lambda: torch.nn.functional.linear(ones(2, 3), ones(4, 3, dtype=torch.float64)),
            RuntimeError,
            ["linear", "float32 != float64"],
        ),
    ],
)
def test_wrong_operands_are_refused(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 5, 3), (7, 3, 40), (65, 17, 33)])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_products_do_not_depend_on_the_number_of_parts(m, k, n, parts):
    x, w, bias, g = (numbers(*s, dtype=np.float32) for s in ((m, k), (n, k), (n,), (m, n)))
    results = []
    for count in (1, parts):
        y, gx, gw, gb = (np.full(s, np.nan, np.float32) for s in ((m, n), (m, k), (n, k), (n,)))
        run("linear", abi.FLOAT32, (x, w, bias, y), parts=count)
        run("linear", abi.FLOAT32, (x, w, bias, y, g, gx, gw, gb), parts=count, variant=1)
        results.append((y, gx, gw, gb))
    np.testing.assert_allclose(results[0][0], x @ w.T + bias, rtol=1e-5, atol=1e-5)
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batched_products_do_not_depend_on_the_number_of_parts(batch, parts):
    a, b, g = (numbers(batch, *s) for s in ((9, 4), (4, 6), (9, 6)))
    results = []
    for count in (1, parts):
        y, ga, gb = (np.full((batch, *s), np.nan) for s in ((9, 6), (9, 4), (4, 6)))
        run("matmul", abi.FLOAT64, (a, b, y), parts=count)
        run("matmul", abi.FLOAT64, (a, b, y, g, ga, gb), parts=count, variant=1)
        results.append((y, ga, gb))
    for (one, several), expected in zip(
        zip(*results, strict=True), (a @ b, g @ b.swapaxes(1, 2), a.swapaxes(1, 2) @ g), strict=True
    ):
        np.testing.assert_array_equal(one, several)
        np.testing.assert_allclose(one, expected)


def test_every_transpose_of_large_matrices():
    for turn_a, turn_b in itertools.product([False, True], repeat=2):
        a, b = numbers(130, 300, dtype=np.float32), numbers(300, 150, dtype=np.float32)
        left = torch.tensor(np.ascontiguousarray(a.T)).t() if turn_a else torch.tensor(a)
        right = torch.tensor(np.ascontiguousarray(b.T)).t() if turn_b else torch.tensor(b)
        np.testing.assert_allclose((left @ right).numpy(), a @ b, rtol=1e-4, atol=1e-4)
