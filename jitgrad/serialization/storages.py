"""The memory of the tensors that one file holds: what shares memory here shares it in the file."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .._tensor import Tensor
from ..engine.layout import S_STORAGE
from ..store import store
from .kinds import Kind, kind_of


class Place(NamedTuple):
    """Where a tensor lies in the file: the storage's number and elements, and the first element's index."""

    kind: Kind
    key: str
    elements: int
    offset: int


class Storages:
    """The memory of some tensors, cut to the range that they use.

    Parameters
    ----------
    tensors : iterable of Tensor
        All tensors of the file. They are held, so that their memory stays.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        if store.recording is not None:
            store.recording.read("save")
        self._tensors = list(tensors)
        self._ranges: dict[tuple[int, int], tuple[int, int]] = {}
        for tensor in self._tensors:
            key, (begin, end) = _block(tensor), _extent(tensor)
            known = self._ranges.get(key, (begin, begin))
            if begin == end:
                self._ranges.setdefault(key, known)
            elif known[0] == known[1]:
                self._ranges[key] = begin, end
            else:
                self._ranges[key] = min(begin, known[0]), max(end, known[1])
        self._numbers = {key: number for number, key in enumerate(self._ranges)}

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor lies."""
        key = _block(tensor)
        begin, end = self._ranges[key]
        kind = kind_of(tensor.dtype)
        offset = tensor.data_ptr() - begin if tensor.numel() else 0
        return Place(kind, str(self._numbers[key]), (end - begin) // kind.itemsize, offset // kind.itemsize)

    def blocks(self) -> Iterator[tuple[str, bytes]]:
        """Number and bytes of each storage."""
        for key, (begin, end) in self._ranges.items():
            yield str(self._numbers[key]), ctypes.string_at(begin, end - begin)


def _block(tensor: Tensor) -> tuple[int, int]:
    return tensor._word(S_STORAGE), tensor.dtype.code


def _extent(tensor: Tensor) -> tuple[int, int]:
    """The addresses between which a tensor's elements lie."""
    begin = tensor.data_ptr()
    if not tensor.numel():
        return begin, begin
    last = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return begin, begin + (last + 1) * tensor.itemsize
