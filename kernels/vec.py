"""A vector of lanes in a kernel being written, with the operators of Python: each writes an instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from . import abi
from .lanes import BITS_OF, ELEMENT, FLOAT_OF, FLOATS, I32, MASK

if TYPE_CHECKING:
    from .stage import Scope


class Vec:
    """A vector of lanes in a kernel being written. See `kernels.formula` for functions on it."""

    __slots__ = ("dtype", "scope", "value")
    __array_ufunc__ = None  # NumPy scalars give way to our reflected operators

    def __init__(self, scope: Scope, value: ir.Value, dtype: int) -> None:
        self.scope = scope
        self.value = value
        self.dtype = dtype

    @property
    def is_float(self) -> bool:
        """Whether the lanes are floating point."""
        return self.dtype in FLOATS

    def like(self, other: Vec | float) -> Vec:
        """`other` as a vector of this one's dtype and lanes: numbers and scalars are splatted."""
        if not isinstance(other, Vec):
            return self.scope.constant(self.dtype, other)
        if other.dtype != self.dtype:
            other = other.to(self.dtype)
        if other.scope.lanes != self.scope.lanes:
            return self.scope.splat(other.value, other.dtype)
        return Vec(self.scope, other.value, other.dtype)

    def _binary(self, other: Vec | float, floating: str, integer: str, swap: bool = False) -> Vec:
        a, b = alike(self, other)
        if swap:
            a, b = b, a
        builder = a.scope.b
        value = getattr(builder, floating if a.is_float else integer)(a.value, b.value)
        return Vec(a.scope, value, a.dtype)

    def __add__(self, other: Vec | float) -> Vec:
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: Vec | float) -> Vec:
        return self._binary(other, "fsub", "sub")

    def __mul__(self, other: Vec | float) -> Vec:
        return self._binary(other, "fmul", "mul")

    def __truediv__(self, other: Vec | float) -> Vec:
        return self._binary(other, "fdiv", "sdiv")

    def __radd__(self, other: float) -> Vec:
        return self._binary(other, "fadd", "add")

    def __rsub__(self, other: float) -> Vec:
        return self._binary(other, "fsub", "sub", swap=True)

    def __rmul__(self, other: float) -> Vec:
        return self._binary(other, "fmul", "mul")

    def __rtruediv__(self, other: float) -> Vec:
        return self._binary(other, "fdiv", "sdiv", swap=True)

    def __neg__(self) -> Vec:
        builder = self.scope.b
        value = builder.fneg(self.value) if self.is_float else builder.neg(self.value)
        return Vec(self.scope, value, self.dtype)

    def __and__(self, other: Vec | int) -> Vec:
        return self._bitwise(other, "and_")

    def __or__(self, other: Vec | int) -> Vec:
        return self._bitwise(other, "or_")

    def __xor__(self, other: Vec | int) -> Vec:
        return self._bitwise(other, "xor")

    def __invert__(self) -> Vec:
        return Vec(self.scope, self.scope.b.not_(self.value), self.dtype)

    def __lshift__(self, other: Vec | int) -> Vec:
        return self._bitwise(other, "shl")

    def __rshift__(self, other: Vec | int) -> Vec:
        """Arithmetic shift; see `logical_shift` for the other one."""
        return self._bitwise(other, "lshr" if self.dtype == abi.UINT8 else "ashr")

    def logical_shift(self, count: int) -> Vec:
        """Shift right, filling with zeros."""
        return self._bitwise(count, "lshr")

    def _bitwise(self, other: Vec | int, instruction: str) -> Vec:
        other = self.like(other)
        value = getattr(self.scope.b, instruction)(self.value, other.value)
        return Vec(self.scope, value, self.dtype)

    def _compare(self, other: Vec | float, sign: str) -> Vec:
        a, b = alike(self, other)
        builder = a.scope.b
        if a.is_float:
            # only != is true of nan
            compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        else:
            unsigned = a.dtype in (abi.UINT8, MASK, abi.BOOL)
            compare = builder.icmp_unsigned if unsigned else builder.icmp_signed
        return Vec(a.scope, compare(sign, a.value, b.value), MASK)

    def __lt__(self, other: Vec | float) -> Vec:
        return self._compare(other, "<")

    def __le__(self, other: Vec | float) -> Vec:
        return self._compare(other, "<=")

    def __gt__(self, other: Vec | float) -> Vec:
        return self._compare(other, ">")

    def __ge__(self, other: Vec | float) -> Vec:
        return self._compare(other, ">=")

    def __eq__(self, other: Vec | float) -> Vec:  # type: ignore[override]
        return self._compare(other, "==")

    def __ne__(self, other: Vec | float) -> Vec:  # type: ignore[override]
        return self._compare(other, "!=")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError(
            "a formula may not branch on a value: it is compiled for whole vectors; "
            "use where(condition, a, b) instead of if"
        )

    def to(self, dtype: int) -> Vec:
        """Convert the lanes to `dtype`, as a C cast does (NaN to a signed integer gives that type's minimum).

        Fractions become bytes by way of int32, of which the lowest eight bits remain, as in NumPy and PyTorch: straight
        to eight bits, LLVM leaves it open what becomes of numbers above 127.
        """
        if dtype == self.dtype:
            return self
        if dtype == abi.UINT8 and self.is_float:
            return self.to(abi.INT32).to(abi.UINT8)
        if dtype in (MASK, abi.BOOL):
            return self != 0 if self.dtype != MASK else Vec(self.scope, self.value, MASK)
        kind, b = self.scope.type(dtype), self.scope.b
        if self.dtype in (MASK, abi.BOOL, abi.UINT8):
            convert = b.uitofp if dtype in FLOATS else _widen(b, self, dtype, b.zext)
        elif self.is_float:
            convert = (b.fpext if dtype == abi.FLOAT64 else b.fptrunc) if dtype in FLOATS else b.fptosi
        else:
            convert = b.sitofp if dtype in FLOATS else _widen(b, self, dtype, b.sext)
        return Vec(self.scope, convert(self.value, kind), dtype)

    def bits(self) -> Vec:
        """The lanes' bits as integers of the same width."""
        dtype = BITS_OF[self.dtype]
        return Vec(self.scope, self.scope.b.bitcast(self.value, self.scope.type(dtype)), dtype)

    def as_float(self) -> Vec:
        """Integer lanes read as the floating-point numbers with those bits."""
        dtype = FLOAT_OF[self.dtype]
        return Vec(self.scope, self.scope.b.bitcast(self.value, self.scope.type(dtype)), dtype)

    def select(self, a: Vec | float, b: Vec | float) -> Vec:
        """With this as the mask: `a` where it is set, else `b`."""
        mask = self.to(MASK)
        a, b = alike(a, b) if isinstance(a, Vec) else reversed(alike(b, a))  # type: ignore[arg-type]
        if mask.scope.lanes != a.scope.lanes:
            if mask.scope.lanes == 1:
                mask = a.scope.splat(mask.value, MASK)
            else:
                a, b = (mask.scope.splat(v.value, v.dtype) for v in (a, b))
        return Vec(a.scope, a.scope.b.select(mask.value, a.value, b.value), a.dtype)

    def reduce(self, combine: Any) -> Vec:
        """Fold the lanes into one by halves, with `combine(a, b)` on `Vec`."""
        scope, value, lanes = self.scope, self.value, self.scope.lanes
        while lanes > 1:
            lanes //= 2
            half = scope.with_lanes(lanes)
            undefined = ir.Constant(value.type, ir.Undefined)
            index = ir.VectorType(I32, lanes)
            if lanes == 1:
                low, high = (scope.b.extract_element(value, I32(k)) for k in (0, 1))
            else:
                low, high = (
                    scope.b.shuffle_vector(value, undefined, ir.Constant(index, list(range(k, k + lanes))))
                    for k in (0, lanes)
                )
            value = combine(Vec(half, low, self.dtype), Vec(half, high, self.dtype)).value
        return Vec(scope.scalar, value, self.dtype)


def _widen(b: ir.IRBuilder, source: Vec, dtype: int, extend: Any) -> Any:
    wider = abi.ITEM_SIZES[dtype] > (abi.ITEM_SIZES[source.dtype] if source.dtype != MASK else 0)
    same = not wider and source.dtype != MASK and ELEMENT[dtype] is ELEMENT[source.dtype]
    return (lambda value, kind: value) if same else (extend if wider else b.trunc)


def alike(a: Vec, b: Vec | float) -> tuple[Vec, Vec]:
    """Bring two operands to one dtype and lane count: the vector's dtype wins over a scalar's."""
    if isinstance(b, Vec) and _strength(b) > _strength(a):
        return b.like(a), b
    if not isinstance(b, Vec) and isinstance(b, float) and not a.is_float:
        raise TypeError(f"a formula combines integer lanes with the number {b}; convert them first")
    return a, a.like(b)


def _strength(x: Vec) -> tuple[int, bool, int]:
    return x.scope.lanes, not x.scope.outer, x.dtype
