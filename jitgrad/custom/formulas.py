"""Elementwise operations from formulas: traced, differentiated where no gradient is given, printed, registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import call
from ..functions._call import as_tensors
from ..kernels import symbolic, symbolic_slopes, symbolic_text, table
from ..kernels.fingerprint import digest, fingerprint
from ..kernels.table import FLOATS, Op, camel_case, identity
from .checks import check_formula
from .common import bind, constants_of, documented, finish


def declare_formula(
    name: str,
    forward: Callable,
    operands: list[str],
    attributes: dict[str, Any],
    options: dict[str, Any],
    gradients: dict[str, Callable],
) -> Callable:
    """An elementwise operation from its formula."""
    for option in ("backward", "sizes"):
        if options[option] is not None:
            raise ValueError(
                f"op {name!r}: {option} belongs to operations on arrays, which have a signature; an elementwise "
                "one takes a formula for each operand: x=lambda x, g: ..."
            )
    unknown = set(gradients) - set(operands)
    if unknown:
        raise ValueError(f"op {name!r}: gradients for unknown operands {sorted(unknown)}; it has {operands}")
    fixed = {k: d.code for k, d in (options["dtypes"] or {}).items()}
    constants = constants_of(name, options["constant"], operands)
    constants |= {k for k, code in fixed.items() if code not in FLOATS}
    names = [*operands, *attributes]
    reference = next((o for o in operands if o not in fixed), operands[0])
    texts, formulas = _traced(
        name, forward, names, reference, gradients, [o for o in operands if o not in constants]
    )
    unwritten = [formulas[k] for k in formulas if k not in texts]
    mark, known = fingerprint(*unwritten)
    parts = (name, operands, list(attributes), sorted(fixed.items()), sorted(texts.items()), mark)
    known_text = digest(repr(parts)) if known else ""

    def build(ident: str) -> Op:
        return table.register(
            name=name, kind=table.MAP, operands=tuple(operands), attributes=tuple(attributes), dtypes=FLOATS,
            operand_dtypes=tuple(fixed.get(o, table.SAME) for o in operands), result=table.SAME,
            forward=formulas[name], gradients={o: formulas[o] for o in operands if o in formulas},
            grad_name=camel_case(name), identity=ident, cached=known,
        )  # fmt: skip

    def verify() -> None:
        check_formula(name, formulas, operands, attributes, fixed, options["samples"] or {})

    function: Any = finish(name, known_text, build, verify, options, lambda made: _caller(made, attributes))
    function.formula = texts.get(name, "")
    function.gradients = {o: texts[o] for o in operands if o in texts}
    return documented(function, name, forward)


def _traced(
    name: str,
    forward: Callable,
    names: list[str],
    reference: str,
    gradients: dict[str, Callable],
    differentiable: list[str],
) -> tuple[dict[str, str], dict[str, Callable]]:
    """The formulas of an operation and of its gradients by name, and the texts of those that can be written down."""
    try:
        root: symbolic.Expr | None = symbolic.trace(forward, names)
        reason: Exception | None = None
    except Exception as error:
        root, reason = None, error
    texts: dict[str, str] = {}
    formulas: dict[str, Callable] = {}
    if root is not None:
        texts[name] = symbolic_text.source(name, names, root, reference=reference, every=True)
        formulas[name] = symbolic_text.function(texts[name])
    else:
        formulas[name] = _plain(forward, names)
    for operand in differentiable:
        if operand in gradients:
            _use_given(name, operand, gradients[operand], [*names, "y", "g"], texts, formulas)
        else:
            _derive(name, operand, root, reason, [*names, "y", "g"], texts, formulas)
    return texts, formulas


def _plain(forward: Callable, names: Sequence[str]) -> Callable:
    """A formula as the table wants it: every parameter positional, without defaults."""
    text = f"lambda forward: lambda {', '.join(names)}: forward({', '.join(f'{n}={n}' for n in names)})"
    return eval(text)(forward)


def _use_given(
    name: str, operand: str, gradient: Callable, allowed: list[str], texts: dict, formulas: dict
) -> None:
    """A gradient formula of the user's."""
    if not callable(gradient):
        raise TypeError(f"op {name!r}: the gradient of {operand!r} must be a formula, got {gradient!r}")
    reads = list(inspect.signature(gradient).parameters)
    unknown = [r for r in reads if r not in allowed]
    if unknown:
        raise ValueError(
            f"op {name!r}: the gradient of {operand!r} reads {unknown}; it may read {', '.join(allowed)}"
        )
    try:
        root = symbolic.trace(gradient, reads)
    except Exception:
        formulas[operand] = _plain(gradient, reads)
        return
    if root is symbolic.param("g"):
        formulas[operand] = identity
        texts[operand] = "lambda g: g"
        return
    reference = "g" if "g" in reads else reads[0] if reads else "g"
    texts[operand] = symbolic_text.source(f"{name}_{operand}", allowed, root, reference=reference)
    formulas[operand] = symbolic_text.function(texts[operand])


def _derive(
    name: str,
    operand: str,
    root: Any,
    reason: Exception | None,
    allowed: list[str],
    texts: dict,
    formulas: dict,
) -> None:
    """A gradient formula from the formula itself."""
    if root is None:
        raise TypeError(
            f"op {name!r}: the gradient of {operand!r} cannot be derived from the formula: {reason}. "
            "Give it: "
            f"jitgrad.op({name!r}, formula, {operand}=lambda {operand}, g: ...); or say constant=True"
        ) from reason
    try:
        slope = symbolic_slopes.derivative(root, operand)
    except symbolic.NotTraceable as error:
        raise TypeError(
            f"op {name!r}: the gradient of {operand!r} cannot be derived from the formula: {error}. Give it: "
            f"jitgrad.op({name!r}, formula, {operand}=lambda {operand}, g: ...)"
        ) from error
    gradient = symbolic_slopes.times(symbolic.param("g"), slope)
    if gradient is symbolic.param("g"):
        formulas[operand] = identity
        texts[operand] = "lambda g: g"
        return
    known = {} if root.kind in ("param", "const") else {id(root): "y"}
    root = symbolic.const(0) if gradient is None else gradient
    texts[operand] = symbolic_text.source(f"{name}_{operand}", allowed, root, known)
    formulas[operand] = symbolic_text.function(texts[operand])


def _caller(made: Op, attributes: Mapping[str, Any]) -> Callable:
    """The function that runs an elementwise operation."""
    count, names = len(made.operands), list(attributes)
    defaults = [float(v) for v in attributes.values()]
    every = (*made.operands, *names)

    def function(*args: Any, **options: Any) -> Tensor:
        if len(args) == count and not options:
            return wrap(call(made, as_tensors(made.name, *args), defaults))
        values = bind(made.name, every, attributes, args, options)
        operands = as_tensors(made.name, *values[:count])
        return wrap(call(made, operands, [float(v) for v in values[count:]]))

    return function
