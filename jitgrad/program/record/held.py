"""What a function reads at integer tensors: whether a copy is as good as the view that Python gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from ..._tensor import Tensor
from ...engine.layout import S_ADDRESS, S_ROW, S_STORAGE
from ...store import store
from ..log.rows import Row, rows_of
from ..log.views import View

Span = tuple[int, int]  # addresses of the first byte and of the one behind the last


class Held:
    """Places that have been read at numbers in memory, kept until the function has run.

    ``x[i]`` shows what is written to `x` later, and a copy does not. So nothing may be written to the copy, and when
    `x` is overwritten, as a parameter is by its optimizer, nobody may look at the copy afterwards.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Tensor, int, Tensor | None]] = []
        self._overwritten: dict[Span, list[Span]] = {}
        self._unsure = False

    @property
    def is_overwritten(self) -> bool:
        """Whether something of it has been written to since."""
        return self._unsure or bool(self._overwritten)

    def add(self, x: Tensor, part: Tensor, copied: bool) -> None:
        """Keep what `part` has been read from; and when `part` is a copy, its memory, so that it is not reused."""
        x, part = cast("Any", x), cast("Any", part)
        held, copy = x.detach(), part.detach() if copied else None
        self._held.append((held, _version_of(held), copy))
        if copy is not None:
            self._held.append((copy, _version_of(copy), copy))
        if part.numel() == x.numel():  # then rows do not tell which of them they read
            self._held.append((held, _version_of(held), held))

    def let_go(self) -> None:
        """Note what has been written to since, and keep nothing any more."""
        for x, version, copy in self._held:
            if _version_of(x) == version:
                continue
            if x is copy:
                self._unsure = True
            places = self._overwritten.setdefault(_span(x), [])
            if copy is not None:
                places.append(_span(copy))
        self._held.clear()

    def are_seen_late(self, log: np.ndarray, returned: Iterable[Tensor]) -> bool:
        """Whether a copy would show: written to, or read when what it was taken from has been overwritten.

        Parameters
        ----------
        log : ndarray of int64
            The call records of the run.
        returned : iterable of Tensor
            What the function has returned; the graph of one may read them later.
        """
        if self._unsure or not self.is_overwritten:
            return self._unsure
        given = [*returned]
        if any(x._word(S_ROW) >= 0 for x in given):
            return True
        rows, spans = rows_of(log), [*map(_span, given)]
        return any(
            _shows(spans, x, parts) or _reads_late(rows, x, parts) for x, parts in self._overwritten.items()
        )


def _shows(spans: list[Span], x: Span, copies: list[Span]) -> bool:
    """Whether one of the spans is a part of `x`, or of a copy."""
    return any(s != x and any(s[0] < end and begin < s[1] for begin, end in (x, *copies)) for s in spans)


def _reads_late(rows: list[Row], x: Span, copies: list[Span]) -> bool:
    """Whether rows write to a part of `x`, or read one or a copy of one after `x` has been written to."""
    written = False
    for row in rows:
        if written and any(_is_in_part(v, x) or any(_touches(v, c) for c in copies) for v in row.reads):
            return True
        if any(_is_in_part(v, x) for v in row.writes):
            return True
        written = written or any(_touches(v, x) for v in row.writes)
    return False


def _touches(view: View, span: Span) -> bool:
    return view.begin < span[1] and span[0] < view.end


def _is_in_part(view: View, span: Span) -> bool:
    """Whether a view has bytes of a span, but does not reach from its beginning to its end."""
    return _touches(view, span) and not (view.begin <= span[0] and span[1] <= view.end)


def _span(x: Tensor) -> Span:
    begin, size = x._word(S_ADDRESS), x.dtype.itemsize
    if x.numel() == 0:  # type: ignore[attr-defined]
        return begin, begin
    return begin, begin + size * (1 + sum((n - 1) * s for n, s in zip(x.shape, x._strides(), strict=True)))


def _version_of(x: Tensor) -> int:
    return store.storage_word(x._word(S_STORAGE), "version")
