"""Computing values again on the way back instead of keeping them, for `jitgrad.utils.checkpoint`."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from .._tensor import Tensor
from ..functions.generator import default_generator
from ..user_frames import warn
from .backward import backward_many
from .function import Function
from .modes import enable_grad, no_grad
from .notes import drop_old_notes
from .python_rows import walks_to_inputs
from .saved import saved_tensors_hooks


class CheckpointError(RuntimeError):
    """What a function computed again differs from what it computed first."""


class _StopRecomputation(Exception):
    """Everything that was needed has been computed."""


class _RandomState:
    """The state of the default generator, kept and set by tensor operations, so that programs can replay it."""

    def __init__(self) -> None:
        with no_grad():
            self._words: Any = default_generator.state_tensor().clone()  # type: ignore[attr-defined]

    def restore(self) -> None:
        """Let the generator go on from here."""
        with no_grad():
            default_generator.state_tensor().copy_(self._words)  # type: ignore[attr-defined]


@contextlib.contextmanager
def _random_numbers(state: _RandomState | None) -> Iterator[None]:
    """Draw inside the random numbers that were drawn from `state` on."""
    if state is None:
        yield
        return
    now = _RandomState()
    state.restore()
    try:
        yield
    finally:
        now.restore()


class Reentrant(Function):
    """The variant whose backward calls ``backward()`` itself."""

    fills_grad = True  # as walks to inputs do not

    @staticmethod
    def forward(ctx: Any, function: Callable, preserve: bool, *args: Any) -> Any:
        """Run the function without a record."""
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            warn("None of the inputs have requires_grad=True. Gradients will be None")
        ctx.function = function
        ctx.state = _RandomState() if preserve else None
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.places = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.save_for_backward(*(args[k] for k in ctx.places))
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """Run the function again, recorded, and walk back through that."""
        if walks_to_inputs():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an "
                "`inputs` parameter to .backward(). To resolve this error, you can either set "
                "use_reentrant=False, or call .backward() without passing the `inputs` argument"
            )
        args = list(ctx.others)
        for k, x in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[k] = x.detach()
            if x.requires_grad:
                args[k].requires_grad_()
        with _random_numbers(ctx.state), enable_grad():
            found = ctx.function(*args)
        outputs = found if isinstance(found, tuple) else (found,)
        asked = [
            (y, g)
            for y, g in zip(outputs, cotangents, strict=True)
            if isinstance(y, Tensor) and y.requires_grad
        ]
        if not asked:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward_many([y for y, _ in asked], [g for _, g in asked])
        return (None, None, *(a.grad if isinstance(a, Tensor) else None for a in args))


class _Place:
    """Stands for a value that is computed again when it is needed."""

    __slots__ = ("__weakref__", "form", "number", "value")

    def __init__(self, number: int, value: Tensor) -> None:
        self.number = number
        self.form = tuple(value.shape), value.dtype
        self.value: Tensor | None = None


class Frame:
    """One call of a function whose values are not kept.

    Parameters
    ----------
    again : callable
        Runs the function on the arguments of the call.
    check : bool
        Whether values computed again must have the shapes and dtypes that they had.
    early_stop : bool
        Whether computing again ends as soon as everything needed is there.
    """

    def __init__(self, again: Callable[[], Any], preserve: bool, check: bool, early_stop: bool) -> None:
        self._again, self._check, self._early_stop = again, check, early_stop
        self._state = _RandomState() if preserve else None
        self._places: list[weakref.ref[_Place]] = []

    def run(self, function: Callable[[], Any]) -> Any:
        """Call the function, and keep nothing of what its operations save."""
        with saved_tensors_hooks(self._leave, self._fetch):
            return function()

    def _leave(self, value: Tensor) -> _Place:
        place = _Place(len(self._places), value)
        self._places.append(weakref.ref(place))
        return place

    def _fetch(self, place: _Place) -> Tensor:
        if place.value is None:
            self._compute()
        value, place.value = place.value, None
        if value is None:
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation: {len(self._places)} in the original forward, fewer now; the function must do the "
                "same both times"
            )
        return value

    def _compute(self) -> None:
        count = 0

        def keep(value: Tensor) -> Tensor:
            nonlocal count
            place = self._places[count]() if count < len(self._places) else None
            count += 1
            if place is not None:
                form = tuple(value.shape), value.dtype
                if self._check and form != place.form:
                    raise CheckpointError(
                        "checkpoint: Recomputed values for the following tensors have different metadata than "
                        f"during the forward pass: tensor at position {place.number}: saved metadata "
                        f"{_text(place.form)}, recomputed metadata {_text(form)}"
                    )
                place.value = value
            if count == len(self._places) and self._early_stop:
                raise _StopRecomputation
            return value

        with (
            _random_numbers(self._state),
            contextlib.suppress(_StopRecomputation),
            enable_grad(),
            saved_tensors_hooks(keep, lambda value: value),
        ):
            self._again()
        drop_old_notes()  # of the second run, of which only the values are needed
        if self._check and count != len(self._places):
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation. Number of tensors saved during forward: {len(self._places)}. Number of tensors "
                f"saved during recomputation: {count}."
            )


def _text(form: tuple) -> str:
    return f"{{shape: {list(form[0])}, dtype: {form[1].name}}}"
