"""Recurrent cells: one step is that of the layer, gradients, errors, compiled loops."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches
from gradients import check_gradients
from recurrent_cases import one_step
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn

CELLS = {
    "tanh": lambda dtype, **more: nn.RNNCell(3, 5, dtype=dtype, **more),
    "relu": lambda dtype, **more: nn.RNNCell(3, 5, nonlinearity="relu", dtype=dtype, **more),
    "LSTM": lambda dtype, **more: nn.LSTMCell(3, 5, dtype=dtype, **more),
    "GRU": lambda dtype, **more: nn.GRUCell(3, 5, dtype=dtype, **more),
}


def run(cell, x, *states):
    """The new state as a tuple."""
    if isinstance(cell, nn.LSTMCell):
        return cell(x, states or None)
    return (cell(x, *states),)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_cell_follows_its_formula(name, dtype, bias):
    cell = CELLS[name](dtype, bias=bias)
    weights = {n: p.detach().numpy().astype(float) for n, p in cell.named_parameters()}
    assert list(weights) == ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if bias else [])]
    x, h, c = numbers(4, 3), numbers(4, 5, seed=1), numbers(4, 5, seed=2)
    states = (h, c) if name == "LSTM" else (h,)
    for given in ((), states):
        found = run(cell, *(torch.tensor(a, dtype=dtype) for a in (x, *given)))
        expected = [one_step(name, x[k], *((h[k], c[k]) if given else (0 * h[k], 0 * c[k])), weights)
                    for k in range(4)]  # fmt: skip
        for k, state in enumerate(found):
            tolerance = 2e-6 if dtype is torch.float32 else 1e-13
            np.testing.assert_allclose(state.detach().numpy(), [e[k] for e in expected], atol=tolerance)
    single = run(cell, *(torch.tensor(a[0], dtype=dtype) for a in (x, *states)))
    batch = run(cell, *(torch.tensor(a[:1], dtype=dtype) for a in (x, *states)))
    for one, rows in zip(single, batch, strict=True):
        assert tuple(one.shape) == (5,)
        np.testing.assert_array_equal(one.detach().numpy(), rows.detach().numpy()[0])


@pytest.mark.parametrize("name", CELLS)
def test_gradients_through_several_steps(name):
    cell = CELLS[name](torch.float64)
    states = [numbers(2, 5, seed=k) for k in range(2 if name == "LSTM" else 1)]

    def steps(x, *state):
        for t in range(3):
            state = run(cell, x[t], *state)
        return torch.cat(list(state), 1)

    check_gradients(steps, numbers(3, 2, 3), *states)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_parameters_equal_those_of_the_layer(name):
    cell = CELLS[name](torch.float64)
    kind = {"tanh": "RNN", "relu": "RNN"}.get(name, name)
    layer = getattr(nn, kind)(3, 5, dtype=torch.float64, **({"nonlinearity": name} if kind == "RNN" else {}))
    layer.load_state_dict({f"{n}_l0": p for n, p in cell.state_dict().items()})
    x, g = torch.tensor(numbers(4, 2, 3)), torch.tensor(numbers(2, 5))
    (layer(x)[0][-1] * g).sum().backward()
    state = ()
    for t in range(4):
        state = run(cell, x[t], *state)
    (state[0] * g).sum().backward()
    for n, p in cell.named_parameters():
        np.testing.assert_allclose(
            p.grad.numpy(), getattr(layer, f"{n}_l0").grad.numpy(), rtol=1e-12, atol=1e-14
        )


def test_first_values_and_repr():
    cell = nn.LSTMCell(3, 64)
    values = np.concatenate([p.detach().numpy().ravel() for p in cell.parameters()])
    assert np.abs(values).max() <= 0.125 and values.std() > 0.07
    assert repr(nn.RNNCell(3, 5, False, "relu")) == "RNNCell(3, 5, bias=False, nonlinearity=relu)"
    assert repr(nn.GRUCell(3, 5)) == "GRUCell(3, 5)"


X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTMCell(3, 5)(torch.zeros(2, 4)), RuntimeError, ["got 4 expected 3"]),
        (lambda: nn.LSTMCell(3, 5)(torch.zeros(1, 2, 3)), ValueError, ["1D or 2D, got 3D"]),
        (lambda: nn.GRUCell(3, 5)(X, torch.zeros(3, 5)), RuntimeError, ["batch size 2", "(3, 5)"]),
        (lambda: nn.GRUCell(3, 5)(X, torch.zeros(2, 4)), RuntimeError, ["got 4, expected 5"]),
        (lambda: nn.GRUCell(3, 5)(X, torch.zeros(1, 2, 5)), ValueError, ["hidden", "got 3D"]),
        (lambda: nn.GRUCell(3, 5)(X, torch.zeros(2, 5).double()), RuntimeError, ["float64"]),
        (lambda: nn.GRUCell(3, 5)(X.double()), RuntimeError, ["float64"]),
        (lambda: nn.LSTMCell(3, 5)(X, (torch.zeros(2, 5), torch.zeros(2, 4))), RuntimeError, ["hx[1]"]),
        (lambda: nn.LSTMCell(3, 5)(X, torch.zeros(2, 5)), TypeError, ["tuple"]),
        (lambda: nn.RNNCell(3, 5, nonlinearity="elu")(X), RuntimeError, ["elu"]),
        (lambda: nn.RNNCell(3, 5)([1.0]), TypeError, ["must be Tensor"]),
    ],
)
def test_refusal(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", CELLS)
def test_compiled_loop(name):
    def build():
        cell = CELLS[name](torch.float32)
        optimizer = torch.optim.Adam(cell.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            state = ()
            for t in range(x.shape[0]):
                state = run(cell, x[t], *state)
            loss = state[0].square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, batches((4, 2, 3)), cell, optimizer)

    assert_same(build)
