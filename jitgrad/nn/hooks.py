"""Functions that run when a module is called, when gradients pass it, and when its state is saved or loaded.

A module has no hooks until the first is registered, and until then its call does not look for any: the first hook
of an instance gives the class a ``__call__`` that does (`watch`). Those of all modules are in `global_hooks`.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from jitgrad.store import store

from ..user_frames import warn
from ..utils.hooks import RemovableHandle
from ._registry import count_change, set_plainly
from ._running_hooks import (
    BACKWARD,
    BACKWARD_PRE,
    FORWARD,
    KINDS,
    LOAD,
    LOAD_PRE,
    OF_ALL,
    PRE,
    STATE,
    STATE_PRE,
    Hook,
    Hooks,
)

if TYPE_CHECKING:
    from .module import Module


class ModuleHandle(RemovableHandle):
    """The handle of a module's hook: programs that were recorded with the hook hear of its end."""

    def __init__(self, module: Module, hooks: OrderedDict[int, Hook]) -> None:
        super().__init__(hooks)
        self._module = weakref.ref(module)

    def remove(self) -> None:
        """Take the hook away; a second time nothing happens."""
        module, hooks = self._module(), self.hooks_dict_ref()
        if module is not None and hooks is not None and self.id in hooks:
            super().remove()
            note_hooks(module)


# registering ----------------------------------------------------------------------------------------


def call_with_hooks(self: Module, *args: Any, **kwargs: Any) -> Any:
    """``__call__`` of classes of which an instance has, or had, a hook, and of all while all modules have one."""
    hooks = self._hooks
    if hooks is None:
        if not OF_ALL.is_looked_for:
            return self.forward(*args, **kwargs)
        hooks = OF_ALL
    return hooks.run(self, args, kwargs)


def watch(module: Module, plain: tuple[Callable, ...]) -> None:
    """Make the calls of a module's class look for hooks.

    Parameters
    ----------
    plain : tuple of callable
        The ``__call__`` methods that only go to forward.
    """
    kind, ours = type(module), (*plain, call_with_hooks)
    if kind.__call__ in ours:
        _look(kind)
    else:  # the user's own; it may go on to one of ours
        for base in kind.__mro__:
            if base.__dict__.get("__call__") in ours:
                _look(base)
    kind._one_input = False
    OF_ALL.keep(kind)


def _look(cls: type[Module]) -> None:
    if cls.__dict__.get("__call__") is not call_with_hooks:
        cls.__call__ = call_with_hooks  # type: ignore[method-assign]
    cls._one_input = False
    OF_ALL.keep(cls)


def note_hooks(module: Module) -> None:
    """Tell recorded programs that the hooks of a module are others now; without any it forgets that it had some."""
    if module._hooks is not None and next(module._hooks.functions(), None) is None:
        set_plainly(module, "_hooks", None)
    count_change(module)
    store.structure_changed()
    if store.recording is not None:
        store.recording.assigned(f"{type(module).__name__}._hooks")


def hooks_of(module: Module, kind: str) -> OrderedDict[int, Hook]:
    """The hooks of a kind that a module has, to which others can be added."""
    if module._hooks is None:
        set_plainly(module, "_hooks", Hooks())
    assert module._hooks is not None
    return module._hooks.of(kind)


def add_hook(module: Module, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Register a hook of a kind."""
    if not callable(hook.function):
        raise TypeError(f"a hook must be callable, got {type(hook.function).__name__}")
    hooks = hooks_of(module, kind)
    handle = ModuleHandle(module, hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    note_hooks(module)
    return handle


class Functions(MutableMapping):
    """A live view of a module's hooks of one kind, such as ``module._forward_hooks``: number to function.

    Scripts remove hooks whose handles they have lost through it: ``module._forward_hooks.clear()``.
    """

    __slots__ = ("_kind", "_module")

    def __init__(self, module: Module, kind: str) -> None:
        self._module, self._kind = module, kind

    def _hooks(self) -> Mapping[int, Hook]:
        return {} if self._module._hooks is None else self._module._hooks.of(self._kind)

    def __getitem__(self, number: int) -> Callable:
        return self._hooks()[number].function

    def __setitem__(self, number: int, function: Callable) -> None:
        self._module._watch()
        hooks_of(self._module, self._kind)[number] = Hook(function)
        note_hooks(self._module)

    def __delitem__(self, number: int) -> None:
        self._hooks()[number]  # a KeyError, if there is none
        del hooks_of(self._module, self._kind)[number]
        note_hooks(self._module)

    def __iter__(self) -> Iterator[int]:
        return iter(self._hooks())

    def __len__(self) -> int:
        return len(self._hooks())

    def __repr__(self) -> str:
        return repr(OrderedDict(self))


def _shown(kind: str) -> property:
    """The view of a module's hooks of a kind; a dict that it is set to says which hooks there are from then on."""

    def replace(self: Module, hooks: Mapping[int, Callable]) -> None:
        shown, wanted = Functions(self, kind), dict(hooks)
        shown.clear()
        shown.update(wanted)

    return property(lambda self: Functions(self, kind), replace)


class Hooked:
    """The part of `Module` that registers hooks."""

    _hooks: Hooks | None = None
    _plain_calls: tuple[Callable, ...] = ()

    def _watch(self) -> None:
        watch(self, self._plain_calls)  # type: ignore[arg-type]

    _forward_pre_hooks = _shown(PRE)
    _forward_hooks = _shown(FORWARD)
    _backward_pre_hooks = _shown(BACKWARD_PRE)
    _backward_hooks = _shown(BACKWARD)

    def _remove_hook(self, number: int) -> None:
        """Take away the hook with this number, of whatever kind."""
        for kind in KINDS:
            if self._hooks is not None and self._hooks.of(kind).pop(number, None) is not None:
                note_hooks(self)  # type: ignore[arg-type]

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward; what it returns, unless None, replaces the arguments.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run it before those that there are.
        with_kwargs : bool, default False
            Call ``hook(module, args, kwargs)``; it returns None or a pair of both.
        """
        self._watch()
        return add_hook(self, PRE, Hook(hook, with_kwargs), prepend)  # type: ignore[arg-type]

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, unless None, is the output.

        Parameters
        ----------
        hook : callable
        prepend : bool, default False
            Run it before those that there are.
        with_kwargs : bool, default False
            Call ``hook(module, args, kwargs, output)``.
        always_call : bool, default False
            Run it also, with None for the output, when forward raises.
        """
        self._watch()
        return add_hook(self, FORWARD, Hook(hook, with_kwargs, always_call), prepend)  # type: ignore[arg-type]

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the outputs' gradients are known; its result replaces them."""
        self._watch()
        return add_hook(self, BACKWARD_PRE, Hook(hook), prepend)  # type: ignore[arg-type]

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the inputs' gradients are known.

        Both are tuples; what the hook returns, unless None, replaces the gradients of the inputs.
        """
        self._watch()
        return add_hook(self, BACKWARD, Hook(hook), prepend)  # type: ignore[arg-type]

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """PyTorch's older name of `register_full_backward_hook`, which warns.

        There the hook sees the gradients of the module's last operation, whatever its inputs are; here those of the
        module's inputs, which are the same for a module of one operation without parameters.
        """
        warn(
            "register_backward_hook: the hook sees the gradients of the module's inputs, as one of "
            "register_full_backward_hook, and not those of its last operation; call that by name",
            FutureWarning,
        )
        return self.register_full_backward_hook(hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's part of a `state_dict` is made."""
        return add_hook(self, STATE_PRE, Hook(hook))  # type: ignore[arg-type]

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after the module's part was added."""
        return add_hook(self, STATE, Hook(hook))  # type: ignore[arg-type]

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        return self.register_state_dict_post_hook(hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading.

        The hook may change ``state_dict``, which is a copy, and add to the three lists.
        """
        return add_hook(self, LOAD_PRE, Hook(hook))  # type: ignore[arg-type]

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        return add_hook(self, LOAD_PRE, Hook(hook, with_module=with_module))  # type: ignore[arg-type]

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the two lists in place."""
        return add_hook(self, LOAD, Hook(hook))  # type: ignore[arg-type]
