"""Kernels from functions on arrays: ``def outer(x, y, out)`` with NumPy-like arrays, as a user writes them.

A signature such as ``(n,k),(k)->(n)`` says which dimensions a function works on; those before them are a batch,
and the kernel calls the function for every place in it. The calls are what threads share. Every array that a
function is to fill holds zeros when the call begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import abi

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Signature:
    """The dimensions of every operand and result that a function works on: names, or numbers for fixed sizes."""

    operands: tuple[Dims, ...]
    results: tuple[Dims, ...]

    def __str__(self) -> str:
        left, right = (",".join(f"({','.join(d)})" for d in side) for side in (self.operands, self.results))
        return f"{left}->{right}"


def parse(text: str) -> Signature:
    """A signature from its text, in the form of NumPy's generalized ufuncs."""
    group = r"\(\s*(?:\w+\s*(?:,\s*\w+\s*)*)?\)"
    side = rf"{group}(?:\s*,\s*{group})*"
    if not re.fullmatch(rf"\s*{side}\s*->\s*{side}\s*", text):
        raise ValueError(
            f"signature {text!r}: expected the dimensions of each operand and result in parentheses, "
            "for example '(m,k),(k,n)->(m,n)' or '(n)->()'"
        )
    sides = []
    for half in text.split("->"):
        inside = re.findall(r"\(([^)]*)\)", half)
        sides.append(tuple(tuple(d.strip() for d in part.split(",") if d.strip()) for part in inside))
    return Signature(*sides)


@dataclass(frozen=True)
class Layout:
    """What the arrays of a record are, for one operation.

    Attributes
    ----------
    operands, results : tuple of str
        Their names.
    signature : Signature
        Their dimensions.
    fixed : mapping
        Dtype codes of those that do not have the operation's dtype.
    attributes : mapping
        Name to type (float, int or bool) of the numbers that follow the operands.
    """

    operands: tuple[str, ...]
    results: tuple[str, ...]
    signature: Signature
    fixed: Mapping[str, int]
    attributes: Mapping[str, type]

    def dims(self, name: str) -> Dims:
        """Dimensions of an operand or result."""
        both = (*self.operands, *self.results)
        return (*self.signature.operands, *self.signature.results)[both.index(name)]


@dataclass(frozen=True)
class Argument:
    """A parameter of a user's function: which array of the record it is, and how it is passed."""

    place: int  # its number among the arrays
    shaped: int  # the array that has its shape
    dims: int
    dtype: int
    filled: bool  # whether the function writes it
    certain: bool  # whether it is always there; something to write into or zeros to read stands in otherwise
    dense: bool  # whether its own dimensions lie in row-major order without gaps


def forward_arguments(layout: Layout, parameters: Sequence[str], dtype: int) -> list[Argument | str]:
    """What a forward function's parameters are; a string is an attribute."""
    both = (*layout.operands, *layout.results)
    found: list[Argument | str] = []
    for name in parameters:
        if name in layout.attributes:
            found.append(name)
            continue
        k = both.index(name)
        code = layout.fixed.get(name, dtype)
        found.append(Argument(k, k, len(layout.dims(name)), code, k >= len(layout.operands), True, True))
    return found


def backward_arguments(layout: Layout, parameters: Sequence[str], dtype: int, only: str = "") -> list:
    """What the parameters of a function that goes back are; `only` names the one operand it goes back to."""
    inputs, outputs = len(layout.operands), len(layout.results)
    both = (*layout.operands, *layout.results)
    found: list[Argument | str] = []
    for name in parameters:
        kind, k = meaning(layout, name, only)
        code = layout.fixed.get(both[k] if kind != "attribute" else "", dtype)
        dims = len(layout.dims(both[k])) if kind != "attribute" else 0
        if kind == "attribute":
            found.append(name)
        elif kind == "value":
            found.append(Argument(k, k, dims, code, False, True, True))
        elif kind == "cotangent":
            found.append(Argument(outputs + k, k, dims, code, False, outputs == 1, False))
        else:
            found.append(Argument(inputs + 2 * outputs + k, k, dims, code, True, bool(only), bool(only)))
    return found


def meaning(layout: Layout, name: str, only: str = "") -> tuple[str, int]:
    """What a parameter of a function that goes back stands for, and the number of that operand or result."""
    both = (*layout.operands, *layout.results)
    if name in layout.attributes:
        return "attribute", 0
    if name in both:
        return "value", both.index(name)
    results = {f"y{k}" if k else "y": r for k, r in enumerate(layout.results)}
    if name in results:
        return "value", both.index(results[name])
    cotangents = {f"g{k}" if k else "g": r for k, r in enumerate(layout.results)}
    cotangents |= {f"g_{r}": r for r in layout.results}
    if name in cotangents:
        return "cotangent", both.index(cotangents[name])
    if name == "grad" and only:
        return "gradient", layout.operands.index(only)
    if name.startswith("grad_") and name[5:] in layout.operands and only in ("", name[5:]):
        return "gradient", layout.operands.index(name[5:])
    gradients = [f"grad_{o}" for o in layout.operands] if not only else [f"grad_{only}", "grad"]
    raise ValueError(
        f"parameter {name!r} of a function that goes back is none of the operands {list(layout.operands)}, the "
        f"results {list(layout.results)}, their cotangents {sorted(cotangents)}, the gradients to be filled "
        f"{gradients} or the attributes {list(layout.attributes)}"
    )


def forward_kernel(layout: Layout, function: Callable, parameters: Sequence[str]) -> Callable:
    """The builder of the forward kernel."""

    def build(symbol: str, dtype: int) -> Callable:
        arguments = forward_arguments(layout, parameters, dtype)
        return _kernel(layout, [(function, arguments, -1)], dtype)

    return build


def backward_kernel(layout: Layout, joint: Callable | None, single: Mapping[str, Callable]) -> Callable:
    """The builder of the kernel that goes back: by one function for all operands, or by one for each."""
    inputs, outputs = len(layout.operands), len(layout.results)

    def build(symbol: str, dtype: int) -> Callable:
        calls = []
        if joint is not None:
            calls.append((joint, backward_arguments(layout, names_of(joint), dtype), -1))
        for name, function in single.items():
            arguments = backward_arguments(layout, names_of(function), dtype, name)
            calls.append((function, arguments, inputs + 2 * outputs + layout.operands.index(name)))
        return _kernel(layout, calls, dtype)

    return build


def names_of(function: Callable) -> tuple[str, ...]:
    """Names of a function's parameters."""
    code = getattr(function, "py_func", function).__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _kernel(layout: Layout, calls: list, dtype: int) -> Callable:
    """Python text of a kernel that makes the arrays and calls the functions; compiled by Numba."""
    from . import plain

    scope: dict[str, Any] = {n: getattr(plain, n) for n in _HELPERS}
    scope["as_number"] = np.float32 if dtype == abi.FLOAT32 else float
    lines = ["def kernel(record, part, parts):"]
    for number, call in enumerate(calls):
        lines += _lines_of_call(layout, number, *call, scope)
    exec(compile("\n".join(lines) + "\n", "<kernel of a user's function>", "exec"), scope)
    return scope["kernel"]


def _lines_of_call(
    layout: Layout, number: int, function: Callable, arguments: list, wanted: int, scope: dict[str, Any]
) -> Iterator[str]:
    """The lines that call a function for every point of the batch; what they name is put into the scope."""
    from numba import njit

    scope[f"function{number}"] = (
        function if hasattr(function, "py_func") else njit(function, error_model="numpy")
    )
    # the batch is that of any array of known shape
    guide = next(a for a in arguments if isinstance(a, Argument) and (a.filled or a.place == a.shaped))
    indent = "    "
    if wanted >= 0:
        yield f"    if address_of(record, {wanted}) != 0:"
        indent = "        "
    yield f"{indent}batch = dims_of(record, {guide.shaped}) - {guide.dims}"
    yield f"{indent}points = 1"
    yield f"{indent}for d in range(batch):"
    yield f"{indent}    points *= size_of(record, {guide.shaped}, d)"
    yield f"{indent}begin, end = share_of(points, part, parts)"
    yield f"{indent}for point in range(begin, end):"
    passed = []
    for k, (name, a) in enumerate(zip(names_of(function), arguments, strict=True)):
        if isinstance(a, str):
            passed.append(f"{name}={_attribute_text(layout, a)}")
        else:
            scope[f"view{number}_{k}"] = _reader(a)
            yield f"{indent}    a{k} = view{number}_{k}(record, point, batch)"
            passed.append(f"{name}=a{k}")
    yield f"{indent}    function{number}({', '.join(passed)})"


def _attribute_text(layout: Layout, name: str) -> str:
    """How a kernel reads an attribute."""
    convert = {int: "int", bool: "bool"}.get(layout.attributes[name], "as_number")
    return f"{convert}(word_as_float(attribute(record, {list(layout.attributes).index(name)})))"


def _reader(argument: Argument) -> Callable:
    """What gives a kernel an argument: a number where it has no dimensions and is only read, else an array."""
    from .array_views import cell, view

    return cell(argument) if argument.dims == 0 and not argument.filled else view(argument)


_HELPERS = ("address_of", "dims_of", "size_of", "share_of", "attribute", "word_as_float")
