"""The von Mises distribution: of angles."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.special import i0e, i1e

from ._centred import Centred
from ._requirements import POSITIVE, REAL

__all__ = ["VonMises"]

# proposals for a draw, of which at least 0.65 are accepted: all are refused once in 10**14 draws
_PROPOSALS = 32
_FLAT = 1e-5  # concentrations below which the proposals' parameter is taken from its series


class VonMises(Centred):
    """The distribution of angles with the density ``exp(concentration * cos(x - loc)) / (2 pi I0(concentration))``.

    Parameters
    ----------
    loc, concentration : float or Tensor
        The mean angle, in radians, and a number greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``loc`` is nan or ``concentration`` not positive.

    Notes
    -----
    Samples lie from -pi to pi, and are found by rejection (Best and Fisher, 1979). So that no value decides what is
    computed, as compiled steps need it, proposals are made all at once.
    """

    _requirements = {"loc": REAL, "concentration": POSITIVE}

    def __init__(
        self, loc: Tensor | float, concentration: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.loc, self.concentration = self._broadcast(loc=loc, concentration=concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            k = self.concentration.double().expand(shape)
            tau = 1 + (1 + 4 * k.square()).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            r = T.where(k < _FLAT, 1 / k + k, (1 + rho.square()) / (2 * rho))
            first, second, third = T.rand((3, _PROPOSALS, *shape), dtype=T.float64)
            z = (math.pi * first).cos()
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            accepted = (c * (2 - c) > second) | ((c / second).log() + 1 - c >= 0)
            chosen = f.gather(0, accepted.to(T.uint8).argmax(0, keepdim=True))[0].clamp(-1, 1)
            angle = T.where(third[0] < 0.5, -1.0, 1.0) * chosen.arccos()
            return ((angle + math.pi + self.loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        k = self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - i0e(k).log()

    @property
    def variance(self) -> Tensor:
        """That of directions: one minus the length of the mean of ``(cos x, sin x)``."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)
