"""The whole suite: what is measured, in which order, and where the results go.

``jitgrad bench`` and ``benchmarks/compare.py`` without files both come here. A section is a module with a function
``cells(plan)`` that yields `Cell`s and notes (strings).
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure
from cells import Cell, rows_of, write_cells
from report import table
from workloads import WORKLOADS

from jitgrad.cli.bench import SECTIONS, add_arguments
from jitgrad.cli.errors import USAGE, CommandError, unknown

SHORT_ROUNDS = 2
SHORT_WORKLOADS = ("W1", "W2", "W3", "W4", "W6", "W7", "W9")


class Plan(NamedTuple):
    """What is asked for."""

    workloads: list[str]
    peers: list[measure.Peer]
    threads: list[int]
    rounds: int
    short: bool
    python: str

    def wants(self, library: str) -> bool:
        """Whether a library, such as ``torch``, is among the peers."""
        return any(p.kind.split("-")[0] == library for p in self.peers)


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan for options of the command line; names that are not known are errors."""
    workloads = _names(options.workloads, tuple(WORKLOADS), "workload")
    if not workloads:
        workloads = list(SHORT_WORKLOADS if options.short else WORKLOADS)
    threads = [int(n) for n in _names(options.threads, ("1", "2"), "number of threads")] or [1, 2]
    rounds = min(options.rounds, SHORT_ROUNDS) if options.short else options.rounds
    compiles = options.torch_compile
    if compiles is None:  # what needs no C++ compiler is always there
        compiles = not options.short and cpp_compiler() is not None
    peers = _peers(options.peers, compiles)
    return Plan(
        workloads, [p for p in peers if p.threads in threads], threads, rounds, options.short, options.python
    )


def cpp_compiler() -> str | None:
    """The compiler that torch.compile would take."""
    names = (os.environ.get("CXX"), "g++", "clang++", "cl")
    return next((found for n in names if n and (found := shutil.which(n))), None)


def _names(given: str, known: tuple[str, ...], kind: str) -> list[str]:
    names = [n for n in given.split(",") if n]
    for name in names:
        if name not in known:
            raise unknown(kind, name, known)
    return names


def _peers(given: str, torch_compile: bool) -> list[measure.Peer]:
    libraries = tuple(dict.fromkeys(p.kind.split("-")[0] for p in measure.PEERS))
    known = tuple(dict.fromkeys((*libraries, *(n for p in measure.PEERS for n in (p.kind, p.key)))))
    names = _names(given, known, "peer")
    if names and not any(n.startswith("jitgrad") for n in names):
        names.append("jitgrad")

    def chosen(peer: measure.Peer) -> bool:
        if peer.kind == "torch-compile" and not torch_compile:
            return any(n.startswith("torch-compile") and n in (peer.kind, peer.key) for n in names)
        return not names or bool({peer.key, peer.kind, peer.kind.split("-")[0]} & set(names))

    return [p for p in measure.PEERS if chosen(p)]


def about(plan: Plan, before: float) -> dict[str, Any]:
    """Where and when this was measured."""
    from importlib.metadata import version

    from jitgrad.kernels.host import host

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{host().cpu}, {platform.machine()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("jitgrad", "numpy", "numba")},
        "load": [round(x, 2) for x in (before, _load())],
        "rounds": plan.rounds,
    }


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def run(options: argparse.Namespace) -> int:
    """Measure what was asked for, print it, and write it where that was asked for."""
    plan, before = plan_of(options), _load()
    names = (
        list(SECTIONS) if options.sections == "all" else _names(options.sections, tuple(SECTIONS), "section")
    )
    for path in (options.out, options.json and options.json.parent):
        _writable(path)
    if options.readme:
        from readme import checked

        checked(options.readme)  # before anything is measured
    cells: list[Cell] = []
    parts: list[str] = []
    said: list[str] = []
    for name in names:
        print(f"{name}: {SECTIONS[name]} (load {_load():.2f})", file=sys.stderr, flush=True)
        module = importlib.import_module(name)
        found, notes = _collected(module.cells(plan))
        cells += found
        said += [f"{name}: {note}" for note in notes]
        shown = module.markdown(found) if hasattr(module, "markdown") else table(*rows_of(found))
        parts.append("\n\n".join([f"## {name}: {SECTIONS[name]}", shown, "\n".join(f"- {n}" for n in notes)]))
        print(f"\n{parts[-1]}", flush=True)
    where = about(plan, before) | {"notes": said}  # versions of the peers, what is missing, what failed
    heading = (
        f"{where['date']}; {where['machine']}; load {where['load'][0]} before and {where['load'][1]} after, "
    )
    heading += f"ours included; {plan.rounds} rounds; Python {where['python']}; " + ", ".join(
        f"{name} {number}" for name, number in where["versions"].items()
    )
    print(f"\n{heading}")
    _write(options, cells, where, "\n\n".join(["# jitgrad bench", heading, *parts]) + "\n")
    return 0


def _collected(stream: Any) -> tuple[list[Cell], list[str]]:
    cells, notes = [], []
    for item in stream:
        if isinstance(item, Cell):
            cells.append(item)
        else:
            notes.append(item)
    return cells, notes


def _writable(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}; choose another folder") from error


def _write(options: argparse.Namespace, cells: list[Cell], where: dict[str, Any], markdown: str) -> None:
    whole = json.dumps(write_cells(cells, where), indent=1) + "\n"
    if options.readme:
        import readme

        readme.write(cells, where, options.readme)
    if options.json:
        options.json.write_text(whole)
    if options.out is None:
        return
    (options.out / "bench.json").write_text(whole)
    (options.out / "bench.md").write_text(markdown)
    written = ["bench.json", "bench.md"]
    try:
        import pictures
    except ImportError as missing:
        print(f'no pictures: {missing}; install with: pip install "jitgrad[bench]"', file=sys.stderr)
    else:
        written += pictures.draw(cells, where, options.out)
    print(f"wrote {', '.join(written)} to {options.out}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The suite as a script."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except CommandError as error:
        print(f"bench: {error}", file=sys.stderr)
        return USAGE
