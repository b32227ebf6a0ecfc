"""Programs walked by one thread and by teams: equal results, barriers, threads that come and go."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from call_programs import Chain, Program, call, complain, sign, tally
from kernel_records import record_of

from jitgrad import team as teams
from jitgrad.dispatch import CONTEXT
from jitgrad.engine import block
from jitgrad.engine.entry import entries
from jitgrad.kernels import BY_NAME, abi, op_kernels

PATIENCE = 60  # seconds for what needs another thread to run


@pytest.fixture
def team():
    """Make teams that go when the test ends."""
    made = []

    def make(count: int) -> teams.Team:
        made.append(teams.Team(count))
        return made[-1]

    yield make
    for one in made:
        one.dismiss(PATIENCE)
        assert not any(worker.is_alive() for worker in one.workers)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "another thread did not do its part"
        time.sleep(0.001)


PLANS = {
    "all shared": [0, 0, 0, 0],
    "fixed parts": [2, 3, 5, 16],
    "mixed": [1, 0, 1, 1, 4, 0],
    "alone": [1, 1],
    "first alone": [1, 0],
    "last alone": [0, 2, 0, 1],
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_team_gives_what_one_thread_gives(team, count, plan):
    chain, mine = Chain(96, PLANS[plan], records=2), team(count)
    expected = chain.expected(200)
    for walk in (
        lambda: entries.replay(CONTEXT, *chain.where, 200),
        lambda: mine.walk(*chain.where, 200),
        lambda: mine.run(*chain.where, 200),
    ):
        chain.begin()
        walk()
        np.testing.assert_array_equal(chain.arrays[0], expected)


@pytest.mark.parametrize("parts", [1, 0, 2, 3, 5, 8, 16])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_part_runs_once_in_each_step(team, parts, count):
    counts = np.zeros((16, 16), np.int64)
    program = Program([([call(tally, counts.ctypes.data)], parts)])
    if count == 1:
        entries.replay(CONTEXT, *program.where, 500)
    else:
        assert team(count).walk(*program.where, 500) == 0
    made = parts or count
    assert counts[:, 0].tolist() == [500] * made + [0] * (16 - made)
    assert set(counts[:made, 1]) == {made}


@pytest.mark.parametrize("plan", ["all shared", "mixed"])
def test_segments_are_barriers(team, plan):
    chain = Chain(40, PLANS[plan])
    chain.begin()
    team(2).walk(*chain.where, 10_000)
    np.testing.assert_array_equal(chain.arrays[0], chain.expected(10_000))


def test_seats_of_workers_that_never_come_are_taken(team):
    chain, mine = Chain(64, [0, 1, 0, 5]), team(4)
    chain.begin()
    assert entries.walk_team(CONTEXT, mine.address, *chain.where, 300) == 0
    assert not mine.workers
    np.testing.assert_array_equal(chain.arrays[0], chain.expected(300))


@pytest.mark.parametrize("parts", [1, 0])
def test_a_report_ends_every_walk_at_the_same_segment(team, parts):
    mine, found = team(3), []
    for walk in (functools.partial(entries.replay, CONTEXT), mine.walk, mine.run, mine.run):
        chain, report = Chain(64, [0, 0, 0, 0]), np.zeros(1, np.int64)
        chain.begin()
        watcher = call(complain, report.ctypes.data, 77, 0)
        watcher[abi.R_WORDS] = len(watcher)
        line = np.array(
            [[watcher.ctypes.data, watcher.ctypes.data + watcher.nbytes, parts, report.ctypes.data]]
        )
        lines = np.concatenate([chain.program.lines[:3], line, chain.program.lines[3:]])
        assert walk(lines.ctypes.data, len(lines), 5000) == report.ctypes.data
        assert report[0] == watcher[10] == 77
        found.append(chain.arrays.tobytes())
    assert len(set(found)) == 1


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    record = record_of([a, b, out], [])
    record[abi.R_KERNEL] = op_kernels.compile_kernel(BY_NAME["matmul"].code, 0, abi.FLOAT32)
    return record


def tanh(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    at = abi.N_STREAMS + 2 * abi.STREAM_WORDS
    record = np.zeros(at, np.int64)
    record[abi.R_KERNEL] = op_kernels.compile_kernel(BY_NAME["tanh"].code, 0, abi.FLOAT32)
    record[abi.R_LAYOUT] = abi.NEST_CONTIGUOUS
    record[abi.R_COUNT], record[abi.R_ATTRS] = 2, at
    record[abi.R_NUMEL] = record[abi.N_SIZES] = out.size
    record[abi.R_DIMS] = 1
    for k, array in enumerate((out, x)):
        first = abi.N_STREAMS + k * abi.STREAM_WORDS
        record[first : first + 2] = array.ctypes.data, 1
    return record


@pytest.mark.parametrize("parts", [0, 2, 4])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_kernels_of_the_library_give_the_same_bits(team, count, parts):
    r = np.random.default_rng(0)
    x, w = (r.standard_normal(s, np.float32) for s in ((50, 40), (40, 40)))
    h, y = np.zeros((2, 50, 40), np.float32)
    program = Program([([matmul(x, w, h)], parts), ([tanh(h, y)], parts), ([matmul(y, w, x)], parts)])
    start, results = x.copy(), []
    for walk in (functools.partial(entries.replay, CONTEXT), team(count).walk):
        x[:] = start
        walk(*program.where, 20)
        results.append((x.tobytes(), y.tobytes()))
    assert results[0] == results[1]
    assert np.isfinite(x).all() and (x != start).all()


def test_workers_take_part_park_and_wake(team):
    mine = team(2)
    signs = np.zeros((2, 16), np.int64)
    program = Program([([call(sign, signs.ctypes.data)], 0)])

    def both_signed() -> bool:
        mine.walk(*program.where, 50)
        return signs[0, 0] != signs[1, 0]

    for _ in range(3):
        signs[:] = 0
        wait_until(both_signed)
        wait_until(lambda: mine._block[block.T_PARKED] == 1)


def test_a_long_program_gets_workers_and_a_short_one_does_not(team):
    mine, idle = team(3), team(3)
    long, short, unshared = Chain(2000, [0, 0]), Chain(8, [0, 0]), Chain(2000, [1, 1])
    idle.run(*short.where, 1)
    idle.run(*unshared.where, 5000)
    assert not idle.workers
    long.begin()
    mine.run(*long.where, 5000)
    assert len(mine.workers) == 2
    np.testing.assert_array_equal(long.arrays[0], long.expected(5000))


BUSY = "import os\nwhile os.getppid() == {}: sum(range(100_000))"


def test_what_is_known_of_a_program_is_not_taken_for_another_whose_table_lies_there(team):
    mine, known = team(2), []
    chains = Chain(2000, [0, 0]), Chain(16, [0, 0])
    table = np.zeros_like(chains[0].program.lines)
    for chain in chains:
        table[:] = chain.program.lines
        chain.begin()
        assert mine.run(table.ctypes.data, len(table), 5) == 0
        notes = mine._block[block.T_NOTES : block.T_SEATS].reshape(-1, block.LINE)
        known.append(set(notes[:, block.N_NAME].tolist()))
    assert known[1] - known[0]


def test_results_are_right_while_others_have_the_cores(team):
    command = [sys.executable, "-c", BUSY.format(os.getpid())]
    others = [subprocess.Popen(command) for _ in range(2)]
    try:
        for count in (2, 7):
            chain, mine = Chain(1500, [0, 1, 0, 6]), team(count)
            chain.begin()
            mine.walk(*chain.where, 1000)
            for _ in range(10):
                mine.run(*chain.where, 200)
            np.testing.assert_array_equal(chain.arrays[0], chain.expected(3000))
    finally:
        for other in others:
            other.kill()
            other.wait()
