"""The process of one peer: ``compare.py`` starts it, sends lines of JSON, and reads one line for each.

A request names a workload. The first one is answered with the loss after `WARM_UP` steps, every other one with the
time of a step in a round; or with the error, or the reason why this peer has no such workload. A peer is known to
this file as a function that begins a workload's training anew and returns ``advance(n)``: take `n` steps, wait for
them, and give the last loss.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import repeat
from typing import Any, NamedTuple

from energy import Meter

Advance = Callable[[int], Any]

WARM_UP = 10
SHORTEST = 4e-3  # seconds of a measurement: what it takes to begin and to wait vanishes in it
SECONDS_A_ROUND = 0.1
FEWEST = 3  # measurements in a row, as far as the workload allows: the first may still touch new memory
LONGEST_ROUND = 0.5  # seconds, with beginning anew
FIRST_COUNT, GROWTH = 16, 4  # numbers of steps that are tried; few, because some peers compile for each
MANY = 1 << 40


class Skip(Exception):
    """The peer has no such workload; the message says why."""


class Kind(NamedTuple):
    """A way to run steps."""

    version: str
    begin: Callable[[str], Advance]


# libraries with PyTorch's front ----------------------------------------------------------------------


def _every_step(step: Callable[..., Any], data: tuple[Any, ...]) -> Advance:
    """Steps called one by one from Python."""

    def advance(n: int) -> Any:
        loss = None
        for _ in repeat(None, n):
            loss = step(*data)
        return loss

    return advance


def _eager(torch: Any, version: str) -> Kind:
    from workloads import workload

    def begin(name: str) -> Advance:
        built = workload(name, torch)
        return _every_step(built.step, built.data)

    return Kind(version, begin)


def _jitgrad(threads: int) -> Any:
    import jitgrad

    jitgrad.set_num_threads(threads)
    return jitgrad


def jitgrad_eager(threads: int) -> Kind:
    torch = _jitgrad(threads)
    return _eager(torch, f"jitgrad {torch.__version__}")


def jitgrad_compiled(threads: int, looped: bool) -> Kind:
    from workloads import STEPS, workload

    torch = _jitgrad(threads)

    def record(name: str) -> Advance:
        built = workload(name, torch)
        step = torch.compile(built.step, fullgraph=True)
        if not looped:
            return _every_step(step, built.data)
        return lambda n: step.loop(n, *built.data)[-1]

    record_once = cache(
        record
    )  # long chains: recorded in seconds, and nothing is trained that would begin anew

    def begin(name: str) -> Advance:
        return record(name) if name in STEPS else record_once(name)

    return Kind(f"jitgrad {torch.__version__}", begin)


def torch_eager(threads: int) -> Kind:
    import torch

    torch.set_num_threads(threads)
    return _eager(torch, f"PyTorch {torch.__version__}")


def torch_compiled(threads: int) -> Kind:
    """Forward with loss, and the optimizer, each through torch.compile; backward is compiled with the forward."""
    import torch
    from workloads import STEPS, workload

    torch.set_num_threads(threads)

    @cache  # compiling takes seconds, and so few steps are taken that training need not begin anew
    def begin(name: str) -> Advance:
        if name not in STEPS:
            raise Skip("not a training step")
        built = workload(name, torch)
        return _every_step(compiled_by_torch(torch, built), built.data)

    return Kind(f"PyTorch {torch.__version__}", begin)


def compiled_by_torch(torch: Any, built: Any) -> Callable[..., Any]:
    """A workload's step through torch.compile."""
    forward, update = torch.compile(built.forward), torch.compile(built.optimizer.step)

    def step(x: Any, y: Any) -> Any:
        built.optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        update()
        return loss

    return step


# others ----------------------------------------------------------------------------------------------


def _some(names: Any, begin: Callable[[str], Advance], version: str) -> Kind:
    def checked(name: str) -> Advance:
        if name not in names:
            raise Skip("not written for this peer")
        return begin(name)

    return Kind(version, checked)


def jax(threads: int, scanned: bool) -> Kind:
    if threads == 1:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax_workloads

    begin = jax_workloads.scan if scanned else jax_workloads.per_step
    return _some(jax_workloads.NAMES, begin, jax_workloads.version())


def numba(threads: int) -> Kind:
    import numba_loops
    import numba_steps

    def begin(name: str) -> Advance:
        return (numba_steps if name in numba_steps.BY_HAND else numba_loops).loop(name)

    return _some((*numba_loops.NAMES, *numba_steps.BY_HAND), begin, numba_loops.version())


def tuned(threads: int) -> Kind:
    import tuned_loops
    from workloads import NETWORKS

    adam = [name for name, network in NETWORKS.items() if network.optimizer == "Adam"]
    return _some(adam, tuned_loops.loop, tuned_loops.version())


def numpy(threads: int) -> Kind:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    import numpy_steps
    from workloads import NETWORKS, SCALING

    return _some((*NETWORKS, *SCALING, *numpy_steps.BY_HAND, "W11"), numpy_steps.loop, numpy_steps.version())


def other(threads: int, peer: str, package: str) -> Kind:
    """A library of ``tape_peers.py``."""
    importlib.import_module(peer)
    import tape_peers

    if peer == "tinygrad":
        tape_peers.tinygrad_device()

    def begin(name: str) -> Advance:
        if reason := tape_peers.lacks(peer, name):
            raise Skip(reason)
        return getattr(tape_peers, peer)(name)

    # tinygrad compiles for seconds whenever training begins anew, and takes few steps
    return Kind(tape_peers.version(package), cache(begin) if peer == "tinygrad" else begin)


OTHERS = {p: p for p in ("autograd", "mygrad", "tinygrad", "micrograd")} | {"sklearn": "scikit-learn"}
KINDS: dict[str, Callable[[int], Kind]] = {
    "jitgrad": jitgrad_eager,
    "jitgrad-call": partial(jitgrad_compiled, looped=False),
    "jitgrad-loop": partial(jitgrad_compiled, looped=True),
    "torch": torch_eager,
    "torch-compile": torch_compiled,
    "jax": partial(jax, scanned=False),
    "jax-scan": partial(jax, scanned=True),
    "numba": numba,
    "tuned": tuned,
    "numpy": numpy,
    **{peer: partial(other, peer=peer, package=package) for peer, package in OTHERS.items()},
}


# measuring -------------------------------------------------------------------------------------------


class Worker:
    """Answers requests for one peer."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.meter = Meter()
        self.counts: dict[str, int] = {}  # steps of one measurement

    def answer(self, name: str) -> dict[str, Any]:
        """The answer to one request."""
        if name not in self.counts:
            loss = self.kind.begin(name)(_warm_up(name))
            self.counts[name] = self._count(name)
            return {"loss": number(loss)}
        return self._round(name)

    @staticmethod
    def _limit(name: str) -> int:
        from workloads import STEPS

        return STEPS.get(name, MANY)

    def _count(self, name: str) -> int:
        """How many steps take long enough to be measured, as far as the workload allows."""
        from models import MODELS
        from workloads import STEPS

        count = FIRST_COUNT if name in STEPS else 1  # chains of scalars take some libraries half a second
        if name in MODELS:
            count = MODELS[name].few
        while count * GROWTH <= self._limit(name):
            advance = self.kind.begin(name)
            advance(count)
            if _timed(advance, count) >= SHORTEST:
                return count
            count *= GROWTH
        self.kind.begin(name)(count)  # compiles it, where that depends on the count
        return count

    def _round(self, name: str) -> dict[str, float]:
        """Seconds a step, the best measurement of about `SECONDS_A_ROUND` in all; and joules, where they are told."""
        count, limit = self.counts[name], self._limit(name)
        best, spent, steps, start = float("inf"), 0.0, 0, time.perf_counter()
        joules = 0.0
        while spent < SECONDS_A_ROUND and time.perf_counter() - start < LONGEST_ROUND:
            advance = self.kind.begin(name)
            advance(_warm_up(name))
            for turn in range(1, max(limit // count, 1) + 1):
                before = self.meter.read()
                seconds = _timed(advance, count)
                joules += self.meter.joules(before)
                spent, steps = spent + seconds, steps + count
                best = min(best, seconds / count)
                if spent >= (SECONDS_A_ROUND if turn >= FEWEST else LONGEST_ROUND):
                    break
        found = {"seconds": best}
        return found | {"joules": joules / steps} if self.meter.domains else found


def _warm_up(name: str) -> int:
    from models import MODELS
    from workloads import STEPS

    if name in MODELS:
        return MODELS[name].warm_up
    return WARM_UP if name in STEPS else 1


def number(loss: Any) -> float:
    """A loss as a number, of whatever library."""
    return float(loss.detach() if hasattr(loss, "detach") else loss)


def _timed(advance: Advance, count: int) -> float:
    start = time.perf_counter()
    advance(count)
    return time.perf_counter() - start


def main() -> None:
    """Serve requests: ``workers.py KIND THREADS CORES``, with CORES as in ``0,1`` or empty."""
    kind, threads, cores = sys.argv[1:]
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))  # before any library looks at the cores
    out, sys.stdout = sys.stdout, sys.stderr  # libraries may print

    def say(**answer: Any) -> None:
        print(json.dumps(answer), file=out, flush=True)

    try:
        worker = Worker(KINDS[kind](int(threads)))
    except Exception as missing:
        say(error=str(missing))
        return
    say(version=worker.kind.version)
    for line in sys.stdin:
        try:
            say(**worker.answer(line.strip()))
        except Skip as reason:
            say(skip=str(reason))
        except Exception as error:
            say(error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


if __name__ == "__main__":
    main()
