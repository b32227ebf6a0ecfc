"""Section: every elementwise operation and reduction, forward, and there and back, from 1 to 1M elements.

Calls from Python, one thread, float32. ``GB/s`` counts operands and result once; "of copies" is that against a copy
which touches as many bytes. PyTorch and NumPy have a column where they have a function of the same name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from cells import Cell, value_text
from children import run, tell
from report import table
from timing import rounds_of

SECTION = "ops"
SIZES = (1, 16, 256, 4096, 65_536, 1_048_576)
SHORT_SIZES = (16, 4096)
SHORT_NAMES = ("add", "mul", "div", "exp", "tanh", "relu", "sigmoid", "sqrt", "sum", "amax")
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
    prepare = _numpy if library == "numpy" else partial(_front, library)
    for op in described(short):
        for size in SHORT_SIZES if short else SIZES:
            arrays = operands(op, size)
            moved = sum(a.nbytes for a in arrays) + 4 * size
            try:
                ways = {way: rounds_of(function) for way, function in prepare(op, arrays).items()}
            except Exception as error:  # a name that means something else there
                print(f"{op.name}: {error}", file=sys.stderr)
                break
            for way, times in ways.items():
                note = f"{moved / min(times) / 1e9:.3g} GB/s" if way == "forward" else ""
                yield Cell(SECTION, f"{op.name} {way} {size}", library, "ns", [1e9 * t for t in times], note)
    if library == "jitgrad":
        from jitgrad.program.peaks import copy_rate

        for size in SHORT_SIZES if short else SIZES:
            yield Cell(SECTION, f"copy peak {size}", "machine", "GB/s", [copy_rate(8 * size)])


Ways = dict[str, Callable[[], Any]]


def _front(library: str, op: Any, arrays: list[np.ndarray]) -> Ways:
    import importlib

    torch = importlib.import_module(library)
    torch.set_num_threads(1)
    function = getattr(torch, op.name, None) or getattr(torch.nn.functional, op.name, None)
    if not callable(function):
        return {}
    tensors = [torch.from_numpy(a) for a in arrays]
    try:
        function(*tensors)
    except TypeError:  # takes more than the operands
        return {}
    ways: Ways = {"forward": lambda: function(*tensors)}
    if op.gradients and tensors[0].dtype == torch.float32:
        ways["and back"] = _there_and_back(tensors, function)
    return ways


def _there_and_back(tensors: list[Any], function: Callable[..., Any]) -> Callable[[], None]:
    leaves = [t.clone().requires_grad_() if "float" in str(t.dtype) else t for t in tensors]
    start = function(*leaves)
    cotangent = start.detach() * 0 + 1

    def both() -> None:
        for leaf in leaves:
            leaf.grad = None
        function(*leaves).backward(cotangent)

    return both


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
    peaks = {int(c.case.split()[-1]): c.best for c in found if c.peer == "machine"}
    rows = []
    for case in dict.fromkeys(case.rsplit(" ", 1)[0] for case in ours):
        line = [ours.get(f"{case} {n}") for n in sizes]
        last = line[-1]
        rate = float(last.note.split()[0]) / peaks[sizes[-1]] if last and last.note and peaks else None
        shown = [value_text(c.best, c.unit) if c else "-" for c in line]
        rows.append([case, *shown, f"{100 * rate:.0f} %" if rate else "-"])
    parts = [table(["operation", *map(str, sizes), f"of copies at {sizes[-1]}"], rows)] if rows else []
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
