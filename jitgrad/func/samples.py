"""The samples of a batch: what one call of a mapped function gets, and what the results of all make together."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..program.tree import flatten, unflatten


class Samples:
    """Arguments of a batch, taken apart by the dimensions that count its samples.

    Parameters
    ----------
    args, kwargs : tuple, dict
        Of the call.
    in_dims : int, None or nested
        As for `vmap`.

    Attributes
    ----------
    leaves : list of Tensor
        The tensors in the arguments.
    dims : list of int or None
        For each the dimension that counts samples; None for one that all share.
    form : object
        What describes the rest of the arguments.
    count : int
        How many samples there are.
    """

    def __init__(self, args: tuple, kwargs: dict[str, Any], in_dims: Any) -> None:
        if not isinstance(in_dims, int | tuple | list) and in_dims is not None:
            raise ValueError(f"vmap: in_dims must be an int, None or a tuple, got {type(in_dims).__name__}")
        dims = tuple(in_dims) if isinstance(in_dims, tuple | list) else (in_dims,) * len(args)
        if len(dims) != len(args):
            raise ValueError(f"vmap: in_dims has {len(dims)} entries for {len(args)} positional arguments")
        self.leaves: list[Tensor] = []
        self.form = flatten((args, kwargs), self.leaves)
        self.dims: list[int | None] = []
        for value, dim in zip(args, dims, strict=True):
            _spread(value, dim, self.dims)
        for value in kwargs.values():
            _spread(value, 0, self.dims)
        self.count = self._count()

    def _count(self) -> int:
        sizes = {}
        for x, d in zip(self.leaves, self.dims, strict=True):
            if d is not None:
                if not -x.ndim <= d < x.ndim:
                    raise ValueError(
                        f"vmap: in_dim {d} is not a dimension of a tensor of shape {tuple(x.shape)}"
                    )
                sizes[x.shape[d]] = None
        if not sizes:
            raise ValueError("vmap: nothing is mapped over: in_dims are all None, or no argument is a tensor")
        if len(sizes) > 1:
            raise ValueError(
                f"vmap: Expected all tensors to have the same size in the mapped dimension, got {list(sizes)}"
            )
        (count,) = sizes
        return count

    def arguments(self, k: int) -> tuple[tuple, dict[str, Any]]:
        """What the function is called with for one sample."""
        pairs = zip(self.leaves, self.dims, strict=True)
        leaves = [x if d is None else x.select(d, k) for x, d in pairs]  # type: ignore[attr-defined]
        return unflatten(self.form, iter(leaves))


def _spread(value: Any, dim: Any, where: list[int | None]) -> None:
    """Append the mapped dimension of every tensor in `value`."""
    if isinstance(value, Tensor):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(f"vmap: in_dims gives {dim!r} for a tensor; expected an int or None")
        where.append(dim)
        return
    items = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    )
    nested = dim.values() if isinstance(dim, dict) else dim if isinstance(dim, tuple | list) else None
    each = list(nested) if nested is not None else [dim] * len(items)
    if len(each) != len(items):
        raise ValueError(f"vmap: in_dims {dim!r} does not fit an argument with {len(items)} entries")
    for item, d in zip(items, each, strict=True):
        _spread(item, d, where)


def joined(results: list[Any], rest: Any, out_dims: Any) -> Any:
    """What the samples make together.

    Parameters
    ----------
    results : list
        What the function has returned for the first samples, one entry for each.
    rest : object or None
        The same for the others, with the samples along dimension 0 of each tensor.
    out_dims : int or nested tuple
        Where that dimension goes.
    """
    from ..functions import cat, stack

    if not results and rest is None:
        raise RuntimeError("vmap: a batch of no samples: the shape of the result is not known")
    trees = []
    for result in (*results, *(() if rest is None else (rest,))):
        leaves: list[Tensor] = []
        trees.append((flatten(result, leaves), leaves))
    form, first = trees[0]
    if not first or any(len(leaves) != len(first) for _, leaves in trees):
        raise ValueError("vmap: the function must return tensors, the same structure for every sample")
    dims = out_dims if isinstance(out_dims, tuple | list) else (out_dims,) * len(first)
    if len(dims) != len(first):
        raise ValueError(f"vmap: out_dims has {len(dims)} entries for {len(first)} tensors returned")
    made = []
    for dim, *column in zip(dims, *(leaves for _, leaves in trees), strict=True):
        parts = [stack(column[: len(results)])] if results else []
        parts += column[len(results) :]
        whole = parts[0] if len(parts) == 1 else cat(parts)
        made.append(whole.movedim(0, dim) if dim else whole)  # type: ignore[attr-defined]
    return unflatten(form, iter(made))
