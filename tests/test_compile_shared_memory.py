"""Arguments of compiled functions that share memory with one another, or with what a function uses otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import bits, warnings_of

import jitgrad as torch
from jitgrad import nn


def test_arguments_that_are_views_of_one_tensor():
    """A program for every distance: a replay writes and reads where the function would."""

    def function(a, b):
        a.add_(1)
        return a * b

    def run(step):
        found = []
        for _ in range(3):
            x = torch.arange(6.0)
            for a, b in [
                (x[:3], x[3:]),
                (x, x),
                (x[:4], x[2:]),
                (x, x.clone()),
                (x[2:], x[:4]),
                (x[1:], x[:-1]),
            ]:
                found.append((bits(step(a, b)), bits(x)))
        return found

    step = torch.compile(function, fullgraph=True)
    assert run(step) == run(function)
    assert len(step.programs) == 6


def test_tokens_and_those_after_them_are_arguments():
    table = nn.Embedding(7, 7).requires_grad_(False)
    step = torch.compile(lambda x, y: nn.functional.cross_entropy(table(x), y), fullgraph=True)
    for tokens in torch.randint(0, 7, (6, 9)):
        found = step(tokens[:-1], tokens[1:])
        assert bits(found) == bits(nn.functional.cross_entropy(table(tokens[:-1]), tokens[1:]))
    assert len(step.programs) == 1
    step.program(tokens[:-1], tokens[1:]).profile(1)  # on tensors of its own, which lie as these do


def test_arguments_that_share_memory_and_need_gradients():
    x = torch.arange(6.0, requires_grad=True)
    step = torch.compile(lambda a, b: (a * b).sum())
    found, warned = warnings_of(lambda: [torch.autograd.grad(step(x, x), x)[0] for _ in range(4)])
    assert all(bits(g) == bits(2 * x) for g in found)
    assert len(warned) == 1 and "share memory" in warned[0]


def arrays_apart_then_overlapping(rows):
    """Two matrices that first lie apart and then show parts of one array."""
    values = np.arange(rows * 32, dtype=np.float32).reshape(-1, 16) % 7 / 10
    for _ in range(4):
        yield torch.from_numpy(values[:rows].copy()), torch.from_numpy(values[rows:].copy())
    for shift in (0, 1, 100):
        whole = values.copy()
        yield torch.from_numpy(whole[:rows]), torch.from_numpy(whole[shift : rows + shift])


def test_arguments_that_a_replay_writes_while_others_show_them():
    """The rewrites have put rows in another order, or cut them into strips, for arguments that lay apart."""
    weight = torch.randn(16, 16)

    def function(a, b):
        a.add_(1)
        h, c = (a @ weight).tanh(), (b @ weight).tanh()
        a.mul_(2)
        return a + (h + c) @ weight

    def run(step):
        return [bits(step(a, b)) for a, b in arrays_apart_then_overlapping(4000)]

    found, warned = warnings_of(lambda: run(torch.compile(function, options={"partial_sums": False})))
    assert found == run(function)
    assert len(warned) == 1 and "share memory" in warned[0]


@pytest.mark.parametrize("overlapping", [False, True])
def test_argument_that_a_replay_writes_while_a_captured_tensor_shows_it(overlapping):
    weight = torch.randn(16, 16)

    def run(compiled):
        array = np.arange(4100 * 16, dtype=np.float32).reshape(-1, 16) % 5 / 10
        captured = torch.from_numpy(array[:4000])

        def function(a):
            h = (a @ weight).tanh()
            a.mul_(2)
            return h + (captured @ weight).tanh() + a

        step = torch.compile(function) if compiled else function
        apart = [torch.full((4000, 16), float(k)) for k in range(4)]
        last = torch.from_numpy(array[100:]) if overlapping else captured
        return [bits(step(a)) for a in (*apart, last)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "shares memory" in warned[0]


def test_argument_that_becomes_a_captured_tensor():
    """Recorded with the captured tensor as the argument, then called with another one, and the reverse."""
    w = torch.arange(3.0)
    plain = [lambda x: x + w, lambda x: x * 2 + w.sum(), lambda x: (w * x).sum()]
    for function in plain:
        check_quietly(function, (w, torch.ones(3), w, torch.full((3,), 5.0), w.detach(), w[:], torch.ones(3)))


def check_quietly(function, given, told=0):
    """Some of these arguments share memory with a captured tensor, which is only read: one program, few warnings."""
    step = torch.compile(function)
    found, warned = warnings_of(lambda: [bits(step(x)) for x in given])
    assert found == [bits(function(x)) for x in given]
    assert len(warned) == told and all("shares memory" in w for w in warned)
    assert len(step.programs) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_argument_whose_array_other_tensors_show_too(first):
    """Tensors that know nothing of one another show one array, or parts of it."""
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    shown = [torch.from_numpy(a) for a in (array, array, array[:2], array[2:])]
    step = torch.compile(lambda x: (x * 2).sum(0), fullgraph=True)
    for x in (shown[first], torch.zeros(4, 3), shown[1 - first], shown[2], torch.ones(2, 3), shown[3]):
        for _ in range(3):
            assert bits(step(x)) == bits((x * 2).sum(0))
    assert len(step.programs) == 2


def test_argument_whose_array_a_captured_tensor_shows_too():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    data = torch.from_numpy(array)

    def function(x):
        return x - data.mean(0), data[1]

    rows = [torch.from_numpy(a) for a in array]
    check_quietly(function, (rows[0], rows[1], torch.ones(3), rows[2], torch.zeros(3), rows[1]), told=1)


def test_arguments_that_show_one_array():
    def function(a, b):
        return a * b

    array = np.arange(6, dtype=np.float32)
    whole, again, first, last = (torch.from_numpy(a) for a in (array, array, array[:3], array[3:]))
    pairs = [(whole, again), (first, last), (last, first), (torch.ones(6), torch.zeros(6)), (again, whole)]
    step = torch.compile(function)
    found, warned = warnings_of(lambda: [bits(step(*given)) for given in pairs])
    assert found == [bits(function(*given)) for given in pairs]
    assert len(warned) == 1 and "share memory" in warned[0]


def test_argument_that_is_part_of_a_captured_tensor():
    data = torch.arange(12.0).reshape(4, 3)

    def function(x):
        return x - data.mean(0), data[1]

    check_quietly(function, (data[0], data[1], torch.ones(3), data[2], torch.zeros(3), data[1]))


def test_argument_that_is_a_parameter():
    def function(x):
        return model(x).detach()

    model = nn.Linear(3, 3)
    ones, zeros = torch.ones(3, 3), torch.zeros(3, 3)
    check_quietly(function, (model.weight, ones, model.weight.detach(), model.weight, zeros), told=1)


def test_parameters_are_arguments_in_the_place_of_a_modules_own():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    gradients = torch.func.grad(
        lambda p, x, y: ((torch.func.functional_call(model, p, (x,)) - y) ** 2).mean()
    )
    step = torch.compile(gradients, fullgraph=True)
    for _ in range(6):
        x, y = torch.randn(5, 4), torch.randn(5, 2)
        expected = gradients(parameters, x, y)
        for name, g in step(parameters, x, y).items():
            assert bits(g) == bits(expected[name])
            parameters[name] -= 0.1 * g  # which the module sees, too
    assert len(step.programs) == 1


def test_what_a_step_returns_of_an_argument_that_shares_memory():
    w = torch.arange(4.0)
    keeps = torch.compile(lambda x: (x, x[1:], (x * 2, len(w))), fullgraph=True)
    for _ in range(5):
        given = w.detach()
        same, part, (twice, _) = keeps(given)
        assert same is given and bits(part) == bits(w[1:]) and bits(twice) == bits(w * 2)


@pytest.mark.parametrize("target", ["argument", "captured"])
def test_step_that_begins_to_write_to_memory_that_an_argument_shares(target):
    """It is recorded on a copy of the argument, as it had not written before; then that is not what it computes."""
    w = torch.arange(3.0)
    written = {"argument": False, "captured": False}

    def function(x):
        if written["argument"]:
            x.add_(1)
        if written["captured"]:
            w.add_(1)
        return x * w

    step = torch.compile(function)
    assert bits(step(w.detach())) == bits(w * w)
    written[target] = True
    with pytest.raises(RuntimeError, match=r"writes to memory that an argument shares .* clone\(\)"):
        step(w.detach())
