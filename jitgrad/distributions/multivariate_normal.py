"""The normal distribution of vectors."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors

from ._centred import Centred
from ._requirements import REAL
from ._scale_matrices import MATRICES, ScaledByMatrix, factor_of, the_given

__all__ = ["MultivariateNormal"]


class MultivariateNormal(ScaledByMatrix, Centred):
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
    _requirements = {"loc": REAL, **MATRICES}

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        require_tensors("MultivariateNormal", loc)
        if not loc.ndim:
            raise ValueError(
                "MultivariateNormal: expected loc of at least one dimension, got a single number"
            )
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        name, matrix = the_given("MultivariateNormal", matrices)
        batch = T.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        self.loc = loc.expand(*batch, *loc.shape[-1:])
        setattr(self, name, matrix.expand(*batch, *matrix.shape[-2:]))
        super().__init__(batch, loc.shape[-1:], validate_args)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = T.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self._unbroadcasted_scale_tril @ drawn.unsqueeze(-1)).squeeze(-1)

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
