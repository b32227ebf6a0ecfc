"""The functions in which `kernels.vjps` writes gradients: few, and each of them recorded like any other."""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import functions as F
from .._tensor import Tensor, wrap
from ..dispatch import arrays, view
from ..engine.layout import MAX_DIMS, STRIDED_VIEW
from ..functions._dims import shape_of
from ..functions._launch import launch, run
from ..functions.geometry import norm_of_rows
from ..functions.pooling import spread_means  # noqa: F401 - for the formulas
from ..kernels import BY_NAME
from ..kernels.grids import BEYOND

cat, stack, linear, conv3d = F.cat, F.stack, F.linear, F.conv3d
SLICE_PUT, LINE_MAP, PERMUTATION = (BY_NAME[name] for name in ("slice_put", "line_map", "permutation"))
DIM_WORDS = 4
NONE = -1
_IN_ORDER = tuple(range(MAX_DIMS))


def zeros(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Zeros of the dtype of `like`."""
    return F.zeros(tuple(shape), dtype=like.dtype)


def constant(values: Any) -> Tensor:
    """A NumPy array as a tensor without history."""
    return F.tensor(values)


def one_hot(target: Tensor, classes: int, like: Tensor) -> Tensor:
    """Zeros with a 1 at each target's class, along a second dimension; of the dtype of `like`."""
    return zeros(like, (target.shape[0], classes, *target.shape[1:])).scatter(1, target.unsqueeze(1), 1.0)  # type: ignore[attr-defined]


def sum_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """`x` summed over the dimensions along which `shape` was broadcast."""
    own, shape = shape_of(x), tuple(shape)
    if own == shape:
        return x
    pad = len(own) - len(shape)
    dims = [d for d, n in enumerate(own) if d < pad or (shape[d - pad] == 1 and n != 1)]
    if dims:
        x = x.sum(dims, pad == 0)  # type: ignore[attr-defined]
        if len(dims) == pad or pad == 0:
            return x
    return x.reshape(shape)  # type: ignore[attr-defined]


def product(x: Tensor) -> Tensor:
    """The product along the last dimension."""
    return x.prod(-1)  # type: ignore[attr-defined]


def at_indices(name: str, operands: Sequence[Tensor], shape: Sequence[int], words: Sequence[int]) -> Tensor:
    """Run an operation on indices with the attribute words of another that has the same."""
    dense = [x.contiguous() for x in operands]  # type: ignore[attr-defined]
    return wrap(launch(BY_NAME[name], dense, tuple(shape), tuple(words[1:])))


def run_op(name: str, operands: Sequence[Tensor | None], *outputs: Any) -> list[Tensor]:
    """Run an array operation; `outputs` are pairs (tensor of the dtype, shape), and last the attribute words."""
    *described, words = outputs
    made = arrays(BY_NAME[name], operands, [(like.dtype, tuple(shape)) for like, shape in described], words)
    return [wrap(slot) for slot in made]


def solve_triangular(a: Tensor, b: Tensor, upper: bool, unit: bool) -> Tensor:
    """The X with ``A X = B`` for a triangle of A."""
    return run_op("solve_triangular", (a, b), (b, b.shape), (int(upper), int(unit)))[0]


def solve(a: Tensor, b: Tensor) -> Tensor:
    """The X with ``A X = B``, nan where A is singular."""
    *front, n, _ = a.shape
    return run_op("solve", (a, b), (b, b.shape), (a, (*front, n + 1, n)), (0, 0))[0]


def det(a: Tensor) -> Tensor:
    """The determinants of matrices."""
    *front, n, _ = a.shape
    return run_op("det", (a,), (a, front), (a, (*front, n + 1, n)), ())[0]


def cofactors(a: Tensor) -> Tensor:
    """The cofactors of matrices."""
    *front, n, _ = a.shape
    return run_op("cofactors", (a,), (a, a.shape), (a, (*front, n + 1, n)), ())[0]


def units(like: Tensor) -> Tensor:
    """Unit matrices of the shape and dtype of `like`."""
    made = F.eye(like.shape[-1], dtype=like.dtype)
    return made if like.ndim == 2 else made.expand(like.shape)  # type: ignore[attr-defined]


def permutation(exchanges: Tensor, rows: int, kind: Any) -> Tensor:
    """P with ``A = P L U``, from the exchanges of rows."""
    return wrap(run(PERMUTATION, (exchanges,), kind, (*exchanges.shape[:-1], rows, rows), ()))


def sampled(x: Tensor, grid: Tensor, words: Sequence[int]) -> Tensor:
    """The operation "grid_sample" as gathers and arithmetic."""
    from ..nn.functional.grid import composed  # modules come after all functions

    nearest, beyond, aligned = words
    return composed(x, grid, "nearest" if nearest else "bilinear", BEYOND[beyond], bool(aligned))


def crosses(a: Tensor, b: Tensor, words: Sequence[int]) -> Tensor:
    """The operation "cross" on tensors of one shape."""
    dense = (a.contiguous(), b.contiguous())  # type: ignore[attr-defined]
    return run_op("cross", dense, (a, shape_of(a)), words)[0]


def distances_of_pairs(x: Tensor) -> Tensor:
    """The operation "pair_distances" as a norm of differences."""
    from ..nn.functional.linear import distances_of_pairs  # modules come after all functions

    return distances_of_pairs(x)


def distances_of_rows(x: Tensor, z: Tensor) -> Tensor:
    """The operation "row_distances" as a norm of differences."""
    return norm_of_rows(x.unsqueeze(-2) - z.unsqueeze(-3), 2)  # type: ignore[attr-defined]


def window(x: Tensor, words: Sequence[int]) -> Tensor:
    """The view of `x` that the words of a view describe."""
    return wrap(view(STRIDED_VIEW, x, array("q", words), "slice"))


def put(x: Tensor, value: Tensor, words: Sequence[int]) -> Tensor:
    """`x` with `value` in the place of a view of it."""
    return wrap(run(SLICE_PUT, (x, value), x.dtype, tuple(x.shape), tuple(words)))


def corner(part: Tensor, shape: Sequence[int]) -> Tensor:
    """Zeros of the given shape with `part` where all indices begin."""
    columns = [w for d, n in enumerate(part.shape) for w in (n, d, 1, NONE)]
    return put(zeros(part, shape), part, (part.ndim, *columns, *(0,) * len(shape)))


def unview(g: Tensor, words: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """The gradient of a view for what it was taken from: the cotangents of all places that show an element."""
    way = _way_back(tuple(words), shape)
    if way.repeated:
        g = g.sum(way.repeated, keepdim=True)  # type: ignore[attr-defined]
    if way.order is not None:
        moved = g if way.order == _IN_ORDER[: len(way.order)] else g.permute(way.order)  # type: ignore[attr-defined]
        return moved if shape_of(moved) == shape else moved.reshape(shape)  # type: ignore[attr-defined]
    if way.shared:
        flat, places = zeros(g, (math.prod(shape),)), constant(_places(way.words, shape))
        return flat.index_add(0, places, g.reshape(-1)).reshape(shape)  # type: ignore
    return put(zeros(g, shape), g, way.words)


class _Way(NamedTuple):
    """How the cotangent of a view comes to be that of the whole.

    Attributes
    ----------
    repeated : list of int
        Dimensions that show the same elements over and over, to be summed.
    order : tuple of int or None
        Where the view shows the whole in another order: the dimensions in the order of the whole.
    shared : bool
        Whether places of the view share elements.
    words : tuple of int
        The words of the view, without the repetitions.
    """

    repeated: list[int]
    order: tuple[int, ...] | None
    shared: bool
    words: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def _way_back(words: tuple[int, ...], shape: tuple[int, ...]) -> _Way:
    dims = words[0]
    columns = [list(words[1 + DIM_WORDS * j : 1 + DIM_WORDS * (j + 1)]) for j in range(dims)]
    repeated = [j for j, (size, first, _, _) in enumerate(columns) if first == NONE and size != 1]
    for j in repeated:
        columns[j][0] = 1
    taken = [first for _, first, _, _ in columns if first != NONE]
    whole = all(step == 1 and second == NONE for _, first, step, second in columns if first != NONE)
    count = math.prod(size for size, *_ in columns)
    if whole and len(set(taken)) == len(taken) and count == math.prod(shape):  # what is not taken has size 1
        added = [j for j, c in enumerate(columns) if c[1] == NONE]
        order = sorted((j for j, c in enumerate(columns) if c[1] != NONE), key=lambda j: columns[j][1])
        return _Way(repeated, (*order, *added), False, ())
    rest = (dims, *(w for column in columns for w in column), *words[1 + DIM_WORDS * dims :])
    return _Way(repeated, None, _share_elements(columns), rest)


def _share_elements(columns: Sequence[Sequence[int]]) -> bool:
    """Whether dimensions of a view may lead to one element: each must step beyond what smaller ones reach.

    That is the rule of `apart` in `engine/shapes.py`, for what a row of the tape keeps of a view: steps, not strides.
    """
    for d in {first for _, first, _, _ in columns}:
        reach = 0
        for step, size in sorted((step, size) for size, first, step, _ in columns if first == d and size > 1):
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False


def _places(words: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """The number, in row-major order, of the element that each place of a view shows."""
    end = 1 + DIM_WORDS * words[0]
    start = words[end:]
    weights = [math.prod(shape[d + 1 :]) for d in range(len(shape))]
    places = np.array(sum(s * w for s, w in zip(start, weights, strict=True)))
    for j in range(1, end, DIM_WORDS):
        size, first, step, second = words[j : j + DIM_WORDS]
        along = 0 if first == NONE else step * weights[first] + (0 if second == NONE else weights[second])
        places = np.add.outer(places, along * np.arange(size))
    return places.reshape(-1)


def line_map(x: Tensor, tables: Sequence[Tensor], shape: Sequence[int], words: Sequence[int]) -> Tensor:
    """`x` mapped along a dimension by the tables of a map and of its transpose."""
    return wrap(run(LINE_MAP, (x, *tables), x.dtype, tuple(shape), tuple(words)))


def gradients(pairs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of what a formula has computed, given with its cotangents; zeros where nothing depends on it."""
    from .chosen import grad

    if not pairs:
        return [zeros(x, x.shape) for x in inputs]
    roots, seeds = zip(*pairs, strict=True)
    return list(grad(roots, inputs, seeds, create_graph=True, materialize_grads=True))
