"""The normal distribution of vectors whose covariance is a product of thin matrices and a diagonal."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors

from ._centred import Centred
from ._requirements import POSITIVE, REAL

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Centred):
    """The normal distribution of D numbers with the covariance ``W W' + diag(d)``.

    Parameters
    ----------
    loc : Tensor, shape (..., D)
        The mean.
    cov_factor : Tensor, shape (..., D, R)
        W, with few columns.
    cov_diag : Tensor, shape (..., D)
        d, greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If shapes do not fit, or ``cov_diag`` is not positive.

    Notes
    -----
    Densities take factors of R x R only, by Woodbury's formula and the determinant of ``I + W' diag(d)^-1 W``.
    """

    has_rsample = True
    _requirements = {"loc": REAL, "cov_factor": REAL, "cov_diag": POSITIVE}

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:
        require_tensors("LowRankMultivariateNormal", loc, cov_factor, cov_diag)
        size = loc.shape[-1:]
        if (
            not loc.ndim
            or cov_factor.ndim < 2
            or cov_factor.shape[-2:-1] != size
            or cov_diag.shape[-1:] != size
        ):
            raise ValueError(
                "LowRankMultivariateNormal: expected loc and cov_diag of shape (..., D) and cov_factor of shape "
                f"(..., D, R), got {tuple(loc.shape)}, {tuple(cov_diag.shape)} and {tuple(cov_factor.shape)}"
            )
        batch = T.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc, self.cov_diag = loc.expand(*batch, *size), cov_diag.expand(*batch, *size)
        self.cov_factor = cov_factor.expand(*batch, *cov_factor.shape[-2:])
        super().__init__(batch, size, validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        thin = T.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        moved = (self.cov_factor @ thin.unsqueeze(-1)).squeeze(-1)
        return self.loc + moved + self.cov_diag.sqrt() * T.randn(shape, dtype=self.loc.dtype)

    def _scaled(self) -> tuple[Tensor, Tensor]:
        """``W' diag(d)^-1``, and the lower factor of ``I + W' diag(d)^-1 W``."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        unit = T.eye(self.cov_factor.shape[-1], dtype=self.loc.dtype)
        return scaled, linalg.cholesky(unit + scaled @ self.cov_factor)

    def _logarithm_of_determinant(self, factor: Tensor) -> Tensor:
        return 2 * factor.diagonal(0, -2, -1).log().sum(-1) + self.cov_diag.log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        apart = value - self.loc
        scaled, factor = self._scaled()
        shared = linalg.solve_triangular(factor, scaled @ apart.unsqueeze(-1), upper=False).squeeze(-1)
        distance = (apart.square() / self.cov_diag).sum(-1) - shared.square().sum(-1)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._logarithm_of_determinant(factor) + distance)

    def entropy(self) -> Tensor:
        constant = self._event_shape[0] * (1 + math.log(2 * math.pi))
        return 0.5 * (constant + self._logarithm_of_determinant(self._scaled()[1]))

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance, shape (..., D, D)."""
        return self.cov_factor @ self.cov_factor.mT + T.diag_embed(self.cov_diag)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        scaled, factor = self._scaled()
        half = linalg.solve_triangular(factor, scaled, upper=False)
        return T.diag_embed(1 / self.cov_diag) - half.mT @ half

    @property
    def scale_tril(self) -> Tensor:
        """The covariance's lower triangular factor."""
        return linalg.cholesky(self.covariance_matrix)

    @property
    def variance(self) -> Tensor:
        return self.cov_factor.square().sum(-1) + self.cov_diag
