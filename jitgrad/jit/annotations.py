"""``torch.jit.annotations``: types for parameters of which one number may stand for several.

``BroadcastingList2[int]`` is an ``int`` or a list of them. They say so to readers and type checkers; nothing is
checked or repeated when a function runs.
"""

from __future__ import annotations

from typing import Any, Union

__all__ = ["BroadcastingList1", "BroadcastingList2", "BroadcastingList3"]


class BroadcastingListCls:
    """What is subscripted by a type: that type, or a list of such values."""

    def __getitem__(self, types: Any) -> Any:
        """``T | list[T]``."""
        return Union[types, list[types]]  # noqa: UP007 - of types that are not known here


BroadcastingList1, BroadcastingList2, BroadcastingList3 = (BroadcastingListCls() for _ in range(3))
