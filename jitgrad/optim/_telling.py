"""Dicts that tell their optimizer when they change."""

from __future__ import annotations

from typing import Any


class TellingDict(dict[str, Any]):
    """A dict that reports every change of a key by calling `_tell`.

    Copies (`copy`, pickle, `deepcopy`) are plain dicts.
    """

    __slots__ = ()

    def _tell(self, key: str, gone: bool = False) -> None:
        raise NotImplementedError

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._tell(key)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._tell(key, gone=True)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several keys."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> TellingDict:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of `key`, which is set to `default` when missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, *default: Any) -> Any:
        """Remove `key` and return its value."""
        value = super().pop(key, *default)
        self._tell(key, gone=True)
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key and return it with its value."""
        key, value = super().popitem()
        self._tell(key, gone=True)
        return key, value

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def copy(self) -> dict[str, Any]:
        """A plain dict with the same entries."""
        return dict(self)

    __copy__ = copy
