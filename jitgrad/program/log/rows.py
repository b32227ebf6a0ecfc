"""Call records as objects: which kernel, what it reads, what it writes.

Rewrites and pictures of a program are written on these; replay itself knows only the records' words. A recording
is to cost no more than a few steps, so words become Python's integers all at once, and only when somebody asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels import compiler
from ...kernels.abi import DTYPE_NAMES, R_ATTRS, R_KERNEL, R_WORDS
from ...kernels.table import BACKWARD, FORWARD
from .views import View, Views, op_and_variant, views_of


class Row:
    """One call record.

    Attributes
    ----------
    words : numpy.ndarray
        The record itself.
    kernel : str
        ``<operation>.<variant>.<dtype>``, ``update.<rule>.<dtype>``, ``updates...`` or ``program.<name>``.
    op : str
        Name of the operation, rule or program row.
    variant : int
        0 for the forward kernel of an operation, 1 and more for its backward ones, BOTH for one of an array
        operation that goes both ways, or for one that makes a result and its slope; -1 for other rows.
    reads, writes : tuple of View
        Its arrays; taken from the words when they are first asked for, if not given.
    chain : tuple of Row
        Of a row that runs others strip by strip: those rows, whole.
    inner : tuple of (Row, int)
        Their strips, with the address where each lies.
    blocks : tuple of numpy.ndarray
        The memory that the strips lie in.
    cuts : dict or None
        How it may be cut along batches of some sizes, as far as somebody has asked: see rewrites/batches.py.
    """

    __slots__ = ("blocks", "chain", "cuts", "inner", "kernel", "op", "reads", "variant", "words", "writes")
    reads: Views
    writes: Views

    def __init__(
        self,
        words: np.ndarray,
        kernel: str,
        reads: Views | None = None,
        writes: Views | None = None,
        chain: tuple[Row, ...] = (),
        inner: tuple[tuple[Row, int], ...] = (),
        blocks: tuple[np.ndarray, ...] = (),
    ) -> None:
        self.words, self.kernel = words, kernel
        self.op, self.variant = op_and_variant(kernel)
        self.chain, self.inner, self.blocks = chain, inner, blocks
        self.cuts: dict[int, Any] | None = None
        if reads is not None and writes is not None:
            self.reads, self.writes = reads, writes

    def __getattr__(self, name: str) -> Views:
        if name not in ("reads", "writes"):
            raise AttributeError(name)
        self.reads, self.writes = views_of(self.kernel, self.words.tolist())
        return self.reads if name == "reads" else self.writes

    @property
    def dtype(self) -> int:
        """The dtype code of its kernel, which is that of an operation or a rule."""
        return DTYPE_NAMES.index(self.kernel.rsplit(".", 1)[1])

    def touches(self, view: View) -> bool:
        """Whether it may read or write bytes of a view."""
        return any(v.touches(view) for v in self.reads) or any(v.touches(view) for v in self.writes)

    def goes_back(self, forward: Row) -> bool:
        """Whether its kernel is the backward one of a forward row's."""
        return self.kernel == forward.kernel.replace(f".{FORWARD}.", f".{BACKWARD}.")

    def moved(self, old: View, address: int) -> Row:
        """The row with the block `old` at `address` instead; itself when it has nothing there."""
        begin, end = old.begin, old.end
        inside = [v for v in (*self.reads, *self.writes) if begin <= v.begin and v.end <= end]
        if not inside:
            return self
        by = address - begin
        words = self.words.copy()
        for v in {v.place: v for v in inside}.values():
            words[v.place] = v.address + by

        def shifted(views: Views) -> Views:
            return tuple(v.at(v.address + by) if begin <= v.begin and v.end <= end else v for v in views)

        return Row(words, self.kernel, shifted(self.reads), shifted(self.writes))


def rows_of(log: np.ndarray) -> list[Row]:
    """The rows of a log of records lying one behind the other."""
    words, rows, at = memoryview(log), [], 0
    while at < len(words):
        end = at + words[at + R_WORDS]
        rows.append(Row(log[at:end], compiler.name_of(words[at + R_KERNEL])))
        at = end
    return rows


def decode(words: np.ndarray) -> Row:
    """The row of one record."""
    return Row(words, compiler.name_of(int(words[R_KERNEL])))


def attributes(words: np.ndarray) -> np.ndarray:
    """The attribute words of a record."""
    return words[int(words[R_ATTRS]) :]
