"""The activation that draws its slopes."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from jitgrad._tensor import Tensor

from . import functional as F
from ._calls import call_with_one
from .module import Module


class RReLU(Module):
    """Return ``x`` where it is positive and ``a * x`` elsewhere; see `functional.rrelu`.

    Parameters
    ----------
    lower, upper : float, default 1/8 and 1/3
        While training every element has a slope of its own, drawn uniformly from this range; in
        evaluation ``a`` is the mean of the two.
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")
