"""Programs on one thread and on two: ``pytest benchmarks/test_team.py --benchmark-only``.

`segments` shows what a meeting of the threads costs, `layers` what sharing gains (a step of matrix products and
tanh, each row shared), `busy` the same while two other processes want the cores, `eager` what it comes to in eager
code. "chosen" is what a program gets: the team where that is faster.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from workloads import workload

import jitgrad
from jitgrad.dispatch import CONTEXT
from jitgrad.engine.entry import entries
from jitgrad.engine.layout import SEGMENT_WORDS
from jitgrad.kernels import BY_NAME, abi, op_kernels
from jitgrad.team import Team

WAYS = ("one thread", "two threads", "chosen")
SHAPES = {"32x64": (32, 64, 10), "256x64": (256, 64, 10), "256x256": (256, 256, 4)}
BUSY = "import os\nwhile os.getppid() == {}: sum(range(100_000))"


def empty(*shape: int) -> np.ndarray:
    """An array whose rows begin at cache lines, as the engine's do: no line is written by two threads."""
    memory = np.zeros(int(np.prod(shape)) + 32, np.float32)
    first = -memory.ctypes.data % 128 // 4
    return memory[first : first + int(np.prod(shape))].reshape(shape)


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    record = np.zeros(abi.A_ARRAYS + 3 * abi.ARRAY_WORDS, np.int64)
    record[abi.R_KERNEL] = op_kernels.compile_kernel(BY_NAME["matmul"].code, 0, abi.FLOAT32)
    record[abi.R_LAYOUT], record[abi.R_COUNT], record[abi.R_ATTRS] = abi.ARRAYS, 3, len(record)
    for k, x in enumerate((a, b, out)):
        line = record[abi.A_ARRAYS + k * abi.ARRAY_WORDS :]
        line[abi.ARRAY_ADDRESS], line[abi.ARRAY_DTYPE] = x.ctypes.data, abi.FLOAT32
        line[abi.ARRAY_DIMS], line[abi.ARRAY_NUMEL] = 2, x.size
        line[abi.ARRAY_SHAPE : abi.ARRAY_SHAPE + 2] = x.shape
        line[abi.ARRAY_STRIDES : abi.ARRAY_STRIDES + 2] = x.shape[1], 1
    return record


def tanh(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    record = np.zeros(abi.N_STREAMS + 2 * abi.STREAM_WORDS, np.int64)
    record[abi.R_KERNEL] = op_kernels.compile_kernel(BY_NAME["tanh"].code, 0, abi.FLOAT32)
    record[abi.R_LAYOUT], record[abi.R_COUNT] = abi.NEST_CONTIGUOUS, 2
    record[abi.R_ATTRS], record[abi.R_DIMS] = len(record), 1
    record[abi.R_NUMEL] = record[abi.N_SIZES] = out.size
    for k, array in enumerate((out, x)):
        first = abi.N_STREAMS + k * abi.STREAM_WORDS
        record[first : first + 2] = array.ctypes.data, 1
    return record


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Two other processes want the cores."""
    command = [sys.executable, "-c", BUSY.format(os.getpid())]
    others = [subprocess.Popen(command) for _ in range(2)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


class Program:
    """A table with one shared segment for each record."""

    def __init__(self, records: list[np.ndarray], arrays: list[np.ndarray]) -> None:
        self.arrays = arrays
        for record in records:
            record[abi.R_WORDS] = len(record)
        self.words = np.concatenate(records)
        ends = self.words.ctypes.data + 8 * np.cumsum([0, *map(len, records)])
        self.lines = np.zeros((len(records), SEGMENT_WORDS), np.int64)
        self.lines[:, 0], self.lines[:, 1] = ends[:-1], ends[1:]
        self.where = (self.lines.ctypes.data, len(records))


def layers(rows: int, width: int, count: int) -> Program:
    r = np.random.default_rng(0)
    x, records = empty(rows, width), []
    x[:] = r.standard_normal(x.shape)
    arrays = [x]
    for _ in range(count):
        w, h, y = empty(width, width), empty(rows, width), empty(rows, width)
        w[:] = r.standard_normal(w.shape) / width**0.5
        records += [matmul(x, w, h), tanh(h, y)]
        arrays += [w, h, y]
        x = y
    return Program(records, arrays)


@pytest.fixture(scope="module")
def team():
    two = Team(2)
    two.start()
    yield two
    two.dismiss(1.0)


def measure(benchmark, team: Team, way: str, program: Program, seconds: float) -> None:
    """Time slices of some length, each many steps; a step is the time divided by ``extra_info["steps"]``."""
    walk = {
        "one thread": lambda *a: entries.replay(CONTEXT, *a),
        "two threads": team.walk,
        "chosen": team.run,
    }[way]
    walk(*program.where, 10)
    steps = 10
    while True:
        start = time.perf_counter()
        walk(*program.where, steps)
        took = time.perf_counter() - start
        if took > seconds / 4:
            break
        steps *= 2
    steps = max(1, int(steps * seconds / took))
    benchmark.extra_info["steps"] = steps
    benchmark.pedantic(walk, (*program.where, steps), rounds=12, warmup_rounds=1)
    if benchmark.stats:  # not with --benchmark-disable
        for key in ("median", "mean"):
            value = getattr(benchmark.stats.stats, key) / steps
            benchmark.extra_info[f"{key} us a step"] = round(1e6 * value, 3)


@pytest.mark.parametrize("way", WAYS[:2])
def test_segments(benchmark, team, way):
    benchmark.group = "20 shared segments of one element"
    x = empty(20, 32)
    measure(benchmark, team, way, Program([tanh(row[:1], row[1:2]) for row in x], [x]), 0.02)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_layers(benchmark, team, shape, way):
    benchmark.group = f"{SHAPES[shape][2]} layers of {shape}"
    measure(benchmark, team, way, layers(*SHAPES[shape]), 0.05)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_busy(benchmark, team, shape, way):
    benchmark.group = f"{SHAPES[shape][2]} layers of {shape} beside two busy processes"
    with busy_cores():
        measure(benchmark, team, way, layers(*SHAPES[shape]), 0.3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("name", ["W4", "W8"])
def test_eager(benchmark, threads, busy, name):
    """Eager steps, whose large records the team shares where that is faster."""
    benchmark.group = f"eager steps of {name}" + busy * " beside two busy processes"
    task = workload(name, jitgrad)
    before = jitgrad.get_num_threads()
    jitgrad.set_num_threads(threads)
    try:
        with busy_cores() if busy else contextlib.nullcontext():
            benchmark.pedantic(task.step, task.data, iterations=20, rounds=100, warmup_rounds=20)
    finally:
        jitgrad.set_num_threads(before)
