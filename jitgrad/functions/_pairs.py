"""Named results of functions that have several, shown as PyTorch shows them."""

from __future__ import annotations

from typing import Any


def shown_as(name: str) -> Any:
    """The ``__repr__`` of the named results of function `name`."""

    def show(self: Any) -> str:
        items = ",\n".join(f"{field}={item!r}" for field, item in zip(self._fields, self, strict=True))
        return f"torch.return_types.{name}(\n{items})"

    return show


class Pair(tuple):
    """Two results with names: a tuple whose items are also attributes."""

    __slots__ = ()
    _fields: tuple[str, ...] = ("values", "indices")

    def __new__(cls, first: Any, second: Any) -> Pair:
        return tuple.__new__(cls, (first, second))

    def __getnewargs__(self) -> tuple:
        return tuple(self)


def pair(name: str, fields: tuple[str, str] = ("values", "indices")) -> type[Pair]:
    """The class of the results of function `name`."""
    attributes: dict[str, Any] = {"__slots__": (), "_fields": fields, "__repr__": shown_as(name)}
    for k, field in enumerate(fields):
        attributes[field] = property(lambda self, k=k: self[k], doc=f"Result {k}.")
    return type(name, (Pair,), attributes)
