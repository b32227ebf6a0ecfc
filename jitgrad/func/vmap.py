"""`vmap`: a function of samples as a function of batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .replays import Replays
from .samples import Samples, joined


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
        Accepted: no more than one sample is at work at a time.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        When sizes differ, nothing is mapped over, or `chunk_size` is not positive.

    Notes
    -----
    Samples follow one another. Once there are 64, in one call or in several, one is recorded and the others are
    replays of it in compiled code, each a microsecond or less besides its arithmetic, with no Python between them.
    So make a function that is mapped again and again once. Python runs `func` for every sample where results have
    a history, where `func` reads a value of a tensor or writes into its arguments, and inside a function that is
    itself being recorded: compile the result of `vmap`, and the whole map is one program.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0, got {chunk_size}")

    replays = Replays(func)

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        samples = Samples(args, kwargs, in_dims)
        results, rest = (
            (_drawn_alike(func, samples), None) if randomness == "same" else replays.results(samples)
        )
        return joined(results, rest, out_dims)

    return run


def _drawn_alike(func: Callable, samples: Samples) -> list[Any]:
    """The results of all samples, which draw the same random numbers."""
    from ..functions import get_rng_state, set_rng_state

    state, results = get_rng_state(), []
    for k in range(samples.count):
        set_rng_state(state)
        args, kwargs = samples.arguments(k)
        results.append(func(*args, **kwargs))
    return results
