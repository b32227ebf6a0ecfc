"""Derivatives of expressions (see `kernels.symbolic`), simplified a little as they are made."""

from __future__ import annotations

import math
from collections.abc import Callable

from .symbolic import MASKS, Expr, NotTraceable, const, node, walk

LN2, LN10 = math.log(2), math.log(10)


def _is(e: Expr, value: float) -> bool:
    return e.kind == "const" and e.value == value


def plus(a: Expr | None, b: Expr | None) -> Expr | None:
    """``a + b``; None is zero."""
    if a is None or b is None:
        return b if a is None else a
    if b.kind == "neg":
        return node("sub", a, b.args[0])
    if a is b:
        return times(const(2), a)
    return const(a.value + b.value) if a.kind == b.kind == "const" else node("add", a, b)


def negative(a: Expr) -> Expr:
    """``-a``."""
    if a.kind == "const":
        return const(-a.value)
    return a.args[0] if a.kind == "neg" else node("neg", a)


def times(a: Expr | None, b: Expr | None) -> Expr | None:
    """``a * b``; None is zero."""
    if a is None or b is None:
        return None
    if a.kind == b.kind == "const":
        return const(a.value * b.value)
    if _is(a, 1) or _is(b, 1):
        return b if _is(a, 1) else a
    if _is(a, -1) or _is(b, -1):
        return negative(b if _is(a, -1) else a)
    if b.kind == "const":
        a, b = b, a
    if a.kind == "neg" or b.kind == "neg":
        stripped = [e.args[0] if e.kind == "neg" else e for e in (a, b)]
        product = node("mul", *stripped)
        return product if a.kind == b.kind else node("neg", product)
    if a.kind == "const" and b.kind == "mul" and b.args[0].kind == "const":
        return node("mul", const(a.value * b.args[0].value), b.args[1])
    if b.kind == "div" and _is(b.args[0], 1):
        return node("div", a, b.args[1])
    return node("mul", a, b)


def over(a: Expr | None, b: Expr) -> Expr | None:
    """``a / b``; None is zero."""
    if a is None or _is(b, 1):
        return a
    if a.kind == "neg":
        return node("neg", node("div", a.args[0], b))
    return node("div", a, b)


def choose(mask: Expr, a: Expr | None, b: Expr | None) -> Expr | None:
    """`a` where the mask is set, else `b`; None is zero."""
    if a is None and b is None:
        return None
    a, b = (const(0) if e is None else e for e in (a, b))
    return a if a is b else node("where", mask, a, b)


def _sign(x: Expr) -> Expr:
    return node("where", x > 0, const(1), node("where", x < 0, const(-1), x))


def _f(name: str, *args: Expr) -> Expr:
    return node(name, *args)


# slopes of functions of one operand, from the operand and the result
SLOPES: dict[str, Callable[[Expr, Expr], Expr]] = {
    "absolute": lambda x, y: _sign(x),
    "sqrt": lambda x, y: 0.5 / y,
    "rsqrt": lambda x, y: -0.5 * (y * y * y),
    "exp": lambda x, y: y,
    "exp2": lambda x, y: LN2 * y,
    "expm1": lambda x, y: y + 1,
    "log": lambda x, y: 1 / x,
    "log2": lambda x, y: 1 / (LN2 * x),
    "log10": lambda x, y: 1 / (LN10 * x),
    "log1p": lambda x, y: 1 / (x + 1),
    "sin": lambda x, y: _f("cos", x),
    "cos": lambda x, y: -_f("sin", x),
    "tan": lambda x, y: 1 + y * y,
    "arcsin": lambda x, y: 1 / _f("sqrt", 1 - x * x),
    "arccos": lambda x, y: -(1 / _f("sqrt", 1 - x * x)),
    "arctan": lambda x, y: 1 / (1 + x * x),
    "sinh": lambda x, y: _f("cosh", x),
    "cosh": lambda x, y: _f("sinh", x),
    "tanh": lambda x, y: 1 - y * y,
    "sigmoid": lambda x, y: (1 - y) * y,
    "erf": lambda x, y: 2 / math.sqrt(math.pi) * _f("exp", -(x * x)),
    "erfc": lambda x, y: -2 / math.sqrt(math.pi) * _f("exp", -(x * x)),
    "softplus": lambda x, y: _f("sigmoid", x),
}
FLAT = frozenset(("floor", "ceil", "trunc", "rint", "like", "const", "param")) | MASKS


def derivative(root: Expr, name: str) -> Expr | None:
    """The derivative of an expression by a parameter; None where it is zero everywhere.

    Tangents are carried forwards, so that ``where`` chooses between finished derivatives: the one that is not
    chosen cannot spoil the other with ``0 * inf``.
    """
    tangents: dict[int, Expr | None] = {}
    for e in walk([root]):
        if e.kind == "param":
            tangents[id(e)] = const(1) if e.value == name else None
        elif e.kind in FLAT:
            tangents[id(e)] = None
        else:
            tangents[id(e)] = _tangent(e, [tangents[id(a)] for a in e.args])
    return tangents[id(root)]


def _tangent(e: Expr, d: list[Expr | None]) -> Expr | None:
    """The derivative of one node from those of its operands."""
    if all(t is None for t in d):
        return None
    kind, args = e.kind, e.args
    if kind in SLOPES:
        return times(SLOPES[kind](args[0], e), d[0])
    if kind == "neg":
        return None if d[0] is None else negative(d[0])
    a, b = args[0], args[1]
    if kind == "add":
        return plus(d[0], d[1])
    if kind == "sub":
        return plus(d[0], None if d[1] is None else negative(d[1]))
    if kind == "mul":
        return plus(times(b, d[0]), times(a, d[1]))
    if kind == "div":
        return plus(over(d[0], b), None if d[1] is None else negative(over(times(e, d[1]), b)))  # type: ignore
    if kind == "where":
        return choose(a, d[1], d[2])
    if kind in ("minimum", "maximum"):
        both = plus(times(const(0.5), d[0]), times(const(0.5), d[1]))
        first = a < b if kind == "minimum" else a > b
        tied = choose(a == b, both, choose(first, d[0], d[1]))
        # where a value meets a number, PyTorch's clamp and this choose the value's side
        return tied if "const" not in (a.kind, b.kind) else _clamped(kind, a, b, d)
    if kind == "power":
        base = times(choose(b == 0, None, b * node("power", a, b - 1)) if b.kind != "const"
                     else b * node("power", a, const(b.value - 1)), d[0])  # fmt: skip
        return plus(base, times(choose((a == 0) & (b >= 0), None, e * node("log", a)), d[1]))
    if kind == "arctan2":
        square = a * a + b * b
        return plus(times(b / square, d[0]), times(-(a / square), d[1]))
    if kind == "copysign":
        return times(_sign(a) * _sign(e), d[0])
    if kind == "fma":
        return plus(plus(times(b, d[0]), times(a, d[1])), d[2])
    raise NotTraceable(f"no derivative is known for {kind}")


def _clamped(kind: str, a: Expr, b: Expr, d: list[Expr | None]) -> Expr | None:
    """Of a value bounded by a number: nothing beyond the number, and nothing at it, as in relu."""
    value, number, tangent = (a, b, d[0]) if b.kind == "const" else (b, a, d[1])
    return choose(value < number if kind == "minimum" else value > number, tangent, None)
