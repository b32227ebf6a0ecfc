"""The normal distribution of vectors."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors

from ._centred import Centred
from ._requirements import REAL, Requirement

__all__ = ["MultivariateNormal"]


def _symmetric(x: Tensor) -> Tensor:
    return ((x - x.mT).abs() < 1e-6).all(-1, keepdim=True).all(-2, keepdim=True)


def _positive_definite(x: Tensor) -> Tensor:
    without = linalg.cholesky_ex(x.detach()).info.unsqueeze(-1).unsqueeze(-1)
    return _symmetric(x) & (without == 0)


def _lower_cholesky(x: Tensor) -> Tensor:
    positive = (x.diagonal(0, -2, -1) > 0).all(-1, keepdim=True).unsqueeze(-1)
    return positive & (x.tril() == x).all(-1, keepdim=True).all(-2, keepdim=True)


POSITIVE_DEFINITE = Requirement("a positive definite matrix", _positive_definite)
LOWER_CHOLESKY = Requirement("lower triangular with a positive diagonal", _lower_cholesky)


class MultivariateNormal(Centred):
    """The normal distribution of vectors of D numbers.

    Exactly one of the three matrices is given, of shape (..., D, D); the batches broadcast. The lower triangular
    one is the cheapest.

    Parameters
    ----------
    loc : Tensor, shape (..., D)
        The mean.
    covariance_matrix : Tensor, optional
        Positive definite.
    precision_matrix : Tensor, optional
        The inverse of the covariance.
    scale_tril : Tensor, optional
        The lower triangular L with ``covariance = L L'`` and a positive diagonal.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If none or several matrices are given, one is not what it must be, or a shape has too few dimensions.
    """

    has_rsample = True
    _requirements = {
        "loc": REAL,
        "covariance_matrix": POSITIVE_DEFINITE,
        "precision_matrix": POSITIVE_DEFINITE,
        "scale_tril": LOWER_CHOLESKY,
    }

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        require_tensors("MultivariateNormal", loc)
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        given = {name: x for name, x in matrices.items() if x is not None}
        if not loc.ndim:
            raise ValueError(
                "MultivariateNormal: expected loc of at least one dimension, got a single number"
            )
        if len(given) != 1:
            raise ValueError(
                "MultivariateNormal: expected exactly one of covariance_matrix, precision_matrix and scale_tril, "
                f"got {', '.join(given) or 'none'}"
            )
        ((name, matrix),) = given.items()
        require_tensors("MultivariateNormal", matrix)
        if matrix.ndim < 2:
            raise ValueError(
                f"MultivariateNormal: expected {name} of at least two dimensions, got shape {tuple(matrix.shape)}"
            )
        batch = T.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*batch, *loc.shape[-1:])
        setattr(self, name, matrix.expand(*batch, *matrix.shape[-2:]))
        super().__init__(batch, loc.shape[-1:], validate_args)
        self._unbroadcasted_scale_tril = _factor(name, matrix)

    def __getattr__(self, name: str) -> Any:
        found = _OTHER_FORMS.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return found(self._unbroadcasted_scale_tril).expand(*self._batch_shape, *self._event_shape * 2)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = T.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self._unbroadcasted_scale_tril @ drawn.unsqueeze(-1)).squeeze(-1)

    def _logarithm_of_root(self) -> Tensor:
        """Half of the logarithm of the covariance's determinant."""
        return self._unbroadcasted_scale_tril.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        # vectors are the columns of one right-hand side for each matrix, or lie in dimensions that broadcast
        apart = (value - self.loc).unsqueeze(-1)
        z = linalg.solve_triangular(self._unbroadcasted_scale_tril, apart, upper=False).squeeze(-1)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + z.square().sum(-1)) - self._logarithm_of_root()

    def entropy(self) -> Tensor:
        constant = 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
        return (self._logarithm_of_root() + constant).expand(self._batch_shape)

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.square().sum(-1).expand(*self._batch_shape, *self._event_shape)


def _factor(name: str, matrix: Tensor) -> Tensor:
    """The lower triangular factor of the covariance."""
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
