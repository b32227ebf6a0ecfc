"""Compiled methods: a compiled function with an object in front of its arguments."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from .steps import Steps

if TYPE_CHECKING:
    from .compiled import CompiledFunction
    from .program import Program


class CompiledMethod(Steps):
    """A compiled method of an object: the compiled function with that object in front of the arguments."""

    def __init__(self, function: CompiledFunction, instance: Any) -> None:
        self._compiled = function
        self._function = types.MethodType(function, instance)
        self.__name__ = getattr(function, "__name__", "method")
        self.__doc__ = function.__doc__

    @property
    def __self__(self) -> Any:
        return self._function.__self__

    @property
    def __func__(self) -> CompiledFunction:
        return self._compiled

    @property
    def programs(self) -> list[Program]:
        """What has been recorded so far, for this object and others."""
        return self._compiled.programs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `CompiledFunction.__call__`."""
        return self._function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CompiledMethod) and self._function == other._function

    def __hash__(self) -> int:
        return hash(self._function)

    def __reduce__(self) -> tuple:
        return type(self), (self._compiled, self.__self__)

    def __repr__(self) -> str:
        return f"{self._compiled!r} of {self.__self__!r}"

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """See `CompiledFunction.program`."""
        return self._compiled.program(self.__self__, *args, **kwargs)

    def known(self, *args: Any) -> Program | None:
        """See `CompiledFunction.known`."""
        return self._compiled.known(self.__self__, *args)

    def was_replayed(self) -> None:
        """See `CompiledFunction.was_replayed`."""
        self._compiled.was_replayed()
