"""Named pairs that functions with two results return."""

from __future__ import annotations

from typing import Any


class Pair(tuple):
    """Two results with names: a tuple whose items are also attributes."""

    __slots__ = ()
    _fields: tuple[str, ...] = ("values", "indices")
    _name = "pair"

    def __new__(cls, first: Any, second: Any) -> Pair:
        return tuple.__new__(cls, (first, second))

    def __getnewargs__(self) -> tuple:
        return tuple(self)

    def __repr__(self) -> str:
        items = ",\n".join(f"{field}={item!r}" for field, item in zip(self._fields, self, strict=True))
        return f"torch.return_types.{self._name}(\n{items})"


def pair(name: str, fields: tuple[str, str] = ("values", "indices")) -> type[Pair]:
    """The class of the results of function `name`."""
    attributes: dict[str, Any] = {"__slots__": (), "_fields": fields, "_name": name}
    for k, field in enumerate(fields):
        attributes[field] = property(lambda self, k=k: self[k], doc=f"Result {k}.")
    return type(name, (Pair,), attributes)
