"""Distributions whose parameter ``loc`` is where they are densest."""

from __future__ import annotations

from jitgrad._tensor import Tensor

from .distribution import Distribution


class Centred(Distribution):
    """The base of distributions whose mean and mode are ``loc``, unless a subclass says otherwise."""

    loc: Tensor

    @property
    def mean(self) -> Tensor:
        """``loc``."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """``loc``."""
        return self.loc
