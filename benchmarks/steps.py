"""Section: training steps, every workload on every peer, in turns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from cells import OTHER_WORK, Cell, rows_of
from energy import Meter
from measure import PEERS, begin, start, take_round
from report import report, table
from workloads import WORKLOADS

ENERGY = "energy"


def cells(plan: Any) -> Iterator[Cell | str]:
    """Rounds of every workload, as seconds a step."""
    yield from timed(plan, plan.workloads, "steps")


def timed(plan: Any, names: list[str], section: str) -> Iterator[Cell | str]:
    """Rounds of some workloads under the name of a section, and what went wrong."""
    processes, missing = start([p.key for p in plan.peers], plan.python)
    skipped: dict[tuple[str, str], list[str]] = {}
    try:
        results = []
        for name in names:
            results.append(begin(name, processes))
            _say(f"{name} begun")
        for k in range(plan.rounds):
            for result in results:
                take_round(result, processes)
            _say(f"round {k + 1} of {plan.rounds} done")
        for result in results:
            name = result.name
            for key, seconds in result.rounds.items():
                if seconds:
                    yield Cell(
                        section, name, key, "s", seconds, OTHER_WORK if key in result.other_work else ""
                    )
            for key, joules in result.joules.items():
                yield Cell(ENERGY, name, key, "J", joules)
            usual = next(iter(result.losses.values()), None)
            for key, loss in result.other_work.items():
                yield f"{name}: not the same work: the loss of {key} is {loss}, others' {usual}"
            yield from (f"{name}: {key} failed: {why}" for key, why in result.failed.items())
            for key, why in result.skipped.items():
                skipped.setdefault((key, why), []).append(name)
        versions = dict.fromkeys(str(p.hello["version"]) for p in processes)
    finally:
        for p in processes:
            p.stop()
    if reason := Meter().reason:
        yield f"energy: not measured: {reason}"
    yield "versions: " + ", ".join(versions)
    yield from (f"not measured: {m}" for m in missing)
    yield from (f"{key} has no {', '.join(names)}: {why}" for (key, why), names in skipped.items())


def _say(progress: str) -> None:
    print(f"  {progress}, load {os.getloadavg()[0]:.2f}", file=sys.stderr, flush=True)


def markdown(found: list[Cell]) -> str:
    """Times and ratios, the middle rounds, and energy if there is any."""
    energy, found = [c for c in found if c.section == ENERGY], [c for c in found if c.section != ENERGY]
    names = [n for n in WORKLOADS if any(c.case == n for c in found)]
    peers = [p for p in PEERS if any(c.peer == p.key for c in found)]
    best: dict[str, dict[str, float]] = {n: {} for n in names}
    middle: dict[str, dict[str, float]] = {n: {} for n in names}
    other = set()
    for c in found:
        if c.note == OTHER_WORK:
            other.add((c.case, c.peer))
        best[c.case][c.peer], middle[c.case][c.peer] = c.best, c.median
    tables = report(best, middle, peers, other)
    if not found:
        return tables
    spread, worst = median(c.spread for c in found), max(found, key=lambda c: c.spread)
    parts = [
        tables,
        f"The middle round took {1 + spread:.2f} times as long as the best one in the middle of all cells, "
        f"{1 + worst.spread:.2f} times in {worst.case} of {worst.peer}.",
    ]
    if energy:
        parts += ["Energy of all packages, a step:", table(*rows_of(energy))]
    return "\n\n".join(parts)
