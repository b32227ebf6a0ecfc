"""The walk of a recurrent layer along its sequence, forwards and back; see `kernels.recurrent_layout`.

Each step multiplies the state of all sequences by the hidden weights and goes through the gates vector by
vector. Sequences go their own ways, so threads share them out. They may differ in length: then they are sorted,
the longest first, and ``sizes`` tells how many are still there at each step.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from . import abi, gemm
from . import recurrent_layout as at
from .host import host
from .operands import array_kernel
from .products import Matrix, Products
from .recurrent_cells import STEPS, STEPS_BACK, Lane
from .recurrent_input import field, has_field, pitch
from .recurrent_layout import Kind
from .stage import I64, Scope
from .table import array_op

# sequences that a thread takes at least: products of very few rows are summed in another order
MIN_SEQUENCES = 8
TOGETHER = 2  # vectors of each gate, where there are registers for them


class Step(NamedTuple):
    """One step of the walk: which rows it has, and how many sequences its neighbours have."""

    number: ir.Value  # in the order of the layer, whose first step is 0
    count: ir.Value  # sequences at this step: those before it,
    before: ir.Value  # at the one that the layer does before it: 0 at the first,
    after: ir.Value  # and after it: 0 at the last
    origin: ir.Value  # row of its first sequence
    next_origin: ir.Value


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


# forward --------------------------------------------------------------------------------------------


class Forward(Walk):
    """Writes the walk along the sequence."""

    def write(self) -> ir.Module:
        """The whole kernel."""
        for step in self.each_step():
            stop = self.mine(step.count)
            self._enter(step, stop)
            self._multiply(step, stop)
            with self.one.loop(self.first, stop) as sequence:
                self._row(step, sequence)
            if self.kind.has_cell:
                with self.b.if_then(self.projected):
                    self._project(step, stop)
        self.b.ret_void()
        return self.module

    def _enter(self, step: Step, stop: ir.Value) -> None:
        """Sequences that begin at this step bring their first state."""
        with self.one.loop(self.beyond(step.before), stop) as sequence:
            number = self.number(step.origin, sequence)
            self.copy_or_clear("h0", sequence, self.out, self.row(self.field(at.HIDDEN), number, self.out))
            if self.kind.has_cell:
                target = self.row(self.field(at.CELL), number, self.width)
                self.copy_or_clear("c0", sequence, self.width, target)

    def _multiply(self, step: Step, stop: ir.Value) -> None:
        """Add ``hidden @ weights.T + bias`` to the products with the input; a GRU keeps the last third apart."""
        b = self.b
        first = self.number(step.origin, self.first)
        nothing = b.and_(b.icmp_signed("==", step.number, I64(0)), b.not_(self.has("h0")))
        depth = b.select(nothing, I64(0), self.out)
        rows = b.sub(stop, self.first)
        hidden = self.matrix(
            self.row(self.field(at.HIDDEN), first, self.out), self.out, b.mul(self.row_step, self.out)
        )
        gates = self.matrix(
            self.row(self.pointer("gates"), first, self.gates), self.gates, b.mul(self.row_step, self.gates)
        )
        weights = self.matrix(self.field(at.WEIGHTS), pitch(b, self.gates))
        bias = self.arrays.address(self.k["b_hh"])
        add = I64(abi.FLAG_ACCUMULATE)
        if not self.kind.apart:
            self.product((rows, self.gates, depth), hidden, weights, gates, bias, add)
            return
        whole = b.sub(self.gates, self.width)
        self.product((rows, whole, depth), hidden, weights, gates, bias, add)
        inner = self.matrix(
            self.row(self.field(at.CELL), first, self.width), self.width, b.mul(self.row_step, self.width)
        )
        there = b.icmp_signed("!=", bias, I64(0))
        last_bias = b.select(there, b.add(bias, b.mul(whole, I64(self.p.item))), I64(0))
        last = self.p.moved(weights, whole)
        self.product((rows, self.width, depth), hidden, last, inner, last_bias)

    def _row(self, step: Step, sequence: ir.Value) -> None:
        """The gates of one sequence."""
        b = self.b
        number = self.number(step.origin, sequence)
        following = self.number(step.next_origin, sequence)
        stays = b.icmp_signed("<", sequence, step.after)

        def onwards(word: int, end: str, width: ir.Value) -> ir.Value:
            there = self.row(self.field(word), following, width)
            return b.select(stays, there, self.row(self.pointer(end), sequence, width))

        rows = {
            "gates": self.row(self.pointer("gates"), number, self.gates),
            "y": self.row(self.pointer("y"), number, self.out),
            "hidden": self.row(self.field(at.HIDDEN), number, self.out),
            "next_hidden": onwards(at.HIDDEN, "h_n", self.out),
        }
        for word, name in ((at.CELL, "cell"), (at.TANH, "tanh")):
            if word in self.kind.fields:
                rows[name] = self.row(self.field(word), number, self.width)
        if self.kind.has_cell:
            rows["next_cell"] = onwards(at.CELL, "c_n", self.width)
            # with a projection the state is made later
            made = self.row(self.field(at.MADE), number, self.width)
            for name in ("y", "next_hidden"):
                rows[name] = b.select(self.projected, made, rows[name])
        formula = STEPS[self.kind.op]

        def body(lane: Lane) -> None:
            h = formula(lane)
            lane.store("y", h)
            lane.store("next_hidden", h)

        self.each(self.width, rows, body, TOGETHER if host().vector_registers == 32 else 1)

    def _project(self, step: Step, stop: ir.Value) -> None:
        """``h = made @ projection.T``."""
        b = self.b
        first = self.number(step.origin, self.first)
        made = self.row(self.field(at.MADE), first, self.width)
        y = self.row(self.pointer("y"), first, self.out)
        self.product(
            (b.sub(stop, self.first), self.out, self.width),
            self.matrix(made, self.width, b.mul(self.row_step, self.width)),
            self.matrix(self.field(at.PROJECTION), pitch(b, self.out)),
            self.matrix(y, self.out, b.mul(self.row_step, self.out)),
        )
        with self.one.loop(self.first, stop) as sequence:
            source = self.row(self.pointer("y"), self.number(step.origin, sequence), self.out)
            following = self.number(step.next_origin, sequence)
            target = b.select(
                b.icmp_signed("<", sequence, step.after),
                self.row(self.field(at.HIDDEN), following, self.out),
                self.row(self.pointer("h_n"), sequence, self.out),
            )
            self.copy(self.out, source, target)


# back -----------------------------------------------------------------------------------------------


class Back(Walk):
    """Writes the walk back."""

    def write(self) -> ir.Module:
        """The whole kernel."""
        b = self.b
        for step in self.each_step():
            stop = self.mine(step.count)
            self._leave(step, stop)
            with b.if_then(self.has("d_y")):
                self._add_cotangent(step, stop)
            if self.kind.has_cell:
                with b.if_then(self.projected):
                    self._through_projection(step, stop)
            with self.one.loop(self.first, stop) as sequence:
                self._row(step, sequence)
            self._multiply(step, stop)
            self._enter(step, stop)
        b.ret_void()
        return self.module

    def state(self, word: int, sequence: ir.Value, width: ir.Value) -> ir.Value:
        """A sequence's row of what is carried from step to step."""
        return self.row(self.field(word), sequence, width)

    def _leave(self, step: Step, stop: ir.Value) -> None:
        """Sequences that ended at this step bring the cotangent of their last state."""
        with self.one.loop(self.beyond(step.after), stop) as sequence:
            target = self.state(at.STEP_HIDDEN, sequence, self.out)
            self.copy_or_clear("d_h_n", sequence, self.out, target, True)
            if self.kind.has_cell:
                target = self.state(at.STEP_CELL, sequence, self.width)
                self.copy_or_clear("d_c_n", sequence, self.width, target, True)

    def _add_cotangent(self, step: Step, stop: ir.Value) -> None:
        """Add the cotangent of this step's outputs, which may have any strides."""
        b, one, k = self.b, self.one, self.k["d_y"]
        dims = self.arrays.dims(k)
        along = self.arrays.stride(k, b.sub(dims, I64(1)))
        # dimensions: rows when packed, else steps and sequences in the order of the layer
        outer, inner = (self.arrays.stride(k, b.sub(dims, I64(back))) for back in (3, 2))
        for_sequence = b.select(b.or_(self.packed, b.not_(self.by_batch)), inner, outer)
        for_step = b.select(self.packed, I64(0), b.select(self.by_batch, inner, outer))
        base = b.mul(self._time(step.number), for_step)
        base = b.add(base, b.select(self.packed, b.mul(step.origin, inner), I64(0)))
        straight = b.icmp_signed("==", along, I64(1))
        with one.loop(self.first, stop) as sequence:
            source = one.at(self.pointer("d_y"), b.add(base, b.mul(sequence, for_sequence)))
            target = self.state(at.STEP_HIDDEN, sequence, self.out)
            with b.if_else(straight) as (near, far):
                with near:
                    rows = {"from": source, "to": target}
                    self.each(
                        self.out, rows, lambda lane: lane.store("to", lane.load("to") + lane.load("from"))
                    )
                with far, one.loop(I64(0), self.out) as i:
                    place = one.at(target, i)
                    value = one.load(one.at(source, b.mul(i, along)), self.dtype)
                    one.store(one.load(place, self.dtype) + value, place)

    def _through_projection(self, step: Step, stop: ir.Value) -> None:
        """Keep the cotangent of the outputs, and multiply it by the projection."""
        with self.one.loop(self.first, stop) as sequence:
            number = self.number(step.origin, sequence)
            target = self.row(self.field(at.OUT_COTANGENT), number, self.out)
            self.copy(self.out, self.state(at.STEP_HIDDEN, sequence, self.out), target)
        weights = self.matrix(self.pointer("w_hr"), self.width)
        source = self.matrix(self.state(at.STEP_HIDDEN, self.first, self.out), self.out)
        target = self.matrix(self.state(at.STEP_MADE, self.first, self.width), self.width)
        sizes = (self.b.sub(stop, self.first), self.width, self.out)
        self.product(sizes, source, weights, target)

    def _gate_rows(self, step: Step) -> tuple[ir.Value, ir.Value]:
        """Where the cotangent of the gates of sequence 0 goes, and the distance to the next sequence's."""
        b = self.b
        wanted = self.has("d_gates")
        base = self.row(self.pointer("d_gates"), step.origin, self.gates)
        stride = b.select(wanted, b.mul(self.row_step, self.gates), self.gates)
        return b.select(wanted, base, self.field(at.STEP_GATES)), stride

    def _row(self, step: Step, sequence: ir.Value) -> None:
        """The gates of one sequence."""
        b = self.b
        number = self.number(step.origin, sequence)
        base, stride = self._gate_rows(step)
        hidden = self.state(at.STEP_HIDDEN, sequence, self.out)
        rows = {
            "gates": self.row(self.pointer("gates"), number, self.gates),
            "hidden": self.row(self.field(at.HIDDEN), number, self.out),
            "d_gates": self.one.at(base, b.mul(sequence, stride)),
            "step_hidden": hidden,
            "dh": hidden,
        }
        for word, name in ((at.CELL, "cell"), (at.TANH, "tanh")):
            if word in self.kind.fields:
                rows[name] = self.row(self.field(word), number, self.width)
        if self.kind.has_cell:
            rows["step_cell"] = self.state(at.STEP_CELL, sequence, self.width)
            made = self.state(at.STEP_MADE, sequence, self.width)
            rows["dh"] = b.select(self.projected, made, hidden)
        if self.kind.apart:
            rows["d_hidden"] = self.row(self.field(at.HIDDEN_COTANGENT), number, self.gates)
        formula = STEPS_BACK[self.kind.op]
        self.each(self.width, rows, lambda lane: formula(lane, lane.load("dh")))

    def _multiply(self, step: Step, stop: ir.Value) -> None:
        """The cotangent of the state before: ``d_gates @ weights``, unless nobody wants that."""
        b = self.b
        if self.kind.apart:
            number = self.number(step.origin, self.first)
            source = self.row(self.field(at.HIDDEN_COTANGENT), number, self.gates)
            stride = b.mul(self.row_step, self.gates)
            flags = I64(abi.FLAG_ACCUMULATE)
        else:
            base, stride = self._gate_rows(step)
            source, flags = self.one.at(base, b.mul(self.first, stride)), I64(0)
        wanted = b.or_(b.icmp_signed("!=", step.number, I64(0)), self.has("d_h0"))
        with b.if_then(wanted):
            self.product(
                (b.sub(stop, self.first), self.out, self.gates),
                self.matrix(source, self.gates, stride),
                self.matrix(self.pointer("w_hh"), self.out),
                self.matrix(self.state(at.STEP_HIDDEN, self.first, self.out), self.out),
                flags=flags,
            )

    def _enter(self, step: Step, stop: ir.Value) -> None:
        """Sequences that began at this step are done: their first state's cotangent is complete."""
        pairs = [("d_h0", at.STEP_HIDDEN, self.out)]
        if self.kind.has_cell:
            pairs.append(("d_c0", at.STEP_CELL, self.width))
        for name, word, width in pairs:
            with (
                self.b.if_then(self.has(name)),
                self.one.loop(self.beyond(step.before), stop) as sequence,
            ):
                source = self.state(word, sequence, width)
                self.copy(width, source, self.row(self.pointer(name), sequence, width))


# declarations ---------------------------------------------------------------------------------------


def names_of(kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Operands and outputs of a layer's walk."""
    if kind.has_cell:
        return ("gates", "store", "h0", "w_hh", "b_hh", "sizes", "c0", "w_hr"), ("y", "h_n", "c_n")
    return ("gates", "store", "h0", "w_hh", "b_hh", "sizes"), ("y", "h_n")


def _declare(kind: Kind) -> None:
    operands, outputs = names_of(kind)
    read = tuple(n for n in ("gates", "store", "w_hh", "w_hr", "sizes") if n in operands)
    array_op(
        kind.op,
        operands,
        lambda symbol, dtype: Forward(symbol, dtype, kind, back=False).write(),
        backward=lambda symbol, dtype: Back(symbol, dtype, kind, back=True).write(),
        gradients={n: read for n in ("gates", "h0", "c0") if n in operands},
        operand_dtypes={"sizes": abi.INT64},
        outputs=len(outputs),
        requires=(gemm.provide,),
    )


for _kind in (at.LSTM, at.GRU, at.RNN_TANH, at.RNN_RELU):
    _declare(_kind)
