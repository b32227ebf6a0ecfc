"""`show_tape`: the rows behind a tensor as a table that people can read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from ._tensor import Tensor, handle_of
from .autograd.graph import python_nodes, row_name
from .dispatch import VIEW_CODE, VIEW_NAMES
from .engine import layout
from .engine.layout import (
    S_DIMS,
    S_FLAGS,
    S_GRAD,
    S_OUTPUT,
    S_ROW,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
)
from .kernels import OPS
from .kernels.abi import bits_float
from .slots import slot_dtype, slot_shape, slot_word
from .store import store
from .tape import rows_behind, slots_of

FEW = 4  # gradients of at most so many elements are written out
WIDEST = (
    44  # characters of a cell; workspaces and layouts of large operations would push the rest off the screen
)
STYLES = {
    "leaf": "32",
    "const": "2",
    "freed": "33",
    "rule": "2",
    "op": "1",
    "gradient": "36",
}  # of ANSI terminals


@dataclass(frozen=True)
class Value:
    """A tensor that a row reads or makes.

    Attributes
    ----------
    name : str
        ``%3`` for what row 3 made (``%3.1`` for its second output), or a leaf's name.
    shape, dtype
        As of the tensor.
    kind : str
        ``row``, ``leaf`` (asks for a gradient), ``const`` (does not) or ``freed`` (its row is gone).
    saved : bool
        Whether the row keeps its values for the walk back.
    gradient : Tensor or None
        Its ``.grad``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    kind: str
    saved: bool
    gradient: Tensor | None


@dataclass(frozen=True)
class TapeRow:
    """One recorded operation; `operands` holds None for an operand that was left out."""

    number: int
    op: str
    operands: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: dict[str, Any]


def show_tape(
    tensor: Tensor, file: TextIO | None = None, *, names: Mapping[str, Tensor] | None = None
) -> None:
    """Print the rows behind a tensor, oldest first.

    Parameters
    ----------
    tensor : Tensor
        Where to start.
    file : text stream, optional
        Where to print; standard output if not given.
    names : mapping of str to Tensor, optional
        Names for leaves, for example ``dict(model.named_parameters())``; others become ``%a``, ``%b``, ...

    Notes
    -----
    A ``*`` marks a value that is kept for the walk back. Gradients appear after
    ``backward(retain_graph=True)``; a plain ``backward()`` frees the rows.
    """
    out = sys.stdout if file is None else file
    paint = _painter(out)
    rows = tape_table(tensor, names=names)
    if not rows:
        print(_without_rows(tensor), file=out)
        return
    lines = [("row", "op", "operands", "output", "attributes", "gradient")]
    styles = [("op",) * 6]
    for value in _outside(rows):
        described = f"{value.name}: {_type(value)}"
        lines.append(("", value.kind, "", described, "", _summary(value.gradient)))
        style = value.kind.partition(" ")[0]
        styles.append(("", style, "", style, "", "gradient"))
    for row in rows:
        *cells, attributes, gradient = _line(row)
        lines.append((*cells, _clipped(attributes), gradient))
        styles.append(("", "op", "", "", "rule", "gradient"))
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    for number, (line, style) in enumerate(zip(lines, styles, strict=True)):
        cells = [line[0].rjust(widths[0]), *(c.ljust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        last = max(k for k, text in enumerate(line) if text)
        cells[last] = cells[last].rstrip()
        print("  ".join(map(paint, cells[: last + 1], style[: last + 1])), file=out)
        if number == 0:
            print(paint("  ".join("-" * w for w in widths), "rule"), file=out)
    kept = sum(v.saved for row in rows for v in (*row.operands, *row.outputs) if v is not None)
    print(f"{len(rows)} rows; * marks the {kept} values kept for the walk back", file=out)


def _painter(out: TextIO) -> Callable[[str, str], str]:
    """``paint(text, style)``: colours, where a person looks on and has not asked for none (``NO_COLOR``)."""
    watched = getattr(out, "isatty", lambda: False)()
    if not watched or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda text, style: text
    return lambda text, style: f"\x1b[{STYLES[style]}m{text}\x1b[0m" if style in STYLES and text else text


def _clipped(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def tape_table(tensor: Tensor, *, names: Mapping[str, Tensor] | None = None) -> list[TapeRow]:
    """The rows behind a tensor, oldest first; none for a leaf or after the graph was freed.

    Parameters
    ----------
    tensor : Tensor
        Where to start.
    names : mapping of str to Tensor, optional
        Names for leaves.

    Returns
    -------
    list of TapeRow
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"show_tape: expected a Tensor, got {type(tensor).__name__}")
    known = {t._slot: name for name, t in (names or {}).items()}
    offsets = rows_behind(tensor._slot)
    numbers = {offset: k + 1 for k, offset in enumerate(offsets)}
    return [_read_row(offset, numbers, known) for offset in offsets]


def _read_row(offset: int, numbers: dict[int, int], names: dict[int, str]) -> TapeRow:
    inputs = int(store.tape[offset + T_INPUTS])
    values = [_value(slot, offset, k, numbers, names) for k, slot in enumerate(slots_of(offset))]
    op, attributes = operation(offset)
    return TapeRow(numbers[offset], op, tuple(values[:inputs]), tuple(values[inputs:]), attributes)


def _value(slot: int, offset: int, k: int, numbers: dict[int, int], names: dict[int, str]) -> Value | None:
    """Entry `k` of a row."""
    if not slot:
        return None
    saved = int(store.tape[offset + T_OPERANDS + 2 * k + 1]) != layout.NOT_SAVED
    row = slot_word(slot, S_ROW)
    gradient = slot_word(slot, S_GRAD)
    if row >= 0:
        kind, name = "row", f"%{numbers[row]}"
        if int(store.tape[row + T_OUTPUTS]) > 1:
            name += f".{slot_word(slot, S_OUTPUT)}"
    else:
        if slot not in names:
            names[slot] = f"%{letters(len(names))}"
        name = names[slot]
        kind = "leaf" if slot_word(slot, S_FLAGS) & layout.REQUIRES_GRAD else "const"
        if row <= layout.FREED_ROW:
            kind = f"freed {row_name(row)}"
    return Value(
        name,
        slot_shape(slot),
        slot_dtype(slot),
        kind,
        saved,
        handle_of(gradient) if gradient else None,
    )


def letters(k: int) -> str:
    """a, b, ..., z, a1, b1, ..."""
    return chr(ord("a") + k % 26) + (str(k // 26) if k >= 26 else "")


def operation(offset: int) -> tuple[str, dict[str, Any]]:
    """Name and attributes of a row's operation."""
    tape = store.tape
    code, kind = int(tape[offset + T_OP]), int(tape[offset + T_KIND])
    words = tape[offset + int(tape[offset + T_ATTRS]) : offset + int(tape[offset + T_WORDS])].tolist()
    if kind == layout.PYTHON:
        return python_nodes[code].name().removesuffix("Backward"), {}
    if kind == layout.RESHAPE:
        return VIEW_NAMES[code - VIEW_CODE], {"shape": tuple(words)}
    if kind == layout.STRIDED_VIEW:
        return VIEW_NAMES[code - VIEW_CODE], _view_attributes(words)
    op = OPS[code]
    if kind == layout.ARRAYS and not op.attributes:
        return op.name, {"words": tuple(map(_number, words))} if words else {}
    attributes: dict[str, Any] = {}
    if kind == layout.REDUCE:
        mask = words[0]
        dims = slot_word(int(tape[offset + T_OPERANDS]), S_DIMS)
        dim = tuple(d for d in range(dims) if (mask >> d) & 1)
        attributes = {"dim": dim, "keepdim": bool(words[1])}
        words = words[2:]
    return op.name, attributes | {n: bits_float(w) for n, w in zip(op.attributes, words, strict=True)}


def _number(word: int) -> int | float | str:
    """An attribute word: an integer, the bits of a float, or the place of something: no integer is as large."""
    value = bits_float(word)
    if abs(word) >> 56:
        return value if 1e-30 < abs(value) < 1e30 else word
    return "address" if word >> 32 > 0 else word


def _view_attributes(words: list[int]) -> dict[str, Any]:
    """What a strided view does: the input dimension each of its own runs along, steps and starts."""
    dims = words[0]
    columns = [words[1 + 4 * j : 5 + 4 * j] for j in range(dims)]
    start = tuple(words[1 + 4 * dims :])
    along = tuple(None if first < 0 else first if second < 0 else (first, second)
                  for _, first, _, second in columns)  # fmt: skip
    attributes: dict[str, Any] = {"along": along}
    if any(step != 1 for _, first, step, _ in columns if first >= 0):
        attributes["step"] = tuple(step for _, _, step, _ in columns)
    if any(start):
        attributes["start"] = start
    return attributes


def _outside(rows: list[TapeRow]) -> list[Value]:
    """What the rows read that none of them made, each once."""
    found: dict[str, Value] = {}
    for row in rows:
        for value in row.operands:
            if value is not None and value.kind != "row":
                found.setdefault(value.name, value)
    return list(found.values())


def _type(value: Value) -> str:
    return f"{value.dtype.name}{list(value.shape)}"


def _marked(value: Value | None) -> str:
    if value is None:
        return "-"
    return value.name + ("*" if value.saved else "")


def _line(row: TapeRow) -> tuple[str, ...]:
    outputs = [v for v in row.outputs if v is not None]
    return (
        str(row.number),
        row.op,
        " ".join(_marked(v) for v in row.operands),
        ", ".join(
            f"{_marked(v)}: {_type(v) if v.dtype is not outputs[0].dtype or not k else list(v.shape)}"
            for k, v in enumerate(outputs)
        ),
        " ".join(
            f"{name}={value_text(value)}" for name, value in row.attributes.items() if value is not False
        ),
        ", ".join(filter(None, (_summary(v.gradient) for v in outputs))),
    )


def value_text(value: Any) -> str:
    """An attribute as it is written in a table."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"({','.join(map(value_text, value))}{',' * (len(value) == 1)})"
    return str(value).replace(" ", "")


def _summary(gradient: Tensor | None) -> str:
    """A gradient in a few words: its values when there are few, else its extent."""
    if gradient is None:
        return ""
    values = gradient.numpy(force=True)
    if values.size <= FEW:
        return np.array2string(values, precision=4, separator=", ").replace("\n", "")
    return f"{values.min():.4g} .. {values.max():.4g}, norm {np.sqrt(np.sum(np.square(values))):.4g}"


def _without_rows(tensor: Tensor) -> str:
    """Why there is nothing to show."""
    row = tensor._word(S_ROW)
    what = f"{tensor.dtype.name}{list(tensor.shape)}"
    gradient = _summary(tensor.grad)
    ending = f"; gradient {gradient}" if gradient else ""
    if row <= layout.FREED_ROW:
        return (
            f"{what}: the rows behind it were freed by backward() (the last was {row_name(row)}); "
            f"keep them with backward(retain_graph=True){ending}"
        )
    if tensor.requires_grad:
        return f"{what}: a leaf, no operation made it{ending}"
    return f"{what}: nothing was recorded, it does not require grad"
