"""Calls of a compiled step from Python, each shared by the threads of the team."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from call_programs import Chain
from test_team_threads import PATIENCE, script, setting  # noqa: F401

import jitgrad as torch
from jitgrad import nn
from jitgrad import team as teams

BATCH, INPUTS, CLASSES = 64, 192, 10


def network():
    """A network with layers that are worth sharing, its optimizer, and a batch."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(INPUTS, 256), nn.Tanh(), nn.Linear(256, CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.standard_normal((BATCH, INPUTS)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, CLASSES, BATCH))
    return model, optimizer, x, y


def training(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def values(model) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in model.parameters()]


# sums over the batch in one piece, as eager steps make them
WHOLE = {"partial_sums": False}


def trained(count: int | None, steps: int = 80, options=WHOLE) -> list[bytes]:
    """The losses and parameters after some steps by `count` threads; eagerly for None."""
    model, optimizer, x, y = network()
    step = training(model, optimizer)
    if count is not None:
        torch.set_num_threads(count)
        step = torch.compile(step, fullgraph=True, options=options)
    losses = [step(x, y).detach().numpy().tobytes() for _ in range(steps)]
    return losses + values(model)


def call_name(step) -> str:
    return step._direct[0].__name__


def test_calls_give_the_same_bits_for_every_number_of_threads(setting):  # noqa: F811
    expected = trained(None)
    for count in (1, 2, 3):
        assert trained(count) == expected
    assert trained(1, options={}) == trained(2, options={}) == trained(3, options={})


def test_calls_of_a_long_step_get_workers(setting):  # noqa: F811
    torch.set_num_threads(2)
    model, optimizer, x, y = network()
    step = torch.compile(training(model, optimizer), fullgraph=True)
    for _ in range(200):
        step(x, y)
    assert call_name(step) == "call_two_together"
    assert len(teams.current().workers) == 1
    torch.set_num_threads(1)
    step(x, y)
    step(x, y)
    assert call_name(step) == "call_two" and teams.current() is None
    torch.set_num_threads(3)
    for _ in range(200):
        step(x, y)
    assert len(teams.current().workers) == 2
    assert len(step.programs) == 1


def test_small_steps_are_called_without_the_team(setting):  # noqa: F811
    torch.set_num_threads(2)
    w = torch.ones(4)
    step = torch.compile(lambda x: (w * x).sum(), fullgraph=True)
    for _ in range(6):
        step(torch.ones(4))
    assert call_name(step) == "call_one"


def test_calls_while_another_thread_has_the_team(setting):  # noqa: F811
    expected = trained(None)
    torch.set_num_threads(2)
    chain, stop = Chain(300, [0, 0]), threading.Event()
    chain.begin()

    def occupy() -> None:
        while not stop.is_set():
            teams.current().walk(*chain.where, 200)

    other = threading.Thread(target=occupy)
    other.start()
    try:
        assert trained(2) == expected
    finally:
        stop.set()
        other.join(PATIENCE)


def test_the_number_of_threads_changes_while_others_call(setting):  # noqa: F811
    expected = trained(None)
    found: list[list[bytes]] = []
    model, optimizer, x, y = network()
    torch.set_num_threads(2)
    step = torch.compile(training(model, optimizer), fullgraph=True, options=WHOLE)

    def call() -> None:
        losses = [step(x, y).detach().numpy().tobytes() for _ in range(80)]
        found.append(losses + values(model))

    caller = threading.Thread(target=call)
    caller.start()
    while caller.is_alive():
        for count in (3, 1, 2):
            torch.set_num_threads(count)
    caller.join(PATIENCE)
    assert found == [expected]


def test_two_threads_call_steps_of_their_own(setting):  # noqa: F811
    expected = trained(None)
    torch.set_num_threads(2)
    steps = []
    for _ in range(3):
        model, optimizer, x, y = network()
        step = torch.compile(training(model, optimizer), fullgraph=True, options=WHOLE)
        steps.append((step, model, x, y))
    found: dict[int, list[bytes]] = {}

    def call(k: int) -> None:
        step, model, x, y = steps[k]
        losses = [step(x, y).detach().numpy().tobytes() for _ in range(80)]
        found[k] = losses + values(model)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
    assert found == dict.fromkeys(range(3), expected)


@pytest.mark.parametrize("moved", [False, True])
def test_a_bad_class_raises_and_later_calls_go_on(setting, moved):  # noqa: F811
    torch.set_num_threads(2)
    model, _, x, y = network()

    def forward(x, y):
        return nn.functional.cross_entropy(model(x), y + 0 if moved else y).detach()

    step = torch.compile(forward, fullgraph=True)
    expected = forward(x, y).item()
    for _ in range(100):
        step(x, y)
    assert call_name(step) == "call_two_together"
    bad = y.clone()
    bad[7] = CLASSES
    before = values(model)
    for _ in range(3):
        with pytest.raises(IndexError, match="out of bounds"):
            step(x, bad)
        assert step(x, y).item() == expected
    assert values(model) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_child_of_a_fork_calls_with_workers_of_its_own():
    done = script(
        """
        import os
        from jitgrad import set_num_threads, team
        import test_team_calls as calls
        import jitgrad as torch

        team.processors = lambda: 8
        expected = calls.trained(None, 160)
        set_num_threads(2)
        model, optimizer, x, y = calls.network()
        step = torch.compile(calls.training(model, optimizer), fullgraph=True, options=calls.WHOLE)
        losses = [step(x, y).detach().numpy().tobytes() for _ in range(80)]
        before = team.current()
        assert len(before.workers) == 1
        child = os.fork()
        losses += [step(x, y).detach().numpy().tobytes() for _ in range(80)]
        assert losses + calls.values(model) == expected
        assert (team.current() is before) == bool(child)
        assert len(team.current().workers) == 1
        if child:
            assert os.waitpid(child, 0)[1] == 0
        print("right")
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["right", "right"]
