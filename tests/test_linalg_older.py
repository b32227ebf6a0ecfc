"""lu, lu_solve, lu_unpack, triangular_solve and norms under their older names, and factors by random projections."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

KINDS = [torch.float32, torch.float64]


def matrices(*shape, kind=torch.float64, **options):
    return torch.tensor(np.random.default_rng(3).normal(size=shape), dtype=kind, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 3), (3, 2, 3, 5), (0, 3, 3), (1, 1)])
def test_unpacked_factors_make_the_matrix(shape, kind):
    a = matrices(*shape, kind=kind)
    p, lower, upper = torch.lu_unpack(*torch.lu(a))
    torch.testing.assert_close(p @ lower @ upper, a)
    assert (p.sum(-1) == 1).all()
    assert torch.equal(lower, lower.tril())
    assert torch.equal(upper, upper.triu())


def test_only_what_is_asked_for_is_unpacked():
    factors = matrices(3, 3).lu()
    assert [x.numel() for x in torch.lu_unpack(*factors, unpack_data=False)] == [9, 0, 0]
    assert [x.numel() for x in torch.lu_unpack(*factors, unpack_pivots=False)] == [0, 9, 9]


def test_lu_tells_what_went_wrong_if_asked():
    packed, pivots, infos = torch.zeros(2, 3, 3).lu(get_infos=True)
    assert infos.tolist() == [1, 1]
    assert packed.shape == (2, 3, 3)
    assert pivots.shape == (2, 3)


def test_lu_solve_has_the_right_hand_side_in_front():
    a, b = matrices(2, 4, 4), matrices(2, 4, 3)
    torch.testing.assert_close(a @ torch.lu_solve(b, *torch.lu(a)), b)
    torch.testing.assert_close(a @ b.lu_solve(*a.lu()), b)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_solve(upper, transpose, unit):
    a, b = matrices(3, 3).requires_grad_(), matrices(3, 2).requires_grad_()
    x, copy = torch.triangular_solve(b, a, upper, transpose, unit)
    assert torch.equal(copy, a)
    triangle = np.triu(a.detach().numpy()) if upper else np.tril(a.detach().numpy())
    if unit:
        np.fill_diagonal(triangle, 1)
    expected = np.linalg.solve(triangle.T if transpose else triangle, b.detach().numpy())
    np.testing.assert_allclose(x.detach().numpy(), expected, rtol=1e-8)
    torch.autograd.gradcheck(lambda a, b: b.triangular_solve(a, upper, transpose, unit).solution, (a, b))


def test_norms_by_their_own_names():
    a = matrices(2, 3, 4)
    singular = np.linalg.svd(a.numpy(), compute_uv=False)
    np.testing.assert_allclose(torch.nuclear_norm(a, dim=(1, 2)).numpy(), singular.sum(-1))
    np.testing.assert_allclose(torch.frobenius_norm(a, dim=(1, 2)).numpy(), np.sqrt((singular**2).sum(-1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(20, 6), (6, 20), (2, 12, 12)])
def test_low_rank_is_found(shape, kind):
    *batch, rows, columns = shape
    a = matrices(*batch, rows, 3, kind=kind) @ matrices(*batch, 3, columns, kind=kind)
    u, s, v = torch.svd_lowrank(a, q=4)
    assert u.shape == (*batch, rows, 4)
    assert v.shape == (*batch, columns, 4)
    torch.testing.assert_close(u @ torch.diag_embed(s) @ v.mT, a, rtol=1e-4, atol=1e-4)
    largest = np.linalg.svd(a.numpy(), compute_uv=False)[..., :3]
    np.testing.assert_allclose(s[..., :3].numpy(), largest, rtol=1e-3)


def test_low_rank_of_a_difference():
    a, mean = matrices(8, 5), matrices(1, 5)
    torch.testing.assert_close(torch.svd_lowrank(a, 5, M=mean)[1], torch.linalg.svdvals(a - mean))


def test_principal_components_are_of_centred_rows():
    a = matrices(9, 4) + 5
    s = torch.pca_lowrank(a, q=4)[1]
    torch.testing.assert_close(s, torch.linalg.svdvals(a - a.mean(0)))
    torch.testing.assert_close(torch.pca_lowrank(a, center=False)[1], torch.linalg.svdvals(a))


def test_singular_values_of_low_rank_have_gradients():
    a = matrices(6, 4).requires_grad_()
    mine = torch.autograd.grad(torch.svd_lowrank(a, 4)[1].square().sum(), a)[0]
    torch.testing.assert_close(mine, 2 * a.detach())  # of the sum of all squares


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: torch.svd_lowrank(torch.ones(3, 3), q=-1), "q=-1"),
        (lambda: torch.svd_lowrank(torch.ones(3, 3), niter=-1), "niter=-1"),
        (lambda: torch.pca_lowrank(torch.ones(3, 4), q=4), "3x4"),
    ],
)
def test_impossible_counts_are_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_older_names_agree_with_pytorch():
    theirs = pytest.importorskip("torch")
    a = matrices(2, 4, 3).numpy()
    for mine, other in zip(
        torch.lu_unpack(*torch.lu(torch.tensor(a))),
        theirs.lu_unpack(*theirs.linalg.lu_factor(theirs.tensor(a))),
        strict=True,
    ):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-6, atol=1e-12)


def test_older_names_in_a_compiled_step():
    a, b = matrices(3, 3) + 3 * torch.eye(3, dtype=torch.float64), matrices(3, 2).requires_grad_()

    @torch.compile
    def step():
        loss = torch.lu_solve(b, *torch.lu(a)).square().sum()
        b.grad = None
        loss.backward()
        return loss

    first = [step().item() for _ in range(3)]
    assert len(set(first)) == 1
    x = np.linalg.solve(a.numpy(), b.detach().numpy())
    np.testing.assert_allclose(b.grad.numpy(), 2 * np.linalg.solve(a.numpy().T, x), rtol=1e-8)
