"""Compiled modules: a module in every respect, whose call is compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..nn.module import Module
from .compiled import CompiledFunction

PREFIX = "_orig_mod."  # of the keys in a state_dict of PyTorch's compiled modules


class CompiledModule(Module):
    """What `compile` returns for a module.

    It has the module's parameters, attributes, hooks and mode, not copies of them, and its `state_dict` has the
    module's keys; one with PyTorch's prefix ``_orig_mod.`` can be loaded, too. What the module has no attribute for
    is looked up in the `CompiledFunction`: ``programs``, ``program``, ``run`` and ``loop``.

    Parameters
    ----------
    module : Module
    fullgraph : bool
    options : dict, optional
        See `compile`.
    """

    _orig_mod: Module
    _compiled: CompiledFunction

    def __init__(
        self, module: Module, fullgraph: bool = False, options: dict[str, bool] | None = None
    ) -> None:
        object.__setattr__(self, "_orig_mod", module)
        object.__setattr__(self, "_compiled", CompiledFunction(module, fullgraph, options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the program that fits the arguments, or call the module and record it."""
        return self._compiled(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled call."""
        return self._compiled(*args, **kwargs)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """See `Module.load_state_dict`; keys may have PyTorch's prefix."""
        if isinstance(state_dict, Mapping) and state_dict and all(k.startswith(PREFIX) for k in state_dict):
            state_dict = {k.removeprefix(PREFIX): x for k, x in state_dict.items()}
        return self._orig_mod.load_state_dict(state_dict, strict, assign)

    # attributes --------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_orig_mod")
        if module is None:  # while it is being made
            raise AttributeError(name)
        return getattr(module if hasattr(module, name) else self._compiled, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return [*dir(self._orig_mod), *dir(self._compiled)]

    def __getitem__(self, key: Any) -> Any:
        return self._orig_mod[key]  # type: ignore[index]

    def __len__(self) -> int:
        return len(self._orig_mod)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)  # type: ignore[call-overload]

    def __contains__(self, item: Any) -> bool:
        return item in self._orig_mod  # type: ignore[operator]

    def __bool__(self) -> bool:
        return bool(self._orig_mod)

    # copies ------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple:
        return type(self), (self._orig_mod, self._compiled._refusals.fullgraph, self._compiled._options)

    def __repr__(self) -> str:
        return f"compiled {self._orig_mod!r}"


def _method(name: str) -> Callable:
    """A method that the module answers."""

    def method(self: CompiledModule, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self._orig_mod, name)(*args, **kwargs)
        return self if found is self._orig_mod else found

    method.__name__ = method.__qualname__ = name
    method.__doc__ = getattr(Module, name).__doc__
    return method


def _attribute(name: str) -> property:
    """An attribute that the module has."""
    return property(lambda self: getattr(self._orig_mod, name))


for _name in dir(Module):
    if not _name.startswith("__") and _name not in vars(CompiledModule):
        _made = _method(_name) if callable(getattr(Module, _name)) else _attribute(_name)
        setattr(CompiledModule, _name, _made)
