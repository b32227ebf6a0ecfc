"""Programs walked by one thread and by teams: equal results, barriers, threads that come and go."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from kernel_records import record_of

import jitgrad as torch
from jitgrad import team as teams
from jitgrad import threads
from jitgrad.dispatch import CONTEXT
from jitgrad.engine import block
from jitgrad.engine.entry import entries
from jitgrad.engine.layout import SEGMENT_WORDS
from jitgrad.kernels import BY_NAME, abi, compiler, table

PATIENCE = 60  # seconds for what needs another thread to run


@functools.cache
def address_of(build: Callable) -> int:
    """The kernel that `build` returns as a Python function."""
    # kernels of tests are no part of the cache's key
    with mock.patch.dict(os.environ, {"JITGRAD_CACHE": "off"}):
        return compiler.kernel(f"test_team_{build.__name__}", build)


def mix():
    """Element i of the second array becomes a mix of elements of the first that other parts wrote."""
    from jitgrad.kernels.plain import set_word, word

    def kernel(record, part, parts):
        source, target, n = word(record, 8), word(record, 9), word(record, 10)
        for i in range(n * part // parts, n * (part + 1) // parts):
            set_word(target, i, 3 * word(source, n - 1 - i) + word(source, (i * 7) % n) + i)

    return kernel


def count():
    """Count the calls of each part, 16 words apart."""
    from jitgrad.kernels.plain import set_word, word

    def kernel(record, part, parts):
        set_word(word(record, 8), 16 * part, word(word(record, 8), 16 * part) + 1)
        set_word(word(record, 8), 16 * part + 1, parts)

    return kernel


def sign():
    """Leave the thread's number where the part says, after some work."""
    from numba import types

    from jitgrad.kernels.plain import set_word, word

    thread_ident = types.ExternalFunction("PyThread_get_thread_ident", types.int64())

    def kernel(record, part, parts):
        x = part
        for k in range(20_000):
            x = (x * 6364136223846793005 + k) ^ (x >> 7)
        set_word(word(record, 8), 16 * part, thread_ident())
        set_word(word(record, 8), 16 * part + 1, x)

    return kernel


def call(build: Callable, *words: int) -> np.ndarray:
    record = np.zeros(8 + len(words), np.int64)
    record[abi.R_KERNEL] = address_of(build)
    record[8:] = words
    return record


class Program:
    """A segment table over call records; `segments` are pairs of records and parts."""

    def __init__(self, segments: Sequence[tuple[Sequence[np.ndarray], int]]) -> None:
        for records, _ in segments:
            for record in records:
                record[abi.R_WORDS] = len(record)
        self.words = np.concatenate([record for records, _ in segments for record in records])
        at = self.words.ctypes.data
        self.lines = np.zeros((len(segments), SEGMENT_WORDS), np.int64)
        for line, (records, parts) in zip(self.lines, segments, strict=True):
            end = at + 8 * sum(len(record) for record in records)
            line[:3] = at, end, parts
            at = end
        self.where = (self.lines.ctypes.data, len(segments))


class Chain:
    """Two arrays that are made from one another by `mix`, segment after segment."""

    def __init__(self, n: int, parts: Sequence[int], records: int = 1) -> None:
        self.n = n
        self.arrays = np.zeros((2, n), np.int64)
        turns = [(k % 2, 1 - k % 2) for k in range(len(parts))]
        self.turns = turns if len(parts) % 2 == 0 else [*turns, (1, 0)]
        parts = [*parts, 1] if len(self.turns) > len(parts) else parts
        a = self.arrays.ctypes.data
        segments = []
        for (source, target), p in zip(self.turns, parts, strict=True):
            record = call(mix, a + 8 * n * source, a + 8 * n * target, n)
            segments.append(([record.copy() for _ in range(records)], p))
        self.program = Program(segments)
        self.where = self.program.where

    def begin(self) -> None:
        self.arrays[0] = np.arange(self.n)
        self.arrays[1] = 0

    def expected(self, steps: int) -> np.ndarray:
        x, i = np.arange(self.n), np.arange(self.n)
        for _ in range(steps * len(self.turns)):
            x = 3 * x[::-1] + x[(i * 7) % self.n] + i
        return x


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


@pytest.fixture
def setting(monkeypatch):
    """Let there be processors enough, and put the number of threads back."""
    monkeypatch.setattr(teams, "processors", lambda: 8)
    before = threads._Setting.threads
    yield
    threads._Setting.threads = before
    teams._replace()


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
@pytest.mark.parametrize("count_", [1, 2, 3, 7])
def test_every_part_runs_once_in_each_step(team, parts, count_):
    counts = np.zeros((16, 16), np.int64)
    program = Program([([call(count, counts.ctypes.data)], parts)])
    if count_ == 1:
        entries.replay(CONTEXT, *program.where, 500)
    else:
        assert team(count_).walk(*program.where, 500)
    made = parts or count_
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
    assert entries.walk_team(CONTEXT, mine.address, *chain.where, 300)
    assert not mine.workers
    np.testing.assert_array_equal(chain.arrays[0], chain.expected(300))


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    record = record_of([a, b, out], [])
    record[abi.R_KERNEL] = table.compile_kernel(BY_NAME["matmul"].code, 0, abi.FLOAT32)
    return record


def tanh(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    at = abi.N_STREAMS + 2 * abi.STREAM_WORDS
    record = np.zeros(at, np.int64)
    record[abi.R_KERNEL] = table.compile_kernel(BY_NAME["tanh"].code, 0, abi.FLOAT32)
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
    long, short = Chain(2000, [0, 0]), Chain(8, [0, 0])
    idle.run(*short.where, 1)
    assert not idle.workers
    long.begin()
    mine.run(*long.where, 5000)
    assert len(mine.workers) == 2
    np.testing.assert_array_equal(long.arrays[0], long.expected(5000))


def test_two_calls_at_once(setting):
    torch.set_num_threads(3)
    chains = [Chain(300, [0, 1, 0, 0]) for _ in range(4)]

    def work(chain: Chain) -> None:
        for _ in range(40):
            teams.run(*chain.where, 50)

    for chain in chains:
        chain.begin()
    callers = [threading.Thread(target=work, args=(chain,)) for chain in chains]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
    for chain in chains:
        np.testing.assert_array_equal(chain.arrays[0], chain.expected(2000))


def test_number_of_threads_changes_during_a_replay(setting):
    chain = Chain(500, [0, 0])
    chain.begin()
    torch.set_num_threads(2)
    caller = threading.Thread(target=lambda: [teams.run(*chain.where, 500) for _ in range(40)])
    caller.start()
    for count in [1, 3, 2, 7, 1, 2] * 5:
        torch.set_num_threads(count)
        time.sleep(0.002)
    caller.join(PATIENCE)
    np.testing.assert_array_equal(chain.arrays[0], chain.expected(20_000))


def test_one_thread_has_no_team_and_others_leave(setting):
    torch.set_num_threads(3)
    mine = teams.current()
    mine.start()
    mine.start()
    assert len(mine.workers) == 2
    torch.set_num_threads(1)
    assert teams.current() is None
    for worker in mine.workers:
        worker.join(PATIENCE)
        assert not worker.is_alive()
    chain = Chain(30, [0, 1, 4, 0])
    chain.begin()
    teams.run(*chain.where, 10)
    mine.run(*chain.where, 20_000)  # a team whose workers have left
    np.testing.assert_array_equal(chain.arrays[0], chain.expected(20_010))


def test_no_more_threads_than_processors(setting, monkeypatch):
    monkeypatch.setattr(teams, "processors", lambda: 2)
    torch.set_num_threads(7)
    assert torch.get_num_threads() == 7
    assert teams.current().threads == 2


BUSY = "import os\nwhile os.getppid() == {}: sum(range(100_000))"


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


def script(text: str) -> subprocess.CompletedProcess:
    lines = textwrap.dedent(text)
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        check=False,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_child_of_a_fork_makes_its_own_workers():
    done = script(
        """
        import os, sys
        import numpy as np
        import test_team
        from jitgrad import set_num_threads, team

        set_num_threads(2)
        chain = test_team.Chain(400, [0, 0, 1, 0])

        def replay():
            chain.begin()
            team.current().walk(*chain.where, 500)
            team.run(*chain.where, 500)
            np.testing.assert_array_equal(chain.arrays[0], chain.expected(1000))
            assert len(team.current().workers) == 1

        replay()
        before = team.current()
        child = os.fork()
        replay()
        assert (team.current() is before) == bool(child)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        print("right")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["right", "right"]


@pytest.mark.parametrize("nap", [0, 0.3])
def test_a_process_ends_with_its_workers_spinning_or_asleep(nap):
    done = script(
        f"""
        import time
        import test_team
        from jitgrad import set_num_threads, team

        set_num_threads(4)
        chain = test_team.Chain(400, [0, 0])
        team.current().walk(*chain.where, 100)
        time.sleep({nap})
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quotas_of_control_groups(tmp_path):
    groups = tmp_path / "groups"
    groups.write_text("5:memory:/m\n1:cpu,cpuacct:/a/b\n0::/c/d\n")
    for name, text in {
        "cpu/a/cpu.cfs_quota_us": "150000",
        "cpu/a/cpu.cfs_period_us": "100000",
        "cpu/a/b/cpu.cfs_quota_us": "-1",
        "cpu/a/b/cpu.cfs_period_us": "100000",
        "c/cpu.max": "400000 100000",
        "c/d/cpu.max": "max 100000",
    }.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert sorted(threads._quotas(str(groups), str(tmp_path / "root"))) == [1.5, 4.0]
    assert threads._quotas(str(tmp_path / "none"), str(tmp_path)) == []


def test_cores_are_counted_once(tmp_path):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        file = tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(siblings + "\n")
    assert len({threads._siblings(cpu, str(tmp_path)) for cpu in range(4)}) == 2
    assert len({threads._siblings(cpu, str(tmp_path / "none")) for cpu in range(4)}) == 4
