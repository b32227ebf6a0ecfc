"""Elementwise loops around a formula, for every layout of the operands."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from llvmlite import ir

from . import abi
from .host import host
from .nest import GROUP, SHARE_GRAIN, Nest, compute_lanes, instructions, share, spread, whole_first_by_length
from .stage import ELEMENT, I64, Scope, Vec, new_kernel, new_module
from .subnormal import flushed
from .turned import Turned

Formula = Callable[..., Any]
# instructions up to which a formula is written once more for a single element: those of tanh and sigmoid are among
# them; longer ones take their time anyway, and would take longer to compile
SHORT_FORMULA = 36


def build_map(
    name: str, formula: Formula, inputs: list[int], outputs: list[int], attributes: int = 0
) -> ir.Module:
    """A kernel that applies `formula` at every point of a nest.

    Parameters
    ----------
    name : str
        Symbol of the kernel.
    formula : callable
        ``formula(*inputs, *attributes)`` returns the output, or a tuple of outputs.
    inputs, outputs : list of int
        Dtype codes of the streams; in the record the outputs come first.
    attributes : int
        Number of float64 attributes passed to the formula after the inputs.
    """
    module = new_module(name)
    b, record, part, parts = new_kernel(module, name)
    nest = Nest(b, record, [*outputs, *inputs])
    scalars = [nest.attribute(k) for k in range(attributes)]
    body = _Body(nest, formula, len(outputs), scalars, compute_lanes([*inputs, *outputs]))
    _emit(nest, body, part, parts)
    b.ret_void()
    return module


def _emit(nest: Nest, body: _Body, part: ir.Value, parts: ir.Value) -> None:
    """Write all forms of the loop: one flat run, or rows of a nest."""
    b = nest.b
    one_run = b.icmp_signed("==", nest.dims, I64(1))
    contiguous = b.icmp_signed("==", nest.layout, I64(abi.NEST_CONTIGUOUS))
    with b.if_else(b.and_(contiguous, one_run)) as (flat, nested):
        with flat:
            _flat(nest, body, part, parts)
        with nested:
            _rows(nest, body, part, parts)


def _flat(nest: Nest, body: _Body, part: ir.Value, parts: ir.Value) -> None:
    """One run; a single element apart from vectors, where the formula is short enough to be written again.

    Programs of numbers are chains of such rows. A load waits long for a masked store that has just been made at
    its place, while a scalar one is handed the value.
    """
    b = nest.b
    head, many = b.block, b.append_basic_block("many")
    single, after = b.append_basic_block("single"), b.append_basic_block("after")
    b.position_at_end(many)
    begin, end = share(nest.scope, nest.numel, part, parts, SHARE_GRAIN)
    body.contiguous(begin, end)
    short = body.length <= SHORT_FORMULA
    b.branch(after)
    b.position_at_end(single)
    if short:
        body.single()
    b.branch(after)
    b.position_at_end(head)
    one = b.and_(b.icmp_signed("==", nest.numel, I64(1)), b.icmp_signed("==", parts, I64(1)))
    b.cbranch(one if short else ir.Constant(one.type, 0), single, many)
    b.position_at_end(after)


def _rows(nest: Nest, body: _Body, part: ir.Value, parts: ir.Value) -> None:
    """Rows of a nest; of a copy, squares of a matrix that lies transposed in memory."""
    if body.moved is None or not host().turns(abi.ITEM_SIZES[nest.dtypes[0]]):
        return _each_row(nest, body, part, parts)
    turned = Turned(nest, body.moved)
    with nest.b.if_else(turned.applies) as (squares, rows):
        with squares:
            turned.write(part, parts)
        with rows:
            _each_row(nest, body, part, parts)


def _each_row(nest: Nest, body: _Body, part: ir.Value, parts: ir.Value) -> None:
    b = nest.b
    inner = b.sub(nest.dims, I64(1))
    rows = nest.extent(I64(0), inner)
    begin, end = share(nest.scope, rows, part, parts, 1)
    size = nest.size(inner)
    strides = [nest.stride(s, inner) for s in range(len(nest.dtypes))]
    unit = b.icmp_signed("<=", nest.layout, I64(abi.NEST_BROADCAST))
    with nest.walk(I64(0), inner, begin, end) as offsets, b.if_else(unit) as (near, far):
        with near:
            body.broadcast(size, offsets, strides)
        with far:
            body.strided(size, offsets, strides)


def _apply(
    scope: Scope, formula: Formula, loads: list[Vec], scalars: list[Vec], dtypes: list[int]
) -> list[Vec]:
    # attributes are scalars of the function's entry; a formula meets them with this loop's lanes
    result = formula(*loads, *scalars)
    results = result if isinstance(result, tuple) else (result,)
    wide = []
    for r, dtype in zip(results, dtypes, strict=False):
        r = r if isinstance(r, Vec) else scope.constant(dtype, r)
        r = r.to(dtype)
        wide.append(scope.splat(r.value, r.dtype) if r.scope.lanes != scope.lanes else r)
    return wide


def flat_body(
    b: ir.IRBuilder,
    bases: list[ir.Value],
    dtypes: list[int],
    formula: Formula,
    outputs: int,
    lanes: int,
    begin: ir.Value,
    end: ir.Value,
    scalars: list[Vec] | None = None,
    over: Callable = spread,
) -> None:
    """Write the loop over elements ``begin .. end`` of contiguous streams, the outputs first.

    `over` is how the elements are visited: `spread`, `whole_first` or `whole_first_by_length`.
    """

    def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        places = [scope.at(p, i) for p in bases]
        loads = [scope.load(p, d, mask) for p, d in zip(places[outputs:], dtypes[outputs:], strict=True)]
        for r, p in zip(_apply(scope, formula, loads, scalars or [], dtypes), places, strict=False):
            scope.store(r, p, mask)

    over(b, lanes, begin, end, body)


class _Body:
    """The innermost loop of a map, in its three forms."""

    def __init__(self, nest: Nest, formula: Formula, outputs: int, scalars: list[Vec], lanes: int) -> None:
        self.nest, self.formula, self.outputs = nest, formula, outputs
        self.scalars, self.lanes = scalars, lanes
        # once the formula has been written: its instructions, and the stream that it hands on as it is
        self.length, self.moved = 0, None

    def _apply(self, scope: Scope, loads: list[Vec]) -> list[Vec]:
        return _apply(scope, self.formula, loads, self.scalars, self.nest.dtypes)

    def _measured(self, *values: Vec) -> Any:
        before = instructions(self.nest.b)
        result = self.formula(*values)
        self.length = instructions(self.nest.b) - before
        self.moved = self._handed_on(values, result)
        return result

    def _handed_on(self, values: tuple[Vec, ...], result: Any) -> int | None:
        """The stream that is the only result, in its dtype, or None."""
        if self.outputs > 1 or not isinstance(result, Vec) or result.dtype != self.nest.dtypes[0]:
            return None
        return next((self.outputs + k for k, x in enumerate(values) if x.value is result.value), None)

    def _streams(self, offsets: list[ir.Value]) -> list[ir.Value]:
        n = self.nest
        return [n.scope.at(p, o) for p, o in zip(n.pointers, offsets, strict=True)]

    def contiguous(self, begin: ir.Value, end: ir.Value) -> None:
        nest = self.nest
        flat_body(
            nest.b,
            nest.pointers,
            nest.dtypes,
            self._measured,
            self.outputs,
            self.lanes,
            begin,
            end,
            self.scalars,
            whole_first_by_length,
        )

    def single(self) -> None:
        """One element of each stream."""
        scope, dtypes = Scope(self.nest.b, 1), self.nest.dtypes
        pointers = self.nest.pointers
        loads = [
            scope.load(p, d) for p, d in zip(pointers[self.outputs :], dtypes[self.outputs :], strict=True)
        ]
        for r, p in zip(self._apply(scope, loads), pointers, strict=False):
            scope.store(r, p)

    def broadcast(self, size: ir.Value, offsets: list[ir.Value], strides: list[ir.Value]) -> None:
        """Input strides are 0 or 1: what does not move is read from a row of its repetitions."""
        b, dtypes = self.nest.b, self.nest.dtypes
        bases = self._streams(offsets)
        steps = [I64(1)] * len(bases)
        for s in range(self.outputs, len(bases)):
            still = b.and_(b.icmp_signed("==", strides[s], I64(0)), b.icmp_signed(">", size, I64(0)))
            bases[s], steps[s] = self._repeated(bases[s], still, dtypes[s])

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            places = [scope.at(p, b.mul(i, step)) for p, step in zip(bases, steps, strict=True)]
            loads = [scope.load(places[s], dtypes[s], mask) for s in range(self.outputs, len(bases))]
            for r, p in zip(self._apply(scope, loads), places, strict=False):
                scope.store(r, p, mask)

        whole_first_by_length(b, self.lanes, I64(0), size, body)

    def _repeated(self, base: ir.Value, still: ir.Value, dtype: int) -> tuple[ir.Value, ir.Value]:
        """Where a stream is read that stands `still` or does not, and by how much that moves an element."""
        b, wide = self.nest.b, Scope(self.nest.b, GROUP * self.lanes)
        first = wide.cells(ELEMENT[dtype], wide.lanes)
        with b.if_then(still):
            one = wide.scalar.load(base, dtype)
            wide.store(wide.splat(one.value, one.dtype), first)
        return b.select(still, first, base), b.select(still, I64(0), I64(1))

    def strided(self, size: ir.Value, offsets: list[ir.Value], strides: list[ir.Value]) -> None:
        bases, dtypes, b = self._streams(offsets), self.nest.dtypes, self.nest.b

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            places = [scope.at(p, b.mul(i, s)) for p, s in zip(bases, strides, strict=True)]
            mask = mask if mask is not None else ir.Constant(scope.type(-1), 1)
            loads = [
                scope.gather(places[s], strides[s], dtypes[s], mask) for s in range(self.outputs, len(bases))
            ]
            for s, r in enumerate(self._apply(scope, loads)):
                scope.scatter(r, places[s], strides[s], mask)

        # without gather instructions a vector of scattered elements is slower than one at a time
        lanes = self.lanes if host().vector_bytes == 64 else 1
        spread(b, lanes, I64(0), size, body)


def build_update(name: str, rule: Any, dtype: int) -> ir.Module:
    """The kernel of an optimizer's rule: parameter and states are read and overwritten in one pass.

    Streams are the new parameter and states, then parameter, gradient and states. Attributes 0 and 1 are the
    addresses of the group's hyper-parameters and of the parameter's step count, both float64: they are read
    when the kernel runs, so a replayed program sees the values of that moment.
    """
    module = new_module(name)
    b, record, part, parts = new_kernel(module, name)
    states = len(rule.state)
    nest = Nest(b, record, [dtype] * (1 + states + 2 + states))

    def number(address: ir.Value, index: int) -> Vec:
        pointer = nest.scope.pointer(address, abi.FLOAT64)
        return nest.scope.load(nest.scope.at(pointer, index), abi.FLOAT64)

    hyper = nest.attribute_word(0)
    h = SimpleNamespace(**{n: number(hyper, k) for k, n in enumerate(rule.hyper)})
    with flushed(b):
        each = rule.rule(h, number(nest.attribute_word(1), 0))
        lanes = compute_lanes([dtype])
        _emit(nest, _Body(nest, each, 1 + states, [], lanes), part, parts)
    b.ret_void()
    return module
