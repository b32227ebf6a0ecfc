"""Dropout, of elements and of whole channels."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._calls import call_with_one
from .functional import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from .module import Module


class _DropoutNd(Module):
    """What the layers have in common: the probability and whether to write into the input.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{type(self).__name__}: probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
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

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        if self.inplace or not 0.0 < self.p <= 1.0:
            return dropout(input, self.p, True, self.inplace)
        return T.dropout(input, self.p, True)


class Dropout1d(_DropoutNd):
    """While training, zero whole channels with probability ``p``; see `functional.dropout1d`.

    The input has shape (images, channels, length).
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """While training, zero whole channels with probability ``p``; see `functional.dropout2d`.

    The input has shape (images, channels, height, width).
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """While training, zero whole channels with probability ``p``; see `functional.dropout3d`.

    The input has shape (images, channels, depth, height, width).
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """While training, put elements to SELU's lower limit; see `functional.alpha_dropout`."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """While training, put whole channels to SELU's lower limit; see `functional.feature_alpha_dropout`."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return feature_alpha_dropout(input, self.p, self.training)
