"""Activations and the other layers against their formulas written in NumPy."""

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn

rng = np.random.default_rng(8)
X = np.array([-200.0, -4.0, -1.0, -0.3, 0.2, 0.9, 3.5, 200.0])
PHI = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in X])
SOFTPLUS = np.logaddexp(0, X)
ACTIVATIONS = {
    nn.ReLU: ({}, np.maximum(X, 0)),
    nn.LeakyReLU: ({"negative_slope": 0.2}, np.where(X > 0, X, 0.2 * X)),
    nn.PReLU: ({}, np.where(X > 0, X, 0.25 * X)),
    nn.ELU: ({"alpha": 1.5}, np.where(X > 0, X, 1.5 * np.expm1(np.minimum(X, 0)))),
    nn.SELU: (
        {},
        1.0507009873554805 * np.where(X > 0, X, 1.6732632423543772 * np.expm1(np.minimum(X, 0))),
    ),
    nn.CELU: ({"alpha": 2.0}, np.where(X > 0, X, 2.0 * np.expm1(np.minimum(X, 0) / 2))),
    nn.GELU: ({}, X * PHI),
    nn.SiLU: ({}, X / (1 + np.exp(-X))),
    nn.Mish: ({}, X * np.tanh(SOFTPLUS)),
    nn.Softplus: ({"beta": 2.0}, np.logaddexp(0, 2 * X) / 2),
    nn.Softsign: ({}, X / (1 + np.abs(X))),
    nn.Tanh: ({}, np.tanh(X)),
    nn.Sigmoid: ({}, 1 / (1 + np.exp(-X))),
    nn.LogSigmoid: ({}, -np.logaddexp(0, -X)),
    nn.Hardtanh: ({"min_val": -0.5, "max_val": 2.0}, np.clip(X, -0.5, 2.0)),
    nn.ReLU6: ({}, np.clip(X, 0, 6)),
    nn.Hardswish: ({}, X * np.clip(X + 3, 0, 6) / 6),
    nn.Hardsigmoid: ({}, np.clip(X + 3, 0, 6) / 6),
    nn.Threshold: ({"threshold": 0.5, "value": 7.0}, np.where(X > 0.5, X, 7.0)),
    nn.Tanhshrink: ({}, X - np.tanh(X)),
    nn.Hardshrink: ({"lambd": 0.5}, np.where(np.abs(X) > 0.5, X, 0)),
    nn.Softshrink: ({"lambd": 0.5}, np.sign(X) * np.maximum(np.abs(X) - 0.5, 0)),
    nn.Softmax: ({"dim": 0}, np.exp(X - 200) / np.exp(X - 200).sum()),
    nn.LogSoftmax: ({"dim": 0}, X - 200 - np.log(np.exp(X - 200).sum())),
    nn.Softmin: ({"dim": 0}, np.exp(-X - 200) / np.exp(-X - 200).sum()),
    nn.GLU: ({}, X[:4] / (1 + np.exp(-X[4:]))),
}


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.__name__)
def test_activation_follows_its_formula(layer):
    options, expected = ACTIVATIONS[layer]
    module = layer(**options).double()
    found = module(jg.tensor(X, dtype=jg.float64)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_gelu_with_tanh():
    inner = math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)
    found = nn.GELU("tanh")(jg.tensor(X, dtype=jg.float64)).numpy()
    np.testing.assert_allclose(found, 0.5 * X * (1 + np.tanh(inner)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.Hardtanh])
def test_in_place_activation_overwrites_and_differentiates(layer):
    x = jg.tensor(X, dtype=jg.float64, requires_grad=True)
    plain = layer()(x)
    (plain * plain).sum().backward()
    expected, x.grad = x.grad.numpy().copy(), None
    copied = x * 1
    overwritten = layer(inplace=True)(copied)
    assert overwritten is copied
    np.testing.assert_array_equal(copied.detach().numpy(), plain.detach().numpy())
    (overwritten * overwritten).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 5)])
def test_softmax_over_the_channels_of_images(shape):
    x = 50 * rng.standard_normal(shape)
    z = np.exp(x - x.max(-3, keepdims=True))
    found = nn.Softmax2d()(jg.tensor(x, dtype=jg.float64)).numpy()
    np.testing.assert_allclose(found, z / z.sum(-3, keepdims=True), rtol=1e-12, atol=1e-300)


def test_bilinear_follows_its_formula():
    layer = nn.Bilinear(3, 2, 4).double()
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = np.einsum("bi,kij,bj->bk", x, weight, y) + bias
    np.testing.assert_allclose(
        layer(jg.tensor(x), jg.tensor(y)).detach().numpy(), expected, rtol=1e-10, atol=1e-12
    )


def test_shapes_of_flatten_and_unflatten():
    x = jg.zeros(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)
    assert nn.Unflatten(2, (2, 2))(x).shape == (2, 3, 2, 2)
    assert nn.Identity("anything", key=1)(x) is x
