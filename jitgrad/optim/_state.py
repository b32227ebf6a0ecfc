"""``optimizer.state`` of the compiled optimizers: dicts whose changes reach the memory the kernels read."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any
from weakref import ref

from ._telling import TellingDict

if TYPE_CHECKING:
    from ._kernel import KernelOptimizer


class ParamState(TellingDict):
    """What an optimizer remembers of one parameter."""

    __slots__ = ("_table", "param", "plan")

    def __init__(self, param: Any, table: StateTable) -> None:
        super().__init__()
        self.param = param
        self.plan: Any = None  # the plan whose memory the tensors here show
        self._table = ref(table)

    def set_quietly(self, entries: dict[str, Any]) -> None:
        """Set entries that show the kernels' memory already."""
        dict.update(self, entries)

    def _tell(self, key: str, gone: bool = False) -> None:
        table = self._table()
        if table is not None:
            table.entry_changed(self, key, gone)

    def clear(self) -> None:
        """Forget everything: the next step of this parameter is its first."""
        super().clear()
        self._tell("", gone=True)


class StateTable(MutableMapping[Any, Any]):
    """The states by parameter. As in PyTorch, looking up a parameter without state gives an empty dict."""

    def __init__(self, owner: KernelOptimizer) -> None:
        self._owner = ref(owner)
        self.entries: dict[Any, Any] = {}

    def __getitem__(self, param: Any) -> Any:
        owner = self._owner()
        if owner is not None:
            owner._show_state(param)
        entry = self.entries.get(param)
        if entry is None:
            entry = self.entries[param] = ParamState(param, self)
        return entry

    def __setitem__(self, param: Any, entry: Any) -> None:
        # the dict handed in is copied: the entry itself must report its changes
        self._drop(param)
        self.entries[param] = self.new_entry(param, entry)

    def __delitem__(self, param: Any) -> None:
        if param not in self:
            raise KeyError(param)
        self._drop(param)

    def __iter__(self) -> Iterator[Any]:
        owner = self._owner()
        if owner is not None:
            owner._show_states()
        return iter([p for p, entry in self.entries.items() if entry])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, param: Any) -> bool:
        return bool(self[param]) if param in self._known() else False

    def get(self, param: Any, default: Any = None) -> Any:
        """The state of `param`, or `default` when it has none."""
        if param not in self:
            return default
        return self[param]

    def __repr__(self) -> str:
        return repr({p: dict(entry) for p, entry in self.items()})

    def new_entry(self, param: Any, entries: Any) -> Any:
        """`entries` as an entry of this table."""
        if not isinstance(entries, dict):
            return entries
        entry = ParamState(param, self)
        entry.set_quietly(entries)
        return entry

    def entry_changed(self, entry: ParamState, key: str, gone: bool) -> None:
        """Called by an entry after a change."""
        owner = self._owner()
        if owner is not None and self.entries.get(entry.param) is entry:
            owner._state_changed(entry, key, gone)

    def _known(self) -> set[Any]:
        owner = self._owner()
        return {*self.entries, *(owner._places if owner is not None else ())}

    def _drop(self, param: Any) -> None:
        owner = self._owner()
        if owner is not None:
            owner._release()
        self.entries.pop(param, None)
