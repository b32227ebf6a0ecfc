"""Grad mode: whether this thread records operations."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import DISABLED, ENABLED, INFERENCE_MODE
from ..user_frames import warn


class _ThreadEnd:
    """Lives as long as a thread that has switched recording off, and switches it on again at the end.

    The engine knows threads by their number, and the system gives the number of one that ended to another.
    """

    def __del__(self) -> None:
        entries.set_mode(CONTEXT, ENABLED)


class _State(threading.local):
    """What this thread keeps beside its mode."""

    end: _ThreadEnd | None = None
    says = False  # what `is_grad_enabled` tells inside inference_mode, where nothing is recorded whatever it tells


_thread = _State()


def _set_mode(mode: int) -> int:
    if mode != ENABLED and _thread.end is None:
        _thread.end = _ThreadEnd()
    before = entries.set_mode(CONTEXT, mode)
    if before < 0:
        raise RuntimeError("no_grad: too many threads have switched recording off at once (at most 64)")
    return before


def current_mode() -> int:
    """The mode of this thread: ENABLED, DISABLED or INFERENCE_MODE."""
    before = _set_mode(ENABLED)
    if before != ENABLED:
        _set_mode(before)
    return before


def _enter(mode: int) -> tuple[int, bool]:
    """Switch this thread's mode; what there was before, for `_leave`. Only inference_mode ends inference mode."""
    before, says = _set_mode(mode), _thread.says
    if before == INFERENCE_MODE:
        _set_mode(before)
        _thread.says = mode == ENABLED
    return before, says


def _leave(before: tuple[int, bool]) -> None:
    mode, says = before
    _set_mode(mode)
    if mode == INFERENCE_MODE or says != _thread.says:
        _thread.says = says


def records() -> bool:
    """Whether operations of this thread are recorded now."""
    return current_mode() == ENABLED


_CLASSES = (
    "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
    "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
    "method and nothing else."
)


class _Switch:
    """A context manager and decorator that sets this thread's mode."""

    _mode = ENABLED

    def __new__(cls, function: Any = None, *args: Any) -> Any:
        self = object.__new__(cls)
        if callable(function) and not args:  # used as a decorator without parentheses
            self.__init__()
            return self(function)
        return self

    def __init__(self) -> None:
        self._before: list[tuple[int, bool]] = []

    def __enter__(self) -> Any:
        self._before.append(_enter(self._mode))
        return self

    def __exit__(self, *error: Any) -> None:
        _leave(self._before.pop())

    def clone(self) -> Any:
        """A fresh switch of the same setting, for each call of a decorated function."""
        return type(self)()

    def __call__(self, function: Callable) -> Callable:
        if isinstance(function, type):
            warn(_CLASSES, FutureWarning)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                # the mode holds while the generator runs, not while it waits
                inner = function(*args, **kwargs)
                try:
                    with self.clone():
                        item = inner.send(None)
                    while True:
                        try:
                            value = yield item
                        except GeneratorExit:
                            with self.clone():
                                inner.close()
                            raise
                        except BaseException as error:
                            with self.clone():
                                item = inner.throw(error)
                        else:
                            with self.clone():
                                item = inner.send(value)
                except StopIteration as stop:
                    return stop.value

            return generator

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return wrapper


class no_grad(_Switch):
    """Record nothing inside: a context manager and a decorator, with or without parentheses."""

    _mode = DISABLED


class enable_grad(_Switch):
    """Record inside, also within ``no_grad``: a context manager and a decorator."""

    _mode = ENABLED


class inference_mode(_Switch):
    """Record nothing, and mark what is made so that it can never be recorded later.

    Parameters
    ----------
    mode : bool
        False leaves inference mode inside.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._on = mode
        self._mode = INFERENCE_MODE if mode else ENABLED

    def __enter__(self) -> Any:
        before, says = _set_mode(self._mode), _thread.says
        _thread.says = False
        self._before.append((before, says))
        return self

    def clone(self) -> Any:
        """A fresh switch of the same setting."""
        return inference_mode(self._on)


class set_grad_enabled(_Switch):
    """Switch recording on or off: takes effect at once, and ends with the ``with`` block if there is one."""

    def __new__(cls, mode: bool) -> Any:
        """Make the switch; a bool is no function to decorate."""
        if not isinstance(mode, bool):
            raise TypeError(
                f"set_grad_enabled(): argument 'enabled' (position 1) must be bool, not {type(mode).__name__}"
            )
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._on = bool(mode)
        self._mode = ENABLED if mode else DISABLED
        self._first: tuple[int, bool] | None = _enter(self._mode)

    def __enter__(self) -> Any:
        before = self._first if self._first is not None else _enter(self._mode)
        self._first = None
        self._before.append(before)
        return self

    def clone(self) -> Any:
        """A fresh switch of the same setting."""
        return set_grad_enabled(self._on)

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function: the setting holds while it runs, and no longer now."""
        if self._first is not None:
            _leave(self._first)  # used as a decorator: the setting is for the function only
            self._first = None
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether this thread has gradients enabled; under ``inference_mode`` nothing is recorded even so."""
    mode = current_mode()
    return _thread.says if mode == INFERENCE_MODE else mode == ENABLED


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in inference mode."""
    return current_mode() == INFERENCE_MODE
