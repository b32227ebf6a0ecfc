"""Losses of margins between classes and between distances, against loops in NumPy and numerical slopes."""

import math

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from gradients import check_gradients

import jitgrad as jg
from jitgrad import nn
from jitgrad.nn import functional as F
from jitgrad.program.show.table import lines_of

rng = np.random.default_rng(11)
A, B, D = rng.standard_normal((3, 4, 5))
LABELS = np.array([[1, 3, -1, 0, 4], [-1, 0, 1, 2, 3], [2, 2, 0, -1, -1], [0, 4, 1, 3, 2]])
SIGN = np.where(rng.random((4, 5)) < 0.5, -1.0, 1.0)
PART = rng.random((4, 5))
Y = np.array([3, 0, 4, 1])
W = np.linspace(0.5, 1.5, 5)


def multi_margin(x, y, p=1, margin=1.0, weight=None):
    """The formula of the documentation, one term at a time."""
    losses = []
    for row, own in zip(x, y, strict=True):
        terms = [max(0.0, margin - row[own] + row[i]) ** p for i in range(len(row)) if i != own]
        losses.append(sum(terms) * (1.0 if weight is None else weight[own]) / len(row))
    return np.array(losses)


def multilabel_margin(x, y):
    """The formula of the documentation, one term at a time."""
    losses = []
    for row, labels in zip(x, y.tolist(), strict=True):
        own = labels[: labels.index(-1)] if -1 in labels else labels
        others = [i for i in range(len(row)) if i not in own]
        losses.append(sum(max(0.0, 1 - row[j] + row[i]) for j in own for i in others) / len(row))
    return np.array(losses)


def multilabel_soft(x, y, weight=1.0):
    q = 1 / (1 + np.exp(-x))
    return -(weight * (y * np.log(q) + (1 - y) * np.log(1 - q))).mean(-1)


def city_block(x, y):
    return (x - y).abs().sum(-1)


def blocks(x, y):
    return np.abs(x - y).sum(-1)


T = jg.tensor
# name: call on tensors, arrays with gradients, value of every element
ELEMENTS = {
    "soft margin": (lambda x, **k: F.soft_margin_loss(x, T(SIGN), **k), (A,), np.log1p(np.exp(-SIGN * A))),
    "soft margin of whole numbers": (
        lambda x, **k: F.soft_margin_loss(x, T(SIGN).long(), **k),
        (A,),
        np.log1p(np.exp(-SIGN * A)),
    ),
    "multilabel soft": (F.multilabel_soft_margin_loss, (A, PART), multilabel_soft(A, PART)),
    "multilabel soft weight": (
        lambda x, w, **k: F.multilabel_soft_margin_loss(x, T(PART), w, **k),
        (A, W),
        multilabel_soft(A, PART, W),
    ),
    "multi margin": (lambda x, **k: F.multi_margin_loss(x, T(Y), **k), (A,), multi_margin(A, Y)),
    "multi margin 2": (
        lambda x, **k: F.multi_margin_loss(x, T(Y), 2, 0.7, **k),
        (A,),
        multi_margin(A, Y, 2, 0.7),
    ),
    "multi margin weight": (
        lambda x, **k: F.multi_margin_loss(x, T(Y), weight=T(W, dtype=x.dtype), **k),
        (A,),
        multi_margin(A, Y, 1, 1.0, W),
    ),
    "multi margin strided": (
        lambda x, **k: F.multi_margin_loss(x.t(), T(np.repeat(Y, 2))[::2], p=2, **k),
        (A.T.copy(),),
        multi_margin(A, Y, 2),
    ),
    "multilabel margin": (
        lambda x, **k: F.multilabel_margin_loss(x, T(LABELS), **k),
        (A,),
        multilabel_margin(A, LABELS),
    ),
    "multilabel margin strided": (
        lambda x, **k: F.multilabel_margin_loss(x.t(), T(LABELS.T.copy()).t(), **k),
        (A.T.copy(),),
        multilabel_margin(A, LABELS),
    ),
    "triplet": (
        lambda x, y, z, **k: F.triplet_margin_with_distance_loss(
            x, y, z, distance_function=city_block, margin=0.8, **k
        ),
        (A, B, D),
        np.maximum(0, 0.8 + blocks(A, B) - blocks(A, D)),
    ),
    "triplet swap": (
        lambda x, y, z, **k: F.triplet_margin_with_distance_loss(
            x, y, z, distance_function=city_block, swap=True, **k
        ),
        (A, B, D),
        np.maximum(0, 1 + blocks(A, B) - np.minimum(blocks(A, D), blocks(B, D))),
    ),
}


@pytest.mark.parametrize("label", ELEMENTS)
def test_loss_follows_its_formula_in_every_reduction(label):
    call, arrays, expected = ELEMENTS[label]
    for reduction, value in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        found = call(*map(T, arrays), reduction=reduction).numpy()
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
        assert found.shape == np.shape(value)


@pytest.mark.parametrize("label", ELEMENTS)
def test_loss_gradient_is_the_slope(label):
    call, arrays, _ = ELEMENTS[label]
    check_gradients(lambda *xs: call(*xs, reduction="none"), *arrays)


@pytest.mark.parametrize("dtype", [jg.float32, jg.float64], ids=str)
@pytest.mark.parametrize("label", ELEMENTS)
def test_compiled_loss_has_the_same_bits(label, dtype):
    call, arrays, _ = ELEMENTS[label]

    def build():
        leaves = [T(a, dtype=dtype, requires_grad=True) for a in arrays]

        def step(scale):
            for leaf in leaves:
                leaf.grad = None
            loss = call(*leaves)
            (loss * scale).backward()
            return loss.detach()

        return Scene(step, lambda k: (T(0.5 + k, dtype=dtype),), *leaves)

    assert_same(build, "cccc")


# large numbers, ties and batches without samples ------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jg.float32, jg.float64], ids=str)
def test_large_scores_neither_overflow_nor_lose_their_gradient(dtype):
    x = T([1e4, -1e4, 1e4, -1e4, 0.0], dtype=dtype, requires_grad=True)
    y = T([1.0, 1.0, -1.0, -1.0, 1.0], dtype=dtype)
    loss = F.soft_margin_loss(x, y, reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, 1e4, 1e4, 0, math.log(2)], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, -1, 1, 0, -0.5])
    x.grad = None
    loss = F.multilabel_soft_margin_loss(x, (y + 1) / 2)
    assert loss.item() == pytest.approx((2e4 + math.log(2)) / 5)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy() * 5, [0, -1, 1, 0, -0.5], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_has_no_gradient_at_the_margin_itself(p):
    x = T([[1.0, 0.5, 0.5]], requires_grad=True)
    F.multi_margin_loss(x, T([0]), p, 0.5).backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("p", [1, 2])
def test_scores_without_bound_belong_to_their_own_rows(p):
    x = T([[math.inf, 0.0, 1.0], [1.0, 0.0, 0.0]], requires_grad=True)
    loss = F.multi_margin_loss(x, T([0, 0]), p, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0]
    assert x.grad.tolist() == [[0.0] * 3] * 2


NONE = jg.zeros(0, 3)
NO_SAMPLES = {
    "soft margin": lambda x, **k: F.soft_margin_loss(x, NONE, **k),
    "multilabel soft": lambda x, **k: F.multilabel_soft_margin_loss(x, NONE, **k),
    "multi margin": lambda x, **k: F.multi_margin_loss(x, jg.zeros(0, dtype=jg.int64), **k),
    "triplet": lambda x, **k: F.triplet_margin_with_distance_loss(x, NONE, NONE, **k),
}


@pytest.mark.parametrize("label", NO_SAMPLES)
def test_no_samples_sum_to_zero(label):
    x = jg.zeros(0, 3, requires_grad=True)
    total = NO_SAMPLES[label](x, reduction="sum")
    total.backward()
    assert total.item() == 0.0 and x.grad.shape == (0, 3)
    assert NO_SAMPLES[label](x, reduction="none").numel() == 0
    assert math.isnan(NO_SAMPLES[label](x).item())


def test_single_samples_and_single_scores():
    x = T(A[0])
    assert F.multi_margin_loss(x, T(2), reduction="none").shape == ()
    assert F.multi_margin_loss(x, T([2]), reduction="none").shape == (1,)
    assert F.multi_margin_loss(x[2], T(0)).item() == 0.0
    assert F.multilabel_soft_margin_loss(x, T(PART[0]), reduction="none").shape == ()


# modules and refusals ---------------------------------------------------------------------------------------


def test_distance_modules_are_children():
    loss = nn.TripletMarginWithDistanceLoss(distance_function=nn.Bilinear(5, 5, 1), margin=0.3, swap=True)
    assert list(loss.state_dict()) == ["distance_function.weight", "distance_function.bias"]
    plain = nn.TripletMarginWithDistanceLoss(margin=0.3)
    assert repr(plain.distance_function) == "PairwiseDistance()"
    args = [T(a) for a in (A, B, D)]
    assert plain(*args).item() == nn.TripletMarginLoss(0.3)(*args).item()


def test_multilabel_margin_of_no_samples_and_of_single_ones():
    none = jg.zeros(0, 3, dtype=jg.int64)
    x = jg.zeros(0, 3, requires_grad=True)
    for reduction in ("mean", "sum"):
        total = F.multilabel_margin_loss(x, none, reduction=reduction)
        total.backward()
        assert total.item() == 0.0 and x.grad.shape == (0, 3)
    assert F.multilabel_margin_loss(x, none, reduction="none").shape == (0,)
    one = F.multilabel_margin_loss(T(A[0]), T(LABELS[0]), reduction="none")
    assert one.shape == ()
    assert one.item() == pytest.approx(multilabel_margin(A[:1], LABELS[:1])[0])
    for target in (T(0), T([0]), T(-1)):
        assert F.multilabel_margin_loss(T(1.0), target, reduction="none").item() == 0.0


@pytest.mark.parametrize(
    "name", ["SoftMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "MultiLabelMarginLoss"]
)
def test_deprecated_flags_choose_the_reduction(name):
    x, y = T(A), T(Y) if name == "MultiMarginLoss" else T(LABELS)
    with pytest.warns(UserWarning, match="size_average"):
        old = getattr(nn, name)(size_average=False)
    expected = getattr(nn, name)(reduction="sum")(x, y)
    assert old(x, y).item() == expected.item()


MATRIX = jg.zeros(2, 3)
PAIR = T([0, 1])
BAD = {
    "soft margin sizes": (
        RuntimeError,
        r"\(3,\).*\(2,\)",
        lambda: F.soft_margin_loss(jg.ones(2), jg.ones(3)),
    ),
    "soft margin larger target": (
        RuntimeError,
        "broadcast",
        lambda: F.soft_margin_loss(jg.ones(3), jg.ones(2, 3)),
    ),
    "soft margin integers": (RuntimeError, "float", lambda: F.soft_margin_loss(PAIR, PAIR)),
    "soft margin reduction": (
        ValueError,
        "reduction",
        lambda: F.soft_margin_loss(MATRIX, MATRIX, reduction="x"),
    ),
    "multilabel soft 0-D": (
        IndexError,
        "dimensions",
        lambda: F.multilabel_soft_margin_loss(T(1.0), T(1.0)),
    ),
    "multilabel soft sizes": (
        RuntimeError,
        "match",
        lambda: F.multilabel_soft_margin_loss(MATRIX, jg.ones(2, 4)),
    ),
    "multilabel margin sizes": (
        RuntimeError,
        r"\(2, 3\).*\(2, 2\)",
        lambda: F.multilabel_margin_loss(MATRIX, MATRIX[:, :2].long()),
    ),
    "multilabel margin class": (
        RuntimeError,
        "out of range",
        lambda: F.multilabel_margin_loss(MATRIX, MATRIX.long() + 3),
    ),
    "multilabel margin negative": (
        RuntimeError,
        "out of range",
        lambda: F.multilabel_margin_loss(MATRIX, MATRIX.long() - 2),
    ),
    "multilabel margin dtype": (
        RuntimeError,
        r"\.long\(\)",
        lambda: F.multilabel_margin_loss(MATRIX, MATRIX.int()),
    ),
    "multi margin p": (ValueError, "p=3", lambda: F.multi_margin_loss(MATRIX, PAIR, p=3)),
    "multi margin weight": (
        ValueError,
        "one-dimensional",
        lambda: F.multi_margin_loss(MATRIX, PAIR, weight=jg.ones(1, 3)),
    ),
    "multi margin weight size": (
        RuntimeError,
        "3 classes",
        lambda: F.multi_margin_loss(MATRIX, PAIR, weight=jg.ones(2)),
    ),
    "multi margin samples": (RuntimeError, r"\(2,\)", lambda: F.multi_margin_loss(MATRIX, T([0, 1, 2]))),
    "multi margin 3-D": (RuntimeError, r"\(N, C\)", lambda: F.multi_margin_loss(jg.ones(2, 3, 1), PAIR)),
    "multi margin no class": (
        RuntimeError,
        "at least one class",
        lambda: F.multi_margin_loss(jg.ones(2, 0), PAIR),
    ),
    "multi margin float target": (
        RuntimeError,
        r"\.long\(\)",
        lambda: F.multi_margin_loss(MATRIX, jg.zeros(2)),
    ),
    "multi margin integers": (
        NotImplementedError,
        r"\.float\(\)",
        lambda: F.multi_margin_loss(MATRIX.long(), PAIR),
    ),
    "multi margin class": (RuntimeError, "out of range", lambda: F.multi_margin_loss(MATRIX, T([0, 3]))),
    "multi margin negative": (RuntimeError, "out of range", lambda: F.multi_margin_loss(MATRIX, T([0, -1]))),
    "MultiMarginLoss p": (ValueError, "p=0", lambda: nn.MultiMarginLoss(p=0)),
    "MultiMarginLoss weight": (
        ValueError,
        "one-dimensional",
        lambda: nn.MultiMarginLoss(weight=jg.ones(1, 3)),
    ),
    "triplet margin": (ValueError, "greater than 0", lambda: nn.TripletMarginWithDistanceLoss(margin=0.0)),
    "triplet dims": (
        RuntimeError,
        "dimensions",
        lambda: F.triplet_margin_with_distance_loss(MATRIX, MATRIX, jg.ones(3)),
    ),
    "triplet reduction": (
        ValueError,
        "reduction",
        lambda: F.triplet_margin_with_distance_loss(MATRIX, MATRIX, MATRIX, reduction="x"),
    ),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_arguments_are_refused(label):
    error, message, action = BAD[label]
    with pytest.raises(error, match=message) as caught:
        action()
    assert type(caught.value) is error


def test_replays_refuse_classes_out_of_range_too():
    target = T([0, 1])
    step = jg.compile(lambda x: F.multi_margin_loss(x, target))
    for _ in range(3):
        step(MATRIX)
    target[1] = 3
    with pytest.raises(RuntimeError, match="out of range"):
        step(MATRIX)
    target[1] = 2
    assert step(MATRIX).item() == F.multi_margin_loss(MATRIX, target).item()


MARGINS = {
    "multi margin": (lambda x, k: F.multi_margin_loss(x, k[:, 0]), "multi_margin"),
    "multi margin 2": (lambda x, k: F.multi_margin_loss(x, k[:, 0], 2, 0.7), "multi_margin"),
    "multilabel margin": (F.multilabel_margin_loss, "multilabel_margin"),
}


@pytest.mark.parametrize("label", MARGINS)
def test_margins_between_classes_are_one_row(label):
    loss, kernel = MARGINS[label]
    program = jg.compile(loss, fullgraph=True).program(T(A), T(np.abs(LABELS)))
    rows = [line.kernel for line in lines_of(program)]
    assert rows.count(kernel) == 1 and len(rows) <= 3


@pytest.mark.parametrize("label", MARGINS)
def test_margins_between_classes_have_gradients_of_gradients(label):
    loss, _ = MARGINS[label]
    x = T(A, requires_grad=True)
    assert jg.autograd.gradgradcheck(lambda x: loss(x, T(np.abs(LABELS))).exp(), (x,))


def test_replays_refuse_labels_out_of_range_too():
    target = T([[0, -1, 1], [2, 1, -1]])
    step = jg.compile(lambda x: F.multilabel_margin_loss(x, target), fullgraph=True)
    for _ in range(3):
        assert step(MATRIX).item() == F.multilabel_margin_loss(MATRIX, target).item()
    target[1, 1] = 3
    with pytest.raises(RuntimeError, match="or -1 behind the last one"):
        step(MATRIX)
