"""What gradient formulas on tensors read from a row: found out once for an operation and what asks for gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..engine import layout
from ..functions._dims import shape_of
from ..kernels import OPS
from ..kernels.abi import bits_float
from ..kernels.table import Op, identity, parameters
from .graph import refuse_derivative

Reading = Callable[[Any, Sequence[Any]], Any]  # (row, cotangents of its outputs) -> what a parameter means


class Formula(NamedTuple):
    """The gradient of one operand of an operation, or of several at once.

    Attributes
    ----------
    operand : int
        Which operand; of several the first.
    name : str
        Its name in the operation's declaration.
    function : callable or None
        The formula; None when none has been declared.
    readings : tuple of callable
        One for each of its parameters (for an array operation, but for the first).
    cotangents : tuple of int
        The outputs whose cotangents it reads.
    """

    operand: int
    name: str
    function: Callable | None
    readings: tuple[Reading, ...]
    cotangents: tuple[int, ...]


class Plan(NamedTuple):
    """How the walk with history turns the cotangents of an operation's outputs into those of its operands.

    Attributes
    ----------
    op : Op
        The operation.
    formulas : tuple of Formula
        One for each operand that gets a gradient, or a single one for all.
    together : dict
        Where one formula serves all operands: the name of each operand that gets a gradient, by its number.
    """

    op: Op
    formulas: tuple[Formula, ...]
    together: dict[int, str]


@functools.lru_cache(maxsize=1024)
def plan(code: int, wanted: tuple[bool, ...]) -> Plan:
    """The plan for rows of an operation of which these operands ask for a gradient.

    Raises
    ------
    RuntimeError
        When the operation has no derivative.
    """
    op = OPS[code]
    if op.underivable:
        refuse_derivative(code)
    names = op.operands if op.operands != ("*",) else ("*",) * len(wanted)
    asked = {k: n for k, n in enumerate(names[: len(wanted)]) if wanted[k] and _takes_gradient(op, n)}
    several = next((k for k, n in asked.items() if "wanted" in parameters(op.vjp.get(n, identity))), None)
    if several is not None and several == next(iter(asked)):
        return Plan(op, (_formula(op, several, asked[several], tuple(asked.values())),), asked)
    return Plan(op, tuple(_formula(op, k, n, ()) for k, n in asked.items()), {})


def _takes_gradient(op: Op, name: str) -> bool:
    """Whether an operand has a gradient, though its formula may be another row's affair in a compiled walk."""
    return name in op.gradients or name in op.vjp


def _formula(op: Op, k: int, name: str, wanted: tuple[str, ...]) -> Formula:
    arrays = op.kind == layout.ARRAYS
    function = op.vjp.get(name) if arrays else op.gradients[name]
    if function is None:
        return Formula(k, name, None, (), ())
    names = parameters(function)[1 if arrays else 0 :]
    given = {"position": k, "wanted": wanted} if arrays else {}
    readings = tuple(_reading(op, n, given) for n in names)
    return Formula(k, name, function, readings, tuple(_number(n) for n in names if _is_numbered(n, "g")))


def _is_numbered(name: str, letter: str) -> bool:
    """Whether a name is a letter, or that letter and a number."""
    return name == letter or (name[0] == letter and name[1:].isdigit())


def _number(name: str) -> int:
    return int(name[1:] or 0)


def _reading(op: Op, name: str, given: dict[str, Any]) -> Reading:
    """What a formula means by a parameter's name."""
    if name in given:
        return lambda row, came: given[name]
    if op.kind == layout.ARRAYS and name in _OF_ROWS:
        return _OF_ROWS[name]
    if op.kind != layout.ARRAYS and name in op.attributes:
        at = op.attributes.index(name) + (2 if op.kind == layout.REDUCE else 0)
        return lambda row, came: bits_float(row.words[at])
    if op.kind == layout.REDUCE and name in _OF_REDUCTIONS:
        return _OF_REDUCTIONS[name]
    if _is_numbered(name, "g"):
        at = _number(name)
        return lambda row, came: came[at]
    if name in op.operands:
        at = op.operands.index(name)
        return lambda row, came: row.value(at)
    if _is_numbered(name, "y"):
        at = _number(name)
        return lambda row, came: row.value(row.inputs + at)
    if name.endswith("_shape"):
        at = op.operands.index(name.removesuffix("_shape"))
        return lambda row, came: row.shape(at)
    raise NameError(f"{op.name}: a gradient formula asks for {name!r}, which means nothing")


def _folded(row: Any) -> float:
    """How many elements a reduction made one of."""
    mask, shape = row.words[0], row.shape(0)
    return float(math.prod(n for d, n in enumerate(shape) if mask >> d & 1))


def _unfolded(row: Any, x: Any) -> Any:
    """The result of a reduction, or its cotangent, with size 1 where dimensions were folded."""
    mask, shape = row.words[0], row.shape(0)
    target = tuple(1 if mask >> d & 1 else n for d, n in enumerate(shape))
    return x if shape_of(x) == target else x.reshape(target)


_OF_ROWS: dict[str, Reading] = {
    "words": lambda row, came: row.words,
    "shapes": lambda row, came: [row.shape(k) if row.slots[k] else None for k in range(row.inputs)],
    "operands": lambda row, came: [row.value(k) for k in range(row.inputs)],
}
_OF_REDUCTIONS: dict[str, Reading] = {
    "n": lambda row, came: _folded(row),
    "g": lambda row, came: _unfolded(row, came[0]),
    "y": lambda row, came: _unfolded(row, row.value(row.inputs)),
}
