"""Dropout of elements and channels: what it keeps, its gradients, and the layouts of its input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_cases import MANY, close

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F


def dropout(x, p):
    return torch.nn.functional.dropout(x, p, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p, dtype):
    torch.manual_seed(0)
    y = dropout(torch.ones(MANY, dtype=dtype), p).numpy()
    assert close((y == 0).mean(), p, math.sqrt(p * (1 - p)))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_passes_gradients_where_it_kept():
    x = torch.randn(37, 5, requires_grad=True)
    g = torch.randn(37, 5)
    y = dropout(x, 0.4)
    kept = y.detach().numpy() != 0
    (y * g).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, g.numpy() / 0.6, 0), rtol=1e-6)


def test_dropout_of_a_transposed_input():
    x = torch.ones(7, 5, requires_grad=True)
    y = dropout(x.t(), 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy().T)


def test_dropout_result_may_change_in_place_before_backward():
    x = torch.ones(50, requires_grad=True)
    y = dropout(x, 0.5)
    kept = y.detach().clone()
    y += 1
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept.numpy())


def test_dropout_without_effect():
    x = torch.ones(5)
    assert torch.nn.functional.dropout(x, 0.5, False) is x
    np.testing.assert_array_equal(dropout(x, 0.0).numpy(), x.numpy())
    np.testing.assert_array_equal(dropout(x, 1.0).numpy(), np.zeros(5))


def test_dropout_drops_others_each_time():
    x = torch.ones(1000)
    assert (dropout(x, 0.5).numpy() != dropout(x, 0.5).numpy()).any()


# channels ------------------------------------------------------------------------------------------------

CHANNELS = {
    "dropout1d": ((500, 40, 3), 2),
    "dropout1d without images": ((20_000, 3), 1),
    "dropout2d": ((500, 40, 2, 2), 2),
    "dropout3d": ((500, 40, 2, 1, 2), 2),
    "dropout3d without images": ((20_000, 2, 1, 2), 1),
}


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_channels_are_dropped_as_a_whole(name, p):
    torch.manual_seed(1)
    shape, lead = CHANNELS[name]
    x = torch.randn(*shape, dtype=torch.float64).requires_grad_()
    g = torch.randn(*shape, dtype=torch.float64)
    y = getattr(F, name.split()[0])(x, p)
    y.backward(g)
    factor = (y / x).detach().numpy().reshape(math.prod(shape[:lead]), -1)
    dropped = factor[:, 0] == 0
    np.testing.assert_allclose(factor, np.where(dropped, 0, 1 / (1 - p))[:, None] + 0 * factor, atol=1e-12)
    assert close(dropped.mean(), p, math.sqrt(p * (1 - p)), len(dropped))
    np.testing.assert_allclose(x.grad.numpy().reshape(factor.shape), factor * g.numpy().reshape(factor.shape))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("name", ["alpha_dropout", "feature_alpha_dropout"])
def test_alpha_dropout_keeps_mean_and_variance(name, p):
    torch.manual_seed(2)
    x = torch.randn(300, 700, dtype=torch.float64).requires_grad_()
    y = getattr(F, name)(x, p, True)
    y.sum().backward()
    assert abs(y.mean().item()) < 0.02
    assert abs(y.std().item() - 1) < 0.02
    dropped = x.grad.numpy() == 0
    assert close(dropped.mean(), p, math.sqrt(p * (1 - p)), dropped.size)
    # what is dropped has one value; the rest is one line
    assert np.ptp(y.detach().numpy()[dropped]) < 1e-12
    slopes = x.grad.numpy()[~dropped]
    assert np.ptp(slopes) < 1e-12
    if p < 0.8:
        expected = 1 / math.sqrt((1 - p) * (1 + p * 1.7580993408473766**2))
        assert abs(slopes[0] - expected) < 1e-12


def test_feature_alpha_dropout_takes_channels_as_a_whole():
    torch.manual_seed(3)
    y = F.feature_alpha_dropout(torch.ones(50, 6, 4, 3), 0.5, True).numpy()
    assert (y == y[:, :, :1, :1]).all()
    assert len(np.unique(y)) == 2


LAYERS = [nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_work_while_training_only(kind):
    torch.manual_seed(4)
    x = torch.ones(3, 40, *[2] * {nn.Dropout2d: 2, nn.Dropout3d: 3}.get(kind, 1))
    layer = kind(0.5)
    assert (layer(x).numpy() != x.numpy()).any()
    assert layer.eval()(x) is x
    assert (kind(1.0)(x) == 0).all()
    np.testing.assert_array_equal(kind(0.0)(x).numpy(), x.numpy())
    assert repr(layer) == f"{kind.__name__}(p=0.5, inplace=False)"
    with pytest.raises(ValueError, match="has to be between 0 and 1"):
        kind(1.5)


@pytest.mark.parametrize(
    "name", ["dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
)
def test_in_place(name):
    x = torch.ones(2, 30, *[1] * {"dropout2d": 2, "dropout3d": 3}.get(name, 1))
    y = getattr(F, name)(x, 0.5, True, True)
    assert y is x
    assert (x != 1).any()


ERRORS = {
    "probability": (lambda: F.dropout2d(torch.ones(1, 2, 3, 3), -0.1), ValueError, "between 0 and 1"),
    "alpha probability": (lambda: F.alpha_dropout(torch.ones(3), 1.1), ValueError, "between 0 and 1"),
    "dimensions": (lambda: F.dropout1d(torch.ones(3)), RuntimeError, "Expected 2D or 3D input"),
    "no channels": (
        lambda: F.feature_alpha_dropout(torch.ones(3), 0.5, True),
        RuntimeError,
        "at least 2 dim",
    ),
    "integers": (lambda: F.dropout1d(torch.ones(3, 2).long()), RuntimeError, "not implemented for int64"),
    "not a tensor": (lambda: F.alpha_dropout([1.0]), TypeError, "must be Tensor, not list"),
}


@pytest.mark.parametrize("label", ERRORS)
def test_error_says_what_is_wrong(label):
    call, kind, text = ERRORS[label]
    with pytest.raises(kind, match=text):
        call()


def test_dropout2d_warns_of_inputs_that_will_be_read_otherwise():
    with pytest.warns(UserWarning, match="Received a 3D input"):
        F.dropout2d(torch.ones(2, 3, 4))
    with pytest.warns(UserWarning, match="Received a 2-D input"):
        F.dropout2d(torch.ones(2, 3))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_every_step_draws_anew(compiled):
    layers = nn.Sequential(nn.Dropout2d(0.5), nn.AlphaDropout(0.5))
    x = torch.randn(4, 16, 3, 3)

    def steps(compiled):
        torch.manual_seed(5)
        run = torch.compile(lambda: layers(x) * 1, fullgraph=True) if compiled else lambda: layers(x) * 1
        return [run().numpy().tobytes() for _ in range(4)]

    found = steps(compiled)
    assert len(set(found)) == 4
    assert found == steps(False)
