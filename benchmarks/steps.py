"""Section: training steps, every workload on every peer, in turns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from cells import Cell
from measure import PEERS, measure, start
from report import report
from workloads import WORKLOADS


def cells(plan: Any) -> Iterator[Cell | str]:
    """Rounds of every workload, as seconds a step."""
    yield from timed(plan, plan.workloads, "steps")


def timed(plan: Any, names: list[str], section: str) -> Iterator[Cell | str]:
    """Rounds of some workloads under the name of a section, and what went wrong."""
    processes, missing = start([p.key for p in plan.peers], plan.python)
    try:
        for name in names:
            result = measure(name, processes, plan.rounds)
            print(f"  {name} done, load {os.getloadavg()[0]:.2f}", file=sys.stderr, flush=True)
            for key, seconds in result.rounds.items():
                if seconds:
                    yield Cell(section, name, key, "s", seconds)
            usual = next(iter(result.losses.values()), None)
            for key, loss in result.other_work.items():
                yield f"{name}: not the same work: the loss of {key} is {loss}, others' {usual}"
            yield from (f"{name}: {key} failed: {why}" for key, why in result.failed.items())
        versions = dict.fromkeys(str(p.hello["version"]) for p in processes)
    finally:
        for p in processes:
            p.stop()
    yield "versions: " + ", ".join(versions)
    yield from (f"not measured: {m}" for m in missing)


def markdown(found: list[Cell]) -> str:
    """Times and ratios."""
    best: dict[str, dict[str, float]] = {}
    for c in found:
        best.setdefault(c.case, {})[c.peer] = c.best
    used = {c.peer for c in found}
    tables = report({n: best[n] for n in WORKLOADS if n in best}, [p for p in PEERS if p.key in used])
    if not found:
        return tables
    spread, worst = median(c.spread for c in found), max(found, key=lambda c: c.spread)
    return (
        f"{tables}\n\nThe middle round took {1 + spread:.2f} times as long as the best one in the middle of all cells, "
        f"{1 + worst.spread:.2f} times in {worst.case} of {worst.peer}."
    )
