"""How calling a module gets to its ``forward``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


def call(self: Module, *args: Any, **kwargs: Any) -> Any:
    """Call `forward`."""
    if kwargs or len(args) != 1:
        return self.forward(*args, **kwargs)
    return self.forward(args[0])  # an unpacked call would cost 70 ns more


def call_with_one(self: Module, input: Any) -> Any:
    """``__call__`` of our layers with one input: 125 ns where packing ``*args`` needs 260."""
    return self.forward(input)


def call_with_two(self: Module, input: Any, target: Any) -> Any:
    """``__call__`` of the losses, which take an input and a target."""
    return self.forward(input, target)


NARROW_CALLS = (call_with_one, call_with_two)


def inherits_narrow_call(cls: type[Module]) -> bool:
    """Whether a class inherits a narrow ``__call__`` together with the `forward` that it was made for.

    A narrow one knows the arguments of one forward only; a subclass may have a forward that takes others.
    """
    owner = next(base for base in cls.__mro__ if "__call__" in base.__dict__)
    return owner.__dict__["__call__"] in NARROW_CALLS and owner.forward is cls.forward  # type: ignore[attr-defined]
