"""`vmap`: a function of samples as a function of batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .._tensor import Tensor
from ..program.tree import flatten, unflatten


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """A function that applies `func` to every sample of a batch and stacks what it returns.

    Parameters
    ----------
    func : callable
        Of one sample: tensors, and nested tuples, lists and dicts of them.
    in_dims : int, None or nested
        For each argument the dimension that counts samples, None for what all samples share; a nested
        structure for a nested argument.
    out_dims : int or nested tuple
        Where that dimension goes in the results.
    randomness : {"error", "different", "same"}
        "different" and "error": every sample draws its own; "same": every sample draws the same numbers.
    chunk_size : int, optional
        Accepted: samples are taken one by one.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        When sizes differ, or nothing is mapped over.

    Notes
    -----
    Samples run one after another. Give it a compiled function, ``vmap(jitgrad.compile(f))``, and each costs a
    microsecond or two besides its arithmetic; compile the result, and the whole map is one program.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}")

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        count, samples = _samples(args, kwargs, in_dims)
        state = _generator_state() if randomness == "same" else None
        results = []
        for k in range(count):
            if state is not None:
                _restore_generator(state)
            positional, named = samples(k)
            results.append(func(*positional, **named))
        return _stacked(results, out_dims)

    return run


def _generator_state() -> Any:
    from ..functions import get_rng_state

    return get_rng_state()


def _restore_generator(state: Any) -> None:
    from ..functions import set_rng_state

    set_rng_state(state)


def _samples(args: tuple, kwargs: dict, in_dims: Any) -> tuple[int, Callable[[int], tuple]]:
    """How many samples there are, and the arguments of each."""
    if not isinstance(in_dims, int | tuple | list) and in_dims is not None:
        raise ValueError(f"vmap: in_dims must be an int, None or a tuple, got {type(in_dims).__name__}")
    dims = tuple(in_dims) if isinstance(in_dims, tuple | list) else (in_dims,) * len(args)
    if len(dims) != len(args):
        raise ValueError(f"vmap: in_dims has {len(dims)} entries for {len(args)} positional arguments")
    leaves: list[Tensor] = []
    form = flatten((args, kwargs), leaves)
    where: list[int | None] = []
    for value, dim in zip(args, dims, strict=True):
        _spread(value, dim, where)
    for value in kwargs.values():
        _spread(value, 0, where)
    sizes = {}
    for x, d in zip(leaves, where, strict=True):
        if d is not None:
            if not -x.ndim <= d < x.ndim:
                raise ValueError(f"vmap: in_dim {d} is not a dimension of a tensor of shape {tuple(x.shape)}")
            sizes[x.shape[d]] = None
    if not sizes:
        raise ValueError("vmap: nothing is mapped over: in_dims are all None, or no argument is a tensor")
    if len(sizes) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got {list(sizes)}"
        )
    (count,) = sizes

    def sample(k: int) -> tuple:
        each = [x if d is None else x.select(d, k) for x, d in zip(leaves, where, strict=True)]  # type: ignore[attr-defined]
        return unflatten(form, iter(each))

    return count, sample


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


def _stacked(results: list[Any], out_dims: Any) -> Any:
    from ..functions import stack

    if not results:
        raise RuntimeError("vmap: a batch of no samples: the shape of the result is not known")
    trees = []
    for result in results:
        leaves: list[Tensor] = []
        trees.append((flatten(result, leaves), leaves))
    form, first = trees[0]
    if not first or any(len(leaves) != len(first) for _, leaves in trees):
        raise ValueError("vmap: the function must return tensors, the same structure for every sample")
    dims = out_dims if isinstance(out_dims, tuple | list) else (out_dims,) * len(first)
    if len(dims) != len(first):
        raise ValueError(f"vmap: out_dims has {len(dims)} entries for {len(first)} tensors returned")
    made = [stack([leaves[j] for _, leaves in trees], dims[j]) for j in range(len(first))]
    return unflatten(form, iter(made))
