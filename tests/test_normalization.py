"""Normalisation of samples (layer, root mean square, group, instance): values, gradients, layouts, errors."""

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

TOLERANCE = {np.float32: 3e-6, np.float64: 1e-12}


def spread_rows(rows: int, width: int, dtype: type) -> np.ndarray:
    """Rows whose elements differ, so that a mean's rounding does not show in what is left."""
    return (numbers(rows, width) + 4.0 * np.arange(width) * (width < 8)).astype(dtype)


def close(found, expected, dtype):
    found = found.detach().numpy()
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=4 * TOLERANCE[dtype])


# rows of less than a vector, of whole vectors, of up to four, of more, and with all kinds of rests
WIDTHS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 128, 200, 1024]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", WIDTHS)
def test_layer_norm_and_rms_norm_equal_numpy(width, dtype):
    for rows in (1, 5, 37):
        x = spread_rows(rows, width, dtype)
        w, b = numbers(width, seed=1, dtype=dtype), numbers(width, seed=2, dtype=dtype)
        tx, tw, tb = (torch.tensor(v) for v in (x, w, b))
        exact = [v.astype(np.float64) for v in (x, w, b)]
        close(F.layer_norm(tx, (width,), tw, tb), oracle.layer_norm(exact[0], (width,), *exact[1:]), dtype)
        close(
            F.layer_norm(tx, [width], None, tb, 0.1),
            oracle.layer_norm(exact[0], (width,), None, exact[2], 0.1),
            dtype,
        )
        close(F.layer_norm(tx, (width,), tw), oracle.layer_norm(exact[0], (width,), exact[1]), dtype)
        eps = float(np.finfo(dtype).eps)
        close(F.rms_norm(tx, (width,), tw), oracle.rms_norm(exact[0], (width,), exact[1], eps), dtype)
        close(F.rms_norm(tx, (width,), eps=0.1), oracle.rms_norm(exact[0], (width,), None, 0.1), dtype)


@pytest.mark.parametrize(
    ("shape", "sizes"), [((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (2, 3, 4)), ((6,), (6,))]
)
def test_rows_of_several_dimensions(shape, sizes):
    x, w, b = numbers(*shape), numbers(*sizes, seed=1), numbers(*sizes, seed=2)
    tx, tw, tb = (torch.tensor(v) for v in (x, w, b))
    close(F.layer_norm(tx, sizes, tw, tb), oracle.layer_norm(x, sizes, w, b), np.float64)
    close(F.rms_norm(tx, sizes, tw, 0.1), oracle.rms_norm(x, sizes, w, 0.1), np.float64)
    check_gradients(lambda x, w, b: F.layer_norm(x, sizes, w, b), x, w, b)
    check_gradients(lambda x, w: F.rms_norm(x, sizes, w), x, w)


@pytest.mark.parametrize("width", [1, 3, 16, 33, 70])
def test_gradients_of_rows(width):
    x, w, b = numbers(6, width), numbers(width, seed=1), numbers(width, seed=2)
    if width > 1:  # of one element nothing is left but the bias
        check_gradients(lambda x, w, b: F.layer_norm(x, (width,), w, b), x, w, b)
        check_gradients(lambda x: F.layer_norm(x, (width,)), x)
    check_gradients(lambda x, b: F.layer_norm(x, (width,), None, b, 0.1), x, b)
    check_gradients(lambda x, w: F.rms_norm(x, (width,), w, 0.1), x, w)


def test_gradients_with_cotangents_of_any_strides():
    x, w, b = numbers(4, 3, 5), numbers(5, seed=1), numbers(5, seed=2)
    for after in (
        lambda y: y.transpose(0, 2),
        lambda y: y.sum(0),
        lambda y: y[::2, :, 1:4],
        lambda y: y.mean(),
        lambda y: y.permute(1, 2, 0).reshape(-1) * 2,
    ):
        check_gradients(lambda x, w, b, after=after: after(F.layer_norm(x, (5,), w, b)), x, w, b)
        check_gradients(lambda x, w, after=after: after(F.rms_norm(x, (5,), w)), x, w)
        check_gradients(lambda x, w, b, after=after: after(F.group_norm(x, 3, w, b)), x, w[:3], b[:3])
        check_gradients(lambda x, after=after: after(F.layer_norm(x, (5,))), x)


def test_operands_of_any_strides():
    check_gradients(lambda x, w: F.layer_norm(x.t(), (4,), w[::2]), numbers(4, 3), numbers(8))
    check_gradients(lambda x, w: F.layer_norm(x[:, 1::2], (3,), w, w), numbers(4, 6), numbers(3))
    check_gradients(lambda x, w: F.layer_norm(x.expand(3, 4), (4,), w), numbers(4), numbers(4, seed=1))
    check_gradients(lambda x, w: F.rms_norm(x.t(), (4,), w[::2]), numbers(4, 3), numbers(8))
    check_gradients(
        lambda x, w: F.group_norm(x.transpose(0, 1), 2, w[::2], w[1::2]), numbers(4, 3, 2), numbers(8)
    )
    check_gradients(lambda x: F.instance_norm(x.transpose(1, 2)), numbers(2, 3, 4))


@pytest.mark.parametrize("chosen", ["x", "w", "b", "xw", "wb", "xb"])
def test_only_the_gradients_that_are_wanted(chosen):
    for call in (
        lambda x, w, b: F.layer_norm(x, (6,), w, b),
        lambda x, w, b: F.group_norm(x.unsqueeze(2).expand(4, 6, 3), 2, w, b),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: F.batch_norm(x, b.detach(), w.detach() ** 2, w, b),
    ):
        found = []
        for names in ("xwb", chosen):
            tensors = {
                n: torch.tensor(numbers(*s, seed=k))
                for k, (n, s) in enumerate({"x": (4, 6), "w": (6,), "b": (6,)}.items())
            }
            for n in names:
                tensors[n].requires_grad_()
            y = call(*tensors.values())
            y.backward(torch.tensor(numbers(*y.shape, seed=9)))
            found.append({n: t.grad for n, t in tensors.items()})
        for n in "xwb":
            assert (found[1][n] is None) == (n not in chosen)
            if n in chosen:
                np.testing.assert_array_equal(found[0][n].numpy(), found[1][n].numpy())


GROUPS = [
    ((2, 4, 3), 2),
    ((3, 6), 3),
    ((3, 54), 2),
    ((2, 300, 1), 3),
    ((1, 8, 2, 2), 1),
    ((2, 4, 5, 7), 4),
    ((2, 3, 2, 3, 4), 3),
    ((2, 6, 70), 2),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "groups"), GROUPS)
def test_group_norm_equals_numpy(shape, groups, dtype):
    x = numbers(*shape, dtype=dtype)
    w, b = (numbers(shape[1], seed=k, dtype=dtype) for k in (1, 2))
    exact = [v.astype(np.float64) for v in (x, w, b)]
    close(
        F.group_norm(*(torch.tensor(x), groups), *map(torch.tensor, (w, b))),
        oracle.group_norm(exact[0], groups, *exact[1:]),
        dtype,
    )
    close(F.group_norm(torch.tensor(x), groups, eps=0.2), oracle.group_norm(exact[0], groups, eps=0.2), dtype)
    if np.prod(shape[2:]) > 1:
        close(
            F.instance_norm(torch.tensor(x), weight=torch.tensor(w), bias=torch.tensor(b)),
            oracle.group_norm(exact[0], shape[1], *exact[1:]), dtype,
        )  # fmt: skip


@pytest.mark.parametrize(("shape", "groups"), [s for s in GROUPS if np.prod(s[0]) < 200])
def test_group_norm_gradients(shape, groups):
    check_gradients(
        lambda x, w, b: F.group_norm(x, groups, w, b),
        numbers(*shape),
        numbers(shape[1], seed=1),
        numbers(shape[1], seed=2),
    )


def test_a_large_mean_does_not_spoil_the_variance():
    x = (numbers(3, 400) + 3000.0).astype(np.float32)
    exact = oracle.layer_norm(x.astype(np.float64), (400,))
    np.testing.assert_allclose(F.layer_norm(torch.tensor(x), (400,)).numpy(), exact, atol=2e-3)
    # batch statistics correct what the first sum lost
    columns = oracle.batch_norm(x.T.astype(np.float64).copy())
    np.testing.assert_allclose(
        F.batch_norm(torch.tensor(x.T.copy()), None, None, training=True).numpy(), columns, atol=2e-3
    )


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize(("rows", "width"), [(9, 5), (37, 5), (40, 16), (9, 40), (3, 300)])
def test_row_kernels_do_not_depend_on_the_number_of_parts(rows, width, parts):
    x, g = (numbers(rows, width, seed=k, dtype=np.float32) for k in (0, 1))
    w, b = (numbers(width, seed=k, dtype=np.float32) for k in (2, 3))
    words = (rows, width, float_bits(1e-5))

    def work(count):
        y, s = np.full_like(x, np.nan), np.full((2, rows), np.nan, np.float32)
        gradients = [np.full_like(v, np.nan) for v in (x, w, b)]
        run("layer_norm", abi.FLOAT32, (x, w, b, y, s), words, count)
        run("layer_norm", abi.FLOAT32, (x, w, None, None, s, g, None, *gradients), words, count, variant=1)
        return y, s, *gradients

    for one, several in zip(work(1), work(parts), strict=True):
        assert not np.isnan(one).any()
        np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("width", [3, 16])
def test_a_row_does_not_depend_on_its_neighbours(width):
    x, g = (torch.tensor(numbers(37, width, seed=k, dtype=np.float32)) for k in (0, 1))
    w = torch.tensor(numbers(width, seed=2, dtype=np.float32))

    def work(x, g):
        x = x.detach().requires_grad_()
        y = F.layer_norm(x, (width,), w, w)
        y.backward(g)
        return y.detach().numpy(), x.grad.numpy()

    whole = work(x, g)
    for k in (0, 1, 30, 36):
        for many, one in zip(whole, work(x[k : k + 1], g[k : k + 1]), strict=True):
            np.testing.assert_array_equal(many[k], one[0])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0), (2, 0, 4)])
def test_rows_of_nothing(shape):
    for function in (F.layer_norm, F.rms_norm):
        x = torch.ones(*shape, requires_grad=True)
        w = torch.ones(shape[-1], requires_grad=True)
        y = function(x, (shape[-1],), w)
        assert tuple(y.shape) == shape
        y.sum().backward()
        assert tuple(x.grad.shape) == shape
        np.testing.assert_array_equal(w.grad.numpy(), np.zeros(shape[-1]))


@pytest.mark.parametrize("shape", [(0, 4, 2), (2, 0, 2), (2, 4, 0)])
def test_groups_of_nothing(shape):
    for call in (lambda x, w: F.group_norm(x, 1, w, w), lambda x, w: F.instance_norm(x, weight=w, bias=w)):
        x, w = torch.ones(*shape, requires_grad=True), torch.ones(shape[1], requires_grad=True)
        y = call(x, w)
        assert tuple(y.shape) == shape
        y.sum().backward()
        np.testing.assert_array_equal(w.grad.numpy(), np.zeros(shape[1]))


X = torch.ones(2, 3)
ERRORS = [
    (lambda: F.layer_norm(X, (4,)), RuntimeError, "normalized_shape"),
    (lambda: F.layer_norm(X, ()), RuntimeError, "at least 1-dimensional"),
    (lambda: F.layer_norm(X, (1, 2, 3)), RuntimeError, "normalized_shape"),
    (lambda: F.layer_norm(X, 3), TypeError, "tuple of ints"),
    (lambda: F.layer_norm(X, (3,), torch.ones(2)), RuntimeError, "Expected weight to be of same shape"),
    (lambda: F.layer_norm(X, (3,), torch.ones(1, 3)), RuntimeError, "Expected weight to be of same shape"),
    (lambda: F.layer_norm(X, (3,), None, torch.ones(2)), RuntimeError, "Expected bias to be of same shape"),
    (lambda: F.layer_norm(X, (3,), torch.ones(3).double()), RuntimeError, "mixed dtype"),
    (lambda: F.layer_norm(X.long(), (3,)), NotImplementedError, "int64"),
    (lambda: F.layer_norm([1.0], (1,)), TypeError, "must be Tensor"),
    (lambda: F.layer_norm(X, (3,), 1.0), TypeError, "must be Tensor"),
    (lambda: F.layer_norm(X, (3,), eps="small"), TypeError, "eps"),
    (lambda: F.layer_norm(X, (3,), eps=None), TypeError, "eps"),
    (lambda: F.group_norm(X, 3, eps=None), TypeError, "eps"),
    (lambda: F.instance_norm(torch.ones(2, 3, 4), momentum=None), TypeError, "momentum"),
    (lambda: F.rms_norm(X, (4,)), RuntimeError, "normalized_shape"),
    (lambda: F.rms_norm(X, (3,), torch.ones(2)), RuntimeError, "Expected weight"),
    (lambda: F.rms_norm(X.long(), (3,)), NotImplementedError, "int64"),
    (lambda: F.group_norm(X, 2), RuntimeError, "divisible by num_groups"),
    (lambda: F.group_norm(X, 0), RuntimeError, "greater than 0"),
    (lambda: F.group_norm(X, 1.0), TypeError, "must be int"),
    (lambda: F.group_norm(X[0], 3), RuntimeError, "at least 2 dimensions"),
    (lambda: F.group_norm(X, 3, torch.ones(2)), RuntimeError, "vector of size equal"),
    (lambda: F.group_norm(X[:1], 3), ValueError, "more than 1 value per channel"),
    (lambda: F.instance_norm(X), ValueError, "more than 1 spatial element"),
    (lambda: F.instance_norm(torch.ones(2, 3, 4), use_input_stats=False), RuntimeError, "to be defined"),
    (lambda: F.instance_norm(torch.ones(2, 3, 4), torch.ones(2), torch.ones(2)), RuntimeError, "running_mean"),
    (lambda: nn.GroupNorm(3, 4), ValueError, "divisible"),
    (lambda: nn.InstanceNorm1d(3)(X[0]), ValueError, "2D or 3D"),
    (lambda: nn.InstanceNorm2d(3)(X), ValueError, "3D or 4D"),
    (lambda: nn.InstanceNorm1d(4, affine=True)(torch.ones(2, 3, 5)), ValueError, "num_features"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_instance_norm_without_parameters_warns_of_other_channels():
    with pytest.warns(UserWarning, match="num_features"):
        nn.InstanceNorm1d(4)(torch.randn(2, 3, 5))


def test_one_sample_without_a_batch_dimension():
    x = torch.tensor(numbers(3, 5))
    y = nn.InstanceNorm1d(3, dtype=torch.float64)(x)
    np.testing.assert_array_equal(y.numpy(), F.instance_norm(x.unsqueeze(0))[0].numpy())


def test_running_statistics_of_instances():
    x = numbers(4, 3, 5)
    layer = nn.InstanceNorm1d(3, track_running_stats=True, affine=True, dtype=torch.float64)
    close(layer(torch.tensor(x)), oracle.group_norm(x, 3), np.float64)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * x.mean((0, 2)))
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * x.var(2, ddof=1).mean(0))
    layer.eval()
    mean, var = (b.numpy().copy() for b in (layer.running_mean, layer.running_var))
    close(layer(torch.tensor(x)), oracle.batch_norm(x, mean=mean, var=var), np.float64)
    np.testing.assert_array_equal(layer.running_mean.numpy(), mean)


TRACKED = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


def test_layers_start_as_pytorchs():
    assert (
        repr(nn.LayerNorm((2, 3), bias=False))
        == "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=False)"
    )
    assert repr(nn.RMSNorm(3)) == "RMSNorm((3,), eps=None, elementwise_affine=True)"
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"
    for layer, keys in (
        (nn.LayerNorm(3), ["weight", "bias"]),
        (nn.LayerNorm(3, bias=False), ["weight"]),
        (nn.LayerNorm(3, elementwise_affine=False), []),
        (nn.RMSNorm(3), ["weight"]),
        (nn.GroupNorm(1, 3), ["weight", "bias"]),
        (nn.GroupNorm(1, 3, affine=False), []),
        (nn.InstanceNorm2d(3), []),
        (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), TRACKED),
    ):  # fmt: skip
        assert list(layer.state_dict()) == keys
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(
                value.numpy(), np.full(value.shape, name in ("weight", "running_var"))
            )


def test_compiled_steps_equal_eager_ones():
    def build():
        model = nn.Sequential(
            nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.RMSNorm(16), nn.Unflatten(1, (4, 4)),
            nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True, track_running_stats=True), nn.Flatten(),
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

        return Scene(
            outputs_step(model, optimizer, lambda y: (y * y.detach().sin()).mean()),
            batches((5, 6)),
            model,
            optimizer,
        )

    assert_same(build)
