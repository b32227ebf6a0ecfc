"""`Program.show`: the rows of a program as a table that people can read, and what each row costs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple, TextIO

from ...engine.layout import ALONE, SEGMENT_PARTS
from ...kernels import BY_NAME
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_WORDS,
    ARRAYS,
    DTYPE_NAMES,
    FLAG_ACCUMULATE,
    PLAIN,
    R_COUNT,
    R_FLAGS,
    R_LAYOUT,
)
from ...kernels.table import ARRAYS as ARRAY_OP
from ...kernels.table import BOTH
from ...kernels.work import MOVES, operations
from ..log.rows import Row
from ..log.views import View, makes_slope
from ..way_back.differentiable import Pullback
from .names import Operand, Operands, Update, operands_of, segment_of, updates_of

if TYPE_CHECKING:
    from ..program import Program

WIDTH = 118  # of a line; longer rows go on in a second one
MOST = 12  # operands of a row that are written out
PROGRAM_ROWS = {
    "bind": "point at the batch",
    "gather": "gather the batch",
    "keep": "keep the result",
    "next": "next step",
    "sums": "add up the strips' sums",
}


class Line(NamedTuple):
    """One row of a program, described.

    Attributes
    ----------
    number : str
        From 1; ``1.2`` is the second row of a chain that row 1 runs strip by strip.
    segment : int
        Rows of one segment run behind one another without a barrier between them.
    shared : bool
        Whether threads share the row.
    kernel, dtype : str
        What is computed, in words; the dtype is empty for rows that move bytes.
    operands : Operands
        What is read and written; nothing for the row that runs a chain.
    text : str
        The operands as they are shown.
    bytes : int
        Elements read plus elements written, in bytes; an element read many times counts once.
    footprint : int
        Bytes touched: what is read and written counts once. Of one strip, for a row that runs a chain.
    flops : int or None
        Floating-point operations: two for each multiply-add of a product (also of convolutions, attention and
        recurrent layers), some for each element of a norm, softmax or loss (``kernels/work.py``), one for each
        element of an elementwise row, a reduction or an update; None for rows that move bytes or choose.
    product : bool
        Whether they are those of matrix products.
    chain : tuple of Line
        The rows that it runs strip by strip.
    """

    number: str
    segment: int
    shared: bool
    kernel: str
    dtype: str
    operands: Operands
    text: str
    bytes: int
    footprint: int
    flops: int | None
    product: bool
    chain: tuple[Line, ...] = ()


def lines_of(program: Program) -> list[Line]:
    """The rows of a program, described."""
    operands = iter(operands_of(program))
    lines = []
    for number, row in enumerate(program.rows, 1):
        segment = segment_of(program, row)
        shared = int(program.segments[segment - 1, SEGMENT_PARTS]) != ALONE
        if row.chain:
            chain = tuple(
                _line(f"{number}.{k}", segment, shared, one, next(operands))
                for k, one in enumerate(row.chain, 1)
            )
            lines.append(_chain_line(str(number), row, chain))
        else:
            lines.append(_line(str(number), segment, shared, row, next(operands)))
    return lines


def _line(number: str, segment: int, shared: bool, row: Row, operands: Operands) -> Line:
    moved = sum(map(_bytes, (*row.reads, *row.writes)))
    words, text = kernel_words(row), _operands_text(operands, row)
    flops, product = work_of(row)
    return Line(
        number,
        segment,
        shared,
        words,
        _dtype(row),
        operands,
        text,
        moved,
        _footprint(row),
        flops,
        product,
    )


def _chain_line(number: str, row: Row, chain: tuple[Line, ...]) -> Line:
    first = chain[0]
    strips = len(row.inner) // len(chain)
    return first._replace(
        number=number,
        kernel=f"{len(chain)} rows in {strips} strips",
        operands=Operands([], []),
        text="",
        bytes=sum(line.bytes for line in chain),
        footprint=_footprint(row) // strips,
        flops=sum(line.flops or 0 for line in chain),
        product=any(line.product for line in chain),
        chain=chain,
    )


# what a row is ------------------------------------------------------------------------------------


def kernel_words(row: Row) -> str:
    """The kernel of a row in words."""
    if row.variant < 0:
        words = PROGRAM_ROWS.get(row.op, row.op)
        return f"{words} update" if row.kernel.startswith("update") else words
    words = BY_NAME[row.op].name if row.op in BY_NAME else row.op
    if makes_slope(row.op, row.variant):
        words += " and its slope"
    elif row.variant:
        words += " and" if goes_both_ways(row) else ""
        words += f" back to {', '.join(_targets(row))}"
    if int(row.words[R_LAYOUT]) not in (ARRAYS, PLAIN) and int(row.words[R_FLAGS]) & FLAG_ACCUMULATE:
        words += ", added"
    return words


def goes_both_ways(row: Row) -> bool:
    """Whether a row is an operation and its way back."""
    return row.variant == BOTH and row.op in BY_NAME and BY_NAME[row.op].kind == ARRAY_OP


def _targets(row: Row) -> list[str]:
    """The operands that a backward kernel goes back to."""
    op = BY_NAME.get(row.op)
    if op is None:
        return [str(row.variant)]
    if op.kind != ARRAY_OP:
        return [op.operands[row.variant - 1]]
    first = int(row.words[R_COUNT]) - _inputs(row)
    numbers = [k - first for k in sorted(_arrays(row)) if k >= first]
    if op.operands == ("*",):
        return [f"operand {k}" for k in numbers]
    return [op.operands[k] for k in numbers]


def _inputs(row: Row) -> int:
    """Operands of a backward array kernel, whose record also has outputs, cotangents and gradients."""
    return (int(row.words[R_COUNT]) - 2 * BY_NAME[row.op].outputs) // 2


def _arrays(row: Row) -> dict[int, View]:
    """The arrays that are there, by their number in the record."""
    return {(v.place - A_ARRAYS) // ARRAY_WORDS: v for v in (*row.reads, *row.writes)}


def _dtype(row: Row) -> str:
    last = row.kernel.rsplit(".", 1)[-1]
    return last if last in DTYPE_NAMES else ""


def work_of(row: Row) -> tuple[int | None, bool]:
    """Floating-point operations of a row, and whether they are those of products, see `Line`."""
    updates = updates_of(row)
    if updates:
        return sum(update.parameter.numel for update in updates), False
    layout = int(row.words[R_LAYOUT])
    if layout == ARRAYS:
        return _array_work(row) or (None, False)
    if layout == PLAIN or row.op in MOVES:
        return None, False
    return max((v.numel for v in (*row.reads, *row.writes)), default=0), False


def _array_work(row: Row) -> tuple[int, bool] | None:
    """Operations of an array kernel, from the shapes that its record has: absent arrays have none.

    The way back names operands, outputs, cotangents and gradients; the last ones tell the shapes of the first.
    """
    op, shapes = BY_NAME[row.op], {k: v.shape for k, v in _arrays(row).items()}
    count = int(row.words[R_COUNT])
    inputs = count - op.outputs if row.variant == 0 else _inputs(row)
    beyond = count - inputs  # of a gradient, from its operand
    operands = [shapes.get(k, shapes.get(k + beyond) if row.variant else None) for k in range(inputs)]
    places = range(inputs, inputs + op.outputs)
    outputs = [shapes.get(k, shapes.get(k + op.outputs) if row.variant else None) for k in places]
    wanted = [k for k in range(inputs) if k + beyond in shapes] if row.variant else None
    work = operations(row.op, operands, outputs, wanted)
    if not goes_both_ways(row):
        return work
    there = operations(row.op, operands, outputs)
    return work and there and (work[0] + there[0], work[1])


def _bytes(view: View) -> int:
    """Bytes of the distinct elements of a view."""
    size = view.itemsize
    for n, step in zip(view.shape, view.strides, strict=True):
        size *= n if step or not n else 1
    return size


def _footprint(row: Row) -> int:
    return sum({(v.address, v.end): _bytes(v) for v in (*row.reads, *row.writes)}.values())


# printing -----------------------------------------------------------------------------------------


def show(program: Program, file: TextIO | None = None) -> None:
    """Print a program, see `Program.show`."""
    out = sys.stdout if file is None else file
    lines = lines_of(program)
    cells = [
        (
            line.number,
            f"{line.segment}{'+' if line.shared else ''}",
            f"{line.kernel} {line.dtype}".strip(),
            size_text(line.bytes),
            count_text(line.flops),
            line.text,
        )
        for one in lines
        for line in (one, *one.chain)
    ]
    header = ("row", "seg", "kernel", "moved", "flops", "read -> written")
    for text in table([header, *cells], right=(0, 3, 4)):
        print(text, file=out)
    print(_footer(program, lines), file=out)
    if isinstance(program.pullback, Pullback):
        print("\nthe way back from the results that have gradients:", file=out)
        show(program.pullback._program, out)


def table(lines: list[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    """Lines of cells in columns below a header; the last column is wrapped at WIDTH, before ``->`` if it can."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    indent = sum(w + 2 for w in widths[:-1])
    widths[-1] = min(widths[-1], max(WIDTH - indent, 40))
    texts = []
    for number, line in enumerate(lines):
        columns = zip(line[:-1], widths, strict=False)
        start = [c.rjust(w) if k in right else c.ljust(w) for k, (c, w) in enumerate(columns)]
        first, *more = _wrapped(line[-1], widths[-1]) if len(widths) - 1 not in right else [line[-1]]
        first = first.rjust(widths[-1]) if len(widths) - 1 in right else first
        texts.append("  ".join([*start, first]).rstrip())
        texts += [" " * indent + text for text in more]
        if number == 0:
            texts.append("  ".join("-" * w for w in widths))
    return texts


def _wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` characters; the written operands begin a line of their own."""
    if len(text) <= width:
        return [text]
    before, arrow, after = text.partition(" -> ")
    lines = []
    for part, lead in ((before, ""), (after, "-> ")) if arrow else ((text, ""),):
        line = lead
        for word in part.split("  "):
            if line.strip("-> ") and len(line) + len(word) + 2 > width:
                lines.append(line.rstrip())
                line = "   "
            line += word + "  "
        lines.append(line.rstrip())
    return lines


def _operands_text(operands: Operands, row: Row) -> str:
    """``reads -> writes``; what the row changes stands on the right only, with a star."""
    reads, writes = operands
    updates = updates_of(row)
    if updates:
        return _update_text(operands, updates)
    plain = int(row.words[R_LAYOUT]) == PLAIN
    texts = (_list_text([o for o in reads if not o.in_place], plain), _list_text(writes, plain))
    return " -> ".join(texts).strip()


def _update_text(operands: Operands, updates: list[Update]) -> str:
    """Gradients and parameters; the state is the same for all."""
    names = {o.view: o for o in operands.reads}
    gradients = _list_text([names[u.gradient] for u in updates])
    parameters = _list_text([names[u.parameter] for u in updates])
    states = " ".join(f".{name}*" for name in updates[0].states)
    return f"{gradients} -> {parameters}" + (f"  with {states}" if states else "")


def _list_text(operands: list[Operand], plain: bool = False) -> str:
    """Operands with their shapes, two spaces between them."""
    texts = [f"{o.name}{'*' if o.in_place else ''}{'' if plain else _shape(o.view)}" for o in operands[:MOST]]
    if len(operands) > MOST:
        texts.append(f"and {len(operands) - MOST} more")
    return "  ".join(texts)


def _shape(view: View) -> str:
    """The sizes of an array, 1 where one element stands for all."""
    sizes = (n if s or not n else 1 for n, s in zip(view.shape, view.strides, strict=True))
    return f"[{','.join(map(str, sizes))}]"


def size_text(size: int) -> str:
    """A number of bytes."""
    if size < 1 << 10:
        return f"{size} B"
    for unit, power in (("KiB", 10), ("MiB", 20), ("GiB", 30)):
        if size < 1000 << power or unit == "GiB":
            return f"{size / (1 << power):.1f} {unit}"
    raise AssertionError


def count_text(count: int | None) -> str:
    """A number of operations; empty when it is not known."""
    if count is None:
        return ""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def summary(program: Program) -> str:
    """A program in one line."""
    parts = [
        _plural(len(program.rows), "row"),
        _plural(len(program.segments), "segment"),
        _plural(program.arity, "argument"),
        _plural(len(program.results), "result"),
        f"{size_text(program.memory)} of its own memory",
    ]
    return f"<program of {', '.join(parts)}>"


def _footer(program: Program, lines: list[Line]) -> str:
    guarded = len(program._tables.guards)
    return (
        f"{_plural(len(lines), 'row')} in {_plural(len(program.segments), 'segment')}; "
        f"{_plural(program.arity, 'argument')}, {_plural(len(program.results), 'result')}, "
        f"{_plural(guarded, 'guarded tensor')}; {size_text(program.memory)} of its own memory\n"
        f"{size_text(sum(x.bytes for x in lines))} moved, {count_text(sum(x.flops or 0 for x in lines))} "
        "floating-point operations\n"
        "* is changed; tN.M is the M-th value kept in the place of tN; threads share segments marked +"
    )
