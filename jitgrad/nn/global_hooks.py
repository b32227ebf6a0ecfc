"""Hooks of all modules: functions that run around every module's call, and when a member is registered anywhere.

While there are none, no call looks for them. The first gives every class whose ``__call__`` only goes to ``forward``
one that looks for hooks; when the last has gone, the classes get their own back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from jitgrad.store import store

from ..utils.hooks import RemovableHandle
from ._registry import BUFFERS, MODULES, PARAMETERS
from ._running_hooks import BACKWARD, BACKWARD_PRE, FORWARD, OF_ALL, PRE, Hook
from .hooks import call_with_hooks
from .module import Module

__all__ = [
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

CALLS = (PRE, FORWARD, BACKWARD_PRE, BACKWARD)


class _Handle(RemovableHandle):
    """The handle of a hook of all modules."""

    def __init__(self, kind: str, hooks: OrderedDict[int, Hook]) -> None:
        super().__init__(hooks)
        self._kind = kind

    def remove(self) -> None:
        """Take the hook away; a second time nothing happens."""
        hooks = self.hooks_dict_ref()
        if hooks is not None and self.id in hooks:
            super().remove()
            if self._kind in CALLS and not any(OF_ALL.of(kind) for kind in CALLS):
                OF_ALL.restore()
            _note()


def _note() -> None:
    """Tell recorded programs that the hooks of all modules are others now."""
    OF_ALL.keys = OF_ALL.numbers()
    store.structure_changed()
    if store.recording is not None:
        store.recording.assigned("the hooks of all modules")


def _add(kind: str, hook: Hook) -> RemovableHandle:
    if not callable(hook.function):
        raise TypeError(f"a hook must be callable, got {type(hook.function).__name__}")
    hooks = OF_ALL.of(kind)
    handle = _Handle(kind, hooks)
    hooks[handle.id] = hook
    if kind not in CALLS:
        OF_ALL.is_told = True
    elif not OF_ALL.is_looked_for:
        OF_ALL.is_looked_for = True
        _look(Module)
    _note()
    return handle


def _look(cls: type[Module]) -> None:
    """Make the calls of a class, and of all below it, look for hooks."""
    OF_ALL.look(cls, Module._plain_calls, call_with_hooks)
    for below in cls.__subclasses__():
        _look(below)


# calls ----------------------------------------------------------------------------------------------


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before every module's forward, and before the module's own hooks of that kind.

    What it returns, unless None, replaces the arguments: a tuple, or one value.

    Parameters
    ----------
    hook : callable

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.

    Raises
    ------
    TypeError
        If the hook cannot be called; so do all functions here.
    """
    return _add(PRE, Hook(hook))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every module's forward, and before the module's own hooks.

    What it returns, unless None, replaces the output.

    Parameters
    ----------
    hook : callable
    with_kwargs : bool, default False
        Call ``hook(module, args, kwargs, output)``.
    always_call : bool, default False
        Run it also, with None for the output, when forward raises.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(FORWARD, Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` when the gradients of any module's outputs are known.

    What it returns, unless None, replaces them. Modules whose outputs were computed before the hook came are not seen.

    Parameters
    ----------
    hook : callable

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(BACKWARD_PRE, Hook(hook))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` when the gradients of any module's inputs are known.

    Both are tuples; what the hook returns, unless None, replaces the gradients of the inputs. Modules whose outputs
    were computed before the hook came are not seen.

    Parameters
    ----------
    hook : callable

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(BACKWARD, Hook(hook))


# registration ---------------------------------------------------------------------------------------


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` before a parameter becomes a module's, also by assignment.

    Parameters
    ----------
    hook : callable
        It returns None, or the `Parameter` that is to be registered instead; anything else is a TypeError there.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(PARAMETERS, Hook(hook))


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` before a buffer (or None in its place) becomes a module's.

    Parameters
    ----------
    hook : callable
        It returns None, or the Tensor that is to be registered instead; anything else is a TypeError there.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(BUFFERS, Hook(hook))


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, child)`` before a module (or None in its place) becomes a child of another.

    Parameters
    ----------
    hook : callable
        It returns None, or the `Module` that is to be registered instead; anything else is a TypeError there.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.
    """
    return _add(MODULES, Hook(hook))
