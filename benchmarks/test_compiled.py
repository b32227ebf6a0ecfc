"""Compiled training steps: ``pytest benchmarks/test_compiled.py --benchmark-only``.

A call a step, many steps on one batch, epochs of shuffled batches, and what it takes to record a new program, for
every workload that trains. Times are of what a benchmark's group and `extra_info` say: ``steps`` in one call.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from workloads import NETWORKS, STEPS, TITLES, WORKLOADS, Workload

import jitgrad

BATCHES = 8  # of an epoch
THREADS = (1, 2)
EAGER_STEPS = 50


@pytest.fixture(params=[n for n in WORKLOADS if n in STEPS])
def name(request, benchmark):
    benchmark.group = f"{request.param} {TITLES[request.param]}"
    return request.param


@pytest.fixture
def threads():
    """Sets the number of threads for one test."""
    before = jitgrad.get_num_threads()
    yield jitgrad.set_num_threads
    jitgrad.set_num_threads(before)


def build(name: str) -> tuple[Workload, Any]:
    workload = WORKLOADS[name](jitgrad)
    return workload, jitgrad.compile(workload.step, fullgraph=True)


def steps_for(name: str) -> int:
    """Steps of one call that take some milliseconds, and no more than may be timed from new parameters on."""
    models = {"W6": 20, "W7": 50, "W9": 50, "W10": 2}
    return {"W1": 20_000, "W2": 4_000, "W3": 500, "W4": 50, "W5": 50, "W8": 10, **models}[name]


def test_call(benchmark, threads, name):
    threads(1)
    workload, step = build(name)
    first = step(*workload.data).item()
    benchmark(step, *workload.data)
    assert step(*workload.data).item() <= first + 1e-6, "training made the loss larger"


@pytest.mark.parametrize("count", THREADS)
def test_loop(benchmark, threads, name, count):
    threads(count)
    n = steps_for(name)
    benchmark.extra_info["steps"] = n

    def begin():
        workload, step = build(name)
        step(*workload.data)
        return (step.loop, n, *workload.data), {}

    losses = benchmark.pedantic(lambda loop, *rest: loop(*rest), setup=begin, rounds=20)
    assert losses.shape == (n,)
    assert losses[-1].item() <= losses[0].item()


def test_shuffled_epochs(benchmark, threads, name):
    if name not in NETWORKS:
        pytest.skip("its first dimension is not the batch")
    threads(1)
    workload, step = build(name)
    x, y = (jitgrad.from_numpy(np.concatenate([t.numpy()] * BATCHES)) for t in workload.data)
    size = NETWORKS[name].batch
    benchmark.extra_info["steps"] = BATCHES
    step.run(x, y, batch_size=size, shuffle=True)
    losses = benchmark(step.run, x, y, batch_size=size, shuffle=True)
    assert losses.shape == (1, BATCHES)


def test_new_program(benchmark, threads, name):
    """Recording a function anew; `extra_info` has it in eager steps, of which it should not take many."""
    threads(1)
    build(name)[1](*WORKLOADS[name](jitgrad).data)  # kernels are compiled now
    workload = WORKLOADS[name](jitgrad)
    eager = float("inf")
    for _ in range(EAGER_STEPS):
        start = time.perf_counter()
        workload.step(*workload.data)
        eager = min(eager, time.perf_counter() - start)

    def begin():
        workload, step = build(name)
        workload.step(*workload.data)  # the optimizer has its state, as in a program for another shape
        return (step, *workload.data), {}

    benchmark.pedantic(lambda step, *data: step(*data), setup=begin, rounds=20)
    if benchmark.stats is not None:
        benchmark.extra_info["eager_steps"] = benchmark.stats["min"] / eager
