"""Second and third gradients through recurrent layers and cells are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from recurrent_cases import LAYERS, leaf_of, load, scene
from sample_values import numbers

import jitgrad

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
LENGTHS = [3, 4, 1]
TOLERANCE = {"float32": {"rtol": 1e-3, "atol": 2e-4}, "float64": {"rtol": 1e-9, "atol": 1e-10}}


def orders(lib, result, leaves, count):
    """Gradients, their gradients and so on, each of a sum of squares of those before."""
    found = []
    for order in range(count):
        goal = sum((r**2).sum() for r in result)
        result = lib.autograd.grad(goal, leaves, create_graph=order + 1 < count)
        found += result
    return [g.detach().numpy() for g in found]


def compare(run, dtype):
    """``run(lib)`` gives gradients."""
    for ours, theirs in zip(run(jitgrad), run(torch), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["batch", "one", "packed", "no state"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, form, dtype):
    def run(lib):
        module, operands, leaves = scene(lib, name, form, dtype, (4, 2, 3), LENGTHS)
        y, last = module(*operands)
        results = [y.data if form == "packed" else y, *(last if module.mode == "LSTM" else (last,))]
        return orders(lib, results, leaves, 2)

    compare(run, dtype)


@pytest.mark.parametrize("name", ["LSTM projected both ways", "GRU", "RNN"])
def test_third_order(name):
    kind, options = LAYERS[name]

    def run(lib):
        module = load(lib, getattr(lib.nn, kind)(3, 4, **options, dtype=lib.float64))
        x = leaf_of(lib, numbers(3, 2, 3), "float64")
        return orders(lib, [module(x)[0]], [x, *module.parameters()], 3)

    compare(run, "float64")


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cell(kind):
    def run(lib):
        cell = load(lib, getattr(lib.nn, kind)(3, 4, dtype=lib.float64))
        x = leaf_of(lib, numbers(3, 2, 3), "float64")
        state = None
        for t in range(3):
            state = cell(x[t], state)
        return orders(lib, state if kind == "LSTMCell" else (state,), [x, *cell.parameters()], 2)

    compare(run, "float64")


def test_gradient_penalty_of_a_training_step():
    def run(lib):
        module = load(lib, lib.nn.LSTM(3, 4, batch_first=True, dtype=lib.float64))
        x = leaf_of(lib, numbers(2, 4, 3), "float64")
        (g,) = lib.autograd.grad(module(x)[0][:, -1].sum(), x, create_graph=True)
        ((g.norm(2, dim=-1) - 1) ** 2).mean().backward()
        return [p.grad.numpy() for p in module.parameters() if p.grad is not None]

    compare(run, "float64")
