"""Objects of Python classes that a step makes and returns: every replay makes them again, with its own tensors."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import pytest
from compile_cases import warnings_of

import jitgrad as torch
from jitgrad import nn

CALLS = 4


@dataclasses.dataclass
class Output:
    loss: Any = None
    logits: Any = None
    names: list = dataclasses.field(default_factory=lambda: ["a", "b"])


@dataclasses.dataclass(frozen=True)
class Frozen:
    loss: Any = None
    logits: Any = None


@dataclasses.dataclass(slots=True)
class Slotted:
    loss: Any = None
    logits: Any = None


class Bare:
    def __init__(self, loss, logits):
        self.loss, self.logits = loss, logits


class WithSlots(Bare):
    __slots__ = ("logits", "loss", "unset")


class Table(dict):
    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self  # a well-known trick: items are attributes


class Ordered(OrderedDict):
    """As results of transformers: each entry is an item and an attribute."""

    def __init__(self, **items):
        super().__init__(**items)
        for name, value in items.items():
            object.__setattr__(self, name, value)


class Guarded(Bare):
    def __setattr__(self, name, value):
        if hasattr(self, name):
            raise AttributeError("not after it was made")
        super().__setattr__(name, value)


KINDS = [Output, Frozen, Slotted, Bare, WithSlots, Ordered, Guarded]


def network(kind):
    torch.manual_seed(0)
    model, features = nn.Linear(3, 2), torch.randn(4, 3)

    def step(x):
        model.zero_grad()
        y = model(x)
        made = kind(loss=y.square().mean(), logits=y)
        made.loss.backward()
        return made

    return model, step, features


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_made_again_by_every_replay(kind):
    _, step, x = network(kind)
    compiled, found = torch.compile(step, fullgraph=True), []
    for number in range(CALLS):
        made, expected = compiled(x * number), step(x * number)
        assert type(made) is kind
        assert torch.equal(made.loss, expected.loss)
        assert torch.equal(made.logits, expected.logits)
        found.append(made)
    assert len(compiled.programs) == 1
    assert len({id(made) for made in found}) == CALLS
    assert not torch.equal(found[1].logits, found[2].logits)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_what_a_compiled_model_returns_in_an_object(kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            y = self.layer(x)
            return kind(loss=y.square().mean(), logits=y)

    torch.manual_seed(0)
    model = Model()
    compiled, x = torch.compile(model, fullgraph=True), torch.randn(4, 3)
    for _ in range(CALLS):
        found = []
        for one in (model, compiled):
            made = one(x)
            found.append(torch.autograd.grad(made.loss + made.logits.sum(), list(model.parameters())))
        assert all(map(torch.equal, *found))


def test_one_tensor_in_two_places_stays_one():
    compiled = torch.compile(lambda x: Ordered(y=x * 2), fullgraph=True)
    for _ in range(CALLS):
        made = compiled(torch.ones(2))
        assert made["y"] is made.y
        assert list(made) == ["y"]


def test_objects_in_objects_and_lists_are_made_again():
    compiled = torch.compile(lambda x: [Output(loss=Bare(x * 2, [x + 1])), x], fullgraph=True)
    made = []
    for number in range(CALLS):
        x = torch.full((2,), float(number))
        (one, same) = compiled(x)
        assert same is x
        assert (one.loss.loss.tolist(), one.loss.logits[0].tolist()) == (
            [2.0 * number] * 2,
            [number + 1.0] * 2,
        )
        one.names.append("c")
        made.append(one)
    assert [len(one.names) for one in made] == [3] * CALLS
    assert len({id(one.loss) for one in made}) == CALLS


def test_one_object_in_two_places_stays_one_also_where_it_holds_itself():
    def step(x):
        made = Bare(x * 2, None)
        made.logits = {"me": made}
        return made, [made]

    compiled = torch.compile(step, fullgraph=True)
    for number in range(CALLS):
        made, listed = compiled(torch.full((1,), float(number)))
        assert listed[0] is made
        assert made.logits["me"] is made
        assert made.loss.item() == 2 * number


def test_an_object_that_was_there_is_returned_itself():
    there = Bare(1.0, 2.0)
    compiled = torch.compile(lambda x: (x * 2, there), fullgraph=True)
    assert all(compiled(torch.ones(1))[1] is there for _ in range(CALLS))


def test_an_object_that_is_an_argument_is_returned_itself():
    compiled, given = torch.compile(lambda x, made: (x * 2, made), fullgraph=True), Bare(1.0, 2.0)
    assert all(compiled(torch.ones(1), given)[1] is given for _ in range(CALLS))


def test_run_and_loop_join_the_tensors_in_objects():
    _, step, x = network(Output)
    compiled = torch.compile(step, fullgraph=True)
    looped, run = compiled.loop(5, x), compiled.run(x, batch_size=2, epochs=3)
    assert (type(looped), type(run)) == (Output, Output)
    assert (tuple(looped.loss.shape), tuple(looped.logits.shape)) == ((5,), (5, 4, 2))
    assert (tuple(run.loss.shape), tuple(run.logits.shape)) == ((3, 2), (3, 2, 2, 2))
    assert torch.equal(looped.logits[4], step(x).logits)


class Single:
    """One object for everybody, as its class says."""

    made: Any = None

    def __new__(cls):
        cls.made = cls.made or super().__new__(cls)
        return cls.made


class Number(float):
    pass


@pytest.mark.parametrize("make", [Single, lambda: Number(2.0)])
def test_objects_with_a_say_in_how_they_are_made_make_a_step_run_eagerly(make):
    compiled = torch.compile(lambda x: (x * 2, make()))
    found, told = warnings_of(lambda: [compiled(torch.ones(1))[1] for _ in range(CALLS)])
    assert [type(x) for x in found] == [type(make())] * CALLS
    assert len(told) == 1


def test_a_dict_whose_items_are_its_attributes_stays_one():
    compiled = torch.compile(lambda x: Table(y=x * 2), fullgraph=True)
    for _ in range(CALLS):
        made = compiled(torch.ones(1))
        made.z = 3
        assert made["z"] == 3
        assert made["y"] is made.y
