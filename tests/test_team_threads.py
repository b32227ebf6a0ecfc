"""The team's threads: how many there are, when they start, and how they go."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from call_programs import Chain

import jitgrad as torch
from jitgrad import team as teams
from jitgrad import threads

PATIENCE = 60  # seconds


@pytest.fixture
def setting(monkeypatch):
    """Let there be processors enough, and put the number of threads back."""
    monkeypatch.setattr(teams, "processors", lambda: 8)
    before = threads.Setting.threads
    yield
    threads.Setting.threads = before
    teams._replace()


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


def script(text: str) -> subprocess.CompletedProcess:
    lines = textwrap.dedent(text)
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", lines],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_child_of_a_fork_makes_its_own_workers():
    done = script(
        """
        import os, sys
        import numpy as np
        from call_programs import Chain
        from jitgrad import set_num_threads, team

        team.processors = lambda: 8
        set_num_threads(2)
        chain = Chain(400, [0, 0, 1, 0])

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
        from call_programs import Chain
        from jitgrad import set_num_threads, team

        team.processors = lambda: 8
        set_num_threads(4)
        chain = Chain(400, [0, 0])
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
