"""Exponentials, LU and reflections of matrices: PyTorch's values, gradients, errors, compiled steps."""

from __future__ import annotations

import pytest
from compile_cases import Scene, assert_same
from twin_calls import fail_alike, run_both, with_gradients

import jitgrad as torch
from jitgrad.autograd import gradcheck, gradgradcheck


def packed_and_solved(m, t, left, adjoint):
    a, b = t(2, 4, 4, grad=True), t(2, 4, 3, grad=True) if left else t(2, 3, 4, grad=True)

    def solve(a, b):
        factor = m.linalg.lu_factor(a)
        return m.linalg.lu_solve(*factor, b, left=left, adjoint=adjoint)

    return with_gradients(m, solve, a, b)


SCRIPTS = {
    "exponential": lambda m, t: with_gradients(m, m.matrix_exp, t(3, 4, 4, grad=True)),
    "large exponential": lambda m, t: with_gradients(
        m, m.linalg.matrix_exp, (9 * t(2, 3, 3)).requires_grad_()
    ),
    "mixed exponentials": lambda m, t: (
        t(2, 3, 3) * m.tensor([[[1e-6]], [[4.0]]], dtype=m.float64)
    ).matrix_exp(),
    "rotation": lambda m, t: m.matrix_exp(m.tensor([[0.0, 100.0], [-100.0, 0.0]], dtype=m.float64)),
    "no matrices": lambda m, t: m.matrix_exp(t(0, 3, 3)),
    "lu": lambda m, t: with_gradients(m, m.linalg.lu, t(2, 4, 4, grad=True)),
    "lu of one number": lambda m, t: m.linalg.lu(t(1, 1)),
    "wide lu": lambda m, t: m.linalg.lu(t(2, 3, 5)),
    "tall lu": lambda m, t: m.linalg.lu(t(2, 5, 3)),
    "singular lu": lambda m, t: m.linalg.lu(m.ones(3, 3, dtype=m.float64)),
    "lu_factor": lambda m, t: m.linalg.lu_factor(t(2, 5, 5)),
    **{
        f"lu_solve {left} {adjoint}": lambda m, t, left=left, adjoint=adjoint: packed_and_solved(
            m, t, left, adjoint
        )
        for left in (True, False)
        for adjoint in (True, False)
    },
    "reflections": lambda m, t: with_gradients(
        m, m.linalg.householder_product, t(2, 5, 3, grad=True), t(2, 2, grad=True)
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_values_and_gradients_are_pytorchs(name):
    run_both(SCRIPTS[name], rtol=1e-8)


def test_gradients_of_exponentials_of_every_order():
    torch.manual_seed(1)
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(torch.matrix_exp, (x,))
    assert gradgradcheck(torch.matrix_exp, (x,))


def test_compiled_exponentials_equal_eager_ones():
    """The matrices become larger from step to step, so that they take more squarings."""

    def build():
        w = torch.randn(3, 3, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.01)

        def step(scale):
            optimizer.zero_grad()
            rotation = torch.matrix_exp((w - w.mT) * scale)
            loss = (rotation - torch.eye(3)).square().sum()
            loss.backward()
            optimizer.step()
            return loss.detach(), rotation.detach()

        scales = [torch.tensor(x) for x in (0.01, 0.3, 1.0, 4.0, 20.0, 90.0)]
        return Scene(step, lambda k: (scales[k % 6],), w, optimizer)

    assert_same(build)


ERRORS = {
    "not square": (lambda m, t: m.matrix_exp(t(2, 3)), "matrix_exp square 2 3"),
    "vector": (lambda m, t: m.linalg.matrix_exp(t(3)), "matrix_exp 2 dimensions"),
    "pivot": (lambda m, t: m.linalg.lu(t(2, 2), pivot=False), "lu pivot"),
    "wide": (lambda m, t: m.linalg.householder_product(t(2, 3), t(2)), "householder_product 2 3"),
    "batches": (lambda m, t: m.linalg.householder_product(t(2, 3, 2), t(3, 2)), "householder_product batch"),
    "square LU": (
        lambda m, t: m.linalg.lu_solve(t(2, 3), m.tensor([1, 2]).int(), t(2, 2)),
        "lu_solve square",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_does_not_fit_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])
