"""What it takes to record a step for another batch size, against an eager step: ``python recording.py W3 W4 W9``.

Each batch size is recorded right after eager steps on it, with the kernels compiled and the function recorded
before. The best of the recordings stands beside the best of the eager steps. The rewrites, which come when a program
has been replayed twice, are timed apart, when all batch sizes of a round have been recorded.
"""

from __future__ import annotations

import gc
import sys
import time
from statistics import median
from typing import Any

import numpy as np
from workloads import workload

SIZES = 8  # batch sizes a round
ROUNDS = 25
SECONDS = 0.001  # of eager steps on each batch


def batches(torch: Any, data: tuple[Any, ...]) -> list[list[Any]]:
    """The data in other batch sizes: smaller where there is room, else larger."""
    arrays, size = [x.numpy() for x in data], len(data[0])
    if size > SIZES:
        made = [[a[: (size - k) * (len(a) // size)] for a in arrays] for k in range(1, SIZES + 1)]
    else:
        made = [[np.concatenate([a] * (k + 1)) for a in arrays] for k in range(1, SIZES // 2)]
    return [[torch.from_numpy(np.ascontiguousarray(a)) for a in batch] for batch in made]


def best_step(step: Any, batch: list[Any]) -> float:
    """Seconds of the fastest of many steps."""
    best, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        step(*batch)
        best = min(best, time.perf_counter() - start)
    return best


def measure(name: str) -> str:
    """One line of figures."""
    import jitgrad

    work = workload(name, jitgrad)
    eager, recorded, rewritten = [], [], []
    for _ in range(ROUNDS):
        gc.collect()
        step = jitgrad.compile(work.step, fullgraph=True)
        step(*work.data)
        for batch in batches(jitgrad, work.data):
            eager.append(best_step(work.step, batch))
            start = time.perf_counter()
            step(*batch)
            recorded.append(time.perf_counter() - start)
        for program in step.programs:
            start = time.perf_counter()
            program.improve()
            rewritten.append(time.perf_counter() - start)
    steps = min(recorded) / min(eager)
    return (
        f"{name}: eager {min(eager) * 1e6:.1f} us; recording {min(recorded) * 1e3:.2f} ms (median "
        f"{median(recorded) * 1e3:.2f}), {steps:.1f} steps; rewrites {min(rewritten) * 1e3:.2f} ms"
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or ["W1", "W2", "W3", "W4", "W6", "W9"]:
        print(measure(name), flush=True)
