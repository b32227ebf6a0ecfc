"""Gradients of recurrent layers against differences: every operand, any strides, and what a walk back needs."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients
from recurrent_cases import KINDS, make
from sample_values import numbers

import jitgrad as torch
from jitgrad.functions.recurrent import Lengths, Weights, walk_layer


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
