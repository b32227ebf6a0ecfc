"""Recurrent layers against loops in NumPy; special cases, names and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from recurrent_cases import LAYERS, make, reference
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}


def states_for(module, batch: int) -> list[np.ndarray]:
    count = module.num_layers * (2 if module.bidirectional else 1)
    shapes = [(count, batch, module.proj_size or module.hidden_size), (count, batch, module.hidden_size)]
    return [numbers(*s, seed=9) for s in shapes[: 2 if module.mode == "LSTM" else 1]]


def tensors(arrays, dtype):
    made = [torch.tensor(a, dtype=dtype) for a in arrays]
    return made[0] if len(made) == 1 else tuple(made)


def finals(states) -> list[np.ndarray]:
    return [s.detach().numpy() for s in (states if isinstance(states, tuple) else (states,))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("steps", "batch", "features", "hidden"), [(4, 3, 3, 5), (1, 1, 1, 3), (5, 17, 7, 33)]
)
def test_layer_follows_its_formula(name, steps, batch, features, hidden, dtype):
    module = make(name, features, hidden, dtype)
    x = numbers(batch, steps, features)
    given = x if module.batch_first else x.transpose(1, 0, 2)
    for first in (None, states_for(module, batch)):
        args = () if first is None else (tensors(first, dtype),)
        y, states = module(torch.tensor(given, dtype=dtype), *args)
        expected, *last = reference(module, list(x), *(first or ()))
        found = y.detach().numpy() if module.batch_first else y.detach().numpy().transpose(1, 0, 2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype])
        for s, e in zip(finals(states), last, strict=False):
            np.testing.assert_allclose(s, e, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", LAYERS)
def test_sequence_without_a_batch(name):
    module = make(name)
    x = numbers(4, 3)
    first = [s[:, 0] for s in states_for(module, 1)]
    y, states = module(torch.tensor(x), tensors(first, torch.float64))
    expected, *last = reference(module, [x], *(s[:, None] for s in first))
    np.testing.assert_allclose(y.detach().numpy(), expected[0], atol=1e-13)
    for s, e in zip(finals(states), last, strict=False):
        np.testing.assert_allclose(s, e[:, 0], atol=1e-13)
    assert tuple(module(torch.tensor(x))[0].shape) == tuple(y.shape)


def test_special_values_show():
    module = make("LSTM", dtype=torch.float32)
    x = np.zeros((3, 2, 3), np.float32)
    x[1, 0, 0] = np.nan
    y = module(torch.tensor(x))[0].detach().numpy()
    assert np.isnan(y[1:, 0]).all() and np.isfinite(y[0]).all() and np.isfinite(y[:, 1]).all()
    x[1, 0, 0] = np.inf
    for dtype in DTYPES:
        far = make("GRU", dtype=dtype)(torch.full((2, 1, 3), 1e30, dtype=dtype))[0].detach().numpy()
        assert np.isfinite(far).all() and (np.abs(far) <= 1).all()


def test_small_states_keep_their_precision():
    """Near zero tanh is computed to its last bits, not as one less something near one."""
    module = nn.RNN(1, 1, bias=False)
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(1.0)
    x = np.array([1e-6, -3e-4, 1e-20], np.float32).reshape(1, 3, 1)
    np.testing.assert_allclose(module(torch.tensor(x))[0].detach().numpy(), np.tanh(x), rtol=3e-7)


def test_empty_batch():
    for name in LAYERS:
        module = make(name)
        shape = (0, 4, 3) if module.batch_first else (4, 0, 3)
        x = torch.zeros(*shape, dtype=torch.float64, requires_grad=True)
        y, _ = module(x)
        assert y.numel() == 0
        y.sum().backward()
        assert all((p.grad.numpy() == 0).all() for p in module.parameters())


def test_dropout_between_layers():
    torch.manual_seed(3)
    module = nn.LSTM(3, 40, 2, dropout=0.5)
    x = torch.randn(6, 4, 3)
    a, b = module(x)[0].detach().numpy(), module(x)[0].detach().numpy()
    assert (a != b).any()
    assert (a != 0).all()  # the last layer's outputs are whole
    module.eval()
    np.testing.assert_array_equal(module(x)[0].detach().numpy(), module(x)[0].detach().numpy())


def test_no_grad_gives_the_same_and_records_nothing():
    module = make("LSTM")
    x = torch.tensor(numbers(4, 3, 3))
    with torch.no_grad():
        y, (h, c) = module(x)
    assert not (y.requires_grad or h.requires_grad or c.requires_grad)
    np.testing.assert_array_equal(y.numpy(), module(x)[0].detach().numpy())


def test_names_shapes_and_first_values():
    module = nn.LSTM(3, 16, 2, bidirectional=True, proj_size=4)
    shapes = {n: tuple(p.shape) for n, p in module.state_dict().items()}
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    order = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    assert list(shapes) == [n + s for s in suffixes for n in order]
    assert shapes["weight_ih_l0"] == (64, 3) and shapes["weight_ih_l1_reverse"] == (64, 8)
    assert shapes["weight_hh_l1"] == (64, 4) and shapes["weight_hr_l0_reverse"] == (4, 16)
    values = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
    assert np.abs(values).max() <= 0.25
    assert abs(values.std() - 0.25 / math.sqrt(3)) < 0.01
    assert len(module.all_weights) == 4 and all(len(w) == 5 for w in module.all_weights)
    module.flatten_parameters()


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.LSTM(3, 4), "LSTM(3, 4)"),
        (nn.LSTM(3, 4, 2, False, True, 0.5, True, 2),
         "LSTM(3, 4, proj_size=2, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)"),
        (nn.RNN(3, 4, 1, "relu"), "RNN(3, 4)"),
        (nn.GRU(3, 4, 2), "GRU(3, 4, num_layers=2)"),
    ],
)  # fmt: skip
def test_repr(module, text):
    assert repr(module) == text


X = torch.zeros(4, 2, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTM(3, 5)(torch.zeros(4, 2, 4)), RuntimeError, ["input_size", "Expected 3, got 4"]),
        (lambda: nn.LSTM(3, 5)(torch.zeros(3)), ValueError, ["2D or 3D, got 1D"]),
        (lambda: nn.GRU(3, 5)(torch.zeros(1, 1, 4, 3)), ValueError, ["GRU", "got 4D"]),
        (lambda: nn.GRU(3, 5)(torch.zeros(0, 2, 3)), RuntimeError, ["larger than 0"]),
        (lambda: nn.GRU(3, 5)(X.double()), ValueError, ["float64", "float32"]),
        (lambda: nn.GRU(3, 5)(X, torch.zeros(1, 3, 5)), RuntimeError, ["(1, 2, 5)", "[1, 3, 5]"]),
        (lambda: nn.GRU(3, 5)(X, torch.zeros(2, 5)), RuntimeError, ["3-D", "2-D"]),
        (lambda: nn.GRU(3, 5)(X[:, 0], torch.zeros(1, 1, 5)), RuntimeError, ["unbatched", "3-D"]),
        (lambda: nn.GRU(3, 5)(X, torch.zeros(1, 2, 5).double()), RuntimeError, ["float64"]),
        (lambda: nn.LSTM(3, 5)(X, (torch.zeros(1, 2, 5), torch.zeros(1, 2, 4))), RuntimeError, ["[1]", "4"]),
        (lambda: nn.LSTM(3, 5)(X, (torch.zeros(2, 2, 5), torch.zeros(1, 2, 5))), RuntimeError, ["[0]", "2"]),
        (lambda: nn.LSTM(3, 5)(X, torch.zeros(1, 2, 5)), TypeError, ["tuple (h_0, c_0)"]),
        (lambda: nn.LSTM(3, 5)(np.zeros((4, 2, 3))), TypeError, ["must be Tensor"]),
        (lambda: nn.LSTM(3, 0), ValueError, ["hidden_size", "greater than zero"]),
        (lambda: nn.LSTM(0, 3), ValueError, ["input_size", "greater than zero"]),
        (lambda: nn.LSTM(3, 5, 0), ValueError, ["num_layers"]),
        (lambda: nn.LSTM(3, 5.0), TypeError, ["hidden_size", "float"]),
        (lambda: nn.LSTM(3, 5, bias=1), TypeError, ["bias", "int"]),
        (lambda: nn.LSTM(3, 5, proj_size=5), ValueError, ["smaller than hidden_size"]),
        (lambda: nn.LSTM(3, 5, proj_size=-1), ValueError, ["positive integer"]),
        (lambda: nn.GRU(3, 5, proj_size=2), ValueError, ["only supported for LSTM"]),
        (lambda: nn.LSTM(3, 5, 2, dropout=1.5), ValueError, ["[0, 1]", "1.5"]),
        (lambda: nn.RNN(3, 5, nonlinearity="elu"), ValueError, ["elu", "'tanh' or 'relu'"]),
        (lambda: nn.RNNBase("ELMAN", 3, 5), ValueError, ["ELMAN"]),
    ],
)  # fmt: skip
def test_refusal(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_dropout_of_a_single_layer_is_warned_about():
    with pytest.warns(UserWarning, match="num_layers=1"):
        nn.LSTM(3, 4, dropout=0.5)
