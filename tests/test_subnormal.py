"""Numbers too small to be normal: zero for optimizers, and for whoever asks for it; kept by all else."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from test_team_threads import setting  # noqa: F401

import jitgrad as torch
from jitgrad import nn
from jitgrad import team as teams
from jitgrad.kernels import formula as F
from jitgrad.kernels.host import host
from jitgrad.subnormal import flushes

pytestmark = pytest.mark.skipif(not host().x86, reason="subnormal numbers are as fast as others here")

SMALL = 1e-39  # subnormal in float32


def _shares(optimizer):
    """The part of subnormal numbers in each moment."""
    moments = [s["exp_avg"].numpy() for s in optimizer.state.values()]
    return [float(((m != 0) & (np.abs(m) < np.finfo(m.dtype).tiny)).mean()) for m in moments]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_moments_of_a_gradient_that_is_zero_now_do_not_end_among_subnormal_numbers(compiled):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 40), nn.Linear(40, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x):
        optimizer.zero_grad()
        (model(x).sum() * x.sum()).backward()
        optimizer.step()

    if compiled:
        step = torch.compile(step, fullgraph=True)
    step(torch.randn(4, 7))
    for _ in range(1200):  # 0.9**830 is the smallest normal number
        step(torch.zeros(4, 7))
    assert _shares(optimizer) == [0.0] * 4
    assert all((s["exp_avg"].abs() < 1e-36).all() for s in optimizer.state.values())


def test_other_arithmetic_keeps_subnormal_numbers():
    weight = nn.Parameter(torch.ones(20))
    optimizer = torch.optim.Adam([weight])
    x = torch.full((20,), SMALL)
    for _ in range(2):
        weight.grad = torch.ones(20)
        optimizer.step()
        assert np.all((x * 1.0).numpy() == np.float32(SMALL))
        assert np.all(x.numpy() * np.float32(0.5) == np.float32(SMALL * 0.5))


# set_flush_denormal ---------------------------------------------------------------------------------

COUNT = 1 << 16
KEPT = np.float32(SMALL)
SQUARED = np.float32(1e-20) * np.float32(1e-20)


@pytest.fixture
def flush():
    """`set_flush_denormal`, and the mode as it was."""
    before = flushes()
    assert not before
    yield torch.set_flush_denormal
    torch.set_flush_denormal(before)


def small(n=20):
    """Normal numbers; their squares are subnormal."""
    return torch.full((n,), 1e-20)


def square(x):
    return x * x


CASES = {
    "operation": lambda: square(small()),
    "operand": lambda: torch.full((20,), 1.5) * torch.from_numpy(np.full(20, SMALL, np.float32)),
    "sum": lambda: torch.from_numpy(np.full(9, SMALL, np.float32)).sum(),  # less than 1.2e-38
    "matmul": lambda: small(64).reshape(8, 8) @ small(64).reshape(8, 8),
    "exp": lambda: torch.full((20,), -90.0).exp(),
    "float64": lambda: torch.full((20,), 1e-160, dtype=torch.float64) ** 2,
    "gradient": lambda: torch.func.grad(lambda x: (x * x * 1e-20).sum())(small()),
    "compiled": lambda: torch.compile(square, fullgraph=True)(small()),
    "NumPy": lambda: torch.from_numpy(small().numpy() * np.float32(1e-20)),
}


@pytest.mark.parametrize("case", CASES)
def test_results_and_operands_become_zero_while_the_mode_is_on(flush, case):
    kept = CASES[case]()
    assert (kept.numpy() != 0).all() and (np.abs(kept.numpy()) < np.finfo(kept.numpy().dtype).tiny).all()
    assert flush(True) is True and flushes()
    flushed = CASES[case]()
    assert flush(True) is True
    again = CASES[case]()
    assert flush(False) is True and not flushes()
    assert (flushed.numpy() == 0).all() and (again.numpy() == 0).all()
    assert CASES[case]().numpy().tobytes() == kept.numpy().tobytes()


def test_memory_keeps_what_stands_there(flush):
    x = torch.from_numpy(np.full(20, SMALL, np.float32))
    flush(True)
    y = x.clone()
    flush(False)
    assert (y.numpy() == KEPT).all()


def test_what_is_no_bool_changes_nothing(flush):
    for mode in (1, 0, None, "on", np.True_):
        with pytest.raises(RuntimeError, match=r"set_flush_denormal: expected a bool"):
            flush(mode)
        assert not flushes()
    flush(True)
    with pytest.raises(RuntimeError, match="int"):
        flush(0)
    assert flushes()


@pytest.mark.parametrize("mode", [False, True])
def test_optimizers_leave_the_mode_as_it_is(flush, mode):
    weight = nn.Parameter(torch.ones(20))
    optimizer = torch.optim.Adam([weight])

    def step(x):
        weight.grad = torch.ones(20)
        optimizer.step()
        return x * x

    compiled = torch.compile(step)
    flush(mode)
    for update in (step, compiled):
        for _ in range(3):
            y = update(small())
            assert flushes() is mode
            assert (y.numpy() == (0 if mode else SQUARED)).all()


def _looped(count, mode, steps=200):
    """What a loop leaves behind: numbers of which some become subnormal, by `count` threads."""
    torch.set_num_threads(count)
    start = np.geomspace(1e-36, 1e-20, COUNT).astype(np.float32)
    x = torch.from_numpy(start.copy())

    def step():
        x.mul_(0.9)

    loop = torch.compile(step, fullgraph=True)
    loop()
    torch.set_flush_denormal(mode)
    loop()
    loop.loop(steps)
    torch.set_flush_denormal(False)
    return x.numpy()


@pytest.fixture
def shared(setting, monkeypatch):  # noqa: F811
    """Let every loop be shared, whether that is faster or not."""
    monkeypatch.setattr(teams.Team, "run", teams.Team.walk)


def test_every_number_of_threads_gives_the_same_bits_in_both_modes(flush, shared):
    normal = np.finfo(np.float32).tiny
    for mode in (False, True, False):
        one = _looped(1, mode)
        assert one.min() < normal < one.max()
        assert bool((one[one < normal] == 0).all()) is mode
        for count in (2, 3):
            assert _looped(count, mode).tobytes() == one.tobytes(), (mode, count)


def test_workers_that_are_there_follow_the_mode_of_each_call(flush, shared):
    torch.set_num_threads(2)
    x = torch.full((COUNT,), 1e-20)
    y = torch.zeros(COUNT)

    def step():
        y.copy_(x * x)

    step = torch.compile(step, fullgraph=True)
    step()
    teams.current().start()
    for _ in range(20):
        for mode in (True, False):
            flush(mode)
            step.loop(5)
            flush(False)
            assert (y.numpy() == (0 if mode else SQUARED)).all()


def test_a_program_made_in_one_mode_is_not_replayed_in_the_other(flush):
    # a number of Python's becomes float32 when it is recorded
    x = torch.ones(20)
    step = torch.compile(lambda x: x * SMALL, fullgraph=True)
    for mode in (True, False, True, False):
        flush(mode)
        found = [step(x).numpy() for _ in range(3)]
        flush(False)
        assert all((y == (0 if mode else KEPT)).all() for y in found)


def test_a_compiled_function_that_sets_it_runs_eagerly(flush):
    def step(x):
        torch.set_flush_denormal(True)
        y = x * x
        torch.set_flush_denormal(False)
        return y

    with pytest.raises(RuntimeError, match="calls set_flush_denormal"):
        torch.compile(step, fullgraph=True)(small())
    compiled = torch.compile(step)
    with pytest.warns(RuntimeWarning, match="runs eagerly"):
        compiled(small())
    for _ in range(4):
        assert (compiled(small()).numpy() == 0).all()
        assert not flushes()


def test_code_compiled_while_it_is_on_keeps_its_constants(flush, monkeypatch):
    monkeypatch.setenv("JITGRAD_CACHE", "off")
    op = torch.op("with_a_small_constant", lambda x: F.where(x > 0, 1e-39, x), constant=True)
    flush(True)
    op(torch.ones(20))
    flush(False)
    assert (op(torch.ones(20)).numpy() == KEPT).all()


def test_the_mode_belongs_to_the_thread(flush):
    found = {}
    running, proceed = threading.Event(), threading.Event()

    def other():
        running.set()
        proceed.wait(30)
        found["running"] = square(small()).tolist()[0]
        flush(True)
        found["its own"] = square(small()).tolist()[0]

    thread = threading.Thread(target=other)
    thread.start()
    running.wait(30)
    flush(True)
    proceed.set()
    thread.join(30)
    flush(False)
    assert found == {"running": float(SQUARED), "its own": 0.0}
    assert (square(small()).numpy() == SQUARED).all()


@pytest.mark.skipif(sys.platform != "linux", reason="another system may start threads otherwise")
@pytest.mark.parametrize("mode", [False, True])
def test_a_thread_begins_with_the_mode_of_the_one_that_starts_it(flush, mode):
    found = []
    flush(mode)
    thread = threading.Thread(target=lambda: found.append((flushes(), square(small()).tolist()[0])))
    thread.start()
    flush(not mode)
    thread.join(30)
    flush(False)
    assert found == [(mode, 0.0 if mode else float(SQUARED))]


def test_machines_of_another_kind_refuse(flush, monkeypatch):
    monkeypatch.setattr("jitgrad.kernels.host.host", lambda: host()._replace(x86=False))
    assert flush(True) is False and not flushes()
