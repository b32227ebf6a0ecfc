"""Images sampled at places that a tensor holds, and the places of affine maps (Jaderberg et al., 2015).

Images between their elements and at the nearest ones have a kernel (`kernels.grids`). Volumes, bicubic interpolation
and gradients of gradients are made of gathers and arithmetic. Where an element of the grid lies in the input is as in
PyTorch (``aten/src/ATen/native/GridSamplerUtils.h``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor, wrap
from jitgrad.functions._call import dtype_code, is_floating, require_tensors
from jitgrad.functions._dims import shape_of
from jitgrad.functions._launch import run
from jitgrad.kernels import BY_NAME
from jitgrad.kernels.grids import BEYOND
from jitgrad.user_frames import warn

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = BEYOND
_SAMPLE = BY_NAME["grid_sample"]
CUBIC = -0.75  # the slope parameter of cubic interpolation (Keys, 1981)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Return ``input`` at the places that ``grid`` says.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (N, C, D, H, W)
    grid : Tensor, shape (N, h, w, 2) or (N, d, h, w, 3)
        Places, x (along W) first; -1 and 1 are the ends of a dimension.
    mode : str, default "bilinear"
        Between elements ``"bilinear"`` (of volumes, too) or ``"bicubic"``, or the ``"nearest"`` element.
    padding_mode : str, default "zeros"
        What is beyond the ends: ``"zeros"``, the ``"border"``, or the image's ``"reflection"``.
    align_corners : bool, default False
        Whether -1 and 1 are the centres of the elements at the ends, or their outer edges.

    Returns
    -------
    Tensor, shape (N, C, h, w) or (N, C, d, h, w)

    Raises
    ------
    ValueError
        If a mode is unknown.
    RuntimeError
        If shapes or dtypes do not go together, or ``input`` has no elements in a spatial dimension.
    """
    require_tensors("grid_sample", input, grid)
    for what, given, known in (("mode", mode, MODES), ("padding_mode", padding_mode, PADDINGS)):
        if given not in known:
            raise ValueError(
                f"nn.functional.grid_sample(): expected {what} to be one of {known}, but got: {given!r}"
            )
    sizes, places = shape_of(input), shape_of(grid)
    _check_shapes(input, grid, sizes, places, mode)
    aligned = _aligned(align_corners)
    if len(sizes) == 4 and mode != "bicubic":
        words = (int(mode == "nearest"), PADDINGS.index(padding_mode), int(aligned))
        shape = (*sizes[:2], *places[1:3])
        operands = input.contiguous(), grid.contiguous()  # type: ignore[attr-defined]
        return wrap(run(_SAMPLE, operands, input.dtype, shape, words))
    return composed(input, grid, mode, padding_mode, aligned)


def composed(input: Tensor, grid: Tensor, mode: str, padding_mode: str, aligned: bool) -> Tensor:
    """`grid_sample` made of gathers and arithmetic, which have gradients of any order."""
    sizes = input.shape[2:]
    # the last number of a place belongs to the first dimension
    places = [
        _unnormalised(grid[..., -1 - d].reshape(-1), size, aligned)  # type: ignore[attr-defined]
        for d, size in enumerate(sizes)
    ]
    taps = [_taps(x, size, mode, padding_mode, aligned) for x, size in zip(places, sizes, strict=True)]
    return _gathered(input, taps, grid.shape[1:-1])


def _check_shapes(
    input: Tensor, grid: Tensor, sizes: tuple[int, ...], places: tuple[int, ...], mode: str
) -> None:
    dims = len(sizes) - 2
    if not is_floating(input) or dtype_code(input) != dtype_code(grid):
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have same floating-point dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    told = ""
    fits = dims in (2, 3) and len(places) == len(sizes) and sizes[0] == places[0] and places[-1] == dims
    if not fits or 0 in sizes:
        told = f"input with sizes {list(sizes)} and grid with sizes {list(places)}"
    if dims not in (2, 3) or len(places) != len(sizes):
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got {told}"
        )
    if mode == "bicubic" and dims == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if sizes[0] != places[0]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, but got {told}")
    if places[-1] != dims:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {dims} in last dimension, but got {told}"
        )
    if 0 in sizes[2:]:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, but got {told}"
        )


def _aligned(align_corners: bool | None) -> bool:
    if align_corners is None:
        warn(
            "grid_sample and affine_grid take align_corners=False when it is left out; say which one is meant"
        )
    return bool(align_corners)


def _unnormalised(x: Tensor, size: int, aligned: bool) -> Tensor:
    """From -1 to 1 to positions in elements."""
    return (x + 1) * (0.5 * (size - 1)) if aligned else ((x + 1) * size - 1) * 0.5


def _padded(x: Tensor, size: int, padding: str, aligned: bool) -> Tensor:
    """Positions brought into the input; there is no gradient at its ends, as in PyTorch."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        low, span = (0.0, size - 1) if aligned else (-0.5, size)
        x = _reflected(x, low, span) if span else _constant(x, 0.0)
    return T.where(x > 0, T.where(x < size - 1, x, float(size - 1)), 0.0)


def _reflected(x: Tensor, low: float, span: int) -> Tensor:
    distance = x - low
    distance = T.where(distance < 0, -distance, distance)
    turns = (distance.detach() / span).floor()
    rest = distance - turns * span
    return low + T.where(turns % 2 == 0, rest, span - rest)


def _constant(x: Tensor, value: float) -> Tensor:
    """A value whose gradient is zero rather than absent."""
    return T.where(x == x, value, x)


Tap = tuple[Tensor, Tensor, Tensor]  # index, whether it is inside, and weight


def _taps(x: Tensor, size: int, mode: str, padding: str, aligned: bool) -> list[Tap]:
    """The elements of one dimension that positions read."""
    if mode == "bicubic":
        low = x.detach().floor()
        part = x - low
        return [
            (*_inside(_padded(low + k, size, padding, aligned), size), _keys(part - k, abs(k - 0.5) > 1))
            for k in range(-1, 3)
        ]
    x = _padded(x, size, padding, aligned)
    if mode == "nearest":
        return [(*_inside(x.detach().round(), size), _constant(x, 1.0))]
    low = x.detach().floor()
    part = x - low
    return [(*_inside(low, size), 1 - part), (*_inside(low + 1, size), part)]


def _inside(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    inside = (place >= 0) & (place <= size - 1)
    return T.where(inside, place, 0.0).long(), inside


def _keys(distance: Tensor, far: bool) -> Tensor:
    """Keys' cubic convolution kernel, one element away or two."""
    d, a = distance.abs(), CUBIC
    if far:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return ((a + 2) * d - (a + 3)) * d * d + 1


def _gathered(input: Tensor, taps: Sequence[Sequence[Tap]], shape: Sequence[int]) -> Tensor:
    """The weighted sum over all combinations of taps."""
    count, channels = input.shape[:2]
    sizes = input.shape[2:]
    rows = input.flatten(2).transpose(1, 2).reshape(count * math.prod(sizes), channels)
    samples = math.prod(shape)
    first = T.arange(count).unsqueeze(1).expand(count, samples).reshape(-1) * math.prod(sizes)
    total = None
    for corner in itertools.product(*taps):
        index, valid, weight = corner[0]
        for size, (i, inside, w) in zip(sizes[1:], corner[1:], strict=True):
            index, valid = index * size + i, valid & inside
            weight = weight * w
        term = rows.index_select(0, index + first) * T.where(valid, weight, 0.0).unsqueeze(1)
        total = term if total is None else total + term
    assert total is not None
    return total.reshape(count, samples, channels).transpose(1, 2).reshape(count, channels, *shape)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the places of an affine map, for `grid_sample`.

    Parameters
    ----------
    theta : Tensor, shape (N, 2, 3) or (N, 3, 4)
        A matrix and, in its last column, an offset for each sample.
    size : sequence of int
        The shape of the result of `grid_sample`: (N, C, H, W) or (N, C, D, H, W).
    align_corners : bool, default False
        See `grid_sample`.

    Returns
    -------
    Tensor, shape (N, H, W, 2) or (N, D, H, W, 3)

    Raises
    ------
    ValueError
        If ``theta`` is not floating or does not fit ``size``, or a size is not positive.
    RuntimeError
        If there are more matrices than samples, or fewer.
    NotImplementedError
        If ``size`` has not four or five numbers.
    """
    require_tensors("affine_grid", theta)
    if not is_floating(theta):
        raise ValueError(f"affine_grid: Expected theta to have floating point type, but got {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, got size {tuple(size)}"
        )
    told = f"size {tuple(size)}. Got {tuple(theta.shape)}."
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ValueError(
            f"affine_grid: Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for {told}"
        )
    if min(size) <= 0:
        raise ValueError(f"affine_grid: Expected non-zero, positive output size. Got {tuple(size)}")
    if theta.shape[0] != size[0]:
        raise RuntimeError(f"affine_grid: Expected as many matrices as samples, {size[0]}, for {told}")
    aligned = _aligned(align_corners)
    lines = [_line(n, aligned, theta.dtype) for n in size[2:]]
    axes = T.meshgrid(*lines, indexing="ij")
    base = T.stack([*reversed(axes), T.ones_like(axes[0])], -1).reshape(1, -1, dims + 1)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *size[2:], dims)


def _line(size: int, aligned: bool, kind) -> Tensor:
    if size <= 1:
        return T.zeros(size, dtype=kind)
    line = T.linspace(-1, 1, size, dtype=kind)
    return line if aligned else line * ((size - 1) / size)
