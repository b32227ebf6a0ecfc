"""Measurements in processes of their own: started and read by the suite, told by the child.

A section's file is both: the suite imports it, and runs it as a script for each peer. The script calls `tell`
with its cells; whatever it cannot do is one line with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from cells import Cell, merged

TIME_LIMIT = 900  # seconds
CORES = "JITGRAD_BENCH_CORES"
OURS = ("jitgrad", "tuned")  # need this package


def last_cores(threads: int) -> str:
    """The cores that a peer is held to, where the system can do that: the last ones."""
    if not hasattr(os, "sched_getaffinity"):
        return ""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))


def interpreter(library: str, other: str) -> str:
    """The interpreter for a library: this one where it is installed here, otherwise the other one."""
    return sys.executable if library in OURS or find_spec(library) else other


def environment(threads: int, python: str = sys.executable, **more: str) -> dict[str, str]:
    """Environment variables that hold a child, and the libraries in it, to so many threads.

    Programs beside the child's interpreter are found first, as in an environment that is activated.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = os.pathsep.join((str(Path(python).parent), os.environ.get("PATH", os.defpath)))
    own = {CORES: last_cores(threads), "PATH": path}
    return os.environ | dict.fromkeys(names, str(threads)) | own | more


def run(
    script: str, *arguments: Any, threads: int = 1, python: str = sys.executable, **variables: str
) -> tuple[list[Cell], str]:
    """Cells that a script tells, and why there are no more, if there is a reason."""
    command = [python, str(Path(__file__).parent / script), *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(threads, python, **variables),
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"took more than {TIME_LIMIT} s"
    cells, reason = [], ""
    for line in done.stdout.splitlines():
        if line.startswith('{"cell"'):
            cells.append(Cell(*json.loads(line)["cell"]))
        elif line.startswith('{"skip"'):
            reason = json.loads(line)["skip"]
    if done.returncode and not reason:
        reason = (done.stderr.strip().splitlines() or ["its process ended"])[-1]
    return cells, reason


class Turn(NamedTuple):
    """What one child does in every round."""

    label: str  # of the note, when it cannot
    measure: Callable[[], tuple[list[Cell], str]]  # its cells, and why there are no more, as `run` answers


def in_turns(turns: Sequence[Turn], rounds: int) -> Iterator[Cell | str]:
    """The cells of several rounds; all take their turn in each, so that a busy spell of the machine meets all.

    What could not be measured is said once, and not tried again.
    """
    found: list[Cell] = []
    left = list(turns)
    for _ in range(rounds):
        for turn in tuple(left):
            cells, reason = turn.measure()
            found += cells
            if reason:
                left.remove(turn)
                yield f"{turn.label}: {reason}"
    yield from merged(found)


def tell(measure: Callable[[Sequence[str]], Iterable[Cell]]) -> None:
    """The main function of a child: measure and print the cells."""
    if os.environ.get(CORES) and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, os.environ[CORES].split(",")))
    out, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    try:
        for cell in measure(sys.argv[1:]):
            print(json.dumps({"cell": cell}), file=out, flush=True)
    except ImportError as missing:
        print(json.dumps({"skip": str(missing)}), file=out, flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"skip": f"{type(error).__name__}: {error}"}), file=out, flush=True)
