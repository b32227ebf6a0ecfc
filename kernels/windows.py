"""Windows that slide over planes: the geometry of pooling, and how vectors are read from rows.

A pooled array has up to two leading dimensions (images, channels), whose product is a number of *planes*, and up
to three spatial dimensions. Missing spatial dimensions have size 1 and a window of 1, so every kernel is written
for three. The walks over outputs and inputs are in `kernels.window_walks`.

Lanes of a vector are neighbours along the last dimension. They are read by vector loads where windows step by one
or two, and gathered otherwise.

Attribute words: the number of spatial dimensions, then kernel, stride, padding and dilation of each of three axes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from . import abi
from .host import host
from .nest import share
from .operands import Arrays
from .stage import I1, I32, I64, Scope, Vec

AXES = 3
AXIS_WORDS = 4  # kernel, stride, padding, dilation
FIRST_AXIS_WORD = 1

STEP_ONE, STEP_TWO, SCATTERED = range(3)  # how far apart the elements of neighbouring lanes lie


def _exact(v: Vec) -> Vec:
    """Lanes as float64, which divides at full width and exactly enough; a scalar as it is."""
    return v if v.scope.lanes == 1 else v.to(abi.FLOAT64)


def _quotient(a: Vec, b: Vec) -> Vec:
    """``a // b`` for ``a >= 0`` as it comes from `_exact`.

    A quotient of integers below 2**53 that is no integer differs from the next one by more than its rounding.
    """
    return (a / b).to(abi.INT32) if a.is_float else a / b


def at_least(a: Vec, b: Vec | int) -> Vec:
    """The larger of two integers."""
    return (a < b).select(b if isinstance(b, Vec) else a.like(b), a)


def at_most(a: Vec, b: Vec | int) -> Vec:
    """The smaller of two integers."""
    return (a > b).select(b if isinstance(b, Vec) else a.like(b), a)


@dataclass
class Axis:
    """One spatial dimension: its sizes, and where its windows lie.

    Attributes
    ----------
    size, outputs : Vec
        Elements of the input and of the output, scalars.
    kernel, stride, padding, dilation : Vec
        Of the windows, scalars; an adaptive axis looks at none but the dilation, which is 1.
    adaptive : bool
        Whether the windows divide the input evenly among the outputs, overlapping where they must.
    """

    size: Vec
    outputs: Vec
    kernel: Vec
    stride: Vec
    padding: Vec
    dilation: Vec
    adaptive: bool

    def window(self, o: Vec) -> tuple[Vec, Vec]:
        """Position of the first element of a window, and how many it has, elements outside counted."""
        if not self.adaptive:
            return o * self.stride - self.padding, self.kernel
        wide = _exact(o)
        start = _quotient(wide * self.size, self.outputs)
        return start, _quotient((wide + wide.like(1)) * self.size + (self.outputs - 1), self.outputs) - start

    def most(self) -> Vec:
        """A bound on the number of elements of any window."""
        if not self.adaptive:
            return self.kernel
        return (self.size + self.outputs - 1) / at_least(self.outputs, 1) + 1

    def last_holder(self, i: Vec) -> Vec:
        """The last output whose window may hold position `i`; beyond the outputs where there is none."""
        wide = _exact(i)
        if not self.adaptive:
            return _quotient(wide + self.padding, self.stride)
        return _quotient((wide + wide.like(1)) * self.outputs + (self.size - 1), self.size) - 1

    def holders(self, i: Vec) -> tuple[Vec, Vec]:
        """First, and last plus one, of the outputs whose windows may hold position `i`, a scalar."""
        stop = at_most(self.last_holder(i) + 1, self.outputs)
        if self.adaptive:
            return i * self.outputs / self.size, stop
        reach = at_least(i + self.padding - (self.kernel - 1) * self.dilation, 0)
        return (reach + self.stride - 1) / self.stride, stop

    def span(self) -> Vec:
        """A bound on the number of outputs whose windows hold one position."""
        if self.adaptive:
            return (self.outputs + self.size - 1) / at_least(self.size, 1) + 1
        return (self.kernel - 1) * self.dilation / self.stride + 1


class Pool:
    """The geometry of one call: input `x`, and the array `y` of the output's shape.

    Attributes
    ----------
    axes : list of Axis
        Depth, height and width.
    planes : ir.Value
        Images times channels.
    """

    def __init__(self, arrays: Arrays, x: int, y: int, adaptive: bool) -> None:
        self.arrays, self.b, self.one = arrays, arrays.b, arrays.scope
        b = self.b
        spatial = arrays.word(0)
        self._lead = b.sub(arrays.dims(x), spatial)
        self._deep = b.icmp_signed(">", self._lead, I64(1))
        self.channels = arrays.size(x, b.sub(self._lead, I64(1)))
        images = b.select(self._deep, arrays.size(x, 0), I64(1))
        self.planes = b.mul(images, self.channels)
        self._spatial = spatial
        self.axes = [self._axis(a, x, y, adaptive) for a in range(AXES)]

    def _scalar(self, value: ir.Value) -> Vec:
        return Vec(self.one, value, abi.INT64)

    def _dim(self, a: int) -> tuple[ir.Value, ir.Value]:
        """Whether the arrays have axis `a`, and its dimension (0 when they have not)."""
        b = self.b
        there = b.icmp_signed(">=", self._spatial, I64(AXES - a))
        return there, b.select(there, b.add(self._lead, b.add(self._spatial, I64(a - AXES))), I64(0))

    def _axis(self, a: int, x: int, y: int, adaptive: bool) -> Axis:
        b, arrays = self.b, self.arrays
        there, dim = self._dim(a)
        sizes = [self._scalar(b.select(there, arrays.size(k, dim), I64(1))) for k in (x, y)]
        at = FIRST_AXIS_WORD + a * AXIS_WORDS
        kernel, stride, padding, dilation = (self._scalar(arrays.word(at + w)) for w in range(AXIS_WORDS))
        if adaptive:
            dilation = self.one.constant(abi.INT64, 1)
        return Axis(*sizes, kernel, stride, padding, dilation, adaptive)

    def stride(self, k: int, a: int) -> Vec:
        """Stride of array `k` along axis `a`."""
        there, dim = self._dim(a)
        return self._scalar(self.b.select(there, self.arrays.stride(k, dim), I64(0)))

    def plane(self, k: int, plane: ir.Value, dtype: int) -> ir.Value:
        """Pointer to the first element of a plane of array `k`."""
        b, arrays = self.b, self.arrays
        image, channel = b.udiv(plane, self.channels), b.urem(plane, self.channels)
        offset = b.mul(channel, arrays.stride(k, b.sub(self._lead, I64(1))))
        far = b.select(self._deep, arrays.stride(k, 0), I64(0))
        return self.one.at(arrays.pointer(k, dtype), b.add(offset, b.mul(image, far)))

    def mine(self, part: ir.Value, parts: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The planes that a part works on."""
        return share(self.one, self.planes, part, parts, 1)

    def row(self, plane: ir.Value, z: Vec, y: Vec, result: bool) -> Vec:
        """Number of the first element of a row in a contiguous array of the output's or the input's shape."""
        d, h, w = (axis.outputs if result else axis.size for axis in self.axes)
        return ((self._scalar(plane) * d + z) * h + y) * w


# rows read by lanes ---------------------------------------------------------------------------------------


class Row:
    """A row of an array as lanes read it; `stride` is that of its elements, 1 unless they are SCATTERED."""

    def __init__(self, pointer: ir.Value, dtype: int, size: Vec, stride: Vec) -> None:
        self.pointer, self.dtype, self.size, self.stride = pointer, dtype, size, stride


def inside(i: Vec, size: Vec) -> Vec:
    """Whether a position is one of `size`."""
    return (i >= 0) & (i < size)


def pick(scope: Scope, a: Vec, b: Vec, lanes: list[int]) -> Vec:
    """Lanes of two vectors laid end to end."""
    indices = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
    return Vec(scope, scope.b.shuffle_vector(a.value, b.value, indices), a.dtype)


def load_columns(scope: Scope, row: Row, first: Vec) -> Vec:
    """The elements from number `first` on; those outside the row read as zero."""
    mask = inside(first + scope.iota(abi.INT32), row.size)
    return scope.load(scope.at(row.pointer, first.value), row.dtype, mask.value)


def read_spread(scope: Scope, row: Row, first: Vec, column: Vec, valid: Vec, form: int) -> Vec:
    """One element a lane, of a window that moves on with the lanes: lane 0 reads `first`, each lane `column`."""
    if form == STEP_ONE:
        return scope.load(scope.at(row.pointer, first.value), row.dtype, valid.value)
    if form == STEP_TWO:
        low, high = load_columns(scope, row, first), load_columns(scope, row, first + scope.lanes)
        return pick(scope, low, high, list(range(0, 2 * scope.lanes, 2)))
    return gather(scope, row, column, valid)


def read_shared(scope: Scope, row: Row, first: Vec, column: Vec, valid: Vec, form: int) -> Vec:
    """One element a lane, of outputs that neighbours share: lane 0 reads `first`, each lane `column`."""
    if form == STEP_ONE:
        return scope.load(scope.at(row.pointer, first.value), row.dtype, valid.value)
    if form == STEP_TWO:
        half = load_columns(Scope(scope.b, scope.lanes // 2), row, first)
        return pick(scope, half, half, [lane // 2 for lane in range(scope.lanes)])
    return gather(scope, row, column, valid)


def gather(scope: Scope, row: Row, column: Vec, valid: Vec) -> Vec:
    """Elements wherever they lie; lanes that are not valid read as zero."""
    offset = column.to(abi.INT64) * row.stride
    return scope.gather_at(row.pointer, offset, row.dtype, valid.value)


def forms(dtype: int, lasts: list[Vec], stride: Vec | None, write: Callable[[Scope, int], None]) -> None:
    """Call ``write(scope, form)`` for each form that rows may be read in, within the test that chooses it.

    Parameters
    ----------
    lasts : list of Vec
        Strides along the last dimension of the arrays that are read.
    stride : Vec or None
        That of the windows; None when it is not the same everywhere.
    """
    one = lasts[0].scope
    b = one.b
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    scattered = Scope(b, lanes if host().vector_bytes == 64 else 1)
    if stride is None or lanes < 4:
        write(scattered, SCATTERED)
        return
    near: ir.Value = I1(1)
    for last in lasts:
        near = b.and_(near, (last == 1).value)
    with b.if_else(b.and_(near, (stride == 1).value)) as (step_one, more):
        with step_one:
            write(Scope(b, lanes), STEP_ONE)
        with more, b.if_else(b.and_(near, (stride == 2).value)) as (step_two, other):
            with step_two:
                write(Scope(b, lanes), STEP_TWO)
            with other:
                write(scattered, SCATTERED)
