"""Factorisations with kernels of their own: values, layouts, batches, gradients, compiled steps, bad matrices."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from linalg_cases import CASES, TOLERANCES, close, eliminated, operands

import jitgrad as torch
from jitgrad import linalg
from jitgrad.autograd import gradcheck, gradgradcheck

DEFINITE = torch.tensor([[4.0, 2.0], [2.0, 3.0]])
SINGULAR = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
UNKNOWN = torch.tensor([[1.0, 2.0], [float("nan"), 1.0]])
WITHOUT = torch.tensor([[1.0, 2.0], [2.0, 1.0]])  # without a factor


def first_of(found):
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda d: d.name)
def test_values_of_every_size_are_numpys(name, dtype):
    case = CASES[name]
    for front, n in (((), 1), ((2,), 5), ((), 16), ((2, 3), 4), ((), 37), ((2,), 70)):
        arrays = operands(case, front, n)
        found = case.function(*(torch.tensor(a, dtype=dtype) for a in arrays))
        first = first_of(found)
        assert first.dtype is dtype
        close(found, case.reference(*arrays), TOLERANCES[dtype])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("front", "n"), [((0,), 3), ((), 0), ((2,), 0)])
def test_no_matrices_and_matrices_without_elements(name, front, n):
    case = CASES[name]
    arrays = operands(case, front, n)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    found = case.function(*tensors)
    close(found, case.reference(*arrays), 0)
    first_of(found).sum().backward()
    assert all(x.grad.shape == x.shape for x in tensors)


LAYOUTS = {
    "transposed": lambda a: torch.tensor(np.swapaxes(a, -1, -2).copy()).mT,
    "every second": lambda a: torch.tensor(np.repeat(np.repeat(a, 2, -1), 2, -2))[..., ::2, ::2],
    "one for all": lambda a: torch.tensor(a[:1].copy()).expand(a.shape),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_operands_may_lie_as_they_like(name, layout):
    case = CASES[name]
    arrays = operands(case, (2,), 5)
    given = [LAYOUTS[layout](a) for a in arrays]
    views = [x.detach().requires_grad_() for x in given]
    plain = [torch.tensor(x.numpy().copy(), requires_grad=True) for x in given]
    for tensors in (views, plain):
        found = case.function(*tensors)
        first = first_of(found)
        weights = torch.arange(first.numel(), dtype=torch.float64).reshape(first.shape[::-1])
        first.backward(weights.permute(*reversed(range(first.ndim))))
        close(found, case.reference(*(x.detach().numpy() for x in tensors)), 1e-10)
    for x, y in zip(views, plain, strict=True):
        np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_both_orders_whatever_takes_them(name):
    case = CASES[name]
    arrays = operands(case, (2,), 4, seed=1)
    for wanted in range(1, 2 ** len(arrays)):
        tensors = [torch.tensor(a, requires_grad=bool(wanted >> k & 1)) for k, a in enumerate(arrays)]
        function = case.function
        if "definite" in case.operands:
            function = lambda a: case.function((a + a.mT) / 2)  # noqa: E731
        assert gradcheck(function, tensors)
        assert gradgradcheck(function, tensors)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda d: d.name)
def test_kernels_and_formulas_give_the_same_gradients_of_large_matrices(name, dtype):
    case = CASES[name]
    tensors = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in operands(case, (2,), 37)]
    first = first_of(case.function(*tensors))
    rng = np.random.default_rng(9)
    cotangent = torch.tensor(rng.standard_normal(first.shape) / max(first.abs().max().item(), 1), dtype=dtype)
    for x, y in zip(
        torch.autograd.grad(first, tensors, cotangent, retain_graph=True),
        torch.autograd.grad(first, tensors, cotangent, create_graph=True),
        strict=True,
    ):
        scale = max(y.abs().max().item(), 1.0)
        close(x / scale, y.detach().numpy() / scale, TOLERANCES[dtype])


@pytest.mark.parametrize("columns", [1, 6])
def test_a_matrix_gets_its_gradient_beside_right_sides_of_any_width(columns):
    """Without a gradient of the right-hand sides, whose memory is used where there is one."""
    rng = np.random.default_rng(3)
    a = torch.tensor(rng.standard_normal((3, 3)) + 3 * np.eye(3), requires_grad=True)
    b = torch.tensor(rng.standard_normal((3, columns)))
    for upper in (False, True):
        for ones in (False, True):

            def function(a, upper=upper, ones=ones):
                return linalg.solve_triangular(a, b, upper=upper, unitriangular=ones)

            assert gradcheck(function, (a,))


def test_right_sides_may_have_more_columns_than_the_stack_has_room_for():
    a, b = (2 * torch.eye(2)).requires_grad_(), torch.ones(2, 1_100_000, requires_grad=True)
    linalg.solve_triangular(a, b, upper=True).sum().backward()
    assert a.grad.tolist() == [[-275_000, -275_000], [0, -275_000]]


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_step_replays_them_bit_for_bit(name):
    case = CASES[name]

    def build():
        weights = [torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in operands(case, (2,), 5)]
        optimizer = torch.optim.SGD(weights, lr=1e-3)

        def step(scale):
            optimizer.zero_grad()
            given = [w * scale for w in weights]
            if "definite" in case.operands:
                given = [(w + w.mT) / 2 for w in given]
            found = case.function(*given)
            first = first_of(found)
            loss = first.square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach(), first.detach()

        return Scene(step, lambda k: (torch.tensor(1 + k / 8),), *weights, optimizer)

    assert_same(build)


@pytest.mark.parametrize(
    "name",
    [
        "logarithm by eigh",
        "pinv",
        "cholesky",
        "lower triangle",
        "cholesky_solve",
        "solve",
        "inv",
        "det",
        "slogdet",
        "lu_factor",
        "Q",
        "R",
    ],
)
def test_gradients_of_gradients_in_a_compiled_step(name):
    case = CASES[name]

    def build():
        weights = [torch.tensor(a, requires_grad=True) for a in operands(case, (), 4)]

        def step(scale):
            found = first_of(case.function(*[w * scale for w in weights]))
            grads = torch.autograd.grad(found.square().sum(), weights, create_graph=True)
            sum(g.square().sum() for g in grads).backward()
            left = [w.grad.clone() for w in weights]
            for w in weights:
                w.grad = None
            return left

        return Scene(step, lambda k: (torch.tensor(1 + k / 8),), *weights)

    assert_same(build)


BAD = {
    "eigh": (
        lambda a: linalg.eigh(a).eigenvectors,
        DEFINITE,
        UNKNOWN,
        "linalg.eigh: no eigenvalues .*not finite",
    ),
    "eigvalsh": (linalg.eigvalsh, DEFINITE, UNKNOWN, "linalg.eigh: no eigenvalues .*not finite"),
    "svd": (lambda a: linalg.svd(a).U, DEFINITE, UNKNOWN, "linalg.svd: no singular values .*not finite"),
    "svdvals": (linalg.svdvals, DEFINITE, UNKNOWN / 0, "linalg.svd: no singular values .*not finite"),
    "cholesky": (linalg.cholesky, DEFINITE, WITHOUT, "linalg.cholesky: Matrix is not positive definite"),
    "inv": (linalg.inv, DEFINITE, SINGULAR, "linalg.inv: Singular matrix"),
    "solve": (lambda a: linalg.solve(a, a[0]), DEFINITE, SINGULAR, "linalg.solve: Singular matrix"),
    "inv_ex": (
        lambda a: linalg.inv_ex(a, check_errors=True).inverse,
        DEFINITE,
        SINGULAR,
        "linalg.inv_ex: .*singular",
    ),
    "solve_ex": (
        lambda a: linalg.solve_ex(a, a, check_errors=True).result,
        DEFINITE,
        SINGULAR,
        "linalg.solve_ex: .*singular",
    ),
    "lu_factor_ex": (
        lambda a: linalg.lu_factor_ex(a, check_errors=True).LU,
        DEFINITE,
        SINGULAR,
        "linalg.lu_factor_ex: U.* zero",
    ),
    "cholesky_ex": (
        lambda a: linalg.cholesky_ex(a, check_errors=True).L,
        DEFINITE,
        WITHOUT,
        "linalg.cholesky_ex: .*leading minor .*not positive-definite",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_matrix_without_a_result_is_an_error_in_eager_code_and_in_a_replay(name):
    function, good, bad, message = BAD[name]
    changed = torch.zeros(())
    with pytest.raises(linalg.LinAlgError, match=message):
        function(bad)
    expected = function(good).tolist()  # the report has gone

    @torch.compile(fullgraph=True)
    def step(a):
        found = function(a)
        changed.add_(1)
        return found * 1

    for _ in range(4):
        assert step(good).tolist() == expected
    before = changed.item()
    with pytest.raises(linalg.LinAlgError, match=message):
        step(bad)
    assert changed.item() == before
    assert step(good).tolist() == expected
    assert changed.item() == before + 1


REPORTS = {
    "cholesky_ex": (lambda a: linalg.cholesky_ex(a), WITHOUT),
    "inv_ex": (lambda a: linalg.inv_ex(a), SINGULAR),
    "solve_ex": (lambda a: linalg.solve_ex(a, a.mT), SINGULAR),
}


@pytest.mark.parametrize("name", REPORTS)
def test_reports_without_an_error_in_a_compiled_step(name):
    function, bad = REPORTS[name]

    def step(a):
        a = a.clone().requires_grad_()
        found, info = function(a)
        (found[0].nan_to_num() + found[1].nan_to_num()).sum().backward()
        return found.detach(), info, a.grad

    compiled = torch.compile(step, fullgraph=True)
    both = torch.stack([DEFINITE, bad])
    for k in range(6):
        given = both * (1 + k) if k % 2 else both.flip(0)
        found, info, grad = compiled(given)
        assert info.dtype is torch.int32
        assert info.tolist() == ([0, 2] if k % 2 else [2, 0])
        assert found.isnan().all(-1).all(-1).tolist() == [x != 0 for x in info.tolist()]
        assert grad.isfinite().all()
        assert (grad != 0).any(-1).any(-1).tolist() == [x == 0 for x in info.tolist()]
        for x, y in zip((found, info, grad), step(given), strict=True):
            np.testing.assert_array_equal(x.numpy(), y.numpy())


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 5, 3), (20, 7), (7, 20), (0, 3), (3, 0)])
def test_lu_factors_of_oblong_matrices(shape):
    a = np.random.default_rng(5).standard_normal(shape)
    packed, exchanges = linalg.lu_factor(torch.tensor(a))
    close((packed, exchanges), eliminated(a), 1e-10)
    p, lower, upper = linalg.lu(torch.tensor(a))
    np.testing.assert_allclose((p @ lower @ upper).numpy(), a, 1e-12, 1e-12)
    if a.size and a.size < 50:
        x = torch.tensor(a, requires_grad=True)
        function = lambda x: linalg.lu_factor(x).LU  # noqa: E731
        assert gradcheck(function, (x,)) and gradgradcheck(function, (x,))


@pytest.mark.parametrize(
    "function",
    [
        lambda a: linalg.qr(a).R,
        lambda a: linalg.lu_factor(a).LU,
        linalg.det,
        lambda a: linalg.slogdet(a).logabsdet,
        lambda a: linalg.solve(a, torch.ones(3, 1)),
        lambda a: linalg.cholesky_ex(a).L,
        lambda a: linalg.solve_triangular(a, torch.ones(3, 1), upper=False),
    ],
)
def test_nan_in_a_matrix_is_seen_in_the_result(function):
    assert function(torch.full((3, 3), float("nan"))).isnan().any()


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e-40, 1e-300, 1e-310])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_that_leave_next_to_nothing_of_one_another_have_an_orthonormal_factor(dtype, size):
    a, limits = np.full((40, 30), size, dtype=dtype), np.finfo(dtype)
    q, r = (x.numpy().astype(float) for x in torch.linalg.qr(torch.from_numpy(a)))
    np.testing.assert_allclose(q.T @ q, np.eye(30), 0, 64 * limits.eps)
    np.testing.assert_allclose(q @ r, a, 0, 64 * limits.eps * size + 64 * limits.smallest_subnormal)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cofactors_of_singular_matrices_are_exact(rank):
    rng = np.random.default_rng(rank)
    a = rng.integers(-3, 4, (4, rank)) @ rng.integers(-3, 4, (rank, 4)).astype(float)
    x = torch.tensor(a, requires_grad=True)
    minors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(4)]
        for i in range(4)
    ]
    linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), minors, rtol=1e-9, atol=1e-9)
    (again,) = torch.autograd.grad(linalg.det(x), x, create_graph=True)
    np.testing.assert_allclose(again.detach().numpy(), minors, rtol=1e-9, atol=1e-9)


def test_determinants_in_a_compiled_step_of_matrices_that_become_singular():
    @torch.compile(fullgraph=True)
    def step(a):
        sign, logarithm = linalg.slogdet(a)
        return linalg.det(a), sign, logarithm

    for k in range(5):
        a = torch.tensor([[1.0, 2.0], [2.0, 4.0 - k]])
        det, sign, logarithm = step(a)
        assert det.item() == -k and sign.item() == (-1 if k else 0)
        np.testing.assert_allclose(logarithm.item(), np.log(k) if k else -np.inf, rtol=1e-6)


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_solutions_give_the_matrix_alone_a_gradient(columns):
    rng = np.random.default_rng(columns)
    a = torch.tensor(rng.standard_normal((2, 3, 3)) + 3 * np.eye(3), requires_grad=True)
    b = torch.tensor(rng.standard_normal((2, 3, columns)))
    assert gradcheck(lambda a: linalg.solve(a, b), (a,))


def test_one_matrix_for_a_batch_of_right_sides_gets_the_sum_of_its_gradients():
    rng = np.random.default_rng(8)
    a = torch.tensor(rng.standard_normal((3, 3)) + 3 * np.eye(3), requires_grad=True)
    b = torch.tensor(rng.standard_normal((2, 3, 2)), requires_grad=True)
    assert gradcheck(linalg.solve, (a, b)) and gradgradcheck(linalg.solve, (a, b))


def test_a_triangle_with_a_zero_on_its_diagonal_gives_infinities():
    found = linalg.solve_triangular(torch.tensor([[1.0, 0], [0, 0]]), torch.ones(2, 1), upper=False)
    assert found.tolist() == [[1.0], [float("inf")]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.solve_triangular(torch.ones(2, 3), torch.ones(2, 1), upper=True), "square"),
        (lambda: linalg.solve_triangular(torch.eye(2), torch.ones(3, 1), upper=True), "Incompatible shapes"),
        (
            lambda: linalg.solve_triangular(torch.eye(2), torch.ones(2, 3), upper=True, left=False),
            "XA",
        ),
        (lambda: linalg.solve_triangular(torch.eye(2).double(), torch.ones(2, 3), upper=True), "one dtype"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(2, 3).double()), "one dtype"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(2, 3), left=False), "XA"),
        (lambda: torch.cholesky_solve(torch.ones(2, 1), torch.eye(3)), "Incompatible shapes"),
        (lambda: torch.cholesky_solve(torch.ones(3, 2, 1), torch.ones(2, 2, 2)), "broadcast|match"),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()
