"""Factorisations with kernels of their own: values, layouts, batches, gradients, compiled steps, bad matrices."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from linalg_cases import CASES, operands

import jitgrad as torch
from jitgrad import linalg
from jitgrad.autograd import gradcheck, gradgradcheck

TOLERANCES = {torch.float32: 2e-4, torch.float64: 1e-10}
DEFINITE = torch.tensor([[4.0, 2.0], [2.0, 3.0]])
WITHOUT = torch.tensor([[1.0, 2.0], [2.0, 1.0]])  # without a factor


def close(found, expected, tolerance):
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    for x, y in zip(found, expected, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x.detach().numpy(), y, tolerance, tolerance)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda d: d.name)
def test_values_of_every_size_are_numpys(name, dtype):
    case = CASES[name]
    for front, n in (((), 1), ((2,), 5), ((), 16), ((2, 3), 4), ((), 37), ((2,), 70)):
        arrays = operands(case, front, n)
        found = case.function(*(torch.tensor(a, dtype=dtype) for a in arrays))
        first = found[0] if isinstance(found, tuple) else found
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
    (found[0] if isinstance(found, tuple) else found).sum().backward()
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
        first = found[0] if isinstance(found, tuple) else found
        (first * torch.arange(first.numel()).reshape(first.shape).mT.contiguous().mT).sum().backward()
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
            first = found[0] if isinstance(found, tuple) else found
            loss = first.square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach(), first.detach()

        return Scene(step, lambda k: (torch.tensor(1 + k / 8),), *weights, optimizer)

    assert_same(build)


@pytest.mark.parametrize("name", ["cholesky", "lower triangle", "cholesky_solve"])
def test_gradients_of_gradients_in_a_compiled_step(name):
    case = CASES[name]

    def build():
        weights = [torch.tensor(a, requires_grad=True) for a in operands(case, (), 4)]

        def step(scale):
            found = case.function(*[w * scale for w in weights])
            grads = torch.autograd.grad(found.square().sum(), weights, create_graph=True)
            sum(g.square().sum() for g in grads).backward()
            left = [w.grad.clone() for w in weights]
            for w in weights:
                w.grad = None
            return left

        return Scene(step, lambda k: (torch.tensor(1 + k / 8),), *weights)

    assert_same(build)


BAD = {
    "cholesky": (linalg.cholesky, DEFINITE, WITHOUT, "linalg.cholesky: Matrix is not positive definite"),
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


def test_reports_without_an_error_in_a_compiled_step():
    @torch.compile(fullgraph=True)
    def step(a):
        found, info = linalg.cholesky_ex(a)
        return found, info, found[0].sum()

    both = torch.stack([DEFINITE, WITHOUT])
    for k in range(5):
        given = both if k % 2 else both.flip(0)
        factor, info, _ = step(given)
        assert info.tolist() == ([0, 2] if k % 2 else [2, 0])
        assert factor.isnan().all(-1).all(-1).tolist() == [x != 0 for x in info.tolist()]


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
        (lambda: torch.cholesky_solve(torch.ones(2, 1), torch.eye(3)), "Incompatible shapes"),
        (lambda: torch.cholesky_solve(torch.ones(3, 2, 1), torch.ones(2, 2, 2)), "broadcast|match"),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()
