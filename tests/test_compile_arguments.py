"""Arguments of compiled functions: containers that are changed, keys and classes of other kinds, nothing in them."""

from __future__ import annotations

import pytest
from compile_cases import bits, drawn, warnings_of

import jitgrad as torch
from jitgrad import nn

# name -> what a function does with a container that it is called with
CONTAINERS = {
    "pop": lambda d: d["list"].pop(),
    "pop from a dict": lambda d: d.pop("x"),
    "new key": lambda d: d.__setitem__("seen", True),
    "exchange": lambda d: d.update(x=d["y"], y=d["x"]),
    "reverse": lambda d: d["list"].reverse(),
    "clear": lambda d: d["list"].clear(),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_that_a_function_changes_are_changed_in_every_call(name):
    def function(d):
        result = d["x"] * d["y"] + d["list"][0]
        CONTAINERS[name](d)
        return result

    def run(step):
        found = []
        for k in range(6):
            x, y, *rest = drawn((3,), (3,), (3,), (3,), seed=k)
            d = {"x": x, "y": y, "list": rest}
            found.append((bits(step(d)), {key: bits(value) for key, value in d.items()}))
        return found

    found, _ = warnings_of(lambda: run(torch.compile(function)))
    assert found == run(function)


def test_keys_of_other_kinds_are_other_arguments():
    step = torch.compile(lambda d: {k: v * k for k, v in d.items()}, fullgraph=True)
    x = torch.arange(3)
    for _ in range(3):
        for key in (1, 1.0, True, 0.0, -0.0):
            (found,) = step({key: x}).items()
            assert repr(found[0]) == repr(key) and found[1].dtype == (x * key).dtype
            assert str(found[1]) == str(x * key)


def test_arguments_without_elements():
    step = torch.compile(lambda x, e: x.sum() + e.sum() + torch.cat([x, e]).sum(), fullgraph=True)
    for shape in ((0,), (0,), (0,), (2,)):
        assert step(torch.ones(3), torch.ones(*shape)).item() == 6 + 2 * sum(shape)


def test_tensors_may_be_keys():
    a, b = torch.ones(2), torch.zeros(2)
    step = torch.compile(lambda d, x: d[a] * x, fullgraph=True)
    for k in range(4):
        assert step({a: k, b: 7}, torch.ones(2)).tolist() == [k, k]


def test_parameters_and_tensors_are_other_arguments():
    step = torch.compile(lambda x: x * 2 if isinstance(x, nn.Parameter) else x * 3, fullgraph=True)
    parameter = nn.Parameter(torch.ones(2), requires_grad=False)
    for _ in range(3):
        assert step(parameter).tolist() == [2, 2]
        assert step(torch.ones(2)).tolist() == [3, 3]


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_an_argument_given_twice_is_one_leaf_when_the_step_makes_it_one():
    def both(a, b):
        a.requires_grad_()
        return a * 2 + b * 3

    def inside(a, b):
        a.requires_grad_()
        (found,) = torch.autograd.grad((a * 2 + b * 3).sum(), a)
        a.requires_grad_(False)
        return found

    step, gradient = torch.compile(both), torch.compile(inside)
    for apart in (False, False, True, True, False):
        x, y = torch.ones(3), torch.ones(3)
        expected = [2.0] * 3 if apart else [5.0] * 3
        step(x, x[:] if apart else x).sum().backward()
        assert x.grad.tolist() == expected
        assert gradient(y, y[:] if apart else y).tolist() == expected
