"""What is no tensor, where a tensor belongs: a TypeError from every public function and method, never a crash."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from call_samples import is_tensor_parameter, public, valid_call

import jitgrad as torch

FUNCTIONS = dict(public())


NOT_TENSORS = {
    "None": None,
    "a text": "a text",
    "a list": [1.0, 2.0],
    "an object": object(),
    "a class": torch.Tensor,
    "an array": np.ones((3, 3), np.float32),
    "an array's number": np.float32(2.0),
    "an int": 3,
    "a float": 2.5,
}
NUMBERS = {"an int", "a float", "an array's number"}


def positions(function: Any, arguments: list[Any]) -> Iterator[tuple[int, inspect.Parameter]]:
    """Positions of arguments that hold tensors, with their parameters."""
    parameters = list(inspect.signature(function).parameters.values())
    for k in range(len(arguments)):
        p = parameters[min(k, len(parameters) - 1)]
        if is_tensor_parameter(p) or (k == 0 and p.name == "self"):
            yield k, p


def expected(what: str, p: inspect.Parameter, is_self: bool) -> tuple[bool, tuple[type[Exception], ...]]:
    """Whether the parameter may take such a thing as well, by its annotation, and what may be raised if not."""
    kind = str(p.annotation)
    if is_self:  # Tensor.exp_(3): Python itself never calls a method so
        return True, (Exception,)
    if kind == "Any" or ("float" in kind and what in NUMBERS):  # a number has a dtype, which may be wrong
        return True, (TypeError, ValueError, RuntimeError)
    if what == "None" and ("None" in kind or p.default is None):
        return True, (TypeError, ValueError, RuntimeError)  # one operand may be needed because of another
    return False, (TypeError,)


def wrong_calls(name: str, function: Any) -> Iterator[tuple[str, list[Any], Any]]:
    """Calls with one thing that is no tensor, and what is expected of them."""
    for k, p in positions(function, valid_call(name, function)):
        is_self = k == 0 and name.startswith("torch.Tensor.")
        for what, value in NOT_TENSORS.items():
            arguments = valid_call(name, function)
            arguments[k] = value
            yield f"{p.name} is {what}", arguments, expected(what, p, is_self)
            if "Sequence[Tensor]" in str(p.annotation):
                arguments = valid_call(name, function)
                arguments[k][1] = value
                yield f"{p.name}[1] is {what}", arguments, (False, (TypeError,))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_tensor_is_refused(name):
    function = FUNCTIONS[name]
    wrong = []
    for description, arguments, (may_work, errors) in wrong_calls(name, function):
        try:
            result = function(*arguments)
        except Exception as error:
            if not isinstance(error, errors):
                wrong.append(f"{description}: {type(error).__name__}: {error}")
        else:
            if result is not NotImplemented and not may_work:
                wrong.append(f"{description}: taken")
    assert not wrong, "\n".join([name, *wrong])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_samples_are_valid_calls(name):
    FUNCTIONS[name](*valid_call(name, FUNCTIONS[name]))
