"""Maps of one element take a way of their own; they give bit for bit what the same element gives in a vector."""

import numpy as np
import pytest

import jitgrad
from jitgrad.nn import functional as F

FORMULAS = {
    "add": lambda x: x + 0.1,
    "mul": lambda x: x * x * 0.9,
    "div": lambda x: 1.0 / x,
    "sqrt": lambda x: (x * x).sqrt(),
    "exp": jitgrad.exp,
    "log": lambda x: jitgrad.log(x * x),
    "tanh": jitgrad.tanh,
    "sigmoid": jitgrad.sigmoid,
    "relu": jitgrad.relu,
    "gelu": F.gelu,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "maximum": lambda x: jitgrad.maximum(x, x * x),
    "sin": jitgrad.sin,
}
NUMBERS = [
    0.3,
    -0.7,
    1.5,
    -2.25,
    1e-3,
    40.0,
    -90.0,
    1e30,
    -1e-30,
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    3.0,
    -4.0,
    7.5,
]


def _value_and_gradient(f, numbers):
    x = jitgrad.from_numpy(numbers).requires_grad_()
    y = f(x)
    y.backward(jitgrad.ones_like(y))
    return y.detach().numpy().tobytes(), x.grad.numpy().tobytes()


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_one_element_has_the_bits_that_it_has_among_others(name, kind):
    numbers = np.array(NUMBERS, kind)
    whole = _value_and_gradient(FORMULAS[name], numbers)
    for k in range(len(numbers)):
        one = _value_and_gradient(FORMULAS[name], numbers[k : k + 1].copy())
        size = numbers.itemsize
        for part, all_ in zip(one, whole, strict=True):
            assert part == all_[k * size : (k + 1) * size] or _both_nan(part, all_[k * size :], kind)


def _both_nan(a, b, kind):
    """Whether both are nan: which nan is no part of a result."""
    return bool(np.isnan(np.frombuffer(a, kind)[0]) and np.isnan(np.frombuffer(b, kind)[0]))


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "int64"])
def test_one_whole_number_is_as_among_others(kind):
    numbers = np.array([0, 1, 2, 3, 100], kind)
    for f in (lambda x: x + x, lambda x: x * 2, lambda x: x == 1, lambda x: x.to(jitgrad.float32)):
        whole = f(jitgrad.from_numpy(numbers)).tolist()
        assert [f(jitgrad.from_numpy(numbers[k : k + 1].copy())).item() for k in range(5)] == whole


def test_chain_of_numbers_is_the_same_compiled_and_step_by_step():
    x = jitgrad.tensor(0.3, requires_grad=True)

    def step():
        x.grad = None
        y = x
        for _ in range(20):
            y = jitgrad.tanh(y * 0.9 + 0.1)
        y.backward()
        return y.detach()

    expected = step().item(), x.grad.item()
    compiled = jitgrad.compile(step)
    for _ in range(3):
        assert (compiled().item(), x.grad.item()) == expected
