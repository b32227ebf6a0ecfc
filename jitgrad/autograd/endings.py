"""Hooks on several tensors at once, called once for each walk back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from .._tensor import Tensor
from ..utils.hooks import RemovableHandle
from .walking import current_walk

__all__ = ["register_multi_grad_hook"]


class MultiGradHandle:
    """What `register_multi_grad_hook` returns; ``remove()``, or leaving it as a context, takes the hook away."""

    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        """Remove the hook from all its tensors; doing so twice is allowed."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> MultiGradHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], Any], *, mode: Literal["all", "any"] = "all"
) -> MultiGradHandle:
    """Call a function once for every walk back that comes to one of several tensors.

    Parameters
    ----------
    tensors : sequence of Tensor
        They must require gradients.
    fn : callable
        What it returns is ignored: it cannot replace gradients.
    mode : {"all", "any"}
        "all": ``fn(gradients)`` when the walk is complete and gradients have arrived in ``.grad``, with one entry
        for each tensor, None for those that the walk did not come to. "any": ``fn(gradient)`` with the first.

    Returns
    -------
    MultiGradHandle
        Its ``remove()`` takes the hook away.

    Raises
    ------
    ValueError
        If `mode` is neither "all" nor "any".
    RuntimeError
        If one of the tensors does not require gradients; then no hook has been registered.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"register_multi_grad_hook: mode must be 'all' or 'any', got {mode!r}")
    tensors = tuple(tensors)
    if not all(x.requires_grad for x in tensors):
        raise RuntimeError(
            "register_multi_grad_hook: expected tensors that require gradients; leave out the others, or set "
            "requires_grad=True before they are used"
        )
    key = object()  # of this registration in the memory of a walk
    watch = _all(key, len(tensors), fn) if mode == "all" else _any(key, fn)
    return MultiGradHandle([x.register_hook(watch(k)) for k, x in enumerate(tensors)])  # type: ignore[attr-defined]


Watch = Callable[[int], Callable[[Tensor], None]]  # from the number of a tensor to its hook


def _all(key: object, count: int, fn: Callable[[Any], Any]) -> Watch:
    def watch(k: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            walk = current_walk()
            if key not in walk.memory:
                found = walk.memory[key] = [None] * count
                walk.endings.append(lambda: fn(found))
            walk.memory[key][k] = gradient

        return hook

    return watch


def _any(key: object, fn: Callable[[Any], Any]) -> Watch:
    def watch(_: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            if current_walk().memory.setdefault(key, gradient) is gradient:
                fn(gradient)

        return hook

    return watch
