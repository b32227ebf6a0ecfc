"""Softmax and the fused losses: values against NumPy, gradients against differences, wrong targets."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from gradients import check_gradients
from kernel_records import run
from sample_values import numbers

import jitgrad as torch
from jitgrad import functions as T
from jitgrad.kernels import BY_NAME, abi
from jitgrad.program.show.table import lines_of

RTOL = {np.float32: 2e-6, np.float64: 1e-13}


SHAPES = [(1,), (7,), (3, 10), (4, 16), (5, 33), (2, 3, 4), (3, 5, 17), (2, 3, 4, 20), (2, 70, 40)]
LINES = [(shape, dim) for shape in SHAPES for dim in range(-len(shape), len(shape))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), LINES)
def test_softmax_equals_numpy(name, shape, dim, dtype):
    x = numbers(*shape, dtype=dtype) * 3
    expected = BY_NAME[name].reference(x.astype(np.float64), dim)
    result = getattr(T, name)(torch.tensor(x), dim)
    np.testing.assert_allclose(result.numpy(), expected, rtol=RTOL[dtype] * 4, atol=RTOL[dtype])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), [((3,), 0), ((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1)])
def test_softmax_gradients(name, shape, dim):
    check_gradients(lambda x: getattr(T, name)(x, dim), numbers(*shape))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_gradients_through_views(name):
    function = getattr(T, name)
    check_gradients(lambda x: function(x.t(), 0), numbers(3, 5))
    check_gradients(lambda x: function(x.t(), 1), numbers(3, 5))
    check_gradients(lambda x: function(x[:, ::2], 1), numbers(3, 9))
    check_gradients(lambda x: function(x.permute(2, 0, 1), 1), numbers(2, 3, 4))
    check_gradients(lambda x: function(x, 1).t().exp(), numbers(3, 5))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4)])
def test_softmax_of_nothing(name, shape):
    for dim in range(len(shape)):
        assert tuple(getattr(T, name)(torch.zeros(*shape), dim).shape) == shape


def test_softmax_without_dimensions_is_one():
    assert T.softmax(torch.tensor(3.0), 0).item() == 1.0
    assert T.log_softmax(torch.tensor(3.0), -1).item() == 0.0


def test_softmax_never_overflows():
    x = torch.tensor([[1e4, 0.0, -1e4], [88.0, 89.0, 90.0], [-1e30, -1e30, -1e30]])
    for name in ("softmax", "log_softmax"):
        assert np.isfinite(getattr(T, name)(x, 1).numpy()).all()
    np.testing.assert_allclose(T.log_softmax(x, 1).numpy()[0], [0.0, -1e4, -2e4])


def test_softmax_shows_nan_and_allows_minus_infinity():
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[0.0, nan, 1.0], [-inf, 0.0, 0.0], [-inf, -inf, -inf], [inf, 0.0, 0.0]])
    result = T.softmax(x, 1).numpy()
    assert np.isnan(result[[0, 2]]).all()
    np.testing.assert_array_equal(result[1], [0.0, 0.5, 0.5])
    assert np.isnan(result[3, 0])


def test_softmax_converts_first_when_told():
    assert T.softmax(torch.tensor([1, 2, 3]), 0, dtype=torch.float64).dtype == torch.float64
    assert T.log_softmax(torch.ones(3), 0, dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize(("shape", "dim"), [((5, 33), 1), ((5, 33), 0), ((3, 5, 17), 1), ((4, 3), 1)])
def test_softmax_does_not_depend_on_the_number_of_parts(shape, dim, parts):
    x, g = numbers(*shape, dtype=np.float32), numbers(*shape, seed=1, dtype=np.float32)
    for name in ("softmax", "log_softmax"):
        results = []
        for count in (1, parts):
            y, gx = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
            run(name, abi.FLOAT32, (x, y), (dim,), count)
            run(name, abi.FLOAT32, (None, y, g, gx), (dim,), count, variant=1)
            results.append((y, gx))
        for one, several in zip(*results, strict=True):
            np.testing.assert_array_equal(one, several)
            assert not np.isnan(one).any()


# mean squared error -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 10), (64, 33), (2, 3, 4), (300, 301)])
def test_mse_loss_equals_numpy(shape, dtype):
    x, t = numbers(*shape, dtype=dtype), numbers(*shape, seed=1, dtype=dtype)
    result = T.mse_loss(torch.tensor(x), torch.tensor(t))
    assert tuple(result.shape) == ()
    expected = np.mean((x.astype(np.float64) - t) ** 2)
    np.testing.assert_allclose(result.item(), expected, rtol=RTOL[dtype])


def test_mse_loss_gradients():
    check_gradients(T.mse_loss, numbers(3, 4), numbers(3, 4, seed=1))
    check_gradients(T.mse_loss, numbers(40, 4), numbers(40, 4, seed=1))
    check_gradients(lambda x, t: T.mse_loss(x.t(), t.t()), numbers(3, 4), numbers(3, 4, seed=1))
    check_gradients(lambda x, t: T.mse_loss(x.t(), t[::2]), numbers(3, 4), numbers(8, 3, seed=1))
    check_gradients(lambda x, t: T.mse_loss(x, t.expand(3, 4)) * 3, numbers(3, 4), numbers(4, seed=1))


def test_mse_loss_of_one_operand_that_wants_a_gradient():
    x, t = torch.ones(3, requires_grad=True), torch.zeros(3)
    T.mse_loss(x, t).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(3, 2 / 3), rtol=1e-6)
    assert t.grad is None
    x, t = torch.ones(3), torch.zeros(3, requires_grad=True)
    T.mse_loss(x, t).backward()
    np.testing.assert_allclose(t.grad.numpy(), np.full(3, -2 / 3), rtol=1e-6)


def test_mse_loss_keeps_small_terms_of_a_long_sum():
    x = np.full(3_000_000, 0.1, np.float32)
    result = T.mse_loss(torch.tensor(x), torch.zeros(len(x)))
    np.testing.assert_allclose(result.item(), np.float64(np.float32(0.1)) ** 2, rtol=1e-6)


# cross-entropy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (4, 10), (32, 10), (5, 16), (6, 17), (300, 27)])
def test_cross_entropy_equals_numpy(rows, classes, dtype):
    x = numbers(rows, classes, dtype=dtype) * 3
    target = np.random.default_rng(0).integers(0, classes, rows)
    if rows > 2:
        target[1] = -100
    expected = BY_NAME["cross_entropy_mean"].reference(x.astype(np.float64), target)
    result = T.cross_entropy_mean(torch.tensor(x), torch.tensor(target))
    np.testing.assert_allclose(result.item(), expected, rtol=RTOL[dtype], atol=RTOL[dtype])


def test_cross_entropy_gradients():
    target = torch.tensor([1, 2, -100, 0, 2])
    check_gradients(lambda x: T.cross_entropy_mean(x, target), numbers(5, 3))
    check_gradients(lambda x: T.cross_entropy_mean(x, target) * 3, numbers(5, 20))
    check_gradients(lambda x: T.cross_entropy_mean(x.t(), target), numbers(3, 5))
    check_gradients(lambda x: T.cross_entropy_mean(x[:, ::2], target), numbers(5, 9))
    wide = torch.tensor([1, 0, 2, 0, 1, 0, 0, 0, 2, 0])
    check_gradients(lambda x: T.cross_entropy_mean(x, wide[::2]), numbers(5, 3))


def test_cross_entropy_with_a_class_as_ignored_target():
    x = numbers(4, 3)
    target = np.array([0, 2, 1, 2])
    result = T.cross_entropy_mean(torch.tensor(x), torch.tensor(target), 2)
    expected = BY_NAME["cross_entropy_mean"].reference(x, target, 2)
    np.testing.assert_allclose(result.item(), expected, rtol=1e-13)
    leaf = torch.tensor(x, requires_grad=True)
    T.cross_entropy_mean(leaf, torch.tensor(target), 2).backward()
    assert (leaf.grad.numpy()[[1, 3]] == 0).all()
    assert (leaf.grad.numpy()[[0, 2]] != 0).all()


def test_cross_entropy_of_ignored_rows_only_is_nan_as_in_pytorch():
    assert np.isnan(T.cross_entropy_mean(torch.zeros(2, 3), torch.tensor([-100, -100])).item())


def test_ignored_rows_may_hold_anything():
    x = torch.tensor([[float("nan"), 0.0], [1.0, 1.0]], requires_grad=True)
    loss = T.cross_entropy_mean(x, torch.tensor([-100, 0]))
    np.testing.assert_allclose(loss.item(), np.log(2), rtol=1e-6)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-0.5, 0.5]], rtol=1e-6)


def test_nll_gather():
    target = np.array([2, 0, 1, 1])
    logp = numbers(4, 3)
    result = T.nll_gather(torch.tensor(logp), torch.tensor(target))
    np.testing.assert_array_equal(result.numpy(), -logp[np.arange(4), target])
    check_gradients(lambda x: T.nll_gather(x, torch.tensor(target)), logp)
    check_gradients(lambda x: T.nll_gather(x.t(), torch.tensor(target)), numbers(3, 4))
    check_gradients(lambda x: T.nll_gather(x, torch.tensor(target)).sum(), logp)


@pytest.mark.parametrize("layout", [lambda x: x, lambda x: x.transpose(1, 2).contiguous().transpose(1, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 4, 1), (3, 1, 2), (0, 3, 2), (2, 3, 0)])
def test_nll_of_images_is_that_of_their_rows(shape, layout):
    n, c, s = shape
    logp, target = numbers(*shape), np.arange(n * s).reshape(n, s) % c
    target[:1, :1] = -100
    rows = torch.tensor(logp.swapaxes(1, 2).reshape(-1, c)), torch.tensor(target.reshape(-1))
    expected = T.nll_gather(*rows).numpy().reshape(n, s)
    pick = lambda x: T.nll_gather(layout(x), torch.tensor(target))  # noqa: E731
    np.testing.assert_array_equal(pick(torch.tensor(logp)).numpy(), expected)
    check_gradients(pick, logp)
    x = torch.tensor(logp, requires_grad=True)
    assert not x.numel() or torch.autograd.gradgradcheck(lambda x: pick(x * x), x)


@pytest.mark.parametrize("parts", [2, 5])
def test_nll_of_images_does_not_depend_on_the_number_of_parts(parts):
    logp, target = numbers(3, 4, 7), np.arange(21).reshape(3, 7) % 4
    report = array("q", (0, 0))
    words, g = (-100, report.buffer_info()[0], 0), numbers(3, 7, seed=1)
    results = []
    for count in (1, parts):
        value, gradient = np.full((3, 7), np.nan), np.full(logp.shape, np.nan)
        run("nll_gather", abi.FLOAT64, (logp, target, value), words, count)
        run("nll_gather", abi.FLOAT64, (logp, target, None, g, gradient, None), words, count, variant=1)
        results.append((value, gradient))
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)


def test_the_cross_entropy_of_images_copies_no_scores():
    step = torch.compile(torch.nn.functional.cross_entropy, fullgraph=True)
    x, target = torch.randn(2, 3, 4, 5), torch.arange(40).reshape(2, 4, 5) % 3
    assert [line.kernel for line in lines_of(step.program(x, target))][:2] == ["log_softmax", "nll_gather"]


@pytest.mark.parametrize("ignored", [-100, 0, 2])
def test_nll_of_the_rows_that_count(ignored):
    logp, target = numbers(5, 3), np.array([2, 0, 1, 2, ignored])
    kept, classes = target != ignored, torch.tensor(target)
    rows = np.where(kept, -logp[np.arange(5), np.where(kept, target, 0)], 0.0)
    np.testing.assert_array_equal(T.nll_gather(torch.tensor(logp), classes, ignored).numpy(), rows)
    mean = rows.sum() / kept.sum()
    np.testing.assert_allclose(T.nll_mean(torch.tensor(logp), classes, ignored).item(), mean, rtol=1e-12)
    for loss in (T.nll_gather, T.nll_mean):
        check_gradients(lambda x, f=loss: f(x, classes, ignored), logp)
        check_gradients(lambda x, f=loss: f(x.t(), classes, ignored), numbers(3, 5))
        x = torch.tensor(logp, requires_grad=True)
        assert torch.autograd.gradgradcheck(lambda x, f=loss: f(x * x, classes, ignored), x)


def test_a_mean_of_no_rows_is_nan():
    assert np.isnan(T.nll_mean(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).item())
    assert np.isnan(T.nll_mean(torch.zeros(2, 3), torch.tensor([-100, -100])).item())


def test_an_ignored_rows_numbers_do_not_reach_the_mean():
    x = torch.tensor([[float("nan"), 0.0], [1.0, 2.0]], requires_grad=True)
    loss = torch.nn.functional.nll_loss(x, torch.tensor([-100, 1]))
    loss.backward()
    assert loss.item() == -2.0 and x.grad.tolist() == [[0, 0], [0, -1]]


@pytest.mark.parametrize("parts", [2, 5])
def test_loss_gradients_do_not_depend_on_the_number_of_parts(parts):
    x, t = numbers(70, 9, dtype=np.float32), numbers(70, 9, seed=1, dtype=np.float32)
    target = np.arange(70) % 9
    report = array("q", (0, 0))
    address = report.buffer_info()[0]
    g = np.full((), 0.7, np.float32)
    results = []
    for count in (1, parts):
        values = [np.full((), np.nan, np.float32) for _ in range(2)]
        grads = [np.full(x.shape, np.nan, np.float32) for _ in range(3)]
        run("mse_loss", abi.FLOAT32, (x, t, values[0]), (address, 1, 1), count)
        run("mse_loss", abi.FLOAT32, (x, t, None, g, *grads[:2]), (address, 1, 1), count, variant=1)
        words = (-100, address, 0)
        run("cross_entropy_mean", abi.FLOAT32, (x, target, values[1]), words, count)
        run("cross_entropy_mean", abi.FLOAT32, (x, target, None, g, grads[2], None), words, count, variant=1)
        results.append((*values, *grads))
    assert not any(report)
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)
        assert not np.isnan(one).any()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: T.cross_entropy_mean(torch.zeros(3, 10), torch.tensor([1, 12, 3])),
            IndexError,
            ["Target 12 is out of bounds.", "10 classes"],
        ),
        (
            lambda: T.cross_entropy_mean(torch.zeros(3, 10), torch.tensor([1, -1, 3])),
            IndexError,
            ["Target -1 is out of bounds."],
        ),
        (
            lambda: T.cross_entropy_mean(torch.zeros(3, 10), torch.tensor([1, 2])),
            RuntimeError,
            ["(3, 10)", "(2,)"],
        ),
        (
            lambda: T.nll_gather(torch.zeros(3, 10), torch.tensor([1, 10, 3])),
            IndexError,
            ["Target 10 is out of bounds."],
        ),
        (lambda: T.nll_gather(torch.zeros(3), torch.tensor([1, 0, 3])), RuntimeError, ["(N, C)", "(3,)"]),
        (
            lambda: T.nll_mean(torch.zeros(3, 9), torch.tensor([1, 9, 3])),
            IndexError,
            ["Target 9 is out of bounds."],
        ),
        (lambda: T.nll_mean(torch.zeros(3, 9), torch.tensor([1, 9])), RuntimeError, ["(3, 9)", "(2,)"]),
        (lambda: T.mse_loss(torch.zeros(3, 2), torch.zeros(3, 1)), RuntimeError, ["(3, 2)", "(3, 1)"]),
        (lambda: T.mse_loss(torch.zeros(3, 2), torch.zeros(6)), RuntimeError, ["mse_loss", "(6,)"]),
        (lambda: T.softmax(torch.zeros(3, 2), 2), IndexError, ["softmax", "[-2, 1]", "got 2"]),
        (lambda: T.log_softmax(torch.zeros(3, 2), -3), IndexError, ["log_softmax", "got -3"]),
    ],
)
def test_wrong_operands_are_refused_and_forgotten(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    # the report of the kernel does not outlive its error
    good = T.cross_entropy_mean(torch.zeros(3, 10), torch.tensor([1, 2, 3]))
    np.testing.assert_allclose(good.item(), np.log(10), rtol=1e-6)
