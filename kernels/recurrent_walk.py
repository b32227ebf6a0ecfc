"""What the walks of a recurrent layer along its sequences, forwards and back, have in common.

Sequences go their own ways, so threads share them out. They may differ in length: then they are sorted, the longest
first, and ``sizes`` tells how many are still there at each step.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from . import abi
from . import recurrent_layout as at
from .host import host
from .operands import array_kernel
from .products import Matrix, Products
from .recurrent_cells import Lane
from .recurrent_input import field, has_field
from .recurrent_layout import Kind
from .stage import I64, Scope

# sequences that a thread takes at least: products of very few rows are summed in another order
MIN_SEQUENCES = 8


class Step(NamedTuple):
    """One step of the walk: which rows it has, and how many sequences its neighbours have."""

    number: ir.Value  # in the order of the layer, whose first step is 0
    count: ir.Value  # sequences at this step: those before it,
    before: ir.Value  # at the one that the layer does before it: 0 at the first,
    after: ir.Value  # and after it: 0 at the last
    origin: ir.Value  # row of its first sequence
    next_origin: ir.Value


def names_of(kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Operands and outputs of a layer's walk.

    What the products were made of comes last: only the formulas of `kernels.recurrent_vjps` read it.
    """
    walked, made_of = ("gates", "store", "h0", "w_hh", "b_hh", "sizes"), ("x", "w_ih", "b_ih")
    if kind.has_cell:
        return (*walked, "c0", "w_hr", *made_of), ("y", "h_n", "c_n")
    return (*walked, *made_of), ("y", "h_n")


class Walk:
    """A kernel that walks: what its two directions have in common.

    Attributes
    ----------
    k : dict
        Numbers of the record's arrays by name.
    """

    def __init__(self, symbol: str, dtype: int, kind: Kind, back: bool) -> None:
        self.module, self.arrays, part, parts = array_kernel(symbol)
        self.kind, self.dtype, self.back = kind, dtype, back
        self.p, self.b, self.one = Products(self.arrays, dtype), self.arrays.b, self.arrays.scope
        self.wide = Scope(self.b, host().lanes(abi.ITEM_SIZES[dtype]))
        operands, outputs = names_of(kind)
        names = [*operands, *outputs]
        if back:
            names += [f"d_{name}" for name in (*outputs, *operands)]
        self.k = {name: k for k, name in enumerate(names)}
        b, arrays = self.b, self.arrays
        self.gates, self.out = (arrays.size(self.k["w_hh"], d) for d in (0, 1))
        self.width = b.udiv(self.gates, I64(kind.gates))
        self.steps, self.batch = arrays.word(at.STEPS), arrays.word(at.BATCH)
        self.by_batch, self.reverse = (
            b.icmp_signed("!=", arrays.word(w), I64(0)) for w in (at.BY_BATCH, at.REVERSE)
        )
        self.packed = self.has("sizes")
        self.row_step = b.select(self.by_batch, self.steps, I64(1))  # from a sequence to the next
        self.projected = has_field(self.p, at.PROJECTION)
        self._share(part, parts)

    def _share(self, part: ir.Value, parts: ir.Value) -> None:
        """The sequences of this part; of those that shrink in number one part does all."""
        b = self.b
        cuts = b.udiv(self.batch, I64(MIN_SEQUENCES))
        cuts = b.select(b.icmp_signed("<", cuts, parts), cuts, parts)
        cuts = b.select(b.or_(self.packed, b.icmp_signed("<", cuts, I64(1))), I64(1), cuts)

        def edge(k: ir.Value) -> ir.Value:
            k = b.select(b.icmp_signed("<", k, cuts), k, cuts)
            return b.udiv(b.mul(self.batch, k), cuts)

        self.first, self.last = edge(part), edge(b.add(part, I64(1)))
        with b.if_then(b.icmp_signed(">=", self.first, self.last)):
            b.ret_void()

    # what there is --------------------------------------------------------------------------------

    def has(self, name: str) -> ir.Value:
        """Whether an array is there."""
        return self.arrays.present(self.k[name]) if name in self.k else ir.Constant(ir.IntType(1), 0)

    def pointer(self, name: str) -> ir.Value:
        """Element 0 of an array."""
        return self.arrays.pointer(self.k[name], self.dtype)

    def field(self, word: int) -> ir.Value:
        """Element 0 of a field of the store."""
        return self.one.pointer(field(self.p, self.k["store"], word), self.dtype)

    def row(self, pointer: ir.Value, number: ir.Value, width: ir.Value) -> ir.Value:
        """Where row `number` of a matrix begins."""
        return self.one.at(pointer, self.b.mul(number, width))

    def number(self, origin: ir.Value, sequence: ir.Value) -> ir.Value:
        """The row of a sequence at the step that begins at row `origin`."""
        return self.b.add(origin, self.b.mul(sequence, self.row_step))

    # steps ----------------------------------------------------------------------------------------

    def each_step(self):
        """Walk; yields a `Step` once, for the loop's body."""
        b, one = self.b, self.one
        start = one.variable(I64)  # packed: rows of the steps before
        total = b.udiv(self.arrays.numel(self.k["gates"]), self.gates)
        downwards = b.xor(self.reverse, ir.Constant(ir.IntType(1), int(self.back)))
        b.store(b.select(downwards, total, I64(0)), start)
        last = b.sub(self.steps, I64(1))
        with one.loop(I64(0), self.steps) as turn:
            s = b.sub(last, turn) if self.back else turn
            count = self._count(s)
            before = self._count_within(b.sub(s, I64(1)))
            after = self._count_within(b.add(s, I64(1)))
            begin = b.select(downwards, b.sub(b.load(start), count), b.load(start))
            origin = b.select(self.packed, begin, self._origin(s))
            packed_next = b.select(self.reverse, b.sub(begin, after), b.add(begin, count))
            following = b.select(self.packed, packed_next, self._origin(b.add(s, I64(1))))
            yield Step(s, count, before, after, origin, following)
            b.store(b.select(downwards, begin, b.add(begin, count)), start)

    def _time(self, s: ir.Value) -> ir.Value:
        return self.b.select(self.reverse, self.b.sub(self.b.sub(self.steps, I64(1)), s), s)

    def _origin(self, s: ir.Value) -> ir.Value:
        t = self._time(s)
        return self.b.select(self.by_batch, t, self.b.mul(t, self.batch))

    def _count(self, s: ir.Value) -> ir.Value:
        b = self.b
        cell = self.one.variable(I64)
        b.store(self.batch, cell)
        with b.if_then(self.packed):
            sizes = self.arrays.pointer(self.k["sizes"], abi.INT64)
            b.store(b.load(self.one.at(sizes, self._time(s))), cell)
        return b.load(cell)

    def _count_within(self, s: ir.Value) -> ir.Value:
        b = self.b
        cell = self.one.variable(I64)
        b.store(I64(0), cell)
        with b.if_then(b.icmp_unsigned("<", s, self.steps)):
            b.store(self._count(s), cell)
        return b.load(cell)

    def mine(self, count: ir.Value) -> ir.Value:
        """One past the part's last sequence of the first `count`."""
        return self.b.select(self.b.icmp_signed("<", self.last, count), self.last, count)

    def beyond(self, count: ir.Value) -> ir.Value:
        """The part's first sequence that is not among the first `count`."""
        return self.b.select(self.b.icmp_signed(">", self.first, count), self.first, count)

    # rows -----------------------------------------------------------------------------------------

    def product(self, sizes, a: Matrix, other: Matrix, c: Matrix, bias=None, flags=None) -> None:
        """A product that this part does alone."""
        self.p.multiply(sizes, (a, other, c), (I64(0), I64(1)), bias, flags)

    def matrix(self, pointer: ir.Value, columns: ir.Value, stride: ir.Value | None = None) -> Matrix:
        """Rows from a place on."""
        address = self.b.ptrtoint(pointer, I64)
        return Matrix(address, columns if stride is None else stride, I64(1))

    def each(self, size: ir.Value, pointers: dict[str, ir.Value], body, together: int = 1) -> None:
        """Call ``body(lane)`` along one row, for so many vectors at a time and then for one."""
        b, wide = self.b, self.wide
        begin: ir.Value = I64(0)
        masked = host().vector_bytes >= 32

        def turns(scope: Scope, count: int, stop: ir.Value, masks) -> None:
            nonlocal begin
            with scope.loop(begin, stop, count * scope.lanes) as i:
                body(Lane(scope, self.dtype, pointers, self.width, i, masks(i)))
            begin = i

        if together > 1:
            stop = b.sub(size, I64(together * wide.lanes - 1))
            turns(wide, together, stop, lambda i: [None] * together)
        if masked:
            turns(wide, 1, size, lambda i: [wide.tail_mask(b.sub(size, i))])
        else:
            turns(wide, 1, b.sub(size, I64(wide.lanes - 1)), lambda i: [None])
            turns(self.one, 1, size, lambda i: [None])

    def copy(self, size: ir.Value, source: ir.Value, target: ir.Value) -> None:
        """Copy numbers that lie straight."""
        self.each(size, {"from": source, "to": target}, lambda lane: lane.store("to", lane.load("from")))

    def copy_or_clear(
        self, name: str, sequence: ir.Value, width: ir.Value, target: ir.Value, strided: bool = False
    ) -> None:
        """Copy a sequence's row of an array; zeros when the array is absent."""
        b, one, k = self.b, self.one, self.k[name]
        with b.if_else(self.has(name)) as (there, absent):
            with there:
                if strided:
                    dims = self.arrays.dims(k)
                    steps = [self.arrays.stride(k, b.sub(dims, I64(back))) for back in (2, 1)]
                    source = one.at(self.pointer(name), b.mul(sequence, steps[0]))
                    with one.loop(I64(0), width) as i:
                        value = one.load(one.at(source, b.mul(i, steps[1])), self.dtype)
                        one.store(value, one.at(target, i))
                else:
                    self.copy(width, self.row(self.pointer(name), sequence, width), target)
            with absent:
                zero = {"to": target}
                self.each(width, zero, lambda lane: lane.store("to", lane.zeros()))
