"""Steps that can reach much code: only what their calls run is looked into, and all that it reads is noticed."""

from __future__ import annotations

import _thread
import concurrent.futures
import functools
import inspect
import queue
import sys
import threading
import types

import pytest

import jitgrad as torch
from jitgrad.program.guard import search

CALLS = 8


def scene(source):
    """A new namespace in which `source` was run, with two boxes of state."""
    space = types.ModuleType("much_code").__dict__
    known = (torch, functools, inspect, sys, threading, _thread, queue)
    space |= {module.__name__.removeprefix("jitgrad") or "torch": module for module in known}
    space["futures"] = concurrent.futures
    space |= {"A": [1.0], "B": [1.0], "way": ["left"]}
    exec(source, space)
    return space


STEPS = {
    "list": "def step(x): return x * A[0]",
    "code behind a decorator": "@torch.no_grad()\ndef scaled(x): return x * A[0]\ndef step(x): return scaled(x)",
    "the other of two ways": """
def left(x): return x * A[0]
def right(x): return x * B[0] * 3
def step(x): return globals()[way[0]](x)
""",
    "a way that has been taken before": """
def left(x): return x * A[0]
def right(x): return x * B[0] * 3
def step(x): return (right if A[0] == 2.0 else left)(x)
""",
    "method of an object": """
class Box:
    def scaled(self, x): return x * self.factor
    def other(self, x): return x * B[0]
    @property
    def factor(self): return A[0]
box = Box()
def step(x): return box.scaled(x)
""",
    "cache that knows the result": """
@functools.lru_cache(maxsize=None)
def factor(name): return read(name)
def read(name): return A[0]
factor("a")
def change(): factor.cache_clear(); factor("a")
def step(x): return x * factor("a")
""",
    "bounded cache that knows the result": """
@functools.lru_cache(maxsize=2)
def factor(name): return read(name)
def read(name): return A[0]
factor("a"), factor("b")
def change(): factor.cache_clear(); factor("b"), factor("a")
def step(x): return x * factor("a") + factor("b")
""",
    "bounded cache that forgets": """
@functools.lru_cache(maxsize=1)
def factor(name): return A[0]
factor("a")
def change(): factor("b")
def step(x): return x * factor("a")
""",
    "mutable result in a cache": """
@functools.lru_cache
def factor(name): return [A[0]]
factor("a")
def change(): factor("a")[0] = A[0]
def step(x): return x * factor("a")[0]
""",
    "defaults of a function that is not called": """
def unused(factor=1.0): pass
def change(): unused.__defaults__ = (A[0],)
def step(x): return x * unused.__defaults__[0]
""",
    "signature of a function that is not called": """
def unused(*, factor=1.0): pass
def change(): unused.__kwdefaults__["factor"] = A[0]
def step(x): return x * inspect.signature(unused).parameters["factor"].default
""",
    "attribute of a function that is not called": """
def unused(): pass
def change(): unused.factor = A[0]
def step(x): return x * getattr(unused, "factor", 1.0)
""",
    "variable of a function that is not called": """
def made(factor): return lambda: factor
unused = made(1.0)
def change(): unused.__closure__[0].cell_contents = A[0]
def step(x): return x * unused.__closure__[0].cell_contents
""",
    "list that is a default of a function that is not called": """
def unused(factor=[1.0]): pass
def change(): unused.__defaults__[0][0] = A[0]
def step(x): return x * unused.__defaults__[0][0]
""",
    "list that is a named default of a function that is not called": """
def unused(*, factor=[1.0]): pass
def change(): unused.__kwdefaults__["factor"][0] = A[0]
def step(x): return x * inspect.signature(unused).parameters["factor"].default[0]
""",
    "list in a closure that the library opens": """
box = [1.0]
def made(factor): return lambda: factor
unused, opened = made(box), inspect.getclosurevars
def change(): box[0] = A[0]
def step(x): return x * opened(unused).nonlocals["factor"][0]
""",
    "code in a thread that waits for a queue": """
q, r = queue.SimpleQueue(), queue.SimpleQueue()
def read(): return A[0]
def work():
    while True: r.put(q.get()())
threading.Thread(target=work, daemon=True).start()
def step(x):
    q.put(read)
    return x * r.get()
""",
    "code in a thread that is started below threading": """
def read(found, lock):
    found.append(A[0])
    lock.release()
def step(x):
    found, lock = [], _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(read, (found, lock))
    lock.acquire()
    return x * found[0]
""",
    "code that no profiler sees": """
def read(): return A[0]
def step(x):
    before = sys.getprofile()
    sys.setprofile(None)
    try: return x * read()
    finally: sys.setprofile(before)
""",
    "attribute that is there, and then computed": """
class Box:
    def __getattr__(self, name): return A[0]
box = Box()
box.factor = 1.0
def change(): vars(box).pop("factor", None)
def step(x): return x * box.factor
""",
    "code that takes the place of other code": """
def read(): return A[0]
def other(): return B[0] * 6
codes = {1.0: read.__code__, 2.0: other.__code__}
def change(): read.__code__ = codes[min(A[0], 2.0)]
def step(x): return x * read()
""",
    "exception": """
def read():
    if A[0] == 1.0: raise KeyError
    return B[0] * 5
def step(x):
    try: return x * read()
    except KeyError: return x * A[0]
""",
    "hook that goes another way on the way back": """
w = torch.ones(2, requires_grad=True)
def other(g): return g * B[0] * 9
def hook(g): return g * A[0] if way[0] == "left" else other(g)
def part(x):
    y = x * w
    y.register_hook(hook)
    return y
inner = torch.compile(part)
def step(x):
    w.grad = None
    inner(x).sum().backward()
    return w.grad.clone()
plain = ("inner",)
""",
    "code in another thread": """
def read(): return A[0]
pool = futures.ThreadPoolExecutor(1)
pool.submit(int).result()
def step(x): return x * pool.submit(read).result()
""",
    "hook on the way back": """
w = torch.ones(2, requires_grad=True)
def hook(g): return g * A[0]
def part(x):
    y = x * w
    y.register_hook(hook)
    return y
inner = torch.compile(part)
def step(x):
    w.grad = None
    inner(x).sum().backward()
    return w.grad.clone()
plain = ("inner",)
""",
}


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


CHAIN = "class Chain:\n" + "".join(
    f"    def f{k}(self, x): return {f'self.f{k + 1}(x)' if k < 99 else 'x * A[0]'}\n" for k in range(100)
)
SEARCHED = STEPS | {
    "chain of methods": f"{CHAIN}chain = Chain()\ndef step(x): return chain.f0(x)",
    "chain of properties": """
class Chain:
    @property
    def a(self): return self.b
    @property
    def b(self): return box.c
    def unused(self): return self.d
    @staticmethod
    def d(): return B[0]
class Box: pass
box = Box()
box.c, box.d = 1.0, [2.0]
chain = Chain()
def step(x): return x * chain.a
""",
    "computed names at the end of a chain": """
class Chain:
    def a(self): return self.b()
    def b(self): return vars(self)["c"]
chain = Chain()
chain.c, chain.d = 1.0, [2.0]
def step(x): return x * chain.a()
""",
}


def things_in(found):
    """What a search has found, in no order."""
    maps = {(id(mapping) if isinstance(mapping, dict) else 0, name) for mapping, name, _ in found.maps}
    watched = found.watched
    return (
        maps,
        {*map(id, (x for x, *_ in found.copies))},
        {(id(mapping), *sorted(names)) for mapping, _, names in found.absent},
        {*map(id, watched.functions)},
        {key: names for key, (_, names) in watched.classes.items()},
        {id(cell) for cell, _ in watched.cells},
        {id(x) for x in found.reached.values() if not isinstance(x, types.BuiltinFunctionType | tuple)},
        found.words,
        found.compares,
    )


@pytest.mark.parametrize("name", SEARCHED)
def test_names_that_turn_up_on_the_way_are_followed_at_once_and_nothing_else_is_found(name, monkeypatch):
    step = scene(SEARCHED[name])["step"]
    passes = []
    follow = search.Search.follow
    monkeypatch.setattr(
        search.Search, "follow", lambda self, *given: passes.append(0) or follow(self, *given)
    )
    at_once = search.search([step])
    few = len(passes)
    monkeypatch.setattr(search.Search, "look_for", lambda self, names: None)
    again = search.search([step])
    assert things_in(at_once) == things_in(again)
    assert few <= min(4, len(passes) - few)
    assert few < 5 < len(passes) or "chain of methods" not in name
