"""Formulas as expressions: a formula is called with `Expr` in place of numbers, and what it did is written down.

An expression can be differentiated and printed as a formula again. So an operation that is declared while
a program runs needs no gradient formulas, what it computes is frozen when it is declared (a global that
changes later changes nothing), and the printed text says exactly which code its kernels are.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np

# method that `kernels.formula` looks for -> the formula function's name
METHODS = {
    "abs": "absolute", "sqrt": "sqrt", "rsqrt": "rsqrt", "exp": "exp", "exp2": "exp2",
    "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10", "log1p": "log1p",
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "atan2": "arctan2", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "sigmoid": "sigmoid",
    "erf": "erf", "erfc": "erfc", "_softplus": "softplus", "pow": "power", "div": "div",
    "floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "rint", "minimum": "minimum",
    "maximum": "maximum", "isnan": "isnan", "copysign": "copysign", "_fma": "fma", "_where": "where",
}  # fmt: skip
# NumPy's names for the same, where they differ
UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div",
    "negative": "neg", "fabs": "absolute", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "equal": "eq", "not_equal": "ne", "logical_and": "and",
    "logical_or": "or", "logical_not": "not", "bitwise_and": "and", "bitwise_or": "or",
    "invert": "not", "arctan2": "arctan2",
}  # fmt: skip
UFUNCS |= {name: name for name in METHODS.values() if name not in ("softplus", "sigmoid", "fma", "where")}
MASKS = frozenset(("lt", "le", "gt", "ge", "eq", "ne", "or", "and", "not", "isnan"))
MULTIPLIED_OUT = 8  # powers up to this are products


class NotTraceable(TypeError):
    """A formula does something that cannot be written down as an expression."""


_known: weakref.WeakValueDictionary[tuple, Expr] = weakref.WeakValueDictionary()
_ages = itertools.count()


class Expr:
    """A parameter, a number, or a function of other expressions; equal ones are one object.

    Attributes
    ----------
    kind : str
        ``param``, ``const``, an operator or the name of a function of `kernels.formula`.
    args : tuple of Expr
        What it is a function of.
    value : str or float
        Name of a parameter; value of a number.
    """

    __slots__ = ("__weakref__", "age", "args", "kind", "value")
    __array_priority__ = 1000

    kind: str
    args: tuple[Expr, ...]
    value: Any

    def _binary(self, kind: str, other: Any, swap: bool = False) -> Expr:
        other = lift(other)
        return node(kind, other, self) if swap else node(kind, self, other)

    def __add__(self, other: Any) -> Expr:
        return self._binary("add", other)

    def __radd__(self, other: Any) -> Expr:
        return self._binary("add", other, True)

    def __sub__(self, other: Any) -> Expr:
        return self._binary("sub", other)

    def __rsub__(self, other: Any) -> Expr:
        return self._binary("sub", other, True)

    def __mul__(self, other: Any) -> Expr:
        return self._binary("mul", other)

    def __rmul__(self, other: Any) -> Expr:
        return self._binary("mul", other, True)

    def __truediv__(self, other: Any) -> Expr:
        return self._binary("div", other)

    def __rtruediv__(self, other: Any) -> Expr:
        return self._binary("div", other, True)

    def __neg__(self) -> Expr:
        return node("neg", self)

    def __pos__(self) -> Expr:
        return self

    def __abs__(self) -> Expr:
        return node("absolute", self)

    def __pow__(self, other: Any) -> Expr:
        other = lift(other)
        return _power(self, other.value) if other.kind == "const" else node("power", self, other)

    def __rpow__(self, other: Any) -> Expr:
        return self._binary("power", other, True)

    def __lt__(self, other: Any) -> Expr:
        return self._binary("lt", other)

    def __le__(self, other: Any) -> Expr:
        return self._binary("le", other)

    def __gt__(self, other: Any) -> Expr:
        return self._binary("gt", other)

    def __ge__(self, other: Any) -> Expr:
        return self._binary("ge", other)

    def __eq__(self, other: Any) -> Expr:  # type: ignore[override]
        return self._binary("eq", other)

    def __ne__(self, other: Any) -> Expr:  # type: ignore[override]
        return self._binary("ne", other)

    def __and__(self, other: Any) -> Expr:
        return self._binary("and", other)

    def __or__(self, other: Any) -> Expr:
        return self._binary("or", other)

    def __invert__(self) -> Expr:
        return node("not", self)

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        raise NotTraceable(
            "a formula may not branch on a value (if, and, or, a chained comparison): it is compiled "
            "for whole "
            "vectors; use where(condition, a, b) in place of if, and & or | in place of and, or"
        )

    def __float__(self) -> float:
        raise NotTraceable(
            "a formula may not turn a value into a Python number, as functions of the math module do; "
            "use those "
            "of jitgrad.kernels.formula or NumPy's in their place"
        )

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotTraceable("a formula may not make NumPy arrays of its values")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Expr:
        name = ufunc.__name__
        if method == "__call__" and not options:
            if name == "power":
                return lift(inputs[0]) ** inputs[1]
            if name == "square":
                return self * self
            if name in UFUNCS:
                return node(UFUNCS[name], *map(lift, inputs))
        raise NotTraceable(f"numpy.{name} has no counterpart in jitgrad.kernels.formula")

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Expr:
        if function is np.where and len(args) == 3:
            return node("where", *map(lift, args))
        if function is np.clip and len(args) == 3:
            return node("minimum", node("maximum", lift(args[0]), lift(args[1])), lift(args[2]))
        raise NotTraceable(f"numpy.{function.__name__} has no counterpart in jitgrad.kernels.formula")

    def _like(self, value: Any) -> Expr:
        return node("like", self, lift(value))

    def square(self) -> Expr:
        """The product with itself."""
        return self * self

    def clamp(self, min: Any = None, max: Any = None) -> Expr:
        """Kept within bounds."""
        low = self if min is None else node("maximum", self, lift(min))
        return low if max is None else node("minimum", low, lift(max))

    def relu(self) -> Expr:
        """The value where it is above zero, else zero."""
        return node("maximum", self, const(0.0))

    def __repr__(self) -> str:
        from .symbolic_text import Printer

        return Printer([self]).inline(self)


def _attach(method: str, name: str) -> None:
    def function(*args: Any) -> Expr:
        return node(name, *map(lift, args))

    function.__name__ = method
    function.__doc__ = f"``{name}`` of `kernels.formula`."
    setattr(Expr, method, function)


for _method, _name in METHODS.items():
    _attach(_method, _name)


def node(kind: str, *args: Expr, value: Any = None) -> Expr:
    """The expression of that kind over `args`."""
    key = (kind, tuple(id(a) for a in args), repr(value))
    found = _known.get(key)
    if found is None:
        found = object.__new__(Expr)
        found.kind, found.args, found.value, found.age = kind, args, value, next(_ages)
        _known[key] = found
    return found


def const(value: float) -> Expr:
    """A number."""
    return node("const", value=float(value))


def param(name: str) -> Expr:
    """A parameter of the formula."""
    return node("param", value=name)


def lift(value: Any) -> Expr:
    """An expression from one or from a number."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, bool | int | float | np.generic):
        return const(float(value))
    raise NotTraceable(f"a formula works on numbers and its own values, not on {type(value).__name__}")


def _power(x: Expr, exponent: float) -> Expr:
    """``x ** exponent`` for a number: products and roots where they serve."""
    if exponent == 0.5:
        return node("sqrt", x)
    if exponent == int(exponent) and 0 < abs(exponent) <= MULTIPLIED_OUT:
        result = x
        for _ in range(int(abs(exponent)) - 1):
            result = node("mul", result, x)
        return result if exponent > 0 else node("div", const(1), result)
    return node("power", x, const(exponent))


def trace(formula: Callable, names: Sequence[str]) -> Expr:
    """What a formula computes from parameters of these names."""
    result = lift(formula(**{name: param(name) for name in names}))
    if result.kind in MASKS:
        raise NotTraceable(
            "the formula gives a truth value; make it a number with where(condition, 1.0, 0.0)"
        )
    return result


def walk(roots: Sequence[Expr], ends: Container[int] = ()) -> list[Expr]:
    """Every expression in `roots`, operands first; not what is only behind those whose ids are in `ends`."""
    seen: dict[int, Expr] = {}
    waiting = list(roots)
    while waiting:
        e = waiting.pop()
        if id(e) not in seen:
            seen[id(e)] = e
            if id(e) not in ends:
                waiting += e.args
    return sorted(seen.values(), key=lambda e: e.age)
