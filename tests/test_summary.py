"""`summary`: layers, shapes, parameters, multiply-adds."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.store import store


def by_name(found):
    return {x.name: x for x in found.layers}


def test_a_network_of_linear_layers():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3, bias=False))
    model[0].bias.requires_grad_(False)
    found = torch.summary(model, (5, 8))
    layers = by_name(found)
    assert list(layers) == ["", "0", "1", "2"]
    assert [x.output for x in found.layers] == ["[5, 3]", "[5, 16]", "[5, 16]", "[5, 3]"]
    assert (layers["0"].trainable, layers["0"].frozen) == (128, 16)
    assert (found.trainable, found.frozen, found.parameters) == (176, 16, 192)
    assert layers["0"].multiply_adds == 5 * 8 * 16
    assert layers["2"].multiply_adds == 5 * 16 * 3
    assert layers["1"].multiply_adds == layers[""].multiply_adds == 0
    assert found.multiply_adds == 5 * 8 * 16 + 5 * 16 * 3
    assert found.bytes == 4 * 192
    assert found.inputs == ((5, 8),)


def test_products_in_a_module_belong_to_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.mix = nn.Parameter(torch.ones(4, 6))
            self.unused = nn.Linear(2, 2)

        def forward(self, x, y):
            return {"a": (self.inner(self.inner(x)) @ self.mix).tanh(), "b": (y,)}

    found = torch.summary(Model(), torch.ones(3, 4), torch.ones(2))
    layers = by_name(found)
    assert layers["inner"].calls == 2
    assert layers["inner"].multiply_adds == 2 * 3 * 4 * 4
    assert layers[""].multiply_adds == 3 * 4 * 6
    assert layers[""].trainable == 24
    assert layers[""].output == "a: [3, 6], b: ([2])"
    assert (layers["unused"].calls, layers["unused"].output, layers["unused"].trainable) == (0, "", 6)
    assert "called 2 times" in str(found)


def test_convolutions():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ConvTranspose2d(8, 4, 2, stride=2))
    found = torch.summary(model, (2, 3, 10, 10))
    layers = by_name(found)
    assert layers["0"].multiply_adds == 2 * 8 * 100 * 3 * 9
    assert layers["1"].multiply_adds == 2 * 8 * 100 * 4 * 4
    assert layers["1"].output == "[2, 4, 20, 20]"
    grouped = torch.summary(nn.Conv1d(4, 6, 3, groups=2), (1, 4, 9))
    assert grouped.multiply_adds == 6 * 7 * 2 * 3


def test_recurrent_layers_and_attention():
    found = torch.summary(nn.LSTM(5, 7), (4, 2, 5))
    assert found.multiply_adds == 4 * 2 * 4 * 7 * (5 + 7)
    assert found.layers[0].output == "([4, 2, 7], ([1, 2, 7], [1, 2, 7]))"
    found = torch.summary(nn.GRU(5, 7, bidirectional=True), (4, 2, 5))
    assert found.multiply_adds == 2 * 4 * 2 * 3 * 7 * (5 + 7)
    q = torch.ones(2, 6, 8)

    class Attend(nn.Module):
        def forward(self, q):
            return nn.functional.scaled_dot_product_attention(q, q, q)

    assert torch.summary(Attend(), q).multiply_adds == 2 * 6 * 6 * (8 + 8)


def test_frozen_models_and_integer_inputs():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)).requires_grad_(False)
    found = torch.summary(model, torch.tensor([1, 2, 3]))
    assert found.frozen == found.parameters == 40 + 10
    assert found.multiply_adds == 3 * 4 * 2


def test_nothing_of_the_model_is_changed():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[0].weight.requires_grad_(False)
    model[2].eval()
    before = {k: v.tolist() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    walks = store.field("walks")
    with torch.no_grad():
        torch.summary(model, (6, 4))
    assert torch.rand(3).tolist() == expected
    assert {k: v.tolist() for k, v in model.state_dict().items()} == before
    assert [m.training for m in model] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert store.field("walks") == walks

    with pytest.raises(RuntimeError):
        torch.summary(model, (6, 5))
    assert [m.training for m in model] == [True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert store.field("walks") == walks


def test_shared_parameters_count_once():
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    assert torch.summary(nn.Sequential(a, b), (1, 3)).parameters == 9 + 3 + 3


def test_the_table():
    text = str(torch.summary(nn.Sequential(nn.Linear(1000, 2000), nn.ReLU()), (7, 1000)))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "output", "trainable", "frozen", "multiply-adds"]
    assert "  0: Linear" in lines[3]
    assert lines[3].endswith("14,000,000")
    assert "2,002,000" in lines[3]
    assert lines[-1] == "one forward pass on [7, 1000]: 14.00 M multiply-adds"
    assert "8.01 MB" in lines[-2]
    ends = {len(line) for line in (lines[0], lines[3])}
    assert len(ends) == 1


def test_misuse():
    with pytest.raises(TypeError, match="summary: expected a Module, got function"):
        torch.summary(lambda x: x, (1,))
    with pytest.raises(TypeError, match="expected a Tensor or a shape as input, got str"):
        torch.summary(nn.ReLU(), "x")
