"""Trading time for memory: values are computed again on the way back instead of being kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ..user_frames import warn

__all__ = ["checkpoint", "checkpoint_sequential", "noop_context_fn",
           "set_checkpoint_early_stop"]  # fmt: skip


class _EarlyStop:
    on: bool | None = None  # what `set_checkpoint_early_stop` says, over the argument


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Whether checkpoints called inside stop computing again as soon as everything needed is there."""
    before, _EarlyStop.on = _EarlyStop.on, enable
    try:
        yield
    finally:
        _EarlyStop.on = before


def noop_context_fn() -> tuple[Any, Any]:
    """Contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function without keeping the values that its walk back will read; they are computed again then.

    Parameters
    ----------
    function : callable
        It must do the same when it is called again.
    *args, **kwargs
        Its arguments. ``preserve_rng_state=False`` among them lets random draws differ the second time; the mask of a
        dropout does not with ``use_reentrant=False``: it stays with its row.
    use_reentrant : bool
        True: a node of its own whose backward walks back through the second run, which fills ``.grad`` only; needs
        an argument that requires gradients. False: the function's own nodes, whose values are fetched when needed.
    context_fn : callable
        Returns two context managers, for the first run and for the second; only with ``use_reentrant=False``.
    determinism_check : {'default', 'none'}
        Whether shapes and dtypes of the values must be the same the second time.
    debug : bool
        Accepted for compatibility.
    early_stop : bool
        Stop the second run as soon as everything needed is there.

    Raises
    ------
    ValueError
        If arguments do not go together.
    CheckpointError
        On the way back, if the second run saves other values than the first.
    """
    from ..autograd.recompute import Frame, Reentrant

    reentrant = _chosen("checkpoint", use_reentrant)
    preserve = kwargs.pop("preserve_rng_state", True)
    if not callable(function):
        raise TypeError(f"checkpoint: expected a callable, got {type(function).__name__}")
    if reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return Reentrant.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'] but got {determinism_check}"
        )
    first, second = context_fn()

    def again() -> None:
        with second:
            function(*args, **kwargs)

    stop = early_stop if _EarlyStop.on is None else _EarlyStop.on
    frame = Frame(again, preserve, determinism_check == "default", stop)
    with first:
        return frame.run(lambda: function(*args, **kwargs))


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Call modules one after another, in segments of which all but the last keep only their inputs.

    Parameters
    ----------
    functions : Sequential or list of callables
        What to call.
    segments : int
        Into how many parts to cut.
    input : Tensor
        For the first of them.
    use_reentrant : bool
        As for `checkpoint`.
    """
    reentrant = _chosen("checkpoint_sequential", use_reentrant)
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if not isinstance(functions, (list, tuple)):
        functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(functions) // segments

    def part(begin: int, end: int) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            for one in functions[begin:end]:
                x = one(x)
            return x

        return forward

    last = size * (segments - 1)
    for begin in range(0, last, size) if size else ():
        input = checkpoint(
            part(begin, begin + size), input, use_reentrant=reentrant, preserve_rng_state=preserve
        )
    return part(last, len(functions))(input)


def _chosen(name: str, use_reentrant: bool | None) -> bool:
    if use_reentrant is None:
        warn(
            f"{name}: the use_reentrant parameter should be passed explicitly. use_reentrant=False is "
            "recommended; use_reentrant=True is what PyTorch did when it was left out."
        )
        return True
    return use_reentrant


def __getattr__(name: str) -> Any:
    if name == "CheckpointError":
        from ..autograd.recompute import CheckpointError

        return CheckpointError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
