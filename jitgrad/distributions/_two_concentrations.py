"""What distributions of a probability with two concentrations share."""

from __future__ import annotations

from jitgrad._tensor import Tensor

from ._requirements import POSITIVE, PROBABILITY
from .distribution import Distribution


class TwoConcentrations(Distribution):
    """A distribution over numbers from 0 to 1.

    Parameters
    ----------
    concentration1, concentration0 : float or Tensor
        Greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """

    has_rsample = True
    _requirements = {"concentration1": POSITIVE, "concentration0": POSITIVE}
    _support = PROBABILITY

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0 = self._broadcast(
            concentration1=concentration1, concentration0=concentration0
        )
        super().__init__(self.concentration1.shape, validate_args=validate_args)
