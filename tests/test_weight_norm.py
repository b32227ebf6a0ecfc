"""Weights that are computed from others: weight and spectral normalisation, by names and as parametrizations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, outputs_step
from gradients import check_gradients

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn.utils import parametrizations, parametrize, remove_spectral_norm, remove_weight_norm
from jitgrad.nn.utils import spectral_norm as spectral_by_names
from jitgrad.nn.utils import weight_norm as weight_by_names
from jitgrad.nn.utils.weight_norm import normalized_weight

X = torch.tensor(np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))
WAYS = {
    "weight by names": weight_by_names,
    "weight": parametrizations.weight_norm,
    "spectral by names": spectral_by_names,
    "spectral": parametrizations.spectral_norm,
}
KEYS = {
    "weight by names": ["bias", "weight_g", "weight_v"],
    "weight": ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"],
    "spectral by names": ["bias", "weight_orig", "weight_u", "weight_v"],
    "spectral": [
        "bias",
        "parametrizations.weight.original",
        "parametrizations.weight.0._u",
        "parametrizations.weight.0._v",
    ],
}
BACK = {
    "weight by names": remove_weight_norm,
    "weight": lambda m: parametrize.remove_parametrizations(m, "weight"),
    "spectral by names": remove_spectral_norm,
    "spectral": lambda m: parametrize.remove_parametrizations(m, "weight"),
}


def plain(tensor):
    return tensor.detach().numpy().copy()


@pytest.mark.parametrize("name", WAYS)
def test_keys_and_the_way_back(name):
    layer = nn.Linear(3, 4)
    before = plain(layer.weight)
    assert WAYS[name](layer) is layer
    assert list(layer.state_dict()) == KEYS[name]
    assert isinstance(layer, nn.Linear)
    layer.eval()
    if "weight" in name:
        np.testing.assert_allclose(plain(layer.weight), before, rtol=1e-6)
    value, result = plain(layer.weight), plain(layer(X))
    BACK[name](layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert type(layer) is nn.Linear
    np.testing.assert_array_equal(plain(layer.weight), value)
    np.testing.assert_array_equal(plain(layer(X)), result)
    with pytest.raises(ValueError, match=r"not found|does not have a parametrization"):
        BACK[name](layer)


@pytest.mark.parametrize("name", WAYS)
def test_states_are_loaded_and_copied(name):
    torch.manual_seed(1)
    first, second = WAYS[name](nn.Linear(3, 4)), WAYS[name](nn.Linear(3, 4))
    second.load_state_dict(first.state_dict())
    third = copy.deepcopy(first)
    for module in (first, second, third):
        module.eval()
    expected = plain(first(X))
    np.testing.assert_array_equal(plain(second(X)), expected)
    np.testing.assert_array_equal(plain(third(X)), expected)
    BACK[name](third)
    np.testing.assert_array_equal(plain(third(X)), expected)
    np.testing.assert_array_equal(plain(first(X)), expected)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_the_weight_is_length_times_direction(dim):
    v = np.random.default_rng(1).standard_normal((3, 4, 2))
    found = weight_by_names(nn.Bilinear(4, 2, 3, dtype=torch.float64), dim=dim)
    whole = dim in (None, -1)
    axes = tuple(d for d in range(3) if whole or d != dim)
    lengths = np.sqrt((v**2).sum(axes, keepdims=not whole))
    assert tuple(found.weight_g.shape) == lengths.shape
    with torch.no_grad():
        found.weight_v.copy_(torch.tensor(v))
        found.weight_g.copy_(torch.tensor(np.full(lengths.shape, 2.0)))
    np.testing.assert_allclose(plain(found.weight), 2.0 * v / lengths)
    g = np.full(lengths.shape, 1.5)
    check_gradients(lambda v, g: normalized_weight(v, g, -1 if whole else dim), v, g)


@pytest.mark.parametrize("name", ["spectral by names", "spectral"])
def test_the_largest_singular_value_becomes_one(name):
    torch.manual_seed(0)
    layer = WAYS[name](nn.Linear(5, 4, dtype=torch.float64), n_power_iterations=3)
    x = torch.randn(2, 5, dtype=torch.float64)
    for _ in range(60):
        layer(x)
    layer.eval()
    assert np.linalg.svd(plain(layer.weight))[1][0] == pytest.approx(1.0, abs=1e-6)
    layer(x).sum().backward()
    original = layer.weight_orig if name == "spectral by names" else layer.parametrizations.weight.original
    w = plain(original)
    u, s, vt = np.linalg.svd(w)
    g = np.tile(x.numpy().sum(0), (4, 1))
    # d (w / s) = dw / s - w (u dw v) / s^2
    expected = g / s[0] - (g * w).sum() / s[0] ** 2 * np.outer(u[:, 0], vt[0])
    np.testing.assert_allclose(original.grad.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["spectral by names", "spectral"])
def test_evaluation_does_not_iterate_and_two_forwards_may_go_back(name):
    layer = WAYS[name](nn.Linear(3, 4))
    (layer(X) - layer(2.0 * X)).sum().backward()
    layer.eval()
    buffers = [plain(b) for b in layer.buffers()]
    layer(X)
    for before, b in zip(buffers, layer.buffers(), strict=True):
        np.testing.assert_array_equal(before, plain(b))
    layer.train()
    layer(X)
    assert any((before != plain(b)).any() for before, b in zip(buffers, layer.buffers(), strict=True))


def test_a_vector_is_divided_by_its_length():
    layer = parametrizations.spectral_norm(nn.PReLU(4, dtype=torch.float64))
    np.testing.assert_allclose(plain(layer.weight), np.full(4, 0.5))


class Symmetric(nn.Module):
    """The upper triangle, mirrored."""

    def forward(self, x):
        return x.triu() + x.triu(1).t()

    def right_inverse(self, x):
        return x.triu()


class Scaled(nn.Module):
    """Three times."""

    def forward(self, x):
        return x * 3.0


def test_parametrizations_of_the_user():
    layer = nn.Linear(3, 3, bias=False)
    original = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert layer.parametrizations.weight.original is original
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    w = plain(layer.weight)
    np.testing.assert_array_equal(w, w.T)
    new = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    layer.weight = new
    np.testing.assert_array_equal(plain(layer.weight), new.numpy())
    parametrize.register_parametrization(layer, "weight", Scaled())
    np.testing.assert_array_equal(plain(layer.weight), 3.0 * new.numpy())
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(plain(layer.weight), np.triu(new.numpy()))
    assert layer.weight is original
    assert not hasattr(layer, "parametrizations")


def test_cached_values_are_computed_once():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x * 1.0

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Counting())
    Counting.calls = 0
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert Counting.calls == 1
    assert layer.weight is not layer.weight
    assert Counting.calls == 3


class Wrong(nn.Module):
    """Returns something else."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x):
        return self.result(x)


class WrongInverse(Scaled):
    """Has an inverse that is not one."""

    def right_inverse(self, x):
        return "no"


REGISTER = parametrize.register_parametrization
ERRORS = [
    (lambda: REGISTER(nn.Linear(2, 2), "missing", Scaled()), ValueError, "does not have a parameter"),
    (lambda: REGISTER(nn.Linear(2, 2), "weight", Wrong(lambda x: x.double())), ValueError, "dtype"),
    (lambda: REGISTER(nn.Linear(2, 2), "weight", Wrong(lambda x: x[0])), ValueError, "shape"),
    (lambda: REGISTER(nn.Linear(2, 2), "weight", Wrong(lambda x: 3)), ValueError, "must return a tensor"),
    (
        lambda: REGISTER(nn.Linear(2, 2), "weight", WrongInverse()),
        ValueError,
        "Got element 0|must return a Tensor",
    ),
    (lambda: parametrize.ParametrizationList([], torch.ones(1)), ValueError, "one or more"),
    (lambda: weight_by_names(weight_by_names(nn.Linear(2, 2))), RuntimeError, "two weight_norm hooks"),
    (lambda: spectral_by_names(spectral_by_names(nn.Linear(2, 2))), RuntimeError, "two spectral_norm hooks"),
    (lambda: weight_by_names(nn.Linear(2, 2), dim=2), IndexError, "out of range"),
    (lambda: parametrizations.spectral_norm(nn.Linear(2, 2), dim=2), IndexError, "out of range"),
    (lambda: parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0), ValueError, "positive"),
    (lambda: spectral_by_names(nn.Linear(2, 2), n_power_iterations=0), ValueError, "positive"),
    (lambda: spectral_by_names(nn.Linear(2, 2, bias=False), "bias"), ValueError, "is None"),
    (lambda: parametrizations.spectral_norm(nn.Linear(2, 2), "missing"), ValueError, "missing"),
    (
        lambda: parametrize.remove_parametrizations(
            parametrizations.weight_norm(nn.Linear(2, 2)), "weight", False
        ),
        ValueError,
        "Cannot leave unparametrized",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_an_error_leaves_the_module_as_it_was():
    layer = nn.Linear(2, 2)
    before, weight = plain(layer.weight), layer.weight
    for wrong in (Wrong(lambda x: x[0]), WrongInverse(), Wrong(lambda x: 1 / 0)):
        with pytest.raises((ValueError, ZeroDivisionError)):
            REGISTER(layer, "weight", wrong)
    assert layer.weight is weight
    np.testing.assert_array_equal(plain(layer.weight), before)
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("name", WAYS)
def test_compiled_steps_equal_eager_ones(name):
    def build():
        model = nn.Sequential(WAYS[name](nn.Linear(3, 6)), nn.Tanh(), WAYS[name](nn.Linear(6, 2)))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

        return Scene(
            outputs_step(model, optimizer, lambda y: (y**2).mean()), batches((5, 3)), model, optimizer
        )

    assert_same(build, "cecccc")
