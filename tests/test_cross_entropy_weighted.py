"""Cross-entropy with weights of classes and smoothed targets in one kernel: values, gradients, targets, programs."""

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

F = torch.nn.functional
REFERENCE = BY_NAME["cross_entropy_weighted"].reference
RTOL = {np.float32: 4e-6, np.float64: 1e-13}
SIZES = [(1, 1), (4, 10), (32, 10), (5, 16), (6, 17), (20, 33), (19, 129), (300, 27)]
# with and without weights, smoothed and not
KINDS = [(True, 0.0), (False, 0.1), (True, 0.3), (True, 1.0), (False, 0.0)]
WEIGHTS = {
    "contiguous": lambda w: w,
    "every other": lambda w: torch.stack([w, -w], 1).flatten()[::2],
    "one for all": lambda w: w[:1].expand(len(w)),
}


def weights_of(classes, dtype=np.float64):
    return np.random.default_rng(5).random(classes).astype(dtype) + 0.1


def targets_of(rows, classes):
    target = np.random.default_rng(0).integers(0, classes, rows)
    target[1::3] = -100
    return target


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(("weighted", "smoothing"), KINDS)
@pytest.mark.parametrize(("rows", "classes"), SIZES)
def test_it_equals_numpy(rows, classes, weighted, smoothing, mean, dtype):
    x, target = numbers(rows, classes, dtype=dtype) * 3, targets_of(rows, classes)
    w = weights_of(classes, dtype) if weighted else None
    expected = REFERENCE(x.astype(np.float64), target, None if w is None else w * 1.0, smoothing, mean)
    weight = None if w is None else torch.tensor(w)
    ours = T.cross_entropy_weighted(torch.tensor(x), torch.tensor(target), weight, -100, smoothing, mean)
    assert ours.dtype == torch.tensor(x).dtype and ours.shape == ()
    np.testing.assert_allclose(ours.item(), expected, rtol=RTOL[dtype], atol=RTOL[dtype])


@pytest.mark.parametrize("mean", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(("weighted", "smoothing"), KINDS)
@pytest.mark.parametrize("classes", [3, 20, 140])
def test_its_gradients_are_those_of_differences(classes, weighted, smoothing, mean):
    target = torch.tensor([1, 2, -100, 0, 2])
    weight = torch.tensor(weights_of(classes)) if weighted else None

    def loss(x):
        return T.cross_entropy_weighted(x, target, weight, -100, smoothing, mean) * 3

    check_gradients(loss, numbers(5, classes))
    check_gradients(lambda x: loss(x.t()), numbers(classes, 5))
    check_gradients(lambda x: loss(x[:, ::2]), numbers(5, 2 * classes))
    if classes < 10:
        x = torch.tensor(numbers(5, classes), requires_grad=True)
        assert torch.autograd.gradgradcheck(lambda x: loss(x * x), x)


@pytest.mark.parametrize("layout", WEIGHTS)
@pytest.mark.parametrize("classes", [1, 10, 20, 200])
def test_weights_may_lie_anywhere(layout, classes):
    x, target = numbers(7, classes), targets_of(7, classes)
    weight = WEIGHTS[layout](torch.tensor(weights_of(classes)))
    leaf = torch.tensor(x, requires_grad=True)
    ours = F.cross_entropy(leaf, torch.tensor(target), weight, label_smoothing=0.2)
    np.testing.assert_allclose(ours.item(), REFERENCE(x, target, weight.numpy(), 0.2), rtol=1e-12)
    (near,) = torch.autograd.grad(ours, [leaf])
    again = F.cross_entropy(leaf, torch.tensor(target), weight.contiguous(), label_smoothing=0.2)
    # the loops for one layout may add up in another order than those for another
    np.testing.assert_allclose(
        near.numpy(), torch.autograd.grad(again, [leaf])[0].numpy(), rtol=1e-12, atol=1e-16
    )


def test_the_losses_of_nn_take_it():
    x, target, weight = torch.randn(6, 4), torch.arange(6) % 4, torch.rand(4)
    for loss in (
        torch.nn.CrossEntropyLoss(weight),
        torch.nn.CrossEntropyLoss(label_smoothing=0.1),
        torch.nn.CrossEntropyLoss(weight, label_smoothing=0.1, ignore_index=2),
        torch.nn.CrossEntropyLoss(reduction="sum"),
    ):
        value = loss(x.requires_grad_(), target)
        assert value.grad_fn.name() == "CrossEntropyWeightedBackward0"


def test_a_weight_that_is_to_be_trained_gets_its_gradient():
    x, target = numbers(6, 4), torch.arange(6) % 4
    check_gradients(lambda x, w: F.cross_entropy(x, target, w, label_smoothing=0.1), x, weights_of(4))


def test_a_score_of_minus_infinity_counts_only_where_targets_are_smoothed():
    x = torch.tensor([[0.0, -np.inf, 1.0], [2.0, 0.0, -np.inf]], requires_grad=True)
    target, weight = torch.tensor([0, 1]), torch.tensor([1.0, 2.0, 3.0])
    loss = F.cross_entropy(x, target, weight)
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(x.grad.numpy()).all()
    assert F.cross_entropy(x, target, weight, label_smoothing=0.1).item() == np.inf


def test_rows_that_do_not_count_may_hold_anything():
    x = torch.tensor([[np.nan, 0.0], [1.0, 1.0]], requires_grad=True)
    loss = F.cross_entropy(x, torch.tensor([-100, 0]), torch.tensor([0.5, 2.0]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-0.5, 0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "target", "weight"),
    [(0, [], [1.0, 1.0]), (2, [-100, -100], [1.0, 1.0]), (2, [1, 1], [1.0, 0.0])],
    ids=["no rows", "no row that counts", "no weight"],
)
def test_a_mean_of_nothing_is_nan_and_a_sum_0(rows, target, weight):
    classes, weight = torch.tensor(target, dtype=torch.int64), torch.tensor(weight)
    assert np.isnan(F.cross_entropy(torch.zeros(rows, 2), classes, weight).item())
    assert F.cross_entropy(torch.zeros(rows, 2), classes, weight, reduction="sum").item() == 0


@pytest.mark.parametrize("classes", [3, 300])
@pytest.mark.parametrize("parts", [2, 5])
def test_it_does_not_depend_on_the_number_of_parts(parts, classes):
    x, w, target = numbers(70, classes, dtype=np.float32), weights_of(classes, np.float32), np.arange(70) % 3
    report, g = array("q", (0, 0)), np.full((), 0.7, np.float32)
    words = (-100, report.buffer_info()[0], abi.float_bits(0.1), 1, 0)
    results = []
    for count in (1, parts):
        value, gradient = np.full((), np.nan, np.float32), np.full(x.shape, np.nan, np.float32)
        run("cross_entropy_weighted", abi.FLOAT32, (x, target, w, value), words, count)
        arrays = (x, target, w, None, g, gradient, None, None)
        run("cross_entropy_weighted", abi.FLOAT32, arrays, words, count, variant=1)
        results.append((value, gradient))
    assert not any(report)
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)
        assert not np.isnan(one).any()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: F.cross_entropy(torch.zeros(3, 10), torch.tensor([1, 12, 3]), torch.ones(10)),
            IndexError,
            ["Target 12 is out of bounds.", "10 classes"],
        ),
        (
            lambda: F.cross_entropy(torch.zeros(3, 99), torch.tensor([1, -1, 3]), reduction="sum"),
            IndexError,
            ["Target -1 is out of bounds."],
        ),
        (
            lambda: T.cross_entropy_weighted(torch.zeros(3, 4), torch.tensor([1, 2]), torch.ones(4)),
            RuntimeError,
            ["(3, 4)", "(2,)"],
        ),
        (
            lambda: T.cross_entropy_weighted(torch.zeros(2, 4), torch.tensor([1, 2]), torch.ones(3)),
            RuntimeError,
            ["weight", "(3,)", "(2, 4)"],
        ),
        (
            lambda: F.cross_entropy(torch.zeros(2, 4), torch.tensor([1, 2]), [1.0] * 4),
            TypeError,
            ["argument 3 must be Tensor, not list"],
        ),
    ],
)
def test_wrong_operands_are_refused_and_forgotten(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    good = F.cross_entropy(torch.zeros(3, 10), torch.tensor([1, 2, 3]), torch.ones(10))
    np.testing.assert_allclose(good.item(), np.log(10), rtol=1e-6)


def test_a_compiled_step_finds_a_target_that_is_no_class_before_it_changes_anything():
    p, weight = torch.zeros(3, 4, requires_grad=True), torch.rand(4)
    optimizer = torch.optim.SGD([p], lr=0.1)

    @torch.compile(fullgraph=True)
    def step(target):
        optimizer.zero_grad()
        loss = F.cross_entropy(p, target, weight, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(torch.tensor([0, 1, 2]))
    before = p.detach().numpy().copy()
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        step(torch.tensor([0, 4, 2]))
    np.testing.assert_array_equal(p.detach().numpy(), before)


def test_changed_weights_are_seen_by_a_replay():
    x, target, weight = torch.randn(5, 3), torch.arange(5) % 3, torch.ones(3)
    loss = torch.compile(lambda x, target: F.cross_entropy(x, target, weight), fullgraph=True)
    for k in range(5):
        weight[0] = 1.0 + k
        assert loss(x, target).item() == F.cross_entropy(x, target, weight).item()
    assert [line.kernel for line in lines_of(loss.program(x, target))] == ["cross_entropy_weighted"]
