"""What Python lets anybody change at any time: no replay goes on with what was there before."""

from __future__ import annotations

import builtins
import math
import os
import types

import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.guard.cpython import attribute_address, entry_addresses, version_address, word_at

X = torch.tensor([1.0, -2.0, 3.0])
BACKEND = math
OTHER = types.ModuleType("other")
OTHER.exp = lambda value: 9.0


class Two:
    """Things that multiply by two."""

    def times(self, x):
        return x * 2

    def __call__(self, x):
        return x * 2

    def __matmul__(self, x):
        return x * 2


class Three(Two):
    """Things that multiply by three."""

    def times(self, x):
        return x * 3


class Base:
    """Something that multiplies by five."""

    def times(self, x):
        return x * 5


def _function():
    def scaled(x, by=2.0, *, plus=0.5):
        return x * by + plus

    return scaled, lambda x: scaled(x)


def _object():
    thing = Two()
    return thing, lambda x: thing.times(x)


def _operator():
    class Own(Two):
        pass

    Own.__matmul__ = Two.__matmul__
    thing = Own()
    return Own, lambda x: thing @ x


def _with_linear():
    layer = nn.Linear(3, 3)
    return layer, lambda x: layer(x).detach()


# name -> (makes what is changed and the step, how it is changed)
CHANGES = {
    "code of a function": (_function, lambda p, f: p.setattr(f, "__code__", (lambda x: x * 7).__code__)),
    "defaults of a function": (_function, lambda p, f: p.setattr(f, "__defaults__", (3.0,))),
    "keyword defaults": (_function, lambda p, f: p.setattr(f, "__kwdefaults__", {"plus": 3.0})),
    "a keyword default": (_function, lambda p, f: p.setitem(f.__kwdefaults__, "plus", 4.0)),
    "class of an object": (_object, lambda p, x: p.setattr(x, "__class__", Three)),
    "operator of a class": (_operator, lambda p, kind: p.setattr(kind, "__matmul__", lambda s, x: x * 7)),
    "function of a library": (
        lambda: (None, lambda x: x * math.exp(1.0)),
        lambda p, _: p.setattr(math, "exp", lambda value: 7.0),
    ),
    "function of the package": (
        lambda: (None, lambda x: torch.relu(x)),
        lambda p, _: p.setattr(torch, "relu", lambda x: x * 7),
    ),
    "function of nn.functional": (
        lambda: (None, lambda x: nn.functional.relu(x)),
        lambda p, _: p.setattr(nn.functional, "relu", lambda x: x * 7),
    ),
    "method of tensors": (
        lambda: (None, lambda x: x.relu()),
        lambda p, _: p.setattr(torch.Tensor, "relu", lambda x: x * 7),
    ),
    "operator of tensors": (
        lambda: (None, lambda x: x + 1),
        lambda p, _: p.setattr(torch.Tensor, "__add__", lambda x, y: x * 7),
    ),
    "forward of a layer": (
        _with_linear,
        lambda p, _: p.setattr(nn.Linear, "forward", lambda layer, x: x * 7),
    ),
    "builtin": (
        lambda: (None, lambda x: sum([x, x])),
        lambda p, _: p.setattr(builtins, "sum", lambda a: a[0]),
    ),
    "global in front of a builtin": (
        lambda: (None, lambda x: sum([x, x])),
        lambda p, _: p.setitem(globals(), "sum", lambda a: a[0]),
    ),
    "module under a name": (
        lambda: (None, lambda x: x * BACKEND.exp(1.0)),
        lambda p, _: p.setitem(globals(), "BACKEND", OTHER),
    ),
    "environment": (
        lambda: (None, lambda x: x * float(os.getenv("JITGRAD_TEST_FACTOR", "2"))),
        lambda p, _: p.setenv("JITGRAD_TEST_FACTOR", "5"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_and_so_is_its_end(name, monkeypatch):
    build, change = CHANGES[name]
    owner, step = build()
    compiled = torch.compile(step, fullgraph=True)
    before = step(X).tolist()
    for _ in range(4):
        assert compiled(X).tolist() == before
    assert len(compiled.programs) == 1
    with monkeypatch.context() as patch:
        change(patch, owner)
        after = step(X).tolist()
        assert after != before
        for _ in range(4):
            assert compiled(X).tolist() == after
    assert compiled(X).tolist() == step(X).tolist()
    assert len(compiled.programs) == 2


def test_a_class_is_made_from_another_one():
    class Heir(Two):
        pass

    thing = Heir()
    compiled = torch.compile(lambda x: thing.times(x), fullgraph=True)
    for base, factor in [(Two, 2), (Two, 2), (Base, 5), (Base, 5), (Two, 2)]:
        Heir.__bases__ = (base,)
        assert compiled(X).tolist() == (X * factor).tolist()


def test_a_forward_of_one_layer_is_taken_out_of_its_dict():
    layer = nn.Tanh()
    layer.forward = lambda x: x * 2
    compiled = torch.compile(lambda x: layer(x), fullgraph=True)
    assert compiled(X).tolist() == compiled(X).tolist() == (X * 2).tolist()
    del vars(layer)["forward"]
    assert compiled(X).tolist() == X.tanh().tolist()


def test_a_change_is_seen_by_run(monkeypatch):
    data = torch.arange(6.0).reshape(3, 2)
    compiled = torch.compile(lambda x: nn.functional.relu(x).sum(), fullgraph=True)
    assert compiled.run(data, batch_size=1).tolist() == [[1.0, 5.0, 9.0]]
    monkeypatch.setattr(nn.functional, "relu", lambda x: -x)
    assert compiled.run(data, batch_size=1).tolist() == [[-1.0, -5.0, -9.0]]


def test_names_that_change_in_every_call_and_do_not_matter(monkeypatch):
    """A script's globals and what others count in their modules change all the time: the program goes on."""
    compiled = torch.compile(lambda x: sum([x, x]) * math.pi, fullgraph=True)
    expected = [x + x for x in (X * math.pi).tolist()]
    for k in range(20):
        monkeypatch.setitem(globals(), "counter", k)
        monkeypatch.setattr(math, "counter", k, raising=False)
        assert compiled(X).tolist() == pytest.approx(expected)
    assert len(compiled.programs) == 1
    monkeypatch.setitem(globals(), "sum", lambda a: a[0])
    assert compiled(X).tolist() == pytest.approx((X * math.pi).tolist())
    monkeypatch.setattr(math, "pi", 2.0)
    assert compiled(X).tolist() == (X * 2).tolist()


def test_a_name_that_is_taken_away_is_missed(monkeypatch):
    compiled = torch.compile(lambda x: x * BACKEND.exp(1.0), fullgraph=True)
    for _ in range(3):
        assert compiled(X).tolist() == (X * math.e).tolist()
    monkeypatch.delattr(math, "exp")
    with pytest.raises(AttributeError, match="exp"):
        compiled(X)
    monkeypatch.undo()
    assert compiled(X).tolist() == (X * math.exp(1.0)).tolist()
    monkeypatch.delitem(globals(), "BACKEND")
    with pytest.raises(NameError, match="BACKEND"):
        compiled(X)


def test_what_only_describes_a_class_does_not_matter():
    class Noted(Two):
        pass

    thing = Noted()
    compiled = torch.compile(lambda x: thing.times(x), fullgraph=True)
    for k in range(20):
        Noted.__doc__ = f"Called {k} times."
        assert Noted.__annotations__ == {} and compiled(X).tolist() == (X * 2).tolist()
    assert len(compiled.programs) == 1


KEPT = torch.ones(3)
SEEN = {KEPT: 2.0}

# name -> (the step, whether an argument is some other tensor)
QUESTIONS = {
    "is": (lambda x, y: x * 2 if x is KEPT else x * 3, lambda: (KEPT, X)),
    "is not": (lambda x, y: x * 2 if x is not KEPT else x * 3, lambda: (KEPT, X)),
    "id": (lambda x, y: x * 2 if id(x) == id(KEPT) else x * 3, lambda: (KEPT, X)),
    "key of a dict": (lambda x, y: x * SEEN.get(x, 3.0), lambda: (KEPT, X)),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_argument_is_a_tensor_that_the_step_knows(name):
    step, given = QUESTIONS[name]
    compiled = torch.compile(step)
    for _ in range(4):
        assert compiled(X, X * 2).tolist() == step(X, X * 2).tolist()
    with pytest.warns(RuntimeWarning, match="shares memory with one that it uses otherwise"):
        assert compiled(*given()).tolist() == step(*given()).tolist()
    assert compiled(X, X * 2).tolist() == step(X, X * 2).tolist() and len(compiled.programs) == 1


def test_an_argument_is_another_argument():
    def step(x, y):
        return x * 2 if x is y else x * 3

    compiled = torch.compile(step, fullgraph=True)
    view = X[:]
    for x, y in [(X, view), (X, view), (X, X), (X, X), (view, X), (X, X)]:
        assert compiled(x, y).tolist() == step(x, y).tolist()
    assert len(compiled.programs) == 2


def test_where_words_are():
    """What is found in memory is what Python says."""

    def function(a=1, *, b=2): ...

    class Kind:
        pass

    for owner, name in [
        (function, "__code__"),
        (function, "__defaults__"),
        (Kind, "__mro__"),
        (Kind(), "__class__"),
    ]:
        address = attribute_address(owner, name)
        assert address is None or word_at(address) == id(getattr(owner, name))
    assert attribute_address(Kind(), "unknown") is None
    place = version_address(Kind)
    before = None if place is None else word_at(place)
    Kind.value = 1
    assert place is None or word_at(place) != before


def test_where_entries_of_dicts_are():
    """The words of a dict change when a name means something else, goes or comes, or when the entries move."""

    def words(places):
        return [word_at(place) for place in places]

    def come(names):
        names["new"] = 1

    def replace(names):
        names["two"] = None

    def leave(names):
        del names["two"]

    def grow(names):
        names.update({f"name{k}": k for k in range(1000)})

    for change in (come, replace, leave, grow):
        names = {"one": 1, "two": 2, "three": 3}
        places = entry_addresses(names, ["two"])
        if places is None:
            pytest.skip("this interpreter keeps dicts otherwise")
        before = words(places)
        assert before[-1] == id(names["two"])
        names["one"] = "nobody asked"
        assert words(places) == before
        change(names)
        assert words(places[:1]) != before[:1] or words(places) != before
    assert entry_addresses(vars(Two), []) is None  # a proxy
    assert entry_addresses({"".join(["o", "ne"]): 1}, ["one"]) is None  # another string than the key


def test_python_compares_where_no_word_is_found(monkeypatch):
    monkeypatch.setattr("jitgrad.program.guard.watch.attribute_address", lambda value, attribute: None)
    monkeypatch.setattr("jitgrad.program.guard.watch.version_address", lambda kind: None)
    monkeypatch.setattr("jitgrad.program.guard.watch.entry_addresses", lambda mapping, names: None)
    monkeypatch.setattr("jitgrad.program.guard.watch._seen", {})
    function, step = _function()
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(4):
        assert compiled(X).tolist() == step(X).tolist()
    assert len(compiled.programs) == 1
    monkeypatch.setattr(function, "__defaults__", (3.0,))
    assert compiled(X).tolist() == step(X).tolist() and len(compiled.programs) == 2


def by_default():
    """A step, and what puts a number where it reads one: the default of an argument."""

    def step(x, *, a=float("1.5")):
        return x * a

    return step, lambda value: step.__kwdefaults__.update(a=value), lambda: step.__kwdefaults__["a"]


def by_closure():
    """As `by_default`, with a variable of a closure."""
    a = float("1.5")

    def put(value):
        nonlocal a
        a = value

    return (lambda x: x * a), put, lambda: a


@pytest.mark.parametrize("make", [by_default, by_closure])
def test_another_number_is_seen_where_an_equal_one_lay(make):
    function, put, get = make()
    step = torch.compile(function, fullgraph=True)
    for _ in range(3):
        step(torch.ones(1))
    put(float("1.5"))
    assert step(torch.ones(1)).item() == 1.5
    place = id(get())
    for k in range(100):
        put(float(f"{k}.25"))
        if id(get()) == place:
            break
    assert step(torch.ones(1)).item() == get()
