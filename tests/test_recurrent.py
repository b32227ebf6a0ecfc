"""Recurrent layers against loops in NumPy and against differences; names, errors, compiled steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, training_step
from gradients import check_gradients
from recurrent_cases import LAYERS, reference
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.functions.recurrent import Lengths, Weights, walk_layer
from jitgrad.kernels import recurrent_layout

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}
KINDS = {
    kind.op: kind
    for kind in (
        recurrent_layout.LSTM,
        recurrent_layout.GRU,
        recurrent_layout.RNN_TANH,
        recurrent_layout.RNN_RELU,
    )
}


def make(name: str, features: int = 3, hidden: int = 5, dtype=torch.float64, **more) -> nn.Module:
    kind, options = LAYERS[name]
    torch.manual_seed(len(name))
    return getattr(nn, kind)(features, hidden, **(options | more), dtype=dtype)


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


# gradients ------------------------------------------------------------------------------------------------


def sizes_of(kind, features, hidden, projected):
    out = 2 if projected else hidden
    gates = kind.gates * hidden
    shapes = [(gates, features), (gates, out), (gates,), (gates,)]
    return out, shapes + ([(out, hidden)] if projected else [])


def joined(values, keep):
    """One tensor of some outputs, so that one cotangent is for all."""
    return torch.cat([values[k].reshape(-1) for k in keep])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize(("op", "projected"), [*((op, False) for op in KINDS), ("lstm", True)])
def test_gradients_of_every_operand(op, by_batch, reverse, projected):
    kind = KINDS[op]
    steps, batch, features, hidden = 3, 2, 2, 3
    out, shapes = sizes_of(kind, features, hidden, projected)
    x = numbers(*((batch, steps) if by_batch else (steps, batch)), features)
    first = [numbers(1, batch, out, seed=1), numbers(1, batch, hidden, seed=2)][: 2 if kind.has_cell else 1]
    weights = [numbers(*s, seed=3) * 0.7 for s in shapes]

    def run(x, *rest):
        states, parameters = rest[: len(first)], rest[len(first) :]
        lengths = Lengths(steps, batch)
        results = walk_layer(kind, x, states, Weights(*parameters), lengths, by_batch, reverse)
        return joined(results, range(len(results)))

    check_gradients(run, x, *first, *weights)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", KINDS)
def test_gradients_of_sequences_of_different_lengths(op, reverse):
    kind = KINDS[op]
    counts = torch.tensor([3, 3, 1, 1])
    _, shapes = sizes_of(kind, 2, 3, False)
    first = [numbers(1, 3, 3, seed=k) for k in range(2 if kind.has_cell else 1)]
    weights = [numbers(*s, seed=3) * 0.7 for s in shapes]

    def run(x, *rest):
        states, parameters = rest[: len(first)], rest[len(first) :]
        lengths = Lengths(4, 3, counts)
        results = walk_layer(kind, x, states, Weights(*parameters), lengths, False, reverse)
        return joined(results, range(len(results)))

    check_gradients(run, numbers(8, 2), *first, *weights)


@pytest.mark.parametrize("op", KINDS)
def test_outputs_that_nobody_uses_have_no_cotangent(op):
    kind = KINDS[op]
    _, shapes = sizes_of(kind, 2, 3, False)
    weights = [numbers(*s, seed=3) * 0.7 for s in shapes]
    for keep in range(3 if kind.has_cell else 2):

        def run(x, *parameters, keep=keep):
            nothing = [None] * (2 if kind.has_cell else 1)
            return walk_layer(kind, x, nothing, Weights(*parameters), Lengths(3, 2))[keep]

        check_gradients(run, numbers(3, 2, 2), *weights)


def gradients_of(module, x, loss):
    y, states = module(x)
    loss(y, states).backward()
    return {n: p.grad.numpy().copy() for n, p in module.named_parameters() if p.grad is not None}


COTANGENTS = {
    "sum": lambda y, s: y.sum(),
    "last step": lambda y, s: y[-1].square().sum(),
    "every other feature": lambda y, s: y[:, :, ::2].square().sum(),
    "transposed": lambda y, s: (y.transpose(0, 2) * torch.tensor(numbers(5, 3, 4))).sum(),
    "flipped": lambda y, s: (y.permute(2, 1, 0).reshape(-1) * torch.tensor(numbers(60))).sum(),
    "state": lambda y, s: (s * torch.tensor(numbers(1, 3, 5))).sum(),
    "transposed state": lambda y, s: (s.transpose(1, 2) * torch.tensor(numbers(1, 5, 3))).sum() + y.mean(),
}


@pytest.mark.parametrize("cotangent", COTANGENTS)
def test_cotangents_of_any_strides(cotangent):
    module = make("GRU")
    loss = COTANGENTS[cotangent]
    x = torch.tensor(numbers(4, 3, 3))
    found = gradients_of(module, x, loss)
    module.zero_grad()
    # the same loss on copies, whose cotangents lie straight
    expected = gradients_of(module, x, lambda y, s: loss(y.clone() * 1.0, s.clone() * 1.0))
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "LSTM batch first"])
def test_inputs_of_any_strides(name):
    module = make(name)
    x = numbers(6, 4, 7)
    views = {
        "transposed": torch.tensor(x).transpose(0, 1)[:, :, :3],
        "every other": torch.tensor(x)[::2, :, 1:4],
        "repeated": torch.tensor(x)[:, :1, :3].expand(6, 4, 3),
        "backwards in memory": torch.tensor(x).permute(2, 1, 0)[:, :, :3],
    }
    for view in views.values():
        np.testing.assert_array_equal(
            module(view)[0].detach().numpy(), module(view.clone().contiguous())[0].detach().numpy()
        )


def test_frozen_parameters_and_input():
    """What nobody asks for is not computed, and the rest is the same."""
    for name in ("LSTM projected", "GRU", "RNN"):
        module = make(name)
        x = torch.tensor(numbers(4, 3, 3), requires_grad=True)
        module(x)[0].square().sum().backward()
        whole = {n: p.grad.numpy().copy() for n, p in module.named_parameters()} | {
            "x": x.grad.numpy().copy()
        }
        leaves = dict(module.named_parameters()) | {"x": x}
        for alone in leaves:
            for n, leaf in leaves.items():
                leaf.grad = None
                leaf.requires_grad_(n == alone)
            module(x)[0].square().sum().backward()
            np.testing.assert_array_equal(leaves[alone].grad.numpy(), whole[alone], err_msg=alone)
            assert [n for n, leaf in leaves.items() if leaf.grad is not None] == [alone]
            leaves[alone].requires_grad_(True)


def test_gradient_of_the_first_state_alone():
    module = make("LSTM")
    module.requires_grad_(False)
    x = torch.tensor(numbers(4, 3, 3))

    def run(h, c):
        y, (h_n, c_n) = module(x, (h, c))
        return joined((y, h_n, c_n), range(3))

    check_gradients(run, numbers(1, 3, 5), numbers(1, 3, 5, seed=1))


def test_two_walks_back_over_one_graph():
    for name in ("LSTM", "GRU", "LSTM projected"):
        module = make(name)
        loss = module(torch.tensor(numbers(4, 3, 3)))[0].square().sum()
        loss.backward(retain_graph=True)
        once = {n: p.grad.numpy().copy() for n, p in module.named_parameters()}
        loss.backward()
        for n, p in module.named_parameters():
            np.testing.assert_allclose(p.grad.numpy(), 2 * once[n], rtol=1e-12)


def test_outputs_may_change_in_place_before_the_walk_back():
    module = make("LSTM")
    x = torch.tensor(numbers(4, 3, 3))
    expected = gradients_of(module, x, lambda y, s: (y + 1).sum())
    module.zero_grad()

    def loss(y, states):
        y += 1
        return y.sum()

    for name, value in gradients_of(module, x, loss).items():
        np.testing.assert_array_equal(value, expected[name])


def test_one_network_twice_in_one_graph():
    module = make("GRU")
    x = torch.tensor(numbers(4, 3, 3))
    y, h = module(x)
    again, _ = module(x, h)
    (y.sum() + again.square().sum()).backward()
    chained = {n: p.grad.numpy().copy() for n, p in module.named_parameters()}
    module.zero_grad()
    whole, _ = module(torch.cat([x, x]))
    (whole[:4].sum() + whole[4:].square().sum()).backward()
    for n, p in module.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), chained[n], rtol=1e-12, atol=1e-13)


# behaviour ------------------------------------------------------------------------------------------------


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


# compiled steps -------------------------------------------------------------------------------------------


class Last(nn.Module):
    """A network whose last output goes through a linear layer."""

    def __init__(self, name: str, dtype, **more) -> None:
        super().__init__()
        self.body = make(name, 3, 5, dtype, **more)
        features = self.body.proj_size or 5
        self.head = nn.Linear(features * (2 if self.body.bidirectional else 1), 1, dtype=dtype)

    def forward(self, x):
        y, _ = self.body(x)
        return self.head(y[:, -1] if self.body.batch_first else y[-1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_step(name, dtype):
    def build():
        model = Last(name, dtype)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        batch = (2, 4) if model.body.batch_first else (4, 2)
        inputs = batches((*batch, 3), (2, 1), dtype=dtype)
        return Scene(training_step(model, optimizer), inputs, model, optimizer)

    assert_same(build)


def test_compiled_step_with_dropout_and_states():
    def build():
        model = make("LSTM three layers", dtype=torch.float32, dropout=0.3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x, h, c):
            optimizer.zero_grad()
            y, (h, c) = model(x, (h, c))
            loss = y.square().mean() + (h * c).sum()
            loss.backward()
            optimizer.step()
            return loss, h, c

        return Scene(step, batches((4, 2, 3), (3, 2, 5), (3, 2, 5)), model, optimizer)

    assert_same(build)


def test_compiled_step_of_a_loss_that_reads_no_output():
    """The walk is needed for its gradients though nothing reads its outputs."""

    def build():
        model = make("GRU", dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            optimizer.step()

        return Scene(step, batches((4, 2, 3)), model, optimizer)

    assert_same(build)
