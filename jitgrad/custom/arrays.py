"""Operations on whole arrays from functions that Numba compiles: shapes by a signature, batches, checks."""

from __future__ import annotations

import dis
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import dispatch
from .._tensor import Tensor, wrap
from ..dtypes import DTYPES, get_default_dtype
from ..functions._call import as_tensors
from ..kernels import array_functions, table
from ..kernels.abi import FLOAT32, float_bits
from ..kernels.array_functions import Layout, meaning, names_of, parse
from ..kernels.fingerprint import digest, fingerprint
from ..kernels.table import FLOATS, SAME, Op, camel_case
from .checks import check_arrays
from .common import bind, constants_of, documented, finish
from .once import once_formulas

MAX_RESULTS = 4
MOST_PLANS = 256  # shapes whose results are remembered


def declare_arrays(
    name: str,
    forward: Callable,
    parameters: list[str],
    attributes: dict[str, Any],
    options: dict[str, Any],
    gradients: dict[str, Callable],
) -> Callable:
    """Declare an operation from a function that fills its results."""
    layout = _layout(name, parameters, attributes, options)
    sizes = dict(options["sizes"] or {})
    _check_sizes(name, layout, sizes)
    joint = options["backward"]
    constants = constants_of(name, options["constant"], layout.operands)
    constants |= {o for o in layout.operands if layout.fixed.get(o, FLOAT32) not in FLOATS}
    reads = _reads(name, layout, joint, gradients, constants)
    for function in (forward, joint, *gradients.values()):
        if function is not None and _raises(function):
            raise ValueError(
                f"op {name!r}: {function.__name__} raises, which a kernel cannot do; check operands "
                "before the call"
            )
    mark, known = fingerprint(forward, joint, gradients)
    parts = (name, str(layout), mark, sorted(reads.items()), sorted(constants))
    known_text = digest(repr(parts)) if known else ""

    def build(ident: str) -> Op:
        back = array_functions.backward_kernel(layout, joint, gradients) if reads else None
        operand_dtypes = {o: c for o, c in layout.fixed.items() if o in layout.operands}
        once = once_formulas(name, layout, back, reads, ident, known) if back else {}
        return table.array_op(
            name,
            layout.operands,
            array_functions.forward_kernel(layout, forward, names_of(forward)),
            backward=back,
            gradients=reads,
            vjp=once,
            dtypes=FLOATS,
            operand_dtypes=operand_dtypes,
            result=layout.fixed.get(layout.results[0], SAME),
            outputs=len(layout.results),
            grad_name=camel_case(name),
            attributes=tuple(attributes),
            identity=ident,
            cached=known,
        )

    def verify() -> None:
        check_arrays(
            name, layout, forward, joint, gradients, sizes, options["samples"] or {}, attributes, reads
        )

    function = finish(
        name, known_text, build, verify, options, lambda made: _caller(made, layout, sizes, attributes)
    )
    return documented(function, name, forward)


def _layout(name: str, parameters: list[str], attributes: dict[str, Any], options: dict[str, Any]) -> Layout:
    """Which parameters are operands and which results."""
    try:
        signature = parse(options["signature"])
    except ValueError as error:
        raise ValueError(f"op {name!r}: {error}") from None
    inputs, outputs = len(signature.operands), len(signature.results)
    if len(parameters) != inputs + outputs:
        raise ValueError(
            f"op {name!r}: the signature {signature} has {inputs} operands and {outputs} results, so "
            "the function "
            f"takes {inputs + outputs} arrays; it takes {len(parameters)}: {', '.join(parameters)}. "
            "Attributes have "
            "defaults"
        )
    if outputs > MAX_RESULTS:
        raise ValueError(f"op {name!r}: at most {MAX_RESULTS} results, the signature has {outputs}")
    given = options["dtypes"] or {}
    unknown = set(given) - set(parameters)
    if unknown:
        raise ValueError(f"op {name!r}: dtypes of unknown operands {sorted(unknown)}; it has {parameters}")
    fixed = {k: d.code for k, d in given.items()}
    if all(o in fixed for o in parameters[:inputs]):
        raise ValueError(f"op {name!r}: at least one operand must be without a dtype of its own")
    kinds = {k: type(v) for k, v in attributes.items()}
    return Layout(tuple(parameters[:inputs]), tuple(parameters[inputs:]), signature, fixed, kinds)


def _check_sizes(name: str, layout: Layout, sizes: Mapping[str, Callable]) -> None:
    known = {d for dims in layout.signature.operands for d in dims}
    for dims in layout.signature.results:
        for d in dims:
            if d not in known and not d.isdigit() and d not in sizes:
                raise ValueError(
                    f"op {name!r}: nothing says how large dimension {d!r} of the result is; give "
                    f"sizes={{{d!r}: lambda ...: ...}}, a function of {sorted(known)}"
                )


def _reads(
    name: str, layout: Layout, joint: Callable | None, single: Mapping[str, Callable], constants: set[str]
) -> dict[str, tuple[str, ...]]:
    """For each operand with a gradient, the values that the way back reads, in the table's words."""
    unknown = set(single) - set(layout.operands)
    if unknown:
        raise ValueError(f"op {name!r}: gradients for unknown operands {sorted(unknown)}")
    if joint is not None and single:
        raise ValueError(f"op {name!r}: give either backward, for all operands, or a function for each")
    several = [f"y{k}" if k else "y" for k in range(len(layout.results))] if len(layout.results) > 1 else []
    filled: dict[str, list[str]] = {}
    if joint is not None:
        values, targets = _parse_backward(name, layout, joint, "")
        filled = dict.fromkeys(targets, values)
    for operand, function in single.items():
        values, targets = _parse_backward(name, layout, function, operand)
        if targets != [operand]:
            raise ValueError(f"op {name!r}: the gradient of {operand!r} must fill a parameter called 'grad'")
        filled[operand] = values
    missing = [o for o in layout.operands if o not in filled and o not in constants]
    if missing:
        raise TypeError(
            f"op {name!r}: no gradient for {', '.join(missing)}: it cannot be derived from a function "
            "on arrays. Give "
            f"backward=..., or {missing[0]}=... with a function that fills 'grad'; or say "
            f"constant={missing!r}"
        )
    extra = constants & set(filled)
    if extra:
        raise ValueError(
            f"op {name!r}: {sorted(extra)} have no gradient by dtypes or constant, but one is given"
        )
    return {o: tuple(dict.fromkeys([*values, *several])) for o, values in filled.items()}


def _parse_backward(name: str, layout: Layout, function: Callable, only: str) -> tuple[list[str], list[str]]:
    """Values that a function that goes back reads, and operands whose gradient it fills."""
    values, targets = [], []
    inputs = len(layout.operands)
    for parameter in names_of(function):
        try:
            kind, k = meaning(layout, parameter, only)
        except ValueError as error:
            raise ValueError(f"op {name!r}: {error}") from None
        if kind == "value":
            result = k - inputs
            values.append(layout.operands[k] if k < inputs else f"y{result}" if result else "y")
        elif kind == "gradient":
            targets.append(layout.operands[k])
    return values, targets


def _raises(function: Callable) -> bool:
    code = getattr(function, "py_func", function).__code__
    return any(i.opname == "RAISE_VARARGS" for i in dis.get_instructions(code))


# calling ---------------------------------------------------------------------------------------------


def _caller(
    made: Op, layout: Layout, sizes: Mapping[str, Callable], attributes: Mapping[str, Any]
) -> Callable:
    """The function that runs an operation on arrays."""
    count = len(layout.operands)
    every = (*layout.operands, *attributes)

    defaults = list(attributes.values())
    plans: dict[tuple, tuple] = {}

    def function(*args: Any, **options: Any) -> Any:
        if len(args) == count and not options:
            values = [*args, *defaults]
        else:
            values = bind(made.name, every, attributes, args, options)
        tensors = _converted(made.name, layout, as_tensors(made.name, *values[:count]))
        numbers = values[count:]
        shapes = tuple(tuple(t.shape) for t in tensors)
        common = next(t.dtype for t, o in zip(tensors, layout.operands, strict=True) if o not in layout.fixed)
        key = (shapes, common, *numbers)
        plan = plans.get(key)
        if plan is None:
            if len(plans) >= MOST_PLANS:
                plans.clear()
            plan = plans[key] = _plan(
                made.name, layout, shapes, sizes, dict(zip(attributes, numbers, strict=True)), common
            )
        batch, outputs, words = plan
        tensors = [_placed(t, len(d), batch) for t, d in zip(tensors, layout.signature.operands, strict=True)]
        results = [wrap(slot) for slot in dispatch.arrays(made, tensors, outputs, words)]
        return results[0] if len(results) == 1 else tuple(results)

    return function


def _plan(
    name: str,
    layout: Layout,
    shapes: Sequence[tuple[int, ...]],
    sizes: Mapping[str, Callable],
    numbers: Mapping[str, Any],
    common: Any,
) -> tuple:
    """What a call with operands of these shapes needs: the batch, dtypes and shapes of results, attribute words."""
    batch, extents = measure(name, layout, shapes, sizes, numbers)
    outputs = []
    for result, dims in zip(layout.results, layout.signature.results, strict=True):
        kind = DTYPES[layout.fixed[result]] if result in layout.fixed else common
        outputs.append((kind, (*batch, *(_extent(d, extents) for d in dims))))
    return batch, outputs, [float_bits(float(v)) for v in numbers.values()]


def _converted(name: str, layout: Layout, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Operands of one floating dtype, but for those that have a dtype of their own."""
    free = [t for t, o in zip(tensors, layout.operands, strict=True) if o not in layout.fixed]
    kind = free[0].dtype
    if not layout.fixed and kind.is_floating_point and all(t.dtype is kind for t in free):
        return list(tensors)
    common = dispatch.result_type(free)
    common = common if common.is_floating_point else get_default_dtype()
    done = []
    for t, o in zip(tensors, layout.operands, strict=True):
        if o in layout.fixed and t.dtype.code != layout.fixed[o]:
            raise RuntimeError(
                f"{name}: operand {o!r} must be {DTYPES[layout.fixed[o]].name}, got {t.dtype.name}; "
                "convert it with .to()"
            )
        done.append(t if o in layout.fixed or t.dtype is common else t.to(common))
    return done


def measure(
    name: str,
    layout: Layout,
    shapes: Sequence[tuple[int, ...]],
    sizes: Mapping[str, Callable],
    numbers: Mapping[str, Any],
) -> tuple[tuple[int, ...], dict[str, int]]:
    """The batch that the operands share, and the size of every dimension of the signature."""
    extents: dict[str, int] = {}
    batches = []
    for operand, dims, shape in zip(layout.operands, layout.signature.operands, shapes, strict=True):
        start = len(shape) - len(dims)
        for d, n in zip(dims, shape[max(start, 0) :], strict=False):
            expected = int(d) if d.isdigit() else extents.setdefault(d, n)
            if start < 0 or n != expected:
                raise RuntimeError(
                    f"{name}: operand {operand!r} has shape {shape}, which does not fit the signature "
                    f"{layout.signature}: expected (..., {', '.join(dims)})"
                    + (f" with {d} = {expected}, got {n}" if start >= 0 else "")
                )
        if start < 0:
            raise RuntimeError(
                f"{name}: operand {operand!r} has shape {shape}; the signature {layout.signature} asks "
                "for at "
                f"least {len(dims)} dimensions ({', '.join(dims)})"
            )
        batches.append(shape[:start])
    for d, rule in sizes.items():
        known = extents | dict(numbers)
        n = rule(**{p: known[p] for p in names_of(rule)})
        if not isinstance(n, int) or n < 0:
            raise RuntimeError(
                f"{name}: the size of {d!r} comes out as {n!r} for {extents}; it must be 0 or more"
            )
        extents[d] = n
    dims = max(map(len, batches))
    batch: list[int] = []
    for k in range(dims):
        found = {b[k - dims + len(b)] for b in batches if k - dims + len(b) >= 0} - {1}
        if len(found) > 1:
            raise RuntimeError(
                f"{name}: shapes {' and '.join(map(str, shapes))} do not fit: the dimensions before "
                "those of the "
                f"signature {layout.signature} must be equal or 1"
            )
        batch.append(found.pop() if found else 1)
    return tuple(batch), extents


def _extent(d: str, extents: Mapping[str, int]) -> int:
    return int(d) if d.isdigit() else extents[d]


def _placed(t: Tensor, own: int, batch: tuple[int, ...]) -> Tensor:
    """An operand with the whole batch, and its own dimensions without gaps."""
    shape, strides = t.shape, t._strides()
    expected = 1
    for d in range(len(shape) - 1, len(shape) - 1 - own, -1):
        if shape[d] != 1 and strides[d] != expected:
            t = t.contiguous()
            break
        expected *= shape[d]
    whole = (*batch, *shape[len(shape) - own :])
    return t if tuple(shape) == whole else t.expand(whole)
