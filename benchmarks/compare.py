"""Time the eager training steps of jitgrad and of PyTorch in one run: ``python benchmarks/compare.py``.

Each library and thread count runs in a process of its own; the processes take turns, round by round, so that a
busy spell of the machine meets all of them. The figure is the best round of each; PyTorch's is that of its better
thread count. Losses after the warm-up steps are compared first: different losses would be different work.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workloads import WORKLOADS

WARM_UP = 10
SECONDS_A_ROUND = 0.15


def worker(library: str, threads: int) -> None:
    """Answer requests on standard input: a workload's name gives the loss, then a round's best step time."""
    torch = importlib.import_module(library)
    torch.set_num_threads(threads)
    steps: dict[str, Any] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in steps:
            step = steps[name] = WORKLOADS[name](torch)
            for _ in range(WARM_UP):
                loss = step()
            print(json.dumps(float(loss)), flush=True)
            continue
        print(json.dumps(one_round(steps[name])), flush=True)


def one_round(step: Any) -> float:
    """Seconds a step, the mean over about `SECONDS_A_ROUND`."""
    count, start = 0, time.perf_counter()
    while True:
        step()
        count += 1
        spent = time.perf_counter() - start
        if spent > SECONDS_A_ROUND:
            return spent / count


class Peer:
    """A worker process of one library and thread count."""

    def __init__(self, library: str, threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, str(Path(__file__)), "--worker", library, str(threads)]
        self.name = f"{library} ({threads} thread{'s' if threads > 1 else ''})"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, name: str) -> float:
        """Send a workload's name and read the number that comes back."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} stopped on workload {name}")
        return json.loads(answer)


def main() -> None:
    """Run the comparison and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--worker", nargs=2, metavar=("LIBRARY", "THREADS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker[0], int(options.worker[1]))
        return
    ours, *theirs = peers = [Peer("jitgrad", 1), Peer("torch", 1), Peer("torch", 2)]
    print(f"load {os.getloadavg()[0]:.2f}; best of {options.rounds} rounds; microseconds a step\n")
    print("| workload | jitgrad | PyTorch, 1 thread | 2 threads | times as fast |\n|---|---|---|---|---|")
    for name in options.workloads.split(","):
        losses = [peer.ask(name) for peer in peers]
        spread = max(losses) - min(losses)
        note = "" if spread <= 1e-3 * (1 + abs(losses[0])) else f" (losses differ: {losses})"
        best = {peer: float("inf") for peer in peers}
        for _ in range(options.rounds):
            for peer in peers:
                best[peer] = min(best[peer], peer.ask(name))
        ratio = min(best[p] for p in theirs) / best[ours]
        cells = " | ".join(f"{best[p] * 1e6:.1f}" for p in peers)
        print(f"| {name} {WORKLOADS[name].__name__}{note} | {cells} | {ratio:.1f} |", flush=True)
    for peer in peers:
        peer.process.kill()


if __name__ == "__main__":
    main()
