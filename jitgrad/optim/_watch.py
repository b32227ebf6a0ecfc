"""Parameter groups that tell their optimizer when they change.

A step must cost one compiled call and no comparisons, and a compiled program must follow a learning rate that
was changed since it was recorded. So nothing is compared: a change is passed on when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from weakref import ref

from ._telling import TellingDict

if TYPE_CHECKING:
    from .optimizer import Optimizer

_MISSING: Any = object()


class ParamGroup(TellingDict):
    """One group of ``optimizer.param_groups``: an ordinary dict that reports every change of a key."""

    __slots__ = ("_owner", "op", "plans", "volatile")

    def __init__(self, entries: dict[str, Any], owner: Optimizer) -> None:
        super().__init__(entries)
        self._owner = ref(owner)
        # kept for the optimizer: the op and the plans that update this group, what is held as a tensor
        self.op = ""
        self.plans: list[Any] = []
        self.volatile: dict[str, Any] = {}
        self.watch_params()

    def watch_params(self) -> None:
        """Have the list under ``"params"`` report its changes too."""
        params = self.get("params")
        if params is not None and type(params) is not ParamList:
            dict.__setitem__(self, "params", ParamList(params, self.params_changed))

    def params_changed(self) -> None:
        """Report that the list of parameters changed."""
        self._tell("params")

    def _tell(self, key: str, gone: bool = False) -> None:
        owner = self._owner()
        if owner is not None:
            owner._group_changed(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        old = self.get(key, _MISSING)
        dict.__setitem__(self, key, value)
        if key == "params":
            self.watch_params()
        try:
            self._tell(key)
        except (TypeError, ValueError, RuntimeError):
            # the optimizer cannot use the value: leave the group as it was
            if old is _MISSING:
                dict.__delitem__(self, key)
            else:
                dict.__setitem__(self, key, old)
            raise

    def clear(self) -> None:
        """Remove every key."""
        super().clear()
        self._tell("params")


class WatchedList(list[Any]):
    """A list that calls `changed` after every change of its members. Copies are plain lists."""

    __slots__ = ("changed",)

    def __init__(self, items: Iterable[Any], changed: Callable[[], None]) -> None:
        super().__init__(items)
        self.changed = changed

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def copy(self) -> list[Any]:
        """A plain list of the same members."""
        return list(self)

    __copy__ = copy


def _reporting(name: str) -> Callable[..., Any]:
    method = getattr(list, name)

    def wrapper(self: WatchedList, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        self.changed()
        return result

    wrapper.__name__ = wrapper.__qualname__ = name
    wrapper.__doc__ = method.__doc__
    return wrapper


for _name in ("append", "extend", "insert", "pop", "remove", "clear", "reverse", "sort"):
    setattr(WatchedList, _name, _reporting(_name))
for _name in ("setitem", "delitem", "iadd", "imul"):
    setattr(WatchedList, f"__{_name}__", _reporting(f"__{_name}__"))


class ParamList(WatchedList):
    """The parameters of one group."""

    __slots__ = ()
