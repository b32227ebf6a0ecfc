"""Handles that take a registered hook away again."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

__all__ = ["RemovableHandle"]


class RemovableHandle:
    """What registering a hook returns; `remove` takes the hook away again. Works as a context manager, too.

    Parameters
    ----------
    hooks_dict : OrderedDict
        Where the hook is to be kept, under the key ``id``. The handle holds it weakly.
    extra_dict : dict or list of dict, optional
        Others that may have an entry of that key, which is removed together with the hook.

    Attributes
    ----------
    id : int
        The key; no two handles of a process have the same.
    """

    next_id = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.hooks_dict_ref: Any = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extra: Iterable[Any] = () if extra_dict is None else extra_dict
        self.extra_dict_ref = tuple(weakref.ref(d) for d in ([extra] if isinstance(extra, dict) else extra))

    def remove(self) -> None:
        """Remove the hook; doing so twice is allowed."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> Any:
        return self.hooks_dict_ref(), self.id, tuple(reference() for reference in self.extra_dict_ref)

    def __setstate__(self, state: Any) -> None:
        hooks, self.id, *extra = state
        # a dict that was gone is replaced by one that nobody else has
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(
            weakref.ref(OrderedDict() if d is None else d) for d in (extra[0] if extra else ())
        )
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: Any) -> None:
        self.remove()
