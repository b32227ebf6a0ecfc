"""Distributions that are given one of three matrices: a positive definite one, its inverse or its triangular factor."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors

from ._requirements import Requirement
from .distribution import Distribution


def _symmetric(x: Tensor) -> Tensor:
    return T.isclose(x, x.mT, atol=1e-6).all(-1, keepdim=True).all(-2, keepdim=True)


def _positive_definite(x: Tensor) -> Tensor:
    without = linalg.cholesky_ex(x.detach()).info.unsqueeze(-1).unsqueeze(-1)
    return _symmetric(x) & (without == 0)


def _lower_cholesky(x: Tensor) -> Tensor:
    positive = (x.diagonal(0, -2, -1) > 0).all(-1, keepdim=True).unsqueeze(-1)
    return positive & (x.tril() == x).all(-1, keepdim=True).all(-2, keepdim=True)


POSITIVE_DEFINITE = Requirement("a positive definite matrix", _positive_definite)
LOWER_CHOLESKY = Requirement("lower triangular with a positive diagonal", _lower_cholesky)
MATRICES = {
    "covariance_matrix": POSITIVE_DEFINITE,
    "precision_matrix": POSITIVE_DEFINITE,
    "scale_tril": LOWER_CHOLESKY,
}


class ScaledByMatrix(Distribution):
    """The base of distributions with `MATRICES`, of which one is given and the others are made when asked for.

    Attributes
    ----------
    _unbroadcasted_scale_tril : Tensor, shape (..., D, D)
        The factor without the batch's expansion.
    """

    _unbroadcasted_scale_tril: Tensor

    def __getattr__(self, name: str) -> Any:
        found = _OTHER_FORMS.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        size = self._unbroadcasted_scale_tril.shape[-1]
        return found(self._unbroadcasted_scale_tril).expand(*self._batch_shape, size, size)

    def _logarithm_of_root(self) -> Tensor:
        """Half of the logarithm of the covariance's determinant."""
        return self._unbroadcasted_scale_tril.diagonal(0, -2, -1).log().sum(-1)


def the_given(
    family: str, matrices: dict[str, Tensor | None], error: type[Exception] = ValueError
) -> tuple[str, Tensor]:
    """The name of the one matrix that is given, and the matrix.

    Raises
    ------
    ValueError
        If the one has fewer than two dimensions.
    error
        If none or several are given.
    """
    given = {name: x for name, x in matrices.items() if x is not None}
    if len(given) != 1:
        raise error(
            f"{family}: expected exactly one of covariance_matrix, precision_matrix and scale_tril, "
            f"got {', '.join(given) or 'none'}"
        )
    ((name, matrix),) = given.items()
    require_tensors(family, matrix)
    if matrix.ndim < 2:
        raise ValueError(
            f"{family}: expected {name} of at least two dimensions, got shape {tuple(matrix.shape)}"
        )
    return name, matrix


def factor_of(name: str, matrix: Tensor) -> Tensor:
    """The lower triangular factor of the covariance, from the matrix of that name."""
    if name == "scale_tril":
        return matrix
    if name == "covariance_matrix":
        return linalg.cholesky(matrix)
    # P = K K', so the covariance is K'^-1 K^-1; with rows and columns turned around the factor is lower triangular
    turned = linalg.cholesky(matrix.flip((-2, -1))).flip((-2, -1)).mT
    unit = T.eye(matrix.shape[-1], dtype=matrix.dtype)
    return linalg.solve_triangular(turned, unit.expand(matrix.shape), upper=False)


_OTHER_FORMS = {
    "scale_tril": lambda factor: factor,
    "covariance_matrix": lambda factor: factor @ factor.mT,
    "precision_matrix": lambda factor: linalg.inv(factor @ factor.mT),
}
