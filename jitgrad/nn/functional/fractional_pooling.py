"""Max pooling with windows at random places, a fraction of the input's size in number (Graham, arXiv:1412.6071)."""

from __future__ import annotations

import math
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor, wrap
from jitgrad.dtypes import int64
from jitgrad.functions._call import tensor_of
from jitgrad.functions._dims import shape_of
from jitgrad.functions._launch import run
from jitgrad.kernels import BY_NAME

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]

_PLACES = BY_NAME["window_places"]


def _fractional_max_pool(spatial: int):  # the type is that of the function inside
    name = f"fractional_max_pool{spatial}d"

    def function(
        input: Tensor,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        """Return the largest element of every window; windows lie at random places and may overlap.

        Parameters
        ----------
        input : Tensor, shape (images, channels, ...sizes) or without images
        kernel_size : int or sequence of int
            Size of the windows.
        output_size : int or sequence of int, optional
            How many windows there are along each dimension.
        output_ratio : float or sequence of float, optional
            That number as a fraction of the input's size, in place of `output_size`.
        return_indices : bool, default False
            Return the places of the largest elements in the flattened sizes, too, as `max_unpool2d` takes them.
        _random_samples : Tensor, shape (images, channels, number of sizes), optional
            Numbers from 0 to 1 that choose the places; drawn if not given.

        Raises
        ------
        ValueError
            If neither `output_size` nor `output_ratio` is given.
        RuntimeError
            If the input has other dimensions, or windows do not fit into it.
        """
        x = tensor_of(input, name)
        if x.ndim not in (spatial + 1, spatial + 2):
            raise RuntimeError(
                f"{name}: Expected {spatial + 1}D or {spatial + 2}D tensor, got shape {tuple(x.shape)}"
            )
        sizes, windows = x.shape[-spatial:], _each(kernel_size, spatial, name, "kernel_size")
        outputs = _counts(sizes, output_size, output_ratio, name)
        for n, k, out in zip(sizes, windows, outputs, strict=True):
            if out < 1 or out + k - 1 > n:
                raise RuntimeError(
                    f"{name}: expected output_size + kernel_size - 1 to be at most the input's size, got "
                    f"output_size {out} and kernel_size {k} for size {n}"
                )
        images = x if x.ndim == spatial + 2 else x.unsqueeze(0)
        front = tuple(images.shape[:2])
        if _random_samples is None:
            samples = T.rand((*front, spatial), dtype=x.dtype)
        else:
            samples = tensor_of(_random_samples, name, "_random_samples")
        places = _places(samples, sizes, windows, outputs)
        shape = shape_of(places)
        flat = images.reshape(*front, math.prod(sizes)).gather(
            2, places.reshape(*front, math.prod(shape[2:]))
        )
        values, best = flat.reshape(shape).max(-1)
        values = values.reshape(*x.shape[:-spatial], *outputs)
        if not return_indices:
            return values
        indices = places.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        return values, indices.reshape(*x.shape[:-spatial], *outputs)

    function.__name__ = function.__qualname__ = name
    return function


def _each(given: Any, spatial: int, name: str, what: str) -> list[Any]:
    """A number for each dimension."""
    numbers = list(given) if isinstance(given, tuple | list) else [given] * spatial
    if len(numbers) != spatial:
        raise RuntimeError(f"{name}: {what} must either be a single number or {spatial} numbers, got {given}")
    return numbers


def _counts(sizes: Any, output_size: Any, output_ratio: Any, name: str) -> list[int]:
    """How many windows there are along each dimension."""
    if output_size is not None:
        return _each(output_size, len(sizes), name, "output_size")
    if output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    ratios = _each(output_ratio, len(sizes), name, "output_ratio")
    return [int(n * ratio) for n, ratio in zip(sizes, ratios, strict=True)]


def _places(samples: Tensor, sizes: Any, windows: list[int], outputs: list[int]) -> Tensor:
    """Places of the windows' elements in the flattened sizes: (images, channels, windows, elements of a window)."""
    spatial = len(sizes)
    # PyTorch's samples begin with the last of two dimensions, and with the first of three
    numbers = (1, 0) if spatial == 2 else (0, 1, 2)
    words = [spatial] + [1, 1, 1, 0] * (3 - spatial)
    for each in zip(sizes, windows, outputs, numbers, strict=True):
        words += each
    shape = (*samples.shape[:2], math.prod(outputs), math.prod(windows))
    return wrap(run(_PLACES, (samples.detach().contiguous(),), int64, shape, words))  # type: ignore[attr-defined]


fractional_max_pool2d = _fractional_max_pool(2)
fractional_max_pool3d = _fractional_max_pool(3)
