"""Time the same training steps on jitgrad and on its peers, in one run: ``python benchmarks/compare.py``.

Each peer (a library, a way to run steps, a number of threads) has a process of its own that is held to as many
cores. The processes take turns, round by round, so that a busy spell of the machine meets all of them; the figure
is the best round of each. Losses after the first steps are compared beforehand: different losses would be
different work, and are reported.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from workloads import TITLES, WORKLOADS

TOLERANCE = 1e-3  # by which losses may differ, of 1 + the loss


class Peer(NamedTuple):
    """One column of the table."""

    label: str
    kind: str  # see workers.py
    threads: int = 1

    @property
    def key(self) -> str:
        """Its name on the command line and in the JSON file."""
        return f"{self.kind}-{self.threads}"


PEERS = (
    Peer("jitgrad eager", "jitgrad"),
    Peer("compiled, a call a step", "jitgrad-call"),
    Peer("compiled loop", "jitgrad-loop"),
    Peer("loop, 2 threads", "jitgrad-loop", 2),
    Peer("PyTorch", "torch"),
    Peer("PyTorch, 2 threads", "torch", 2),
    Peer("torch.compile", "torch-compile"),
    Peer("torch.compile, 2 threads", "torch-compile", 2),
    Peer("JAX jit", "jax"),
    Peer("JAX jit, 2 threads", "jax", 2),
    Peer("JAX scan", "jax-scan"),
    Peer("JAX scan, 2 threads", "jax-scan", 2),
    Peer("Numba loops", "numba"),
    Peer("tuned by hand", "tuned"),
)


class Ratio(NamedTuple):
    """One column of the second table: the better of some peers over the better of others, and its targets."""

    label: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    targets: dict[str, float]
    at_most: bool = False

    def cell(self, name: str, best: dict[str, float]) -> str:
        """The ratio for a workload, bold where the target is met."""
        above, below = ([best[k] for k in keys if k in best] for keys in (self.above, self.below))
        if not above or not below:
            return "-"
        ratio, target = min(above) / min(below), self.targets.get(name)
        text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        if target is None:
            return text
        met = ratio <= target if self.at_most else ratio >= target
        return f"{f'**{text}**' if met else text} ({target:g})"


_OURS = ("jitgrad-loop-1", "jitgrad-loop-2")
_PYTORCH = {
    **{"W1": 300, "W2": 200, "W3": 38, "W4": 4.5, "W5": 9, "W8": 8},
    **{"W6": 8, "W7": 8, "W9": 14, "W10": 1},
}
RATIOS = (
    Ratio("PyTorch / ours", ("torch-1", "torch-2"), _OURS, _PYTORCH),
    Ratio("torch.compile / ours", ("torch-compile-1", "torch-compile-2"), _OURS, _PYTORCH),
    Ratio(
        "JAX jit / ours",
        ("jax-1", "jax-2"),
        _OURS,
        {"W1": 20, "W2": 20, "W3": 5, "W4": 2.2, "W5": 2.2, "W8": 2.8, "W6": 8},
    ),
    Ratio(
        "JAX scan / ours",
        ("jax-scan-1", "jax-scan-2"),
        _OURS,
        {"W2": 3, "W3": 2, "W4": 1.4, "W5": 1.9, "W8": 2.3, "W7": 3, "W9": 4},
    ),
    Ratio("Numba loops / ours", ("numba-1",), _OURS, {"W2": 1, "W3": 1}),
    Ratio(
        "ours, 1 thread / tuned", ("jitgrad-loop-1",), ("tuned-1",), {"W2": 1.25, "W3": 1.25}, at_most=True
    ),
    Ratio("PyTorch / our eager", ("torch-1", "torch-2"), ("jitgrad-1",), {"W6": 1.5, "W7": 1.5, "W9": 4}),
)


class Process:
    """The process of a peer."""

    def __init__(self, peer: Peer, python: str) -> None:
        self.peer = peer
        threads = str(peer.threads)
        environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
        command = [
            python,
            str(Path(__file__).parent / "workers.py"),
            peer.kind,
            threads,
            _cores(peer.threads),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.hello = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "its process ended"}

    def ask(self, name: str) -> dict[str, Any]:
        """Send a workload's name and read the answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(name + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": "its process ended"}
        return self._read()

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def _cores(threads: int) -> str:
    """The cores that a peer is held to, where the system can do that: the last ones."""
    if not hasattr(os, "sched_getaffinity"):
        return ""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))


class Result(NamedTuple):
    """What was measured for one workload."""

    name: str
    losses: dict[str, float]
    rounds: dict[str, list[float]]  # seconds a step
    failed: dict[str, str]

    @property
    def best(self) -> dict[str, float]:
        """The best round of each peer."""
        return {key: min(seconds) for key, seconds in self.rounds.items() if seconds}

    @property
    def other_work(self) -> dict[str, float]:
        """The losses of peers that differ from the first peer's."""
        if not self.losses:
            return {}
        first = next(iter(self.losses.values()))
        allowed = TOLERANCE * (1 + abs(first))
        return {key: loss for key, loss in self.losses.items() if not abs(loss - first) <= allowed}


def measure(name: str, processes: list[Process], rounds: int) -> Result:
    """All rounds of one workload."""
    losses, failed = {}, {}
    for p in processes:
        answer = p.ask(name)
        if "loss" in answer:
            losses[p.peer.key] = answer["loss"]
        elif "error" in answer:
            failed[p.peer.key] = answer["error"]
    times: dict[str, list[float]] = {key: [] for key in losses}
    for _ in range(rounds):
        for p in processes:
            if p.peer.key in losses and p.peer.key not in failed:
                answer = p.ask(name)
                if "seconds" in answer:
                    times[p.peer.key].append(answer["seconds"])
                else:
                    failed[p.peer.key] = answer["error"]
    return Result(name, losses, times, failed)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:.0f}" if seconds >= 1e-4 else f"{1e6 * seconds:.3g}"


def report(results: list[Result], peers: list[Peer]) -> str:
    """The tables of times and of ratios, and what else there is to say."""
    times, ratios, notes = [], [], []
    used = [r for r in RATIOS if any(r.cell(x.name, x.best) != "-" for x in results)]
    for result in results:
        title = f"{result.name}: {TITLES[result.name]}"
        best = {key: _microseconds(seconds) for key, seconds in result.best.items()}
        times.append([title, *[best.get(p.key, "-") for p in peers]])
        ratios.append([result.name, *[r.cell(result.name, result.best) for r in used]])
        for key, loss in result.other_work.items():
            usual = next(iter(result.losses.values()))
            notes.append(f"{result.name}: not the same work: the loss of {key} is {loss}, others' {usual}")
        notes += [f"{result.name}: {key} failed: {why}" for key, why in result.failed.items()]
    parts = ["Microseconds a step:", table(["workload", *[p.label for p in peers]], times)]
    parts += [
        "Ratios; each side is the better of its thread counts, in brackets the target, bold where it is met:",
        table(["workload", *[r.label for r in used]], ratios),
    ]
    return "\n\n".join(parts + (["\n".join(f"- {n}" for n in notes)] if notes else []))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="comma-separated; by default all")
    parser.add_argument("--peers", default="", help=f"comma-separated, of {', '.join(p.key for p in PEERS)}")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--torch-compile", action="store_true", help="with torch.compile: needs a C++ compiler"
    )
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter for JAX, if it has one of its own"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    return parser.parse_args()


def _start(options: argparse.Namespace) -> tuple[list[Process], list[str]]:
    """The processes of the peers that are there, and a note on each of the others."""
    chosen = options.peers.split(",") if options.peers else [p.key for p in PEERS]
    processes, missing = [], []
    for peer in PEERS:
        if peer.key not in chosen or (peer.kind == "torch-compile" and not options.torch_compile):
            continue
        if _cores(1) and len(_cores(peer.threads).split(",")) < peer.threads:
            missing.append(f"{peer.label}: there are not so many cores")
            continue
        process = Process(peer, options.python if peer.kind.startswith("jax") else sys.executable)
        if "version" in process.hello:
            processes.append(process)
        else:
            missing.append(f"{peer.label}: {process.hello['error']}")
            process.stop()
    return processes, missing


def main() -> None:
    """Run the comparison and print it as Markdown."""
    options = _arguments()
    before = os.getloadavg()[0]
    processes, missing = _start(options)
    versions = list(dict.fromkeys(p.hello["version"] for p in processes))
    results = []
    try:
        for name in options.workloads.split(","):
            results.append(measure(name, processes, options.rounds))
            print(f"{name} done, load {os.getloadavg()[0]:.2f}", file=sys.stderr)
    finally:
        for p in processes:
            p.stop()
    about = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": [before, os.getloadavg()[0]],
        "rounds": options.rounds,
        "versions": versions,
        "missing": missing,
    }
    print(
        f"{about['date']}; {about['machine']}; load {before:.2f} before and {about['load'][1]:.2f} after, ours "
        f"included; best of {options.rounds} rounds; {'; '.join(versions)}\n"
    )
    print(report(results, [p.peer for p in processes]))
    print("".join(f"\nNot measured: {m}" for m in missing))
    if options.json:
        whole = about | {"results": [r._asdict() | {"best": r.best} for r in results]}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
