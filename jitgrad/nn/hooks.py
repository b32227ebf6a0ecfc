"""Functions that run when a module is called, when gradients pass it, and when its state is saved or loaded.

A module has no hooks until the first is registered, and until then its call does not look for any: the first hook
of an instance gives the class a ``__call__`` that does (`watch`).
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import Function
from jitgrad.store import store

from ..utils.hooks import RemovableHandle
from ._registry import set_plainly

if TYPE_CHECKING:
    from .module import Module

PRE, FORWARD, BACKWARD_PRE, BACKWARD = "forward_pre", "forward", "backward_pre", "backward"
STATE_PRE, STATE, LOAD_PRE, LOAD = "state_dict_pre", "state_dict", "load_state_dict_pre", "load_state_dict"
KINDS = (PRE, FORWARD, BACKWARD_PRE, BACKWARD, STATE_PRE, STATE, LOAD_PRE, LOAD)


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


class Hook:
    """One hook, with the options that it was registered with."""

    __slots__ = ("always", "function", "with_kwargs", "with_module")

    def __init__(
        self, function: Callable, with_kwargs: bool = False, always: bool = False, with_module: bool = True
    ) -> None:
        self.function, self.with_kwargs, self.always = function, with_kwargs, always
        self.with_module = with_module


class Hooks:
    """All hooks of one module, by kind, in the order in which they run."""

    def __init__(self) -> None:
        self._of: dict[str, OrderedDict[int, Hook]] = {}

    def of(self, kind: str) -> OrderedDict[int, Hook]:
        """The hooks of a kind, by the number of their handle."""
        return self._of.setdefault(kind, OrderedDict())

    def functions(self) -> Iterator[Callable]:
        """The functions of all hooks."""
        for hooks in self._of.values():
            yield from (hook.function for hook in hooks.values())

    def run(self, module: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call the module's forward with everything around it."""
        forward = self.of(FORWARD)
        called: set[int] = set()
        try:
            for hook in list(self.of(PRE).values()):
                args, kwargs = _before(module, hook, args, kwargs)
            backward = Backward.of(module, self)
            if backward is not None:
                args = backward.at_inputs(args)
            result = module.forward(*args, **kwargs)
            for number, hook in list(forward.items()):
                called.add(number)
                result = _after(module, hook, args, kwargs, result)
            return result if backward is None else backward.at_outputs(result)
        except Exception:
            for number, hook in list(forward.items()):
                if hook.always and number not in called:
                    _last(module, hook, args, kwargs)
            raise


def _before(module: Module, hook: Hook, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    if not hook.with_kwargs:
        changed = hook.function(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs
    changed = hook.function(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not (isinstance(changed, tuple) and len(changed) == 2):
        raise RuntimeError(
            f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}."
        )
    return changed


def _after(module: Module, hook: Hook, args: tuple, kwargs: dict[str, Any], result: Any) -> Any:
    if hook.with_kwargs:
        changed = hook.function(module, args, kwargs, result)
    else:
        changed = hook.function(module, args, result)
    return result if changed is None else changed


def _last(module: Module, hook: Hook, args: tuple, kwargs: dict[str, Any]) -> None:
    """Call a hook that is called also when forward has failed; its own failure is only a warning."""
    try:
        _after(module, hook, args, kwargs, None)
    except Exception as error:
        warnings.warn(
            f"module forward hook with ``always_call=True`` raised an exception that was silenced: {error}",
            stacklevel=4,
        )


# gradients ------------------------------------------------------------------------------------------


class _Pass(Function):
    """Hands values through; what passes on the way back is shown to a function, which may change it."""

    @staticmethod
    def forward(ctx: Any, see: Callable, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.see = see
        ctx.set_materialize_grads(False)
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.see(gradients))


class Backward:
    """The backward hooks of one call of a module."""

    def __init__(self, module: Module, before: list[Callable], after: list[Callable]) -> None:
        self._module, self._before, self._after = module, before, after
        self._inputs = 0
        self._recorded: list[int] = []  # the arguments that ask for gradients
        self._gradients: tuple | None = None  # of the outputs

    @classmethod
    def of(cls, module: Module, hooks: Hooks) -> Backward | None:
        """For a module that has backward hooks, else None."""
        before, after = hooks.of(BACKWARD_PRE), hooks.of(BACKWARD)
        if not before and not after:
            return None
        return cls(module, [h.function for h in before.values()], [h.function for h in after.values()])

    def at_inputs(self, args: tuple) -> tuple:
        """The arguments, with the way back to them watched."""
        self._inputs = len(args)
        self._recorded = [k for k, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        if not self._after or not self._recorded:
            return args
        passed = _Pass.apply(self._leaving, *(args[k] for k in self._recorded))
        changed = list(args)
        for k, x in zip(self._recorded, passed, strict=True):
            changed[k] = x
        return tuple(changed)

    def at_outputs(self, result: Any) -> Any:
        """The result, with the way back from it watched."""
        outputs = result if isinstance(result, tuple) else (result,)
        tensors = [k for k, y in enumerate(outputs) if isinstance(y, Tensor)]
        if not any(outputs[k].requires_grad for k in tensors):
            return result

        def entering(gradients: tuple) -> tuple:
            whole = [None] * len(outputs)
            for k, g in zip(tensors, gradients, strict=True):
                whole[k] = g
            changed = self._entering(tuple(whole))
            return tuple(changed[k] for k in tensors)

        passed = _Pass.apply(entering, *(outputs[k] for k in tensors))
        changed = list(outputs)
        for k, y in zip(tensors, passed, strict=True):
            changed[k] = y
        return tuple(changed) if isinstance(result, tuple) else changed[0]

    def _entering(self, gradients: tuple) -> tuple:
        for hook in self._before:
            found = hook(self._module, gradients)
            if found is not None:
                gradients = _checked("backward_pre", found, gradients)
        self._gradients = gradients
        if not self._recorded:  # nothing will come out at the arguments
            for hook in self._after:
                found = hook(self._module, (None,) * self._inputs, gradients)
                if found is not None and any(g is not None for g in _tuple(found)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should "
                        "always return None or None for all gradients."
                    )
        return gradients

    def _leaving(self, gradients: tuple) -> tuple:
        whole: list[Any] = [None] * self._inputs
        for k, g in zip(self._recorded, gradients, strict=True):
            whole[k] = g
        result: tuple = tuple(whole)
        for hook in self._after:
            found = hook(self._module, result, self._gradients)
            if found is not None:
                result = _checked("backward", found, result)
        return tuple(result[k] for k in self._recorded)


def _tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _checked(what: str, found: Any, before: tuple) -> tuple:
    found = _tuple(found)
    if len(found) != len(before):
        raise RuntimeError(
            f"{what} hook has returned an incorrect number of gradients: got {len(found)}, "
            f"but expected {len(before)}"
        )
    return found


# registering ----------------------------------------------------------------------------------------


def call_with_hooks(self: Module, *args: Any, **kwargs: Any) -> Any:
    """``__call__`` of classes of which an instance has, or had, a hook."""
    hooks = self._hooks
    if hooks is None:
        return self.forward(*args, **kwargs)
    return hooks.run(self, args, kwargs)


def watch(module: Module, plain: tuple[Callable, ...]) -> None:
    """Make the calls of a module's class look for hooks.

    Parameters
    ----------
    plain : tuple of callable
        The ``__call__`` methods that only go to forward.
    """
    kind = type(module)
    if kind.__call__ in plain:
        kind.__call__ = call_with_hooks  # type: ignore[method-assign]
    elif kind.__call__ is not call_with_hooks:  # the user's own; it may go on to one of ours
        for base in kind.__mro__:
            if base.__dict__.get("__call__") in plain:
                base.__call__ = call_with_hooks  # type: ignore[method-assign]
                base._one_input = False  # type: ignore[attr-defined]
    kind._one_input = False


def note_hooks(module: Module) -> None:
    """Tell recorded programs that the hooks of a module are others now; without any it forgets that it had some."""
    if module._hooks is not None and next(module._hooks.functions(), None) is None:
        set_plainly(module, "_hooks", None)
    set_plainly(module, "_changes", getattr(module, "_changes", 0) + 1)
    store.structure_changed()
    if store.recording is not None:
        store.recording.assigned(f"{type(module).__name__}._hooks")


def add_hook(module: Module, kind: str, hook: Hook, prepend: bool = False) -> RemovableHandle:
    """Register a hook of a kind."""
    if not callable(hook.function):
        raise TypeError(f"a hook must be callable, got {type(hook.function).__name__}")
    if module._hooks is None:
        set_plainly(module, "_hooks", Hooks())
    assert module._hooks is not None
    hooks = module._hooks.of(kind)
    handle = ModuleHandle(module, hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    note_hooks(module)
    return handle


class Hooked:
    """The part of `Module` that registers hooks."""

    _hooks: Hooks | None = None
    _plain_calls: tuple[Callable, ...] = ()

    def _watch(self) -> None:
        watch(self, self._plain_calls)  # type: ignore[arg-type]

    @property
    def _forward_pre_hooks(self) -> OrderedDict[int, Callable]:
        return self._functions(PRE)

    @property
    def _forward_hooks(self) -> OrderedDict[int, Callable]:
        return self._functions(FORWARD)

    @property
    def _backward_hooks(self) -> OrderedDict[int, Callable]:
        return self._functions(BACKWARD)

    def _remove_hook(self, number: int) -> None:
        """Take away the hook with this number, of whatever kind."""
        for kind in KINDS:
            if self._hooks is not None and self._hooks.of(kind).pop(number, None) is not None:
                note_hooks(self)  # type: ignore[arg-type]

    def _functions(self, kind: str) -> OrderedDict[int, Callable]:
        hooks = {} if self._hooks is None else self._hooks.of(kind)
        return OrderedDict((number, hook.function) for number, hook in hooks.items())

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
