"""Batch normalisation: statistics of the batch and running ones, gradients, state, errors, compiled steps."""

from __future__ import annotations

import norm_oracle as oracle
import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, outputs_step
from gradients import check_gradients
from kernel_records import run
from norm_oracle import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import abi
from jitgrad.kernels.abi import float_bits
from jitgrad.nn import functional as F

TOLERANCE = {np.float32: 4e-6, np.float64: 1e-12}
SHAPES = [
    (4, 3),
    (5, 20),
    (70, 1),
    (2, 3, 4),
    (3, 17, 5),
    (2, 3, 4, 5),
    (1, 4, 9, 8),
    (2, 2, 70),
    (2, 3, 2, 3, 4),
    (6, 2, 1),
]


def parameters(channels, dtype=np.float64):
    """Weight, bias, running mean and running variance."""
    values = [numbers(channels, seed=k, dtype=dtype) for k in range(1, 5)]
    return [*values[:3], values[3] ** 2 + np.asarray(0.1, dtype)]


def close(found, expected, dtype):
    found = found.detach().numpy()
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_running_statistics_equal_numpy(shape, dtype):
    x = numbers(*shape, dtype=dtype)
    w, b, mean, var = parameters(shape[1], dtype)
    exact = [v.astype(np.float64) for v in (x, w, b)]
    tx, tw, tb, tm, tv = map(torch.tensor, (x, w, b, mean, var))
    given = oracle.batch_norm(*exact, mean.astype(np.float64), var.astype(np.float64), 0.01)
    close(F.batch_norm(tx, tm, tv, tw, tb, eps=0.01), given, dtype)
    np.testing.assert_array_equal(tm.numpy(), mean)
    close(F.batch_norm(tx, tm, tv, tw, tb, True, 0.3, 0.01), oracle.batch_norm(*exact, eps=0.01), dtype)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(tm.numpy(), 0.7 * mean + 0.3 * exact[0].mean(axes), rtol=1e-5)
    np.testing.assert_allclose(tv.numpy(), 0.7 * var + 0.3 * exact[0].var(axes, ddof=1), rtol=1e-5)
    close(F.batch_norm(tx, None, None, training=True), oracle.batch_norm(exact[0]), dtype)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [s for s in SHAPES if np.prod(s) < 150])
def test_gradients(shape, training):
    w, b, mean, var = parameters(shape[1])

    def call(x, w=None, b=None):
        return F.batch_norm(x, torch.tensor(mean), torch.tensor(var), w, b, training)

    check_gradients(call, numbers(*shape), w, b)
    check_gradients(call, numbers(*shape))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_through_views(training):
    w, b, mean, var = parameters(3)

    def call(x, w, b):
        return F.batch_norm(x, torch.tensor(mean), torch.tensor(var), w, b, training)

    x = numbers(4, 3, 2)
    check_gradients(lambda x, w, b: call(x.transpose(1, 2), w, b), numbers(4, 2, 3), w, b)
    check_gradients(lambda x, w, b: call(x[::2], w[::2], b), numbers(8, 3), numbers(6, seed=1), b)
    check_gradients(lambda x, w, b: call(x, w, b).permute(2, 0, 1), x, w, b)
    check_gradients(lambda x, w, b: call(x, w, b).mean(), x, w, b)
    check_gradients(lambda x, w, b: call(x, w, b).sum(0), x, w, b)


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize("shape", [(6, 40), (2, 5, 33), (3, 2, 100)])
def test_kernels_do_not_depend_on_the_number_of_parts(shape, parts):
    samples, channels, span = (*shape, 1)[:3]
    x, g = (numbers(*shape, seed=k, dtype=np.float32) for k in (0, 1))
    w, b, _, _ = parameters(channels, np.float32)
    words = (channels, samples, channels * span, span, span, channels, 1, 0, float_bits(1e-5))

    def work(count):
        y, mean, var, gx, gw, gb = (np.full_like(v, np.nan) for v in (x, w, w, x, w, w))
        run("batch_norm", abi.FLOAT32, (x, w, b, y, mean, var), words, count)
        run("batch_norm", abi.FLOAT32, (x, w, b, None, mean, var, g, None, None, gx, gw, gb), words, count, 1)
        return y, mean, var, gx, gw, gb

    for one, several in zip(work(1), work(parts), strict=True):
        assert not np.isnan(one).any()
        np.testing.assert_array_equal(one, several)


def test_a_layer_counts_batches_and_moves_its_statistics():
    layer = nn.BatchNorm1d(3, dtype=torch.float64)
    mean, var = np.zeros(3), np.ones(3)
    for k in range(3):
        x = numbers(6, 3, seed=k)
        layer(torch.tensor(x))
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * x.var(0, ddof=1)
    assert layer.num_batches_tracked.item() == 3
    assert layer.num_batches_tracked.dtype == torch.int64
    np.testing.assert_allclose(layer.running_mean.numpy(), mean)
    np.testing.assert_allclose(layer.running_var.numpy(), var)
    layer.eval()
    close(layer(torch.tensor(x)), oracle.batch_norm(x, mean=mean, var=var), np.float64)
    assert layer.num_batches_tracked.item() == 3
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    np.testing.assert_array_equal(layer.running_var.numpy(), np.ones(3))


def test_without_momentum_the_statistics_are_averages():
    layer = nn.BatchNorm1d(3, momentum=None, dtype=torch.float64)
    data = [numbers(6, 3, seed=k) for k in range(4)]
    for x in data:
        layer(torch.tensor(x))
    np.testing.assert_allclose(
        layer.running_mean.numpy(), np.mean([x.mean(0) for x in data], axis=0), rtol=1e-6
    )
    np.testing.assert_allclose(
        layer.running_var.numpy(), np.mean([x.var(0, ddof=1) for x in data], axis=0), rtol=1e-6
    )


def test_without_running_statistics_evaluation_uses_the_batch():
    layer = nn.BatchNorm2d(3, affine=False, track_running_stats=False, dtype=torch.float64).eval()
    assert list(layer.state_dict()) == []
    x = numbers(2, 3, 4, 5)
    close(layer(torch.tensor(x)), oracle.batch_norm(x), np.float64)


def test_statistics_are_moved_without_being_recorded():
    layer = nn.BatchNorm1d(3)
    y = layer(torch.randn(4, 3, requires_grad=True))
    assert not layer.running_mean.requires_grad
    assert y.grad_fn is not None
    y.sum().backward()


def test_a_frozen_layer_keeps_no_input():
    """With given statistics and frozen weights the way back reads weight and variance only."""
    layer = nn.BatchNorm1d(3).eval().requires_grad_(False)
    x = torch.randn(4, 3, requires_grad=True)
    h = x * 2
    layer(h).sum().backward(retain_graph=True)
    h.data.zero_()  # would be an error for a saved value
    expected = 2 * (layer.weight / (layer.running_var + layer.eps).sqrt()).expand(4, 3)
    np.testing.assert_allclose(x.grad.numpy(), expected.numpy(), rtol=1e-6)


def test_batches_of_nothing():
    layer = nn.BatchNorm1d(3)
    x = torch.ones(0, 3, requires_grad=True)
    y = layer(x)
    assert tuple(y.shape) == (0, 3)
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), np.zeros(3))
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))
    assert tuple(layer.eval()(x).shape) == (0, 3)


ONE, THREE, DOUBLE = torch.ones(2, 3), torch.ones(3), torch.ones(3).double()
ERRORS = [
    (lambda: nn.BatchNorm1d(3)(ONE[0]), ValueError, "2D or 3D"),
    (lambda: nn.BatchNorm2d(3)(ONE), ValueError, "4D"),
    (lambda: nn.BatchNorm3d(3)(ONE), ValueError, "5D"),
    (lambda: nn.BatchNorm1d(4)(ONE), RuntimeError, "should contain 3 elements not 4"),
    (lambda: nn.BatchNorm1d(3)(ONE[:1]), ValueError, "Expected more than 1 value per channel when training"),
    (lambda: nn.BatchNorm1d(3)(ONE.double()), RuntimeError, "mixed dtype"),
    (lambda: nn.BatchNorm1d(3)(ONE.long()), NotImplementedError, "int64"),
    (lambda: nn.BatchNorm1d(3)([1.0]), TypeError, "must be Tensor"),
    (lambda: F.batch_norm(ONE, THREE, torch.ones(4)), RuntimeError, "running_var should contain 3 elements not 4"),
    (lambda: F.batch_norm(ONE, THREE, THREE, torch.ones(2)), RuntimeError, "weight should contain 3"),
    (lambda: F.batch_norm(ONE, THREE, THREE, THREE, torch.ones(2)), RuntimeError, "bias should contain 3"),
    (lambda: F.batch_norm(ONE, None, None), RuntimeError, "running_mean must be defined in evaluation mode"),
    (lambda: F.batch_norm(ONE, THREE, None), RuntimeError, "running_var must be defined in evaluation mode"),
    (lambda: F.batch_norm(ONE, THREE, None, training=True), ValueError, "neither be None"),
    (lambda: F.batch_norm(ONE, DOUBLE, DOUBLE, THREE), RuntimeError, "mixed dtype"),
    (lambda: F.batch_norm(ONE, THREE, THREE, training=True, momentum=None), TypeError, "momentum"),
    (lambda: F.batch_norm(ONE, THREE, THREE, eps=None), TypeError, "eps"),
    (lambda: F.batch_norm(THREE, THREE, THREE), RuntimeError, "running_mean|at least 2"),
    (lambda: F.batch_norm(ONE, THREE, THREE, 3.0), TypeError, "must be Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_an_error_changes_nothing():
    layer = nn.BatchNorm1d(3)
    for wrong in (torch.ones(1, 3), torch.ones(2, 4), torch.ones(2, 3).double()):
        with pytest.raises((ValueError, RuntimeError)):
            layer(wrong)
    assert layer.num_batches_tracked.item() == 0
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))


def test_state_dict_keys_and_loading():
    layer, other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    keys = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(layer.state_dict()) == keys
    layer(torch.randn(2, 3, 4, 4))
    other.load_state_dict(layer.state_dict())
    for key in keys:
        np.testing.assert_array_equal(other.state_dict()[key].numpy(), layer.state_dict()[key].numpy())
    old = {k: v for k, v in layer.state_dict().items() if k != "num_batches_tracked"}  # as it was once saved
    assert other.load_state_dict(old).missing_keys == []
    with pytest.raises(RuntimeError, match="running_var"):
        other.load_state_dict({k: v for k, v in old.items() if k != "running_var"})
    text = "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
    assert repr(layer) == text
    assert list(nn.BatchNorm1d(3, affine=False).state_dict()) == keys[2:]
    assert list(nn.BatchNorm1d(3, bias=False).state_dict()) == [keys[0], *keys[2:]]


def scene(momentum=0.1):
    model = nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12, momentum=momentum), nn.ReLU(),
        nn.Unflatten(1, (3, 2, 2)), nn.BatchNorm2d(3, momentum=momentum, affine=False), nn.Flatten(),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    return Scene(
        outputs_step(model, optimizer, lambda y: (y * y.detach().sin()).mean()),
        batches((5, 6)),
        model,
        optimizer,
    )


@pytest.mark.parametrize("momentum", [0.1, None])
def test_compiled_steps_equal_eager_ones(momentum):
    assert_same(lambda: scene(momentum))
    assert_same(lambda: scene(momentum), "ceccec")


def test_a_changed_momentum_and_mode_are_noticed():
    def between(scene, k):
        if k == 3:
            scene.owners[0][1].momentum = 0.5
        if k == 5:
            scene.owners[0][4].eval()

    assert_same(scene, "cccccccc", between=between, programs=3)
