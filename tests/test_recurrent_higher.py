"""Gradients of the gradients of recurrent layers and cells, against differences of the first ones."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches
from gradients import check_second
from recurrent_cases import LAYERS
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.func import functional_call
from jitgrad.nn.utils.rnn import PackedSequence, pack_sequence

FEATURES, HIDDEN, STEPS, BATCH = 2, 3, 3, 2
LENGTHS = (2, 3, 1)
DIRECTIONS = 2  # in which all operands are moved at once
FORMS = ("no state", "state", "one sequence", "packed")


def make(name, hidden=HIDDEN, dtype=torch.float64):
    kind, options = LAYERS[name]
    return getattr(nn, kind)(FEATURES, hidden, **options, dtype=dtype)


def operands_of(module, form):
    """By name: parameters, the input or the sequences of a pack, and first states."""
    found = {n: numbers(*p.shape, seed=k) * 0.6 for k, (n, p) in enumerate(module.named_parameters())}
    if form == "packed":
        found |= {f"x{k}": numbers(n, FEATURES, seed=k) for k, n in enumerate(LENGTHS)}
    else:
        lead = (BATCH, STEPS) if module.batch_first else (STEPS, BATCH)
        found["x"] = numbers(*(lead if form != "one sequence" else (STEPS,)), FEATURES)
    if form != "no state":
        batch = {"packed": (len(LENGTHS),), "one sequence": ()}.get(form, (BATCH,))
        widths = (module.proj_size or module.hidden_size, module.hidden_size)
        for k, width in enumerate(widths[: 2 if module.mode == "LSTM" else 1]):
            found[f"h{k}"] = numbers(len(module.all_weights), *batch, width, seed=5 + k) * 0.5
    return found


def results_of(module, given):
    """Outputs and last states of a layer whose operands are given by name."""
    weights = {n: given[n] for n, _ in module.named_parameters()}
    sequences = [given[f"x{k}"] for k in range(len(LENGTHS)) if f"x{k}" in given]
    x = pack_sequence(sequences, enforce_sorted=False) if sequences else given["x"]
    states = tuple(given[n] for n in ("h0", "h1") if n in given)
    first = () if not states else (states if module.mode == "LSTM" else states[0],)
    y, last = functional_call(module, weights, (x, *first))
    return [y.data if isinstance(y, PackedSequence) else y, *(last if isinstance(last, tuple) else (last,))]


def flat(results):
    return torch.cat([r.reshape(-1) for r in results])


def check_along_directions(function, *arrays):
    """Check the second gradients of a few sums of all results.

    They are functions of a few numbers: how far all operands are moved, each in directions of its own.
    """
    fixed = [torch.tensor(a) for a in arrays]
    ways = [torch.tensor(numbers(DIRECTIONS, *a.shape, seed=20 + k)) for k, a in enumerate(arrays)]

    def moved(s):
        pairs = zip(fixed, ways, strict=True)
        y = flat(function(*(a + (s.reshape(-1, *(1,) * a.ndim) * w).sum(0) for a, w in pairs)))
        return torch.tensor(numbers(2, len(y), seed=40)) @ y

    check_second(moved, numbers(DIRECTIONS) * 0.1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_second_gradients_of_all_operands_together(name, form):
    module = make(name)
    given = operands_of(module, form)

    def function(*tensors):
        return results_of(module, dict(zip(given, tensors, strict=True)))

    check_along_directions(function, *given.values())


@pytest.mark.parametrize(
    ("name", "result"),
    [("LSTM projected", 0), ("LSTM", 1), ("LSTM", 2), ("GRU", 0), ("GRU", 1), ("RNN", 0), ("RNN relu", 1)],
)
def test_second_gradients_of_each_operand_for_each_result(name, result):
    module = make(name, 2 if result else HIDDEN)
    given = operands_of(module, "state")

    def function(*tensors):
        y = results_of(module, dict(zip(given, tensors, strict=True)))[result]
        return y.sum(0)  # few numbers, and a cotangent with stride 0

    check_second(function, *given.values())


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_second_gradients_of_cells(kind, bias):
    cell = getattr(nn, kind)(FEATURES, HIDDEN, bias, dtype=torch.float64)
    names = [n for n, _ in cell.named_parameters()]
    weights = [numbers(*p.shape, seed=k) for k, p in enumerate(cell.parameters())]
    states = [numbers(BATCH, HIDDEN, seed=9 + k) for k in range(2 if kind == "LSTMCell" else 1)]

    def function(x, *more):
        first, parameters = more[: len(states)], dict(zip(names, more[len(states) :], strict=True))
        for _ in range(2):
            made = functional_call(cell, parameters, (x, first if len(first) == 2 else first[0]))
            first = made if len(first) == 2 else (made,)
        return first

    check_along_directions(function, numbers(BATCH, FEATURES), *states, *weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_recorded_gradients_are_those_of_the_kernels(name, form, dtype):
    module = make(name, 5, dtype)
    given = operands_of(module, form)
    leaves = {n: torch.tensor(a, dtype=dtype, requires_grad=True) for n, a in given.items()}
    results = results_of(module, leaves)
    cotangents = [torch.tensor(numbers(*r.shape, seed=k), dtype=dtype) for k, r in enumerate(results)]
    asked = list(leaves.values())
    plain = torch.autograd.grad(results, asked, cotangents, retain_graph=True)
    recorded = torch.autograd.grad(results, asked, cotangents, create_graph=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    for n, a, b in zip(leaves, plain, recorded, strict=True):
        assert b.dtype is dtype and b.requires_grad, n
        np.testing.assert_allclose(b.detach().numpy(), a.numpy(), **tolerance, err_msg=n)


@pytest.mark.parametrize("name", ["LSTM projected", "GRU", "RNN"])
def test_every_operand_may_be_the_only_one(name):
    """Also states alone, when nothing has recorded the products with the input."""
    module = make(name)
    given = operands_of(module, "state")
    for moving in given:

        def function(t, moving=moving):
            tensors = {n: t if n == moving else torch.tensor(a) for n, a in given.items()}
            return results_of(module, tensors)

        check_along_directions(function, given[moving])


def test_one_tensor_as_both_states():
    module = make("LSTM")
    check_second(lambda h: module(torch.ones(STEPS, 1, FEATURES).double(), (h, h))[0], numbers(1, 1, HIDDEN))


def test_a_cell_that_does_not_depend_on_the_projection():
    module = make("LSTM projected").requires_grad_(False)
    weight = module.weight_hr_l0.requires_grad_()
    y, (h, c) = module(torch.ones(1, 1, FEATURES).double())
    (g,) = torch.autograd.grad((c * c).sum(), weight, create_graph=True, retain_graph=True)
    np.testing.assert_array_equal(g.numpy(), np.zeros_like(g.numpy()))
    (g,) = torch.autograd.grad((c * y.sum() * h.sum()).sum(), weight, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), weight)
    assert np.abs(h.numpy()).max() > 0


def test_no_sequences():
    module, x = make("GRU both ways"), torch.zeros(STEPS, 0, FEATURES).double().requires_grad_()
    y, last = module(x)
    gradients = torch.autograd.grad(y.sum() + last.sum(), [x, *module.parameters()], create_graph=True)
    assert gradients[0].shape == x.shape
    for g, p in zip(gradients[1:], module.parameters(), strict=True):
        np.testing.assert_array_equal(g.detach().numpy(), np.zeros(p.shape))


def test_third_gradients():
    module = make("GRU", 2)

    def function(x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (g,) = torch.autograd.grad(module(x)[0].sum(), x, create_graph=True)
            return g

    check_second(function, numbers(2, 1, FEATURES))


def test_parameters_collect_gradients_with_history():
    module, x = make("LSTM"), torch.tensor(numbers(STEPS, BATCH, FEATURES))
    module(x)[0].sum().backward(create_graph=True)
    gradients = [p.grad for p in module.parameters()]
    assert all(g.requires_grad for g in gradients)
    found = torch.autograd.grad(sum(g.square().sum() for g in gradients), list(module.parameters()))
    assert all(np.isfinite(g.numpy()).all() and np.abs(g.numpy()).max() > 0 for g in found)


def test_rows_go_when_told():
    module, x = make("LSTM"), torch.tensor(numbers(STEPS, BATCH, FEATURES), requires_grad=True)
    y = module(x)[0].sum()
    torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x, create_graph=True)


@pytest.mark.parametrize("what", ["weight_hh_l0", "bias_ih_l0", "x", "h"])
def test_what_was_overwritten_is_noticed(what):
    module = make("GRU")
    x = torch.tensor(numbers(STEPS, BATCH, FEATURES))
    h = torch.tensor(numbers(1, BATCH, HIDDEN), requires_grad=True)
    y = module(x, h)[0].sum()
    with torch.no_grad():
        {"x": x, "h": h}.get(what, getattr(module, what, None)).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y, h, create_graph=True)


@pytest.mark.parametrize("name", ["LSTM both ways", "LSTM projected", "GRU", "RNN relu"])
def test_gradient_penalty_in_a_compiled_step(name):
    """Bit for bit what Python does."""

    def build():
        module = make(name, dtype=torch.float32)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            x = x.detach().requires_grad_()
            y, _ = module(x)
            (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
            loss = y.mean() + (g.square().sum(-1).sqrt() - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, batches((STEPS, BATCH, FEATURES)), module, optimizer)

    assert_same(build)
