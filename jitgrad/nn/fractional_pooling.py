"""Layers of max pooling with windows at random places."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor

from . import functional as F
from .module import Module

__all__ = ["FractionalMaxPool2d", "FractionalMaxPool3d"]


class _FractionalMaxPool(Module):
    _spatial = 2
    _run: Any = None

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError(f"{name}: only one of output_size and output_ratio may be specified")
        self.kernel_size = self._each(kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = self._each(output_size)
        self.output_ratio = self._each(output_ratio)
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            raise ValueError(f"{name}: output_ratio must be between 0 and 1 (got {output_ratio})")

    def _each(self, given: Any) -> Any:
        return given if given is None or isinstance(given, tuple | list) else (given,) * self._spatial

    def forward(self, input: Tensor) -> Any:
        return self._run(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Return the largest element of every window, at random places; see `functional.fractional_max_pool2d`.

    Raises
    ------
    ValueError
        If not one of ``output_size`` and ``output_ratio`` is given, or the ratio is not between 0 and 1.
    """

    _run = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """Return the largest element of every window, at random places; see `functional.fractional_max_pool3d`.

    Raises
    ------
    ValueError
        If not one of ``output_size`` and ``output_ratio`` is given, or the ratio is not between 0 and 1.
    """

    _spatial = 3
    _run = staticmethod(F.fractional_max_pool3d)
