"""The chi-squared distribution."""

from __future__ import annotations

from jitgrad._tensor import Tensor

from .gamma import Gamma

__all__ = ["Chi2"]


class Chi2(Gamma):
    """The distribution of the sum of ``df`` squares of standard normal numbers: a gamma distribution.

    Parameters
    ----------
    df : float or Tensor
        Degrees of freedom, greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``df`` is not positive.
    """

    def __init__(self, df: Tensor | float, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2
