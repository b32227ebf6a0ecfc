"""Section: every operation forward and backward, from 1 to 1M elements.

Calls from Python, one thread, float32. ``GB/s`` counts operands and result once, backward the cotangent and the
gradients; "of peak" is that against a copy which touches as many bytes, or GF/s against multiply-adds in registers.
PyTorch and NumPy have a column where they have a function of the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from array_ops import ARRAY_OPS
from cells import Cell, value_text
from children import run, tell
from report import table
from timing import rounds_of

SECTION = "ops"
SIZES = (1, 16, 256, 4096, 65_536, 1_048_576)
SHORT_SIZES = (16, 4096)
SHORT_NAMES = ("add", "mul", "div", "exp", "tanh", "relu", "sigmoid", "sqrt", "sum", "amax", "softmax")
LIBRARIES = ("jitgrad", "torch", "numpy")
WORST = 15  # lines of the list of what others do faster


def cells(plan: Any) -> Iterator[Cell | str]:
    """Times of all operations in every library."""
    for library in LIBRARIES:
        if plan.wants(library):
            found, reason = run("ops.py", library, *(["short"] if plan.short else []))
            yield from found
            if reason:
                yield f"{library}: {reason}"


# a child --------------------------------------------------------------------------------------------


def described(short: bool) -> list[Any]:
    """The operations that are measured: those of the table on numbers, declared with a gradient or without."""
    from jitgrad.kernels import OPS, abi
    from jitgrad.kernels.table import MAP, REDUCE

    known = [op for op in OPS if op.kind in (MAP, REDUCE) and abi.FLOAT32 in op.dtypes and op.operands]
    return [op for op in known if op.name in SHORT_NAMES] if short else known


def operands(op: Any, size: int) -> list[np.ndarray]:
    """Values from the operands' domains."""
    from jitgrad.kernels import abi

    rng, made = np.random.default_rng(0), []
    for name, code in zip(op.operands, op.operand_dtypes, strict=True):
        domain = op.samples.get(name, {})
        if code == abi.BOOL:
            made.append(rng.random(size) < 0.5)
            continue
        low, high = (domain["low"], domain["high"]) if "low" in domain else (0.1, 1.5)
        made.append(rng.uniform(low, high, size).astype(np.float32))
    return made


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    library, short = arguments[0], "short" in arguments
    sizes = SHORT_SIZES if short else SIZES
    prepare = _numpy if library == "numpy" else partial(_front, library)
    for op in described(short):
        for size in sizes:
            arrays = operands(op, size)
            try:
                ways = {way: rounds_of(function) for way, function in prepare(op, arrays).items()}
            except Exception as error:  # a name that means something else there
                print(f"{op.name}: {error}", file=sys.stderr)
                break
            values = sum(a.nbytes for a in arrays)
            yield from _told(f"{op.name} {{}} {size}", library, ways, (values, 4 * size))
    if library != "numpy":
        yield from _on_arrays(library, short, sizes)
    if library == "jitgrad":
        from jitgrad.program.show.peaks import copy_rate, multiply_add_peak

        for size in sizes:
            yield Cell(SECTION, f"copy peak {size}", "machine", "GB/s", [copy_rate(8 * size)])
        yield Cell(SECTION, "multiply-adds 0", "machine", "GF/s", [multiply_add_peak("float32")])


def _on_arrays(library: str, short: bool, sizes: Sequence[int]) -> Iterator[Cell]:
    """The operations of ``array_ops.py``."""
    torch, rng = _module(library), np.random.default_rng(0)
    for name, make in ARRAY_OPS.items():
        if short and name not in SHORT_NAMES:
            continue
        for size in sizes:
            try:
                case = make(torch, size, rng)
                if case is None:
                    continue
                tensors = [torch.from_numpy(a) for a in case.arrays]
                result = case.call(*tensors)
                ways = {way: rounds_of(f) for way, f in _ways(case.call, tensors, True).items()}
            except Exception as error:  # too new or too old for this function
                print(f"{name}: {error}", file=sys.stderr)
                break
            values = sum(a.nbytes for a in case.arrays)
            moved = (values, result.numel() * result.element_size())
            yield from _told(f"{name} {{}} {size}", library, ways, moved, case.multiply_adds)


def _told(
    case: str, library: str, ways: dict[str, list[float]], moved: tuple[int, int], multiply_adds: int = 0
) -> Iterator[Cell]:
    """Cells with rates. Back: the cotangent is read and all gradients are written, at least; two products for one."""
    operands, result = moved
    for way, times in ways.items():
        if multiply_adds:
            flops = 2 * multiply_adds * (1 if way == "forward" else 2)
            note = f"{flops / min(times) / 1e9:.3g} GF/s"
        else:
            note = f"{(operands + result) / min(times) / 1e9:.3g} GB/s"
        yield Cell(SECTION, case.format(way), library, "ns", [1e9 * t for t in times], note)


Ways = dict[str, Callable[[], Any]]


def _module(library: str) -> Any:
    import importlib

    torch = importlib.import_module(library)
    torch.set_num_threads(1)
    return torch


def _front(library: str, op: Any, arrays: list[np.ndarray]) -> Ways:
    torch = _module(library)
    function = getattr(torch, op.name, None) or getattr(torch.nn.functional, op.name, None)
    if not callable(function):
        return {}
    tensors = [torch.from_numpy(a) for a in arrays]
    try:
        function(*tensors)
    except TypeError:  # takes more than the operands
        return {}
    return _ways(function, tensors, bool(op.gradients) and tensors[0].dtype == torch.float32)


def _ways(function: Callable[..., Any], tensors: list[Any], back: bool) -> Ways:
    """Forward, of which nothing is kept, and backward alone, again and again over the same graph."""

    ways: Ways = {"forward": lambda: function(*tensors)}
    leaves = [t.clone().requires_grad_() if "float" in str(t.dtype) else t for t in tensors]
    result = function(*leaves) if back else None
    if result is None or not result.requires_grad:
        return ways
    cotangent = result.detach() * 0 + 1

    def backward() -> None:
        for leaf in leaves:
            leaf.grad = None
        result.backward(cotangent, retain_graph=True)

    return ways | {"backward": backward}


def _numpy(op: Any, arrays: list[np.ndarray]) -> Ways:
    names = {"sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative", "pow": "power"}
    function = getattr(np, names.get(op.name, op.name), None)
    if function is None or op.attributes or not callable(function):
        return {}
    return {"forward": lambda: function(*arrays)}


# for people -----------------------------------------------------------------------------------------


def markdown(found: list[Cell]) -> str:
    """Our times by size, and what another library does faster."""
    ours = {c.case: c for c in found if c.peer == "jitgrad"}
    sizes = sorted({int(case.split()[-1]) for case in ours})
    peaks = {c.unit: c.best for c in found if c.peer == "machine"}  # of copies: that of the largest size
    rows = []
    for case in dict.fromkeys(case.rsplit(" ", 1)[0] for case in ours):
        line = [ours.get(f"{case} {n}") for n in sizes]
        last = line[-1]
        rate, unit = last.note.split() if last and last.note else ("", "")
        part = f"{100 * float(rate) / peaks[unit]:.0f} %" if unit in peaks else "-"
        shown = [value_text(c.best, c.unit) if c else "-" for c in line]
        rows.append([case, *shown, f"{rate} {unit}".strip() or "-", part])
    parts = [table(["operation", *map(str, sizes), f"rate at {sizes[-1]}", "of peak"], rows)] if rows else []
    for library in LIBRARIES[1:]:
        pairs = [(ours[c.case], c) for c in found if c.peer == library and c.case in ours]
        if pairs:
            ratios = sorted((theirs.best / mine.best, mine.case) for mine, theirs in pairs)
            worst = [f"{case} {r:.2f}" for r, case in ratios[:WORST] if r < 1]
            parts.append(
                f"{library} takes {median(r for r, _ in ratios):.1f} times as long in the middle of "
                f"{len(ratios)} cells, and less than jitgrad in {sum(r < 1 for r, _ in ratios)}: "
                + (", ".join(worst) or "none")
            )
    return "\n\n".join(parts)


if __name__ == "__main__":
    tell(measured)
