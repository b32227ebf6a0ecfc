"""The README's table and picture of training steps: ``jitgrad bench --readme README.md`` measures and writes both.

``python benchmarks/readme.py bench.json README.md`` does it from the numbers of an earlier run. What stands between
the two marks in the README is replaced; the picture is written beside it, into `FOLDER`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cells import OTHER_WORK, Cell, read_cells
from report import microseconds, table
from workloads import TITLES, WORKLOADS

from jitgrad.cli.errors import CommandError

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
FOLDER, PICTURE = "docs", "speedups"
COLUMNS = {  # the others are in the picture
    "jitgrad": "jitgrad eager",
    "jitgrad-call": "compiled, a call a step",
    "jitgrad-loop": "compiled loop",
    "torch": "PyTorch eager",
    "torch-compile": "torch.compile",
    "jax": "JAX jit",
    "jax-scan": "JAX scan",
    "numpy": "NumPy by hand",
    "numba": "Numba loops",
    "tuned": "tuned by hand",
}


def text(cells: Sequence[Cell], about: dict[str, Any]) -> str:
    """The table with machine, versions and date; of each library the better number of threads."""
    best: dict[str, dict[str, float]] = {}
    for c in cells:
        if c.section == "steps" and c.values and c.note != OTHER_WORK:
            line, kind = best.setdefault(c.case, {}), c.peer.rsplit("-", 1)[0]
            line[kind] = min(c.best, line.get(kind, c.best))
    if not best:
        raise CommandError("no training steps were measured; the README's table needs the section 'steps'")
    kinds = [k for k in COLUMNS if any(k in line for line in best.values())]
    rows = [
        [f"{name} {TITLES[name]}", *[microseconds(best[name][k]) if k in best[name] else "-" for k in kinds]]
        for name in WORKLOADS
        if name in best
    ]
    lines = [
        "Training steps (clear gradients, forward, loss, backward, optimizer), microseconds a step: best of "
        f"{about['rounds']} interleaved rounds, each library and number of threads in a process of its own, the better "
        f"number of threads. {about['date']}; {about['machine']}; load {about['load'][0]} before; "
        f"Python {about['python']}; {versions(about)}.",
        table(["workload", *[COLUMNS[k] for k in kinds]], rows),
        f"![Times of training steps, in steps of jitgrad's compiled loop]({FOLDER}/{PICTURE}.png)",
    ]
    return "\n\n".join(lines)


def versions(about: dict[str, Any]) -> str:
    """The versions of all peers that the notes name."""
    said = (re.search(r"versions: (.*)", note) for note in about.get("notes", ()))
    found = next((m.group(1) for m in said if m), None)
    return found or ", ".join(f"{name} {number}" for name, number in about["versions"].items())


def checked(path: Path) -> str:
    """The README's text, which must have both marks."""
    try:
        whole = path.read_text()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    if not 0 <= whole.find(BEGIN) < whole.find(END):
        raise CommandError(f"{path} has no lines '{BEGIN}' and '{END}' for the table to stand between")
    return whole


def write(cells: Sequence[Cell], about: dict[str, Any], path: Path) -> None:
    """Put the table and the picture into the README."""
    import pictures

    whole, made = checked(path), text(cells, about)
    before, rest = whole.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    folder = path.parent / FOLDER
    folder.mkdir(exist_ok=True)
    pictures.draw([c for c in cells if c.section == "steps"], about, folder, (PICTURE,))
    path.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")
    print(f"wrote {path} and {folder / PICTURE}.png", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """From a file of numbers."""
    if len(arguments) != 2:
        print("readme: expected two files: bench.json README.md", file=sys.stderr)
        return 2
    try:
        write(*read_cells(json.loads(Path(arguments[0]).read_text())), Path(arguments[1]))
    except CommandError as error:
        print(f"readme: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
