"""Steps per second: the peers, their processes, and the rounds that they take in turns.

Each peer (a library, a way to run steps, a number of threads) has a process of its own that is held to as many
cores. The processes take turns, round by round, and every round goes through all workloads, so that a busy spell of
the machine meets all of them. Losses after the first steps are compared beforehand: different losses would be
different work, and are reported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from children import environment, interpreter, last_cores

TOLERANCE = 1e-3  # by which losses may differ, of 1 + the loss
FIRST_STEPS = 240  # seconds until which a peer must have compiled a workload and taken its first steps


class Peer(NamedTuple):
    """One column of the table."""

    label: str
    kind: str  # see workers.py
    threads: int = 1

    @property
    def key(self) -> str:
        """Its name on the command line and in the JSON file."""
        return f"{self.kind}-{self.threads}"

    @property
    def library(self) -> str:
        """The package that it is a way to use."""
        return self.kind.split("-")[0]


PEERS = (
    Peer("jitgrad eager", "jitgrad"),
    Peer("eager, 2 threads", "jitgrad", 2),
    Peer("compiled, a call a step", "jitgrad-call"),
    Peer("call a step, 2 threads", "jitgrad-call", 2),
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
    Peer("NumPy by hand", "numpy"),
    Peer("autograd", "autograd"),
    Peer("MyGrad", "mygrad"),
    Peer("tinygrad", "tinygrad"),
    Peer("micrograd", "micrograd"),
    Peer("scikit-learn MLP", "sklearn"),
)


class Process:
    """The process of a peer."""

    def __init__(self, peer: Peer, python: str) -> None:
        self.peer = peer
        self.python = python
        self.known: set[str] = set()  # workloads that it has taken steps of
        self._begin()

    def _begin(self) -> None:
        peer = self.peer
        command = [
            self.python,
            str(Path(__file__).parent / "workers.py"),
            peer.kind,
            str(peer.threads),
            last_cores(peer.threads),
        ]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(peer.threads, self.python),
        )
        self.hello = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": "its process ended"}

    def ask(self, name: str) -> dict[str, Any]:
        """Send a workload's name and read the answer; the first one must come before `FIRST_STEPS` are over."""
        if name in self.known:
            return self._ask(name)
        over = threading.Event()

        def end() -> None:
            over.set()
            self.process.kill()

        timer = threading.Timer(FIRST_STEPS, end)
        timer.start()
        try:
            answer = self._ask(name)
        finally:
            timer.cancel()
        if over.is_set():
            self.stop()
            self._begin()  # for other workloads
            self.known.clear()
            return {"skip": f"compiling and the first steps took more than {FIRST_STEPS} s"}
        if "loss" in answer:
            self.known.add(name)
        return answer

    def _ask(self, name: str) -> dict[str, Any]:
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
        self.process.communicate()  # waits, and closes the pipes


class Result(NamedTuple):
    """What was measured for one workload."""

    name: str
    losses: dict[str, float]
    rounds: dict[str, list[float]]  # seconds a step
    failed: dict[str, str]
    skipped: dict[str, str]  # why a peer has no such workload
    joules: dict[str, list[float]]  # a step, where the machine tells

    @property
    def best(self) -> dict[str, float]:
        """The best round of each peer."""
        return {key: min(seconds) for key, seconds in self.rounds.items() if seconds}

    @property
    def median(self) -> dict[str, float]:
        """The middle round of each peer."""
        return {key: median(seconds) for key, seconds in self.rounds.items() if seconds}

    @property
    def other_work(self) -> dict[str, float]:
        """The losses of peers that differ from the first peer's."""
        if not self.losses:
            return {}
        first = next(iter(self.losses.values()))
        allowed = TOLERANCE * (1 + abs(first))
        return {key: loss for key, loss in self.losses.items() if not abs(loss - first) <= allowed}


def begin(name: str, processes: list[Process]) -> Result:
    """Let all processes take the first steps of a workload."""
    result = Result(name, {}, {}, {}, {}, {})
    for p in processes:
        answer, key = p.ask(name), p.peer.key
        if "loss" in answer:
            result.losses[key], result.rounds[key] = answer["loss"], []
        elif "error" in answer:
            result.failed[key] = answer["error"]
        else:
            result.skipped[key] = answer["skip"]
    return result


def take_round(result: Result, processes: list[Process]) -> None:
    """Measure a workload once more, on every process that could begin it."""
    for p in processes:
        key = p.peer.key
        if key not in result.losses or key in result.failed:
            continue
        answer = p.ask(result.name)
        if "loss" in answer:  # a process that was ended meanwhile, because of another workload, begins anew
            answer = p.ask(result.name)
        if "seconds" in answer:
            result.rounds[key].append(answer["seconds"])
            if "joules" in answer:
                result.joules.setdefault(key, []).append(answer["joules"])
        else:
            result.failed[key] = answer.get("error") or answer["skip"]


def start(chosen: list[str], python: str = sys.executable) -> tuple[list[Process], list[str]]:
    """The processes of the peers that are there, and a note on each of the others."""
    processes, missing = [], []
    for peer in PEERS:
        if peer.key not in chosen:
            continue
        if last_cores(1) and len(last_cores(peer.threads).split(",")) < peer.threads:
            missing.append(f"{peer.label}: there are not so many cores")
            continue
        process = Process(peer, interpreter(peer.library, python))
        if "version" in process.hello:
            processes.append(process)
        else:
            missing.append(f"{peer.label}: {process.hello['error']}")
            process.stop()
    return processes, missing
