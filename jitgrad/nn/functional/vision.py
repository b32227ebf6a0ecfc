"""Images padded, resampled and shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import is_floating, require_tensors
from jitgrad.functions.resampling import resample, scaled_size

FLAT_MODES = ("nearest", "nearest-exact", "area")
DIMS_OF_MODE = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return ``input`` with dimensions made longer, or shorter where the padding is negative.

    Parameters
    ----------
    input : Tensor
    pad : sequence of int
        How much to put before and after the last dimension, then the last but one, and so on.
    mode : str, default "constant"
        What to put there: ``"constant"``, or ``"reflect"`` (without the edge), ``"replicate"`` (the edge) or
        ``"circular"`` (the other end), for the last one, two or three dimensions of images.
    value : float, optional
        The constant, 0 by default.

    Raises
    ------
    RuntimeError
        If the padding does not fit the input.
    NotImplementedError
        If the mode is unknown, or cannot pad so many dimensions.
    """
    return T.padding.pad(input, pad, mode, value)


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Return ``input`` resampled to another size.

    Parameters
    ----------
    input : Tensor, shape (images, channels, ...) with one, two or three spatial dimensions
    size : int or sequence of int, optional
        The size of the result; either this or `scale_factor`.
    scale_factor : float or sequence of float, optional
        By how much to enlarge it.
    mode : str, default "nearest"
        ``"nearest"``, ``"nearest-exact"``, ``"linear"`` (3-D input), ``"bilinear"``, ``"bicubic"`` (4-D),
        ``"trilinear"`` (5-D) or ``"area"``.
    align_corners : bool, optional
        Whether the centres of the corners stay where they are, rather than the corners themselves.
    recompute_scale_factor : bool, optional
        Whether positions follow from the sizes instead of from `scale_factor`.
    antialias : bool, default False
        Smooth where the result is smaller; for ``"bilinear"`` and ``"bicubic"``.

    Raises
    ------
    ValueError
        If not exactly one of `size` and `scale_factor` is given, or an option does not go with the mode.
    NotImplementedError
        If the mode does not go with the number of dimensions.
    """
    require_tensors("interpolate", input)
    if mode in FLAT_MODES and align_corners is not None:
        raise ValueError(
            "interpolate: align_corners option can only be set with the interpolating modes: linear | bilinear | "
            "bicubic | trilinear"
        )
    spatial = input.dim() - 2
    sizes, scales = _sizes(input, spatial, size, scale_factor)
    if recompute_scale_factor and size is not None:
        raise ValueError(
            "interpolate: recompute_scale_factor is not meaningful with an explicit size; leave it out"
        )
    if recompute_scale_factor or mode == "area":
        scales = [None] * len(sizes)
    if antialias and not (mode in ("bilinear", "bicubic") and input.dim() == 4):
        raise ValueError(
            "interpolate: Anti-alias option is restricted to bilinear and bicubic modes and requires a "
            f"4-D tensor as input, got mode {mode} and {input.dim()} dimensions"
        )
    _check_mode(mode, input.dim())
    if not is_floating(input):
        raise NotImplementedError(
            f'"interpolate" not implemented for {input.dtype.name}; convert with .float()'
        )
    inner = tuple(input.shape[2:])
    if min(*inner, *sizes) <= 0:
        raise RuntimeError(
            f"interpolate: Input and output sizes should be greater than 0, but got input {inner} and output "
            f"{tuple(sizes)}"
        )
    if not input.shape[1]:
        raise RuntimeError(
            f"interpolate: Non-empty {input.dim()}D data tensor expected but got a tensor with sizes "
            f"{list(input.shape)}"
        )
    return resample(input, mode, dict(enumerate(sizes)), 2, scales, bool(align_corners), antialias)


def _sizes(input: Tensor, spatial: int, size: Any, scale_factor: Any) -> tuple[list[int], list[float | None]]:
    """Sizes of the result, and the factors that positions follow from."""
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "interpolate: only one of size or scale_factor should be defined"
            if size is not None
            else "interpolate: either size or scale_factor should be defined"
        )
    given = size if size is not None else scale_factor
    values = list(given) if isinstance(given, (list, tuple)) else [given] * spatial
    what = "output size" if size is not None else "scale_factor"
    if len(values) != spatial:
        raise ValueError(
            f"interpolate: Input and {what} must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {list(input.shape[2:])} and {what} of {given}."
        )
    if size is None:
        scales = [float(v) for v in values]
        return [scaled_size(n, s) for n, s in zip(input.shape[2:], scales, strict=True)], list(scales)
    if not all(isinstance(v, Integral) for v in values):
        raise TypeError(
            "interpolate: expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, "
            f"int, int], but got size with types {[type(v).__name__ for v in values]}"
        )
    return [int(v) for v in values], [None] * spatial


def _check_mode(mode: str, dims: int) -> None:
    wanted = DIMS_OF_MODE.get(mode)
    if dims not in (3, 4, 5) or (wanted is None and mode not in FLAT_MODES):
        raise NotImplementedError(
            f"interpolate: Input Error: Only 3D, 4D and 5D input Tensors supported (got {dims}D) for the "
            f"modes: nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
        )
    if wanted is not None and wanted != dims:
        raise NotImplementedError(f"interpolate: Got {dims}D input, but {mode} mode needs {wanted}D input")


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Return ``input`` resampled; another name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return ``input`` resampled by repetition; see `interpolate`."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Return ``input`` resampled linearly, the corners kept; see `interpolate`."""
    return interpolate(input, size, scale_factor, "bilinear", True)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Return ``input / (k + alpha * mean of squares over neighbouring channels) ** beta``.

    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", 2012, section 3.3.

    Parameters
    ----------
    input : Tensor, shape (images, channels, ...)
    size : int
        Channels in a neighbourhood; those beyond the first and last count as zeros.
    alpha, beta, k : float

    Raises
    ------
    ValueError
        If the input has fewer than three dimensions.
    """
    require_tensors("local_response_norm", input)
    if input.dim() < 3:
        raise ValueError(
            f"local_response_norm: Expected 3D or higher dimensionality input (got {input.dim()} dimensions)"
        )
    if not input.numel():
        return input
    shape = tuple(input.shape)
    squares = (input * input).reshape(shape[0], 1, shape[1], -1)
    around = T.padding.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = T.pooling.means("local_response_norm", 2, around, (size, 1), 1, 0, False, True, None)
    return input / (mean.reshape(*shape) * alpha + k) ** beta
