"""Whole numbers in staged kernels: scalars with operators, cells that loops change, counted loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from . import abi
from .stage import I64, Scope, Vec


class Cell:
    """A whole number in memory of the function's own, which the compiler keeps in a register."""

    def __init__(self, whole: Whole, start: Vec | int) -> None:
        self._whole, self._place = whole, whole.one.variable(I64)
        self.set(start)

    def set(self, value: Vec | int) -> None:
        """Replace the number."""
        self._whole.b.store(self._whole.number(value).value, self._place)

    def add(self, value: Vec | int) -> None:
        """Add to the number."""
        self.set(self.get() + value)

    def get(self) -> Vec:
        """The number."""
        return Vec(self._whole.one, self._whole.b.load(self._place), abi.INT64)


class Whole:
    """Where whole numbers are computed: 64 bits, signed."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b, self.one = b, Scope(b, 1)

    def number(self, value: Vec | ir.Value | int) -> Vec:
        """A whole number from any form of one."""
        if isinstance(value, Vec):
            return value
        return Vec(self.one, I64(value) if isinstance(value, int) else value, abi.INT64)

    def cell(self, start: Vec | int = 0) -> Cell:
        """A number that changes."""
        return Cell(self, start)

    def smaller(self, x: Vec, y: Vec | int) -> Vec:
        """The smaller of two numbers."""
        y = self.number(y)
        return (x < y).select(x, y)

    def larger(self, x: Vec, y: Vec | int) -> Vec:
        """The larger of two numbers."""
        y = self.number(y)
        return (x > y).select(x, y)

    def ceil_div(self, x: Vec, y: Vec | int) -> Vec:
        """``x / y``, rounded up; neither is negative."""
        return (x + y - 1) / y

    @contextmanager
    def loop(self, start: Vec | int, stop: Vec | int, step: int = 1) -> Iterator[Vec]:
        """A counted loop; yields the counter."""
        with self.one.loop(self.number(start).value, self.number(stop).value, step) as i:
            yield self.number(i)

    @contextmanager
    def when(self, condition: Vec) -> Iterator[None]:
        """What happens when a condition holds."""
        with self.b.if_then(condition.value):
            yield

    @contextmanager
    def either(self, condition: Vec) -> Iterator[tuple]:
        """What happens when a condition holds, and what when not."""
        with self.b.if_else(condition.value) as branches:
            yield branches

    def share(self, total: Vec, part: Vec, parts: Vec) -> tuple[Vec, Vec]:
        """The range of ``0 .. total`` that belongs to `part` of `parts`."""
        return total * part / parts, total * (part + 1) / parts
