"""What a step reads from Python's objects, by whatever way: when that changes, no replay goes on with the old value."""

from __future__ import annotations

import array
import collections
import functools
import importlib
import operator
import os
import types
import weakref

import compile_values
import numpy as np
import pytest
from compile_cases import readings, warnings_of
from read_sources import (
    NUMBER,
    ONE,
    SCALE,
    Derived,
    Described,
    Holder,
    Layer,
    Made,
    Numbers,
    Plain,
    Table,
    compiled_with_scale,
    config,
    distance_of_two,
    entered,
    first_is,
    fresh_module,
    go_on,
    imported,
    imported_by_name,
    imported_name,
    item,
    kept_kind,
    key,
    key_last,
    made_context,
    nothing,
    of_queue,
    plain_optimizer,
    put,
    schedule,
    table,
    with_attribute,
    with_decay,
)

import jitgrad as torch

LATER = 4  # calls, with a change before each


CASES = {
    "array": (lambda: array.array("d", [1.0]), item, lambda x: x[0]),
    "bytearray": (lambda: bytearray(b"\1"), lambda x, v: item(x, int(v)), lambda x: x[0]),
    "memoryview": (lambda: memoryview(bytearray(b"\1")), lambda x, v: item(x, int(v)), lambda x: x[0]),
    "array without dimensions": (lambda: np.array(1.0), lambda x, v: x.fill(v), lambda x: float(x)),
    "object that gives an array": (table, lambda x, v: Table.kept.update({id(x): [v]}), lambda x: np.asarray(x)[0]),
    "queue": (of_queue, nothing, lambda x: x.get()),
    "UserDict": (lambda: collections.UserDict(NOW=1.0), key, lambda x: x["NOW"]),
    "UserList": (lambda: collections.UserList([1.0]), item, lambda x: x[0]),
    "class made from UserList": (lambda: Derived([1.0]), item, lambda x: x.first()),
    "ChainMap": (lambda: collections.ChainMap({"NOW": 1.0}), key, lambda x: x["NOW"]),
    "configparser": (config, lambda x, v: x.set("part", "value", str(v)), lambda x: float(x["part"]["value"])),
    "environment": (lambda: os.environ, lambda x, v: key(x, str(v)), lambda x: float(x.get("NOW", "1"))),
    "module's object": (lambda: os.environ, lambda x, v: key(x, str(v)), lambda x: float(os.environ.get("NOW", "1"))),
    "context variable": (lambda: NUMBER, lambda x, v: x.set(v), lambda x: x.get(1.0)),
    "weak reference": (Plain, put("alpha0"), lambda x: weakref.ref(x)().alpha0),
    "kept weak reference": (lambda: (p := Plain(), weakref.ref(p)), lambda x, v: put("alpha0")(x[0], v),
                            lambda x: x[1]().alpha0),
    "getitem": (Holder, first_is, lambda x: x[0]),
    "iter": (Holder, first_is, lambda x: sum(x)),
    "len": (Holder, lambda x, v: put("count")(x, int(v)), lambda x: len(x)),
    "contains": (Holder, first_is, lambda x: 2.0 if 1.0 in x else 3.0),
    "with": (Holder, first_is, entered),
    "float": (Holder, first_is, lambda x: float(x)),
    "operator": (Holder, first_is, lambda x: x * 2),
    "comparison": (Holder, first_is, lambda x: 2.0 if x < 3 else 4.0),
    "bool": (Holder, first_is, lambda x: 2.0 if x else 4.0),
    "getattr of its own": (Holder, first_is, lambda x: x.made_up),
    "computed name": (Plain, put("alpha0"), lambda x: getattr(x, "".join(["alpha", "0"]))),
    "attrgetter": (Plain, put("alpha0"), lambda x: operator.attrgetter("".join(["alpha", "0"]))(x)),
    "vars": (Plain, put("alpha0"), lambda x: next(iter(vars(x).values()))),
    "class attribute": (lambda: type("P", (Plain,), {}), put("scale"), lambda x: x().above()),
    "descriptor": (Described, put("under"), lambda x: x.shown),
    "property of a class": (kept_kind, put("under"), lambda x: x.shown),
    "class that is called": (lambda: SCALE, key, lambda x: Made().value),
    "attribute of a function": (with_attribute, put("value"), lambda x: x()),
    "context manager": (made_context, lambda x, v: item(x[1], v), lambda x: entered(x[0]())),
    "singledispatch": (lambda: functools.singledispatch(lambda x: 1.0), lambda x, v: x.register(int, lambda _: v),
                       lambda x: x(3)),
    "partial": (lambda: functools.partial(operator.getitem, [1.0]), lambda x, v: item(x.args[0], v), lambda x: x(0)),
    "keywords of a partial": (lambda: functools.partial(dict, now=1.0), lambda x, v: x.keywords.update(now=v),
                              lambda x: x()["now"]),
    "view of a dict": (lambda: (d := {"NOW": 1.0}, types.MappingProxyType(d)), lambda x, v: key(x[0], v),
                       lambda x: x[1]["NOW"]),
    "item of a module": (Layer, first_is, lambda x: x[0]),
    "computed name in a module": (Layer, lambda x, v: item(x.alpha0, v), lambda x: x.computed()),
    "schedule": (schedule, go_on, lambda x: x.get_last_lr()[0]),
    "epoch of a schedule": (schedule, go_on, lambda x: x.last_epoch + 1.0),
    "dataset": (Numbers, first_is, lambda x: x[0]),
    "subset": (lambda: torch.utils.data.Subset(Numbers(), [0]), lambda x, v: first_is(x.dataset, v), lambda x: x[0]),
    "indices of a subset": (lambda: torch.utils.data.Subset(range(1, 9), [0]), lambda x, v: item(x.indices, int(v)),
                            lambda x: x[0]),
    "several datasets": (lambda: torch.utils.data.ConcatDataset([Numbers()]),
                         lambda x, v: first_is(x.datasets[0], v), lambda x: x[0]),
    "requires_grad": (lambda: torch.ones(1), lambda x, v: x.requires_grad_(v % 2 == 0),
                      lambda x: 2.0 if x.requires_grad else 3.0),
    "order of a dict": (lambda: {"a": 1.0, "b": 2.0}, lambda x, v: key_last(x), lambda x: next(iter(x.values()))),
    "kind of a key": (lambda: {1: 1.0}, lambda x, v: (x.clear(), x.update({float(v): 1.0})), lambda x: next(iter(x))),
    "attribute of an optimizer": (plain_optimizer, put("alpha0"), lambda x: x.alpha0),
    "defaults of an optimizer": (plain_optimizer, lambda x, v: x.defaults.update(lr=v), lambda x: x.defaults["lr"]),
    "attribute of a parameter": (with_decay, lambda x, v: put("decay")(x.weight, v), lambda x: x.weight.decay),
    "attribute of a buffer": (with_decay, lambda x, v: put("decay")(x.kept, v), lambda x: x.kept.decay),
    "list in a module of jitgrad's": (with_decay, lambda x, v: item(x.factors, v), lambda x: x.factors[0]),
    "function in a module of jitgrad's": (distance_of_two, lambda x, v: item(x.kept, v),
                                          lambda x: x(ONE, ONE, 2 * ONE)),
    "attribute of a compiled function": (compiled_with_scale, put("scale"), lambda x: x()),
    "import": (fresh_module, lambda x, v: put("NOW")(compile_values, v), imported),
    "import of a name": (fresh_module, lambda x, v: put("NOW")(compile_values, v), imported_name),
    "import by name": (fresh_module, lambda x, v: put("NOW")(compile_values, v), imported_by_name),
    "parameter of a distribution": (lambda: torch.distributions.Normal(torch.zeros(1), 1.0),
                                    lambda x, v: put("loc")(x, torch.full((1,), v)), lambda x: x.log_prob(ONE)),
    "minus zero": (lambda: [np.float64(0.0)], lambda x, v: item(x, np.float64(0.0 if v % 2 else -0.0)),
                   lambda x: float(np.copysign(1.0, x[0]))),
    "seed": (lambda: torch.Generator().manual_seed(1), lambda x, v: x.manual_seed(int(v)),
             lambda x: float(x.initial_seed())),
}  # fmt: skip


def results(make, change, read, compiled):
    SCALE["NOW"] = 1.0
    os.environ.pop("NOW", None)
    NUMBER.set(1.0)
    return readings(make, change, read, compiled, LATER)


@pytest.mark.parametrize("name", CASES)
def test_a_value_that_changes_is_read_anew(name, monkeypatch):
    monkeypatch.setenv("NOW", "1")
    expected = results(*CASES[name], compiled=False)
    found, _ = warnings_of(lambda: results(*CASES[name], compiled=True))
    assert found == expected
    assert len(set(expected)) > 1, "the case shows nothing"


@pytest.mark.parametrize(
    "name", ["getitem", "computed name", "UserDict", "array", "dataset", "context variable"]
)
def test_a_value_that_stays_is_replayed(name):
    make, _, read = CASES[name]
    NUMBER.set(1.0)
    source = make()
    step = torch.compile(lambda x: x * read(source), fullgraph=True)
    for _ in range(4):
        step(torch.ones(1))
    assert len(step.programs) == 1


def test_attributes_that_no_code_names_may_change():
    source = Plain()
    step = torch.compile(lambda x: x * source.alpha0, fullgraph=True)
    for k in range(4):
        source.other = k
        step(torch.ones(1))
    assert len(step.programs) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda s: getattr(s, "alpha0"),  # noqa: B009
        lambda s: getattr(s, "alpha0", 1.0) + getattr(s.inner, "alpha0"),  # noqa: B009
        lambda s: s.alpha0 if hasattr(s, "alpha0") else 3.0,
    ],
)
def test_attributes_that_no_code_names_may_change_beside_those_asked_for_by_name(read):
    source = Plain()
    source.inner = Plain()
    step = torch.compile(lambda x: x * read(source), fullgraph=True)
    for k in range(4):
        source.other = source.inner.other = k
        assert step(torch.ones(1)).item() == read(source)
    assert len(step.programs) == 1
    source.alpha0 = 7.0
    assert step(torch.ones(1)).item() == read(source)


@pytest.mark.parametrize(
    "read",
    [
        lambda s, name: getattr(s, name),
        lambda s, name: getattr(s, name, 0.0),
        lambda s, name: getattr(s, f"{name}"),
        lambda s, name: getattr(*[s, name]),
        lambda s, name: getattr(s, "ALPHA0".lower()),
        lambda s, name: getattr(s, "alpha".__add__("0")),
        lambda s, name: max([getattr(x, name) for x in [s]]),
        lambda s, name: 5.0 if hasattr(s, name) and getattr(s, name) == 1 else 6.0,
    ],
)
def test_attributes_by_computed_names_are_looked_at(read):
    source = Plain()
    step = torch.compile(lambda x, k: x * read(source, "".join(["alpha", k])))
    for value in (1.0, 1.0, 2.0, 2.0, 1.0):
        source.alpha0 = value
        assert step(torch.ones(1), "0").item() == read(source, "alpha0")


step = loss = mean = (
    None  # names of globals, which steps below use for attributes, strings and their own variables
)


def test_globals_with_the_names_of_attributes_and_strings_may_change():
    """A loop over a global ``step`` must not record anew because the step calls ``optimizer.step()``."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    compiled = torch.compile(train, fullgraph=True)
    for k in range(6):
        globals().update(step=k, loss=compiled(torch.ones(4, 3)), mean=float(k))
    assert len(compiled.programs) == 1


SCALE0 = 2.0


@pytest.mark.parametrize(
    "read",
    [
        lambda: SCALE0,
        lambda: (lambda: [SCALE0 for _ in range(1)])()[0],
        lambda: eval("SCALE0 * 1"),
        lambda: globals()["SCALE" + "0"],
        lambda: exec("global SCALE1; SCALE1 = SCALE0") or SCALE1,  # noqa: F821
    ],
)
def test_globals_are_looked_at_however_they_are_read(read, monkeypatch):
    """By replays or, where names are computed and all globals count, perhaps by running eagerly."""
    compiled, values, found = torch.compile(lambda x: x * read()), (2.0, 2.0, 2.0, 5.0, 5.0, 3.0), []
    for value in values:
        monkeypatch.setitem(globals(), "SCALE0", value)
        found.append(warnings_of(lambda: compiled(torch.ones(1)).item())[0])
    assert tuple(found) == values


def test_a_variable_in_the_module_of_an_installed_function_that_the_step_names(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "rates_of_others.py").write_text("RATE = 2.0\n\n\ndef rate():\n    return RATE\n")
    monkeypatch.syspath_prepend(folder)
    others = importlib.import_module("rates_of_others")
    rate = others.rate
    step = torch.compile(lambda x: x * rate(), fullgraph=True)
    found = [step(torch.ones(1)).item() for _ in range(3)]
    assert len(step.programs) == 1
    others.RATE = 5.0
    assert [*found, step(torch.ones(1)).item()] == [2.0, 2.0, 2.0, 5.0]


class Shadowed:
    factor = 1.0


def test_a_name_that_comes_as_another_goes_is_noticed():
    """Where it is looked for has as many names as before: an object's attributes, a function's, a module's globals."""
    thing, names = Shadowed(), {"unused": 0, "__builtins__": {"factor": 1.0}}
    thing.unused = 0
    exec("def reads(x): return x * factor", names)
    reads = names["reads"]
    reads.unused = 0
    functions = {
        "object": (lambda x: x * thing.factor, vars(thing)),
        "function": (lambda x: reads(x) * getattr(reads, "factor", 1.0), vars(reads)),
        "globals": (reads, names),
    }
    for name, (function, mapping) in functions.items():
        step, found = torch.compile(function), []
        for k in range(4):
            if k == 2:
                del mapping["unused"]
                mapping["factor"] = 5.0
            found.append(step(torch.ones(1)).item())
        assert found == [1.0, 1.0, 5.0, 5.0], name
