"""`jitgrad.op`: operations that a program declares for itself, with kernels of their own.

A declaration becomes an operation of the table like those in `jitgrad.kernels`: one compiled call, one row of the
tape, and kernels that the interpreter and recorded programs run without Python.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from ..dtypes import dtype as DType
from ..engine.layout import MAX_OPERANDS
from ..kernels import BY_NAME, symbolic_text
from .arrays import declare_arrays
from .formulas import declare_formula

RESERVED = frozenset(("y", "g", "update", "updates", "program"))
TAKEN = frozenset(("y", "g", "words", "shapes", "operands"))  # what gradient formulas call other things


def op(
    name: str | Callable | None = None,
    forward: Callable | None = None,
    *,
    signature: str | None = None,
    backward: Callable | None = None,
    sizes: Mapping[str, Callable] | None = None,
    dtypes: Mapping[str, DType] | None = None,
    constant: bool | Sequence[str] = (),
    samples: Mapping[str, Any] | None = None,
    check: bool = True,
    replace: bool = False,
    **gradients: Callable,
) -> Callable:
    """Declare an operation; returns the function that runs it. Also a decorator, with or without arguments.

    Without `signature` the operation is elementwise, and `forward` is its formula for one element, on ordinary
    operators and the functions of ``jitgrad.kernels.formula`` or NumPy's of the same meaning (``where`` in
    place of ``if``). Operands broadcast. Gradients that are not given are derived from the formula.

    With `signature` it works on whole arrays, and `forward` is a function that Numba compiles:
    ``def kernel(x, w, out)`` reads the operands and fills ``out``. Arrays have the dimensions of the signature and
    the dtype of the call; a result without dimensions is an array of one element, ``out[0]``, an operand
    without is a number. Dimensions before them are a batch: they broadcast, and the function is called for each.

    Parameters
    ----------
    name : str, optional
        Name in the table, on the tape and in ``grad_fn``; by default that of `forward`.
    forward : callable
        Parameters that have no default are operands. Those with a default are attributes: numbers that no gradient
        goes to.
    signature : str, optional
        Dimensions of operands and results, as of NumPy's generalized ufuncs: ``"(n,k),(k)->(n)"``.
    backward : callable, optional
        For arrays: fills all gradients. Parameter names say what it reads and writes: operands and results by
        their names (``y``, ``y1``, ... for results), ``g`` (``g1``, ...) for the cotangents, ``grad_x``
        for the gradient of operand x, which holds zeros at the start.
    sizes : mapping, optional
        For arrays: dimensions that only results have, as functions of others and of attributes by their names, for
        example ``{"m": lambda n, k: n - k + 1}``.
    dtypes : mapping, optional
        Operands (and results) that always have one dtype, for example ``{"index": jitgrad.int64}``.
    constant : bool or sequence of str
        Operands with no gradient; True for all.
    samples : mapping, optional
        For the check: ``(low, high)`` or an array for an operand, a number for an attribute or a dimension.
    check : bool
        Compare gradients with numerical derivatives now; a wrong one is a RuntimeError.
    replace : bool
        Let the name, declared before with other code, mean this operation from now on.
    **gradients : callable
        By operand: the formula of its gradient, whose parameters are any of the operands, ``y`` for the
        result, ``g`` for the cotangent and the attributes. For arrays: a function that fills ``grad``.

    Returns
    -------
    callable
        Takes the operands, then the attributes. ``.formula`` and ``.gradients`` hold the formulas as text.

    Raises
    ------
    ValueError
        When the name is taken, or parameters, signature and gradients do not fit each other.
    TypeError
        When no gradient is given and none can be derived; the message says why.
    RuntimeError
        When a gradient differs from the numerical one.

    Examples
    --------
    >>> bent = jitgrad.op("bent", lambda x: (numpy.sqrt(x * x + 1) - 1) / 2 + x)  # doctest: +SKIP
    >>> @jitgrad.op(signature="(n),(m)->(n,m)", x=dx, w=dw)  # doctest: +SKIP
    ... def outer(x, w, out): ...
    """
    if forward is None and callable(name):
        name, forward = None, name
    options = {
        "signature": signature,
        "backward": backward,
        "sizes": sizes,
        "dtypes": dtypes,
        "constant": constant,
        "samples": samples,
        "check": check,
        "replace": replace,
    }
    if forward is None:
        return lambda function: _declare(name, function, options, gradients)
    return _declare(name, forward, options, gradients)


def _declare(
    name: Any, forward: Callable, options: dict[str, Any], gradients: dict[str, Callable]
) -> Callable:
    """Check names, and declare the one kind or the other."""
    if not callable(forward):
        raise TypeError(f"op: expected a function as forward, got {type(forward).__name__}")
    name = forward.__name__ if name is None else name
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name in RESERVED:
        raise ValueError(
            f"op: {name!r} cannot be the name of an operation; give an identifier other than "
            f"{', '.join(sorted(RESERVED))}: jitgrad.op('bent', lambda x: ...)"
        )
    if name in BY_NAME and not BY_NAME[name].identity:
        raise ValueError(f"op: {name!r} is an operation of jitgrad's own; choose another name")
    operands, attributes = _parameters(name, forward, options["signature"] is None)
    taken = [p for p in (*operands, *attributes) if p in TAKEN or symbolic_text.is_taken(p)]
    if taken:
        raise ValueError(f"op {name!r}: a parameter may not be called {' or '.join(sorted(taken))}")
    if options["signature"] is not None:
        return declare_arrays(name, forward, operands, attributes, options, gradients)
    return declare_formula(name, forward, operands, attributes, options, gradients)


def _parameters(name: str, forward: Callable, elementwise: bool) -> tuple[list[str], dict[str, Any]]:
    """Operands, and attributes with their defaults."""
    operands, attributes = [], {}
    for p in inspect.signature(getattr(forward, "py_func", forward)).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or (p.kind is p.KEYWORD_ONLY and p.default is p.empty):
            raise ValueError(
                f"op {name!r}: parameter {p.name!r} must be an operand or have a number as default"
            )
        if p.default is p.empty:
            operands.append(p.name)
        elif isinstance(p.default, bool | int | float):
            attributes[p.name] = p.default
        else:
            raise ValueError(
                f"op {name!r}: the default of {p.name!r} must be a number, got {type(p.default).__name__}; "
                "a parameter without default is an operand"
            )
    if not operands:
        raise ValueError(
            f"op {name!r}: the function has no operands; parameters without default are operands"
        )
    if elementwise and len(operands) > MAX_OPERANDS:
        raise ValueError(
            f"op {name!r}: an elementwise operation has at most {MAX_OPERANDS} operands, got {len(operands)}"
        )
    return operands, attributes
