"""Functions that run around an optimizer's steps, and when its state is saved or loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from jitgrad.autograd.notes import HookHandle
from jitgrad.store import store
from jitgrad.utils.hooks import RemovableHandle

Hook = Callable[..., Any]
STEP = ("before", "after")
STATE = ("saving", "saved", "loading", "loaded")


def _add(hooks: OrderedDict[int, Hook], hook: Hook, prepend: bool = False) -> RemovableHandle:
    if not callable(hook):
        raise TypeError(f"register hook: expected a callable, got {type(hook).__name__}")
    handle = HookHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    store.structure_changed()
    return handle


class Hooked:
    """The part of an optimizer that has hooks."""

    step: Callable[..., Any]
    _hooks: dict[str, OrderedDict[int, Hook]]

    def _make_hooks(self) -> None:
        self._hooks = {kind: OrderedDict() for kind in STEP + STATE}

    def step_hooks(self) -> list[tuple[int, Hook]]:
        """The hooks of steps with the keys that tell them apart.

        Wrappers such as Lookahead are often written without ``super().__init__()``; they have none.
        """
        hooks = self.__dict__.get("_hooks")
        return [hook for kind in STEP for hook in hooks[kind].items()] if hooks else []

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step; it may return new (args, kwargs).

        The first of the args is the optimizer itself.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        self._watch_steps()
        return _add(self._hooks["before"], hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        self._watch_steps()
        return _add(self._hooks["after"], hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before `state_dict` collects the state."""
        return _add(self._hooks["saving"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` on what `state_dict` returns; it may return another dict."""
        return _add(self._hooks["saved"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` on what is loaded; it may return another dict."""
        return _add(self._hooks["loading"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` after a state has been loaded."""
        return _add(self._hooks["loaded"], hook, prepend)

    def _tell(self, kind: str) -> None:
        for hook in list(self._hooks[kind].values()):
            hook(self)

    def _pass_through(self, kind: str, state_dict: dict[str, Any]) -> dict[str, Any]:
        for hook in list(self._hooks[kind].values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        return state_dict

    def _watch_steps(self) -> None:
        # hooks are rare: only an instance that has some pays for looking
        if "step" in self.__dict__:
            return
        plain = self.step

        def step(*rest: Any, **kwargs: Any) -> Any:
            args: tuple[Any, ...] = (self, *rest)  # as PyTorch's hooks see them
            for hook in list(self._hooks["before"].values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise RuntimeError(
                            "a step pre-hook must return None or a tuple of (new_args, new_kwargs), "
                            f"but got {changed}."
                        )
                    args, kwargs = changed
            result = plain(*args[1:], **kwargs)
            for hook in list(self._hooks["after"].values()):
                hook(self, args, kwargs)
            return result

        self.step = step
