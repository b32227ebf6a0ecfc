"""Kernels that take short rows a block at a time: softmax, its logarithm and cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch
from jitgrad import functions as T
from jitgrad.kernels import BY_NAME

F = torch.nn.functional
RTOL = {"float32": 4e-6, "float64": 1e-13}
ROWS = [1, 7, 16, 17, 40]
CLASSES = [1, 5, 16, 17, 27, 33, 65, 129]


def logits(rows: int, classes: int, dtype: str = "float32") -> np.ndarray:
    return (np.random.default_rng([rows, classes]).standard_normal((rows, classes)) * 3).astype(dtype)


def targets(rows: int, classes: int) -> np.ndarray:
    return np.random.default_rng(rows + classes).integers(0, classes, rows)


def loss_gradient(x: np.ndarray, target: np.ndarray, ignored: int = -100) -> np.ndarray:
    result = np.zeros(x.shape)
    keep = target != ignored
    for row in np.flatnonzero(keep):
        e = np.exp(x[row].astype(float) - x[row].max())
        result[row] = e / e.sum()
        result[row, target[row]] -= 1
    return result / keep.sum()


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("rows", ROWS)
def test_softmax_of_any_block(rows: int, classes: int, dtype: str) -> None:
    x = logits(rows, classes, dtype)
    for name in ("softmax", "log_softmax"):
        expected = BY_NAME[name].reference(x.astype(float), 1)
        got = getattr(T, name)(torch.from_numpy(x), 1).numpy()
        np.testing.assert_allclose(got, expected, rtol=RTOL[dtype], atol=RTOL[dtype] / 4)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_gradients_of_softmax_over_blocks(name: str) -> None:
    check_gradients(lambda x: getattr(T, name)(x, 1), logits(18, 9, "float64"))
    check_gradients(lambda x: getattr(T, name)(x[:, :9], 1), logits(9, 12, "float64"))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("classes", [10, 27])
def test_a_row_alone_gives_what_it_gives_in_a_block(name: str, classes: int) -> None:
    x = torch.from_numpy(logits(21, classes))
    whole = getattr(T, name)(x, 1)
    for row in (0, 3, 15, 20):
        np.testing.assert_array_equal(getattr(T, name)(x[row : row + 1], 1)[0].numpy(), whole[row].numpy())
        np.testing.assert_array_equal(getattr(T, name)(x[row], 0).numpy(), whole[row].numpy())


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("rows", ROWS)
def test_cross_entropy_of_any_block(rows: int, classes: int, dtype: str) -> None:
    x, target = logits(rows, classes, dtype), targets(rows, classes)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    loss = F.cross_entropy(leaf, torch.from_numpy(target))
    loss.backward()
    expected = BY_NAME["cross_entropy_mean"].reference(x.astype(float), target)
    np.testing.assert_allclose(loss.item(), expected, rtol=RTOL[dtype], atol=RTOL[dtype] / 4)
    np.testing.assert_allclose(
        leaf.grad.numpy(), loss_gradient(x, target), rtol=RTOL[dtype] * 4, atol=RTOL[dtype] / rows
    )


def test_ignored_rows_within_blocks_count_nothing_and_may_hold_anything() -> None:
    x, target = logits(40, 27), targets(40, 27)
    target[[0, 5, 16, 39]] = -100
    x[5], x[16] = np.nan, np.inf
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    loss = F.cross_entropy(leaf, torch.from_numpy(target))
    loss.backward()
    keep = target != -100
    expected = BY_NAME["cross_entropy_mean"].reference(x[keep].astype(float), target[keep])
    np.testing.assert_allclose(loss.item(), expected, rtol=4e-6)
    np.testing.assert_allclose(leaf.grad.numpy(), loss_gradient(x, target), rtol=2e-5, atol=1e-7)
    assert not leaf.grad.numpy()[~keep].any()


def test_nan_in_a_row_that_counts_shows() -> None:
    x = logits(20, 10)
    x[13, 2] = np.nan
    leaf = torch.from_numpy(x).requires_grad_()
    loss = F.cross_entropy(leaf, torch.from_numpy(targets(20, 10)))
    loss.backward()
    assert np.isnan(loss.item())
    broken = np.isnan(leaf.grad.numpy()).any(1)
    assert broken[13] and broken.sum() == 1


@pytest.mark.parametrize("wrong", [27, -1, 1 << 40])
@pytest.mark.parametrize("row", [0, 15, 16, 39])
def test_a_wrong_target_anywhere_is_named(row: int, wrong: int) -> None:
    target = targets(40, 27)
    target[row] = wrong
    with pytest.raises(IndexError, match=str(wrong)):
        F.cross_entropy(torch.from_numpy(logits(40, 27)), torch.from_numpy(target)).item()
    assert np.isfinite(F.cross_entropy(torch.zeros(3, 5), torch.tensor([0, 1, 2])).item())


def test_rows_and_targets_that_lie_apart() -> None:
    x, target = logits(42, 40), targets(84, 27)
    leaf = torch.from_numpy(x).requires_grad_()
    loss = F.cross_entropy(leaf[::2, 3:30], torch.from_numpy(target)[::4])
    loss.backward()
    part, chosen = x[::2, 3:30], target[::4]
    np.testing.assert_allclose(
        loss.item(), BY_NAME["cross_entropy_mean"].reference(part.astype(float), chosen), rtol=4e-6
    )
    expected = np.zeros(x.shape)
    expected[::2, 3:30] = loss_gradient(part, chosen)
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=2e-5, atol=1e-7)


def test_many_rows_whose_factors_do_not_fit_into_one_product() -> None:
    x, target = np.zeros((12_000, 32), np.float32), targets(12_000, 32)
    loss = F.cross_entropy(torch.from_numpy(x), torch.from_numpy(target))
    np.testing.assert_allclose(loss.item(), np.log(32), rtol=1e-6)


def test_minus_infinity_is_a_class_without_probability() -> None:
    x = logits(18, 10)
    x[:, 4] = -np.inf
    got = T.softmax(torch.from_numpy(x), 1).numpy()
    assert not got[:, 4].any()
    np.testing.assert_allclose(got, BY_NAME["softmax"].reference(x.astype(float), 1), rtol=4e-6)
