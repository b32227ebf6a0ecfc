"""Recurrent layers: the walk along the sequences, forwards and back; see `kernels.recurrent_layout`.

Each step multiplies the state of all sequences by the hidden weights and goes through the gates vector by vector.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, gemm, recurrent_vjps
from . import recurrent_layout as at
from .host import host
from .recurrent_cells import STEPS, STEPS_BACK, Lane
from .recurrent_input import pitch
from .recurrent_layout import Kind
from .recurrent_walk import Step, Walk, names_of
from .stage import I64
from .table import array_op

TOGETHER = 2  # vectors of each gate, where there are registers for them


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


def _declare(kind: Kind) -> None:
    operands, outputs = names_of(kind)
    array_op(
        kind.op,
        operands,
        lambda symbol, dtype: Forward(symbol, dtype, kind, back=False).write(),
        backward=lambda symbol, dtype: Back(symbol, dtype, kind, back=True).write(),
        # the formulas read all, the kernel only some
        gradients={n: operands for n in ("gates", "h0", "c0") if n in operands},
        vjp=recurrent_vjps.of_kind(kind, operands),
        operand_dtypes={"sizes": abi.INT64},
        outputs=len(outputs),
        requires=(gemm.provide,),
        changes=("gates", "store"),
    )


for _kind in (at.LSTM, at.GRU, at.RNN_TANH, at.RNN_RELU):
    _declare(_kind)
