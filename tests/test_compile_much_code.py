"""Steps that can reach much code: only what their calls run is looked into, and all that it reads is noticed."""

from __future__ import annotations

import sys

import pytest
from much_code import STEPS, scene

import jitgrad as torch
from jitgrad.program.guard import search

CALLS = 8


def played(source, compiled):
    space = scene(source)
    step = space["step"]
    if compiled and "plain" not in space:
        step = torch.compile(step)
    elif not compiled and "plain" in space:
        space["inner"] = space["part"]
    found = []
    for k in range(CALLS):
        space["A"][0] = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 5.0)[k]
        space["way"][0] = ("left", "right")[k == 5]
        space["B"][0] = float(k // 4 + 1)
        if k in (3, 6, 7) and "change" in space:
            space["change"]()
        found.append(step(torch.ones(2)).tolist())
    return found


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.filterwarnings("ignore:compile")
def test_what_code_that_runs_reads_is_noticed(name, monkeypatch):
    monkeypatch.setattr(search, "MANY", 0)
    expected = played(STEPS[name], compiled=False)
    assert played(STEPS[name], compiled=True) == expected
    assert len({*map(str, expected)}) > 1, "the case shows nothing"


@pytest.fixture
def few(monkeypatch):
    """What `package` gives is much code."""
    monkeypatch.setattr(search, "MANY", 10)


def package(calls, own=20):
    """A step of a class that has many methods, of which it runs one; `calls` is what the others count in."""
    body = "".join(
        f"    def f{k}(self, x): calls[0] += 1; return self.f{(k + 1) % own}(x)\n" for k in range(own)
    )
    source = f"class Model:\n{body}    def run(self, x, deep): return self.f0(x) if deep else x * A[0]\n"
    space = scene(source) | {"calls": calls}
    exec(source, space)
    model = space["Model"]()
    return lambda x: model.run(x, False)


@pytest.mark.usefixtures("few")
def test_a_step_of_much_code_is_replayed_from_its_third_call_on_whatever_other_code_reads():
    calls = [0]
    step = torch.compile(package(calls), fullgraph=True)
    found = []
    for k in range(6):
        calls[0] = k
        found.append(step(torch.ones(1)).item())
        assert len(step.programs) == (k > 0)
    assert found == [1.0] * 6


@pytest.mark.usefixtures("few")
def test_a_program_of_much_code_can_be_asked_for_at_once():
    step = torch.compile(package([0]))
    assert step.program(torch.ones(1)).call([torch.ones(1)])[0].item() == 1.0
    assert step.run(torch.ones(6, 1), batch_size=2).shape == (1, 3, 2, 1)


@pytest.mark.usefixtures("few")
def test_under_a_profiler_of_the_users_code_is_looked_into_that_does_not_run():
    seen = []
    step = torch.compile(package([0]))
    sys.setprofile(lambda *event: seen.append(event))
    try:
        profiler = sys.getprofile()
        step(torch.ones(1))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert len(step.programs) == 1


@pytest.mark.usefixtures("few")
def test_a_profiler_that_is_set_after_a_program_was_recorded_stays_when_another_is():
    step = torch.compile(package([0]))
    assert [step(torch.ones(2)).sum().item() for _ in range(3)] == [2.0] * 3
    sys.setprofile(lambda *event: None)
    try:
        profiler = sys.getprofile()
        step(torch.ones(3))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert [step(torch.ones(n)).sum().item() for n in (4, 4, 2)] == [4.0, 4.0, 2.0]


@pytest.mark.usefixtures("few")
def test_calls_from_within_a_debugger_are_seen_to_show_nothing():
    space = scene("def read(): return A[0]\n" + "".join(f"def f{k}(): read()\n" for k in range(12)))
    reads = [space["read"], *(space[f"f{k}"] for k in range(12))]
    step, found = torch.compile(lambda x: x * reads[0]()), []

    def traces(frame, event, arg):
        if frame.f_code is stops_here.__code__ and event == "call":
            for k in range(6):
                space["A"][0] = float(k // 3)
                found.append(step(torch.ones(1)).item())

    def stops_here():
        pass

    before = sys.gettrace()
    sys.settrace(traces)
    try:
        stops_here()
    finally:
        sys.settrace(before)
    assert found == [0.0] * 3 + [1.0] * 3
    space["A"][0] = 2.0
    assert [step(torch.ones(1)).item() for _ in range(4)] == [2.0] * 4
    assert len(step.programs) == 1


@pytest.mark.usefixtures("few")
def test_a_step_that_profiles_itself_keeps_its_profiler():
    def profiles(x):
        sys.setprofile(lambda *event: None)
        return inner(x)

    inner = package([0])
    step = torch.compile(profiles)
    try:
        assert step(torch.ones(1)).item() == 1.0
        assert sys.getprofile() is not None
    finally:
        sys.setprofile(None)


@pytest.mark.usefixtures("few")
def test_an_error_in_the_call_that_is_watched_passes_through_and_the_next_one_is_watched_again():
    inner, fails = package([0]), [True]

    def function(x):
        if fails[0]:
            raise KeyError("here")
        return inner(x)

    step = torch.compile(function, fullgraph=True)
    with pytest.raises(KeyError, match="here"):
        step(torch.ones(1))
    assert sys.getprofile() is None
    fails[0] = False
    assert [step(torch.ones(1)).item() for _ in range(4)] == [1.0] * 4
    assert len(step.programs) == 1


@pytest.mark.usefixtures("few")
def test_a_compiled_function_within_a_call_that_is_watched_is_a_part_of_it():
    inner = torch.compile(package([0]))
    other = package([0])
    outer = torch.compile(lambda x: other(inner(x)))
    assert [outer(torch.ones(1)).item() for _ in range(4)] == [1.0] * 4
    assert (len(outer.programs), inner.is_eager) == (1, False)
