"""The Wishart distribution of positive definite matrices."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor
from jitgrad.linalg._triangular import cholesky_solve

from ._requirements import POSITIVE, Requirement
from ._scale_matrices import MATRICES, POSITIVE_DEFINITE, ScaledByMatrix, factor_of, the_given
from .chi2 import Chi2

__all__ = ["Wishart"]


class Wishart(ScaledByMatrix):
    """The distribution of the sum of ``df`` products ``x x'`` of normal vectors with mean zero and a covariance V.

    Exactly one of the three matrices is given, of shape (..., D, D); the batches broadcast. The lower triangular
    one is the cheapest.

    Parameters
    ----------
    df : float or Tensor
        Degrees of freedom, greater than D - 1; need not be whole.
    covariance_matrix : Tensor, optional
        V, positive definite.
    precision_matrix : Tensor, optional
        The inverse of V.
    scale_tril : Tensor, optional
        The lower triangular L with ``V = L L'`` and a positive diagonal.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    AssertionError
        If none or several matrices are given.
    ValueError
        If the matrix is not what it must be or has too few dimensions, or `df` is too small.

    Notes
    -----
    Bishop, Pattern Recognition and Machine Learning, 2006, appendix B: the density (B.78), the mean (B.80) and the
    entropy (B.82). The samples are Bartlett's: ``L A A' L'`` with a lower triangular A of normal numbers under the
    roots of numbers of the chi-squared distributions with ``df``, ``df - 1``, ... degrees of freedom. With fewer than D
    degrees of freedom some of them are singular within float32's precision, and are given as they come.
    """

    has_rsample = True
    _requirements = {"df": POSITIVE, **MATRICES}
    _support = POSITIVE_DEFINITE

    def __init__(
        self,
        df: Tensor | float,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        name, matrix = the_given("Wishart", matrices, AssertionError)  # PyTorch's class for it
        if not isinstance(df, Tensor):
            df = T.tensor(float(df), dtype=matrix.dtype)
        batch = T.broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df = df.expand(batch)
        setattr(self, name, matrix.expand(*batch, *matrix.shape[-2:]))
        super().__init__(batch, matrix.shape[-2:], validate_args)
        size = matrix.shape[-1]
        enough = Requirement(f"greater than {size - 1}, for matrices of {size} rows", lambda x: x > size - 1)
        self._check_parameter("df", self.df, enough)
        self._unbroadcasted_scale_tril = factor_of(name, matrix)

    @property
    def _size(self) -> int:
        """D, the number of rows."""
        return self._event_shape[-1]

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        freedom = self.df.unsqueeze(-1) - T.arange(self._size, dtype=self.df.dtype)
        diagonal = Chi2(freedom, validate_args=False).rsample(sample_shape).sqrt()
        drawn = T.randn(shape, dtype=diagonal.dtype).tril(-1) + T.diag_embed(diagonal)
        root = self._unbroadcasted_scale_tril @ drawn
        return root @ root.mT

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        distance = cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(0, -2, -1).sum(-1)
        power = 0.5 * (self.df - self._size - 1)
        return power * linalg.slogdet(value).logabsdet - 0.5 * distance - self._logarithm_of_constant()

    def entropy(self) -> Tensor:
        power = 0.5 * (self.df - self._size - 1)
        surprise = self._logarithm_of_constant() - power * self._mean_of_logarithm()
        return (surprise + 0.5 * self._size * self.df).expand(self._batch_shape)

    def _logarithm_of_constant(self) -> Tensor:
        """The logarithm of what the density is divided by; ``-ln B`` in (B.79)."""
        half = 0.5 * self.df
        spread = 2 * self._logarithm_of_root() + self._size * math.log(2)
        return half * spread + T.mvlgamma(half, self._size)

    def _mean_of_logarithm(self) -> Tensor:
        """The mean of the logarithm of a sample's determinant (B.81)."""
        return 2 * self._logarithm_of_root() + self._size * math.log(2) + self._multivariate_digamma()

    def _multivariate_digamma(self) -> Tensor:
        """The derivative of `mvlgamma` at ``df / 2``."""
        steps = T.arange(self._size, dtype=self.df.dtype)
        return T.digamma(0.5 * (self.df.unsqueeze(-1) - steps)).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """``(df - D - 1) V``; nan where there is none, for ``df`` of at most D + 1."""
        factor = self.df - self._size - 1
        return T.where(factor > 0, factor, math.nan)[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        """That of each element, shape (..., D, D): ``df (V_ij^2 + V_ii V_jj)``."""
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(0, -2, -1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df[..., None, None] * (covariance.square() + products)
