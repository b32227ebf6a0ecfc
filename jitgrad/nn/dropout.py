"""Dropout."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from .functional import dropout
from .module import Module, call_with_one


class Dropout(Module):
    """While training, zero every element with probability ``p`` and divide the others by ``1 - p``.

    Parameters
    ----------
    p : float, default 0.5
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Dropout: probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        if self.inplace or not 0.0 < self.p <= 1.0:
            return dropout(input, self.p, True, self.inplace)
        return T.dropout(input, self.p, True)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
