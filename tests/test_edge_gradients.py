"""Gradients where data is nan, infinite or divided by 0, first and once more recorded: those of PyTorch."""

import math

import pytest

import jitgrad as torch
from jitgrad.nn import functional as F

NAN, INF = math.nan, math.inf
SELU_SCALE = 1.0507009873554805
PAIR = torch.tensor([1.0, 2.0, NAN, 3.0])

# name: function, its operand, the gradient of its sum
GRADIENTS = {
    "elu": (lambda x: F.elu(x, alpha=1.5), [NAN, 2.0, 0.0], [1.0, 1.0, 1.5]),
    "celu": (F.celu, [NAN, 2.0, 0.0], [1.0, 1.0, 1.0]),
    "selu": (F.selu, [NAN, 2.0], [SELU_SCALE, SELU_SCALE]),
    "max": (lambda x: x.max(), [1.0, NAN, NAN, 0.0], [0.0, 0.5, 0.5, 0.0]),
    "min": (lambda x: x.min(), [1.0, NAN, 3.0, 3.0], [0.0, 1.0, 0.0, 0.0]),
    "max of numbers that tie": (lambda x: x.max(), [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
    "amax": (lambda x: x.reshape(2, 2).amax(1), [NAN, 1.0, 3.0, 3.0], [NAN, NAN, 0.5, 0.5]),
    "amin": (lambda x: x.amin(), [NAN, 1.0, INF], [NAN, NAN, NAN]),
    "maximum": (lambda x: torch.maximum(x, PAIR), [NAN, 2.0, 1.0, 0.0], [1.0, 0.5, 1.0, 0.0]),
    "minimum": (lambda x: torch.minimum(PAIR, x), [NAN, 2.0, 1.0, 0.0], [1.0, 0.5, 1.0, 1.0]),
    "fmax": (lambda x: torch.fmax(x, PAIR), [NAN, 2.0, NAN, 5.0], [0.0, 1.0, 1.0, 1.0]),
    "fmin, second": (lambda x: torch.fmin(PAIR, x), [0.0, 2.0, NAN, NAN], [1.0, 0.0, 0.0, 0.0]),
    "division to 0, divisor": (
        lambda x: torch.div(torch.tensor([1.0, 0.0, 7.0]), x, rounding_mode="trunc"),
        [0.0, 0.0, 2.0],
        [0.0, 0.0, 0.0],
    ),
    "division to 0, dividend": (
        lambda x: torch.div(x, 0.0, rounding_mode="trunc"),
        [0.0, 2.0],
        [0.0, 0.0],
    ),
    "renorm": (
        lambda x: x.reshape(2, 2).renorm(2, 0, 5.0),
        [NAN, 1.0, 3.0, 3.0],
        [1.0, 1.0, 1.0, 1.0],
    ),
}


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_at_an_edge(name, twice, kind):
    function, data, expected = GRADIENTS[name]
    x = torch.tensor(data, dtype=kind, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=twice)
    torch.testing.assert_close(gradient, torch.tensor(expected, dtype=kind), equal_nan=True)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_at_an_edge_is_pytorch_s(name, monkeypatch):
    theirs = pytest.importorskip("torch")
    _, data, expected = GRADIENTS[name]
    monkeypatch.setitem(globals(), "torch", theirs)
    monkeypatch.setitem(globals(), "PAIR", theirs.tensor(PAIR.tolist()))
    function = {"elu": lambda x: theirs.nn.functional.elu(x, alpha=1.5), "celu": theirs.nn.functional.celu,
                "selu": theirs.nn.functional.selu}.get(name, GRADIENTS[name][0])  # fmt: skip
    x = theirs.tensor(data, requires_grad=True)
    (gradient,) = theirs.autograd.grad(function(x).sum(), x)
    theirs.testing.assert_close(gradient, theirs.tensor(expected), equal_nan=True)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_at_an_edge_in_a_compiled_step(name):
    function, data, expected = GRADIENTS[name]
    x = torch.tensor(data, requires_grad=True)

    @torch.compile
    def step():
        x.grad = None
        loss = function(x).sum()
        loss.backward()
        return loss

    for _ in range(3):
        step()
    torch.testing.assert_close(x.grad, torch.tensor(expected), equal_nan=True)
