"""Eigenvalues and singular values: what makes up the matrix again, order, ranges, equal ones, failures."""

from __future__ import annotations

import numpy as np
import pytest
from linalg_cases import TOLERANCES, close

import jitgrad as torch
from jitgrad import linalg

EXACT = {torch.float32: 3e-6, torch.float64: 1e-14}  # times the side
SHAPES = [
    (2, 5, 3),
    (3, 5),
    (4, 4),
    (1, 1),
    (1, 4),
    (4, 1),
    (33, 33),
    (70, 3),
    (300, 2),
    (270, 40),
    (2, 300),
    (0, 3),
    (3, 0),
    (0, 0),
]


def numbers(shape, kind):
    """A matrix of one kind, and what its elements are to be multiplied with."""
    a = np.random.default_rng((len(kind), *shape)).standard_normal(shape)
    rows, columns = shape[-2:]
    if kind == "rank 1":
        return a[..., :1] * a[..., :1, :] if a.size else a
    if kind == "graded":
        return a * 10.0 ** -np.arange(columns).clip(0, 6)
    if kind == "graded upwards":
        return a * 10.0 ** -np.arange(rows).clip(0, 6)[::-1, None]
    if kind == "a column of zeros":
        return a * (np.arange(columns) != columns // 2)
    if kind in FIXED:
        return np.broadcast_to(FIXED[kind](rows, columns), shape).copy()
    return a


FIXED = {
    "zero": lambda n, m: np.zeros((n, m)),
    "units": np.eye,
    "shift": lambda n, m: np.eye(n, m, 1),
    "ones": lambda n, m: np.ones(
        (n, m)
    ),  # whose columns leave rounding of rounding, down to subnormal numbers
    "a triangle of ones": lambda n, m: np.triu(np.ones((n, m))),
    "steep": lambda n, m: np.eye(n, m, 1) + np.eye(n, m) * 10.0 ** -np.arange(m),
}
KINDS = ["any", "rank 1", "a column of zeros", "graded", "graded upwards", *FIXED]


def near(found, expected, dtype, side):
    np.testing.assert_allclose(found, expected, 0, EXACT[dtype] * max(side, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", EXACT, ids=lambda d: d.name)
@pytest.mark.parametrize("full", [False, True])
def test_singular_vectors_are_orthonormal_and_make_up_the_matrix(kind, dtype, full):
    for shape in SHAPES:
        a = numbers(shape, kind)
        u, s, vh = linalg.svd(torch.tensor(a, dtype=dtype), full_matrices=full)
        assert u.dtype is s.dtype is vh.dtype is dtype
        values = linalg.svdvals(torch.tensor(a, dtype=dtype))
        close(values, s.numpy(), TOLERANCES[dtype])
        u, s, vh = (x.numpy().astype(float) for x in (u, s, vh))
        rows, columns, k = *shape[-2:], min(shape[-2:])
        assert u.shape == (*shape[:-1], rows if full else k) and s.shape == (*shape[:-2], k)
        assert vh.shape == (*shape[:-2], columns if full else k, columns)
        assert (s >= 0).all() and (np.diff(s) <= 0).all()
        side = max(rows, columns)
        near((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a, dtype, 4 * side)
        near(
            np.swapaxes(u, -1, -2) @ u,
            np.broadcast_to(np.eye(u.shape[-1]), (*shape[:-2], *u.shape[-1:] * 2)),
            dtype,
            side,
        )
        near(
            vh @ np.swapaxes(vh, -1, -2),
            np.broadcast_to(np.eye(vh.shape[-2]), (*shape[:-2], *vh.shape[-2:-1] * 2)),
            dtype,
            side,
        )
        near(s, np.linalg.svd(a, compute_uv=False), dtype, 4 * side)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", EXACT, ids=lambda d: d.name)
def test_eigenvectors_are_orthonormal_and_make_up_the_matrix(kind, dtype):
    for shape in ((2, 3, 3), (1, 1), (2, 2), (7, 7), (33, 33), (0, 0), (0, 3, 3)):
        a = numbers(shape, kind)
        a = a + np.swapaxes(a, -1, -2)
        w, v = (x.numpy().astype(float) for x in linalg.eigh(torch.tensor(a, dtype=dtype)))
        assert (np.diff(w) >= 0).all()
        side, unit = shape[-1], np.broadcast_to(np.eye(shape[-1]), shape)
        near((v * w[..., None, :]) @ np.swapaxes(v, -1, -2), a, dtype, 4 * side)
        near(np.swapaxes(v, -1, -2) @ v, unit, dtype, side)
        near(w, np.linalg.eigvalsh(a), dtype, 4 * side)
        np.testing.assert_array_equal(linalg.eigvalsh(torch.tensor(a, dtype=dtype)).numpy().astype(float), w)


@pytest.mark.parametrize("power", [-36, -15, 15, 36])
@pytest.mark.parametrize("dtype", EXACT, ids=lambda d: d.name)
def test_very_small_and_large_numbers(power, dtype):
    scale = 10.0**power if dtype is torch.float32 else 10.0 ** (8 * power)
    a = np.random.default_rng(6).standard_normal((5, 5))
    a = a + a.T
    given = torch.tensor(a * scale, dtype=dtype)
    w, v = linalg.eigh(given)
    close(w / scale, np.linalg.eigvalsh(a), TOLERANCES[dtype])
    close((v.mT @ v).double(), np.eye(5), TOLERANCES[dtype])
    close(linalg.svdvals(given) / scale, np.linalg.svd(a, compute_uv=False), TOLERANCES[dtype])


def test_singular_values_that_are_small_beside_others_keep_their_digits():
    a = np.diag([1e-18, 1.0, 1e-9, 1e-25]) + np.diag([0, 0, 1e-12], 1)
    expected = [1.0, 1e-9, 1e-18, 1e-25]
    np.testing.assert_allclose(linalg.svdvals(torch.tensor(a)).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(linalg.svdvals(torch.tensor(a.T)).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("triangle", ["L", "U", "l", "u"])
def test_one_triangle_is_read_and_has_a_symmetric_gradient(triangle):
    a = np.random.default_rng(2).standard_normal((4, 4))
    other = np.triu(np.ones((4, 4)), 1) if triangle in "Ll" else np.tril(np.ones((4, 4)), -1)
    x = torch.tensor(np.where(other, np.nan, a), requires_grad=True)
    values = linalg.eigvalsh(x, triangle)
    close(values, np.linalg.eigvalsh(a, triangle.upper()), 1e-13)
    (values * torch.arange(4.0).double()).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), x.grad.numpy().T)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_vectors_beyond_the_values_have_no_gradient(shape):
    a = np.random.default_rng(3).standard_normal(shape)
    grads = []
    for full in (False, True):
        x = torch.tensor(a, requires_grad=True)
        u, s, vh = linalg.svd(x, full_matrices=full)
        loss = (u[:, :3] @ (vh[:3] * torch.tensor([[1.0], [2], [3]]).double())).sum() + s.square().sum()
        (loss + u[:, 3:].sum() + vh[3:].sum()).backward()
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "svd", "svdvals"])
def test_numbers_that_are_not_finite_are_refused_at_every_size(bad, native, name, monkeypatch):
    if not native:
        monkeypatch.setattr("jitgrad.linalg._factors.SIDE", 0)
    for n in (1, 2, 5):
        a = torch.eye(n).repeat(2, 1, 1)
        a[1, -1, 0] = bad
        with pytest.raises(
            linalg.LinAlgError, match=r"linalg\.(eigh|svd): no \w+ values|linalg.eigh: no eigenvalues"
        ):
            getattr(linalg, name)(a)


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 5, 4), (4, 5)])
def test_numpy_finds_those_of_large_matrices_with_the_same_shapes_and_gradients(shape, monkeypatch):
    a = np.random.default_rng(4).standard_normal(shape)

    def run():
        x = torch.tensor(a, requires_grad=True)
        u, s, vh = linalg.svd(x)
        values, vectors = linalg.eigh(x @ x.mT)
        loss = linalg.pinv(x).square().sum() + s.log().sum() + (u[..., :4] @ vh[..., :4, :1]).square().sum()
        (loss + (vectors * values.unsqueeze(-2).cos() @ vectors.mT)[..., 0].sum()).backward()
        return (
            u.shape,
            s.shape,
            vh.shape,
            linalg.svdvals(x).detach(),
            linalg.eigvalsh(x @ x.mT).detach(),
            x.grad,
        )

    native = run()
    monkeypatch.setattr("jitgrad.linalg._factors.SIDE", 3)
    for x, y in zip(native, run(), strict=True):
        close(x, y.numpy(), 1e-10) if isinstance(x, torch.Tensor) else None
        assert isinstance(x, torch.Tensor) or x == y


@pytest.mark.parametrize("shape", [(33, 33), (3, 6, 6), (2, 1, 1)])
@pytest.mark.parametrize("wanted", ["values", "vectors", "both", "vectors in columns"])
def test_gradients_of_eigenvalues_and_vectors_are_those_of_their_formula(shape, wanted):
    rng = np.random.default_rng(12)
    a = rng.standard_normal(shape)
    x = torch.tensor(a + a.swapaxes(-1, -2), requires_grad=True)
    found = linalg.eigh(x)
    chosen = [f for name, f in zip(("values", "vectors"), found, strict=True) if wanted in (name, "both")]
    given = [torch.tensor(rng.standard_normal(f.shape)) for f in chosen]
    if not chosen:
        chosen, given = [found.eigenvectors], [torch.tensor(rng.standard_normal(shape)).mT]
    (made,) = torch.autograd.grad(chosen, x, given, retain_graph=True)
    (expected,) = torch.autograd.grad(chosen, x, given, create_graph=True)  # records the formula on tensors
    np.testing.assert_allclose(made.numpy(), expected.detach().numpy(), rtol=1e-7, atol=1e-10)
    np.testing.assert_array_equal(made.numpy(), made.mT.numpy())


def test_a_compiled_step_differentiates_eigenvectors_as_eager_code_does():
    a = np.random.default_rng(3).standard_normal((7, 7)).astype(np.float32)

    def gradient(x):
        values, vectors = linalg.eigh(x + x.mT)
        return torch.autograd.grad((vectors * values).square().sum() + vectors[0].abs().sum(), x)[0]

    x = torch.tensor(a, requires_grad=True)
    eager, compiled = gradient(x), torch.compile(gradient)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(x).numpy(), eager.numpy())
