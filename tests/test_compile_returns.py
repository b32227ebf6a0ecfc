"""What a step may return beside tensors: what is the same in every call, and nothing that is made anew."""

from __future__ import annotations

import enum
import types
from collections import OrderedDict

import numpy as np
import pytest
from compile_cases import warnings_of

import jitgrad as torch
from jitgrad import nn

CALLS = 4


class Mode(enum.Enum):
    ON = 1


class Counter:
    def __init__(self):
        self.count = 0

    def up(self):
        self.count += 1
        return self.count


class Plain:
    def __init__(self, value):
        self.value = value


MODEL, COUNTER, SETTINGS = nn.Linear(2, 2), Counter(), types.SimpleNamespace(rate=2.0)


def generator(x):
    yield x * 2
    yield x * 3


async def coroutine(x):
    return x * 2


def awaited(made):
    try:
        made.send(None)
    except StopIteration as done:
        return done.value.tolist()
    raise AssertionError("the coroutine goes on")


def put_first(made):
    made[0] += 1
    return list(made)


MADE = {
    "generator": (generator, lambda made: [x.tolist() for x in made]),
    "generator expression": (lambda x: (x * k for k in (2, 3)), lambda made: [x.tolist() for x in made]),
    "map": (lambda x: map(x.mul, (2, 3)), lambda made: [x.tolist() for x in made]),
    "coroutine": (coroutine, awaited),
    "function": (lambda x: lambda k: x * k, lambda made: made(3).tolist()),
    "bytearray": (lambda x: (x * 2, bytearray(2)), lambda made: put_first(made[1])),
    "array": (lambda x: {"x": x * 2, "more": np.zeros(2)}, lambda made: put_first(made["more"])),
    "set": (lambda x: (x * 2, {1}), lambda made: [made[1].add(len(made[1]) + 1), sorted(made[1])]),
    "object with a bytearray": (lambda x: Plain(bytearray(2)), lambda made: put_first(made.value)),
    "exception": (lambda x: ValueError(x.shape), str),
}


@pytest.mark.parametrize("name", MADE)
def test_an_object_that_the_step_makes_is_made_in_every_call(name):
    function, use = MADE[name]

    def run(step):
        return [use(step(torch.full((2,), float(k)))) for k in range(CALLS)]

    found, warned = warnings_of(lambda: run(torch.compile(function)))
    assert found == run(function)
    assert len(warned) == 1 and "returns an object that it has made" in warned[0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x * 2, None, 3, "text", 2.5, True),
        lambda x: [x * 2, x.dtype, x.shape, x.device, x.shape[0]],
        lambda x: {"x": x * 2, "mode": Mode.ON, "kind": Counter, "np": np.float32(2), "dtype": np.dtype(int)},
        lambda x: (x * 2, MODEL, COUNTER, SETTINGS, nn, len),
        lambda x: (x * 2, (x + 1, {"deep": [x, MODEL.weight]})),
    ],
    ids=["plain", "of tensors", "constants", "there before", "nested"],
)
def test_what_is_the_same_in_every_call_is_returned_by_a_replay(function):
    step = torch.compile(function, fullgraph=True)
    for k in range(CALLS):
        x = torch.full((2,), float(k))
        assert str(step(x)) == str(function(x))
    assert len(step.programs) == 1


@pytest.mark.parametrize(
    "ask", [lambda x: x.grad_fn is None, lambda x: x.is_leaf], ids=["grad_fn", "is_leaf"]
)
def test_whether_an_argument_was_computed_is_not_replayed(ask):
    def function(x):
        return x * 2 if ask(x) else x * 3

    leaf = torch.ones(2, requires_grad=True)
    step = torch.compile(function)

    def run():
        return [
            step(x).tolist() == function(x).tolist() for x in (leaf, leaf * 1, leaf, leaf * 1, leaf.detach())
        ]

    found, warned = warnings_of(run)
    assert all(found) and len(warned) == 1 and "asks for the history" in warned[0]
    plain = torch.compile(function, fullgraph=True)  # nothing has made what needs no gradient
    assert plain(torch.ones(2)).tolist() == plain(torch.ones(2)).tolist() == [2, 2]


def test_how_often_a_tensor_was_written_is_not_replayed():
    written = torch.ones(1)
    step = torch.compile(lambda x: x * written._version)

    def run():
        found = []
        for _ in range(CALLS):
            written.add_(1)
            found.append(step(torch.ones(1)).item() - written._version)
        return found

    found, warned = warnings_of(run)
    assert found == [0] * CALLS and len(warned) == 1


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_tensors_in_mappings_are_arguments_and_results(kind):
    step = torch.compile(lambda batch: kind(y=batch["x"] * 2, more=[batch["z"] + 1]), fullgraph=True)
    for k in range(CALLS):
        made = step(kind(x=torch.full((2,), float(k)), z=torch.ones(1)))
        assert type(made) is kind and list(made) == ["y", "more"]
        assert made["y"].tolist() == [2.0 * k] * 2 and made["more"][0].tolist() == [2.0]
    assert len(step.programs) == 1


RESULTS_AGAIN = {
    "computed": lambda x, w: x * 2,
    "with a graph": lambda x, w: x * w,
    "a view": lambda x, w: w[1:],
    "an argument": lambda x, w: x,
}


@pytest.mark.parametrize("name", RESULTS_AGAIN)
def test_a_tensor_that_is_returned_twice_is_one_tensor(name):
    w = torch.ones(3, requires_grad=True)

    def function(x):
        y = RESULTS_AGAIN[name](x, w)
        return y, x + 1, {"more": [y]}

    step = torch.compile(function, fullgraph=True)
    for k in range(CALLS):
        x = torch.full((3,), float(k))
        first, _, more = step(x)
        assert first is more["more"][0]
        assert first.tolist() == function(x)[0].tolist()


BASE = torch.arange(6.0)
HELD = {
    "a view": BASE[2:4],
    "a transposed view": BASE.view(2, 3).t(),
    "a view with a history": torch.ones(4).requires_grad_()[:2],
}


@pytest.mark.parametrize("name", HELD)
def test_a_view_that_was_there_before_is_returned_itself(name):
    held = HELD[name]

    def function(x):
        return {"y": held.sum() + x, "held": held}

    step = torch.compile(function, fullgraph=True)
    for k in range(CALLS):
        made = step(torch.full((1,), float(k)))
        assert made["held"] is held
        assert made["y"].tolist() == function(torch.full((1,), float(k)))["y"].tolist()


def test_which_of_two_arguments_is_returned_is_known_when_they_were_one_tensor_before():
    step = torch.compile(lambda a, b: (b, a * 2))
    x = torch.ones(3)
    for a, b in [(x, x), (x, x[:]), (x[:], x), (x, x), (x[:], x[:])] * 2:
        first, second = step(a, b)
        assert first is b and second.tolist() == [2.0] * 3
    assert len(step.programs) == 2


# tensors that a step makes and asks for gradients of
ASKING = {
    "a result": lambda x: (x * 2).requires_grad_(),
    "a detached one": lambda x: (x * 2).detach().requires_grad_(),
    "a filled one": lambda x: torch.ones_like(x, requires_grad=True),
    "a parameter": lambda x: nn.Parameter(x * 2),
}


@pytest.mark.parametrize("name", ASKING)
def test_a_leaf_that_the_step_makes_still_asks_for_gradients(name):
    def step(x):
        leaf = ASKING[name](x)
        return leaf, (leaf * leaf).sum()

    compiled = torch.compile(step)

    def called():
        leaf, loss = compiled(torch.tensor([1.0, 2.0]))
        loss.backward()
        np.testing.assert_array_equal(leaf.grad.numpy(), 2 * leaf.detach().numpy())

    _, said = warnings_of(lambda: [called() for _ in range(CALLS)])
    assert len(said) == 1 and "asked for gradients" in said[0]
