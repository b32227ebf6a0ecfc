"""What became slower: ``python benchmarks/compare.py OLD.json NEW.json``; exit code 1 when something did.

Both files are the suite's (``jitgrad bench --out DIR`` writes ``DIR/bench.json``). A cell is slower when its new
best is worse than the old one by more than the noise: `MARGIN`, or what the rounds of the two files show of the
machine's own spread, whichever is more. Where other libraries became slower too, it must be slower than they.
Without files it times the training steps: a short name for ``jitgrad bench --sections steps``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from cells import Cell, read_cells, value_text
from report import table

MARGIN = 0.10  # changes that are never taken for more than noise
SPREADS = 2.0  # and this often the spread of the rounds between the best and the middle one
OURS = "jitgrad"


class Change(NamedTuple):
    """A cell in both files."""

    old: Cell
    new: Cell
    machine: float = 1.0  # how many times as slow the machine was, see `drift`

    @property
    def ratio(self) -> float:
        """How many times as slow (or large) as before; below 1 it is better."""
        a, b = (self.old.best, self.new.best) if self.new.less_is_better else (self.new.best, self.old.best)
        return b / a if a else 1.0

    @property
    def noise(self) -> float:
        """Changes up to this fraction say nothing."""
        return max(MARGIN, SPREADS * max(self.old.spread, self.new.spread))

    @property
    def verdict(self) -> str:
        """One word."""
        # both with the machine as it was, and with it taken out: who is slower only because of it is not
        least, most = sorted((self.ratio, self.ratio / self.machine))
        if least > 1 + self.noise:
            return "slower"
        return "faster" if most < 1 / (1 + self.noise) else "same"


def changes(old: Sequence[Cell], new: Sequence[Cell], everyone: bool = False) -> list[Change]:
    """Cells that both files have, ours alone unless `everyone` is asked for."""
    before = {c.place: c for c in old}
    pairs = [
        Change(before[c.place], c) for c in new if c.place in before and c.values and before[c.place].values
    ]
    return [p for p in pairs if everyone or p.new.peer.startswith(OURS)]


def drift(old: Sequence[Cell], new: Sequence[Cell]) -> float | None:
    """How many times as slow other libraries were in the new file: the machine, not us."""
    ratios = [c.ratio for c in changes(old, new, everyone=True) if not c.new.peer.startswith(OURS)]
    return median(ratios) if ratios else None


def text(found: Sequence[Change], show_all: bool) -> str:
    """The changes as a Markdown table, the worst first."""
    shown = [c for c in found if show_all or c.verdict != "same"]
    rows = []
    for c in sorted(shown, key=lambda c: -c.ratio):
        numbers = [value_text(x.best, x.unit) for x in (c.old, c.new)]
        rows.append([*c.new.place, *numbers, f"{c.ratio:.2f}", f"{100 * c.noise:.0f} %", c.verdict])
    if not rows:
        return f"{len(found)} cells, none changed beyond noise"
    return table(["section", "case", "peer", "before", "now", "times", "noise", "verdict"], rows)


def run(arguments: Any) -> int:
    """Compare two files."""
    (old, about_old), (new, about_new) = (
        read_cells(json.loads(Path(f).read_text())) for f in arguments.files
    )
    moved = drift(old, new)
    found = [c._replace(machine=moved or 1.0) for c in changes(old, new)]
    if not found:
        print("compare: the files have no cell of jitgrad in common", file=sys.stderr)
        return 2
    for name, about in (("before", about_old), ("now", about_new)):
        print(f"{name}: {about.get('date')}; {about.get('machine')}; load {about.get('load')}")
    if moved is not None:
        print(f"other libraries took {moved:.2f} times as long as before: so did the machine")
    print("\n" + text(found, arguments.all))
    return 1 if any(c.verdict == "slower" for c in found) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare files, or hand over to the suite."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len([a for a in given if a.endswith(".json") and not a.startswith("-")]) < 2 or "--json" in given:
        from suite import main as suite

        return suite(["--sections", "steps", *given])
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs=2, metavar="FILE.json", help="the older one first")
    parser.add_argument("--all", action="store_true", help="also what did not change")
    return run(parser.parse_args(given))


if __name__ == "__main__":
    sys.exit(main())
