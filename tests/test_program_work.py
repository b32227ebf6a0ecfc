"""Floating-point operations that a program's rows are said to take: those of the formulas, counted by hand."""

import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import work
from jitgrad.kernels.table import ARRAYS
from jitgrad.program.show.table import lines_of


def counts(model, x, choose=lambda y: y):
    """Operations of the rows of a step, by kernel, and the kernels that count as products."""

    def step(x):
        model.zero_grad()
        loss = choose(model(x)).square().sum()
        loss.backward()
        return loss

    lines = [one for line in lines_of(torch.compile(step).program(x)) for one in line.chain or (line,)]
    return {line.kernel: line.flops for line in lines}, {line.kernel for line in lines if line.product}


def beginning(found, start):
    (value,) = (v for k, v in found.items() if k.startswith(start))
    return value


def test_a_convolution_multiplies_a_filter_at_every_place():
    found, products = counts(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8))
    once = 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)
    assert found["convolution"] == once
    assert found["convolution back to w, bias"] == once
    assert {"convolution", "convolution back to w, bias"} <= products


@pytest.mark.parametrize(("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_a_recurrent_layer_multiplies_at_every_step(layer, gates):
    steps, batch, features, hidden = 5, 2, 3, 6
    found, products = counts(layer(features, hidden), torch.randn(steps, batch, features), lambda y: y[0])
    rows = 2 * steps * batch * gates * hidden
    name = {4: "lstm", 3: "gru", 1: "rnn_tanh"}[gates]
    assert found["recurrent_input"] == rows * features
    assert found[name] == rows * hidden
    assert found[f"{name} back to gates"] == rows * hidden
    assert beginning(found, "recurrent_input back") == rows * (features + hidden)
    assert {"recurrent_input", name, f"{name} back to gates"} <= products


def test_attention_multiplies_queries_with_keys_and_weights_with_values():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Parameter(torch.randn(2, 7, 4)) for _ in range(3))

        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(self.q, self.k, self.v) * x

    found, products = counts(Model(), torch.randn(4))
    pairs = 2 * (2 * 7 * 7) * 4
    assert found["attention"] == 2 * pairs
    assert found["attention back to q, k, v"] == 5 * pairs
    assert "attention" in products


def test_norms_and_softmax_take_steps_for_each_element():
    found, products = counts(nn.Sequential(nn.LayerNorm(6), nn.Softmax(-1)), torch.randn(5, 6))
    forward, back = work.STEPS["layer_norm"]
    assert found["layer_norm"] == forward * 30
    assert beginning(found, "layer_norm back") == back * 30
    assert found["softmax"] == work.STEPS["softmax"][0] * 30
    assert not products


def test_a_bias_alone_is_a_sum():
    layer = nn.Linear(3, 4)
    layer.weight.requires_grad_(False)
    found, _ = counts(layer, torch.randn(5, 3))
    assert found["linear back to bias"] == 5 * 4


def test_what_moves_elements_has_no_operations():
    assert work.operations("cat", [(3,), (4,)], [(7,)]) is None
    assert work.operations("index", [(3,), (2,)], [(2,)]) is None


def test_counts_are_of_operations_that_exist():
    from jitgrad.kernels import OPS

    names = {op.name for op in OPS if op.kind == ARRAYS}
    assert {*work.WORK, *work.BACK, *work.STEPS} <= names
    assert set(work.WORK) == set(work.BACK)
    assert set(work.MOVES) <= {op.name for op in OPS}
