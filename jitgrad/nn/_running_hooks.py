"""Which hooks modules have, and how a call runs them around its ``forward``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..user_frames import warn
from ._backward_hooks import Backward

if TYPE_CHECKING:
    from .module import Module

PRE, FORWARD, BACKWARD_PRE, BACKWARD = "forward_pre", "forward", "backward_pre", "backward"
STATE_PRE, STATE, LOAD_PRE, LOAD = "state_dict_pre", "state_dict", "load_state_dict_pre", "load_state_dict"
KINDS = (PRE, FORWARD, BACKWARD_PRE, BACKWARD, STATE_PRE, STATE, LOAD_PRE, LOAD)


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

    def numbers(self) -> tuple[int, ...]:
        """The numbers of the handles of all hooks."""
        return tuple(number for hooks in self._of.values() for number in hooks)

    def running(self, kind: str) -> Sequence[Hook]:
        """What runs at a call: the hooks of all modules, and then the module's own."""
        own = self._of.get(kind)
        if OF_ALL.is_looked_for and self is not OF_ALL:
            return (*OF_ALL.running(kind), *own.values()) if own else OF_ALL.running(kind)
        return tuple(own.values()) if own else ()

    def _backward(self, module: Module) -> Backward | None:
        before, after = self.running(BACKWARD_PRE), self.running(BACKWARD)
        if not before and not after:
            return None
        return Backward(module, [h.function for h in before], [h.function for h in after])

    def run(self, module: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call the module's forward with everything around it."""
        called: list[Hook] = []
        try:
            for hook in self.running(PRE):
                args, kwargs = _before(module, hook, args, kwargs)
            backward = self._backward(module)
            if backward is not None:
                args = backward.at_inputs(args)
            result = module.forward(*args, **kwargs)
            for hook in self.running(FORWARD):
                called.append(hook)
                result = _after(module, hook, args, kwargs, result)
            return result if backward is None else backward.at_outputs(result)
        except Exception:
            for hook in self.running(FORWARD):
                if hook.always and hook not in called:
                    _last(module, hook, args, kwargs)
            raise


class HooksOfAll(Hooks):
    """The hooks of all modules, see `global_hooks`.

    Attributes
    ----------
    keys : tuple of int
        The numbers of the handles of all that there are.
    is_looked_for : bool
        Whether all calls look for hooks now.
    is_told : bool
        Whether a hook has been registered that is told of new members.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_looked_for = self.is_told = False
        self.keys: tuple[int, ...] = ()
        # what classes had before all calls looked for hooks
        self._own: dict[type[Module], dict[str, Any]] = {}

    def look(self, cls: type[Module], plain: tuple[Callable, ...], looking: Callable) -> None:
        """Give a class the call that looks for hooks, if its own is a plain one."""
        own = {name: vars(cls)[name] for name in ("__call__", "_one_input") if name in vars(cls)}
        if own.get("__call__") in plain:
            cls.__call__ = looking  # type: ignore[method-assign]
        else:
            own.pop("__call__", None)
        cls._one_input = False
        self._own[cls] = own

    def keep(self, cls: type[Module]) -> None:
        """Let a class look for hooks also when there are none of all modules any more: an instance has some."""
        self._own.pop(cls, None)

    def restore(self) -> None:
        """Give all classes their calls back."""
        for cls, own in self._own.items():
            for name, value in own.items():
                setattr(cls, name, value)
            if "_one_input" not in own:
                del cls._one_input
        self._own.clear()
        self.is_looked_for = False


OF_ALL = HooksOfAll()


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
        warn(f"module forward hook with ``always_call=True`` raised an exception that was silenced: {error}")
