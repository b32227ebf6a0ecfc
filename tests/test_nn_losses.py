"""Losses against their formulas written in NumPy, and their gradients numerically."""

import math

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn
from jitgrad.nn import functional as F

rng = np.random.default_rng(5)
A, B, V = rng.standard_normal((3, 4, 5))
V = V**2 + 0.1
P, Q = rng.uniform(0.05, 0.95, (2, 4, 5))
Y = np.array([3, 0, 4, 1])
W = np.linspace(0.5, 1.5, 5)
SIGN = np.where(rng.random((4, 5)) < 0.5, -1.0, 1.0)
LOG_P = A - np.log(np.exp(A).sum(1, keepdims=True))
SOFT = np.exp(B) / np.exp(B).sum(1, keepdims=True)
D = np.abs(A - B)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def distance(x, y):
    return np.sqrt(((x - y + 1e-6) ** 2).sum(-1))


def cosine(x, y):
    return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


# name: call, arrays, value of every element (or None for the mean when it is not a plain one)
ELEMENTS = {
    "mse": (F.mse_loss, (A, B), (A - B) ** 2),
    "l1": (F.l1_loss, (A, B), D),
    "smooth_l1": (
        lambda x, y, **k: F.smooth_l1_loss(x, y, beta=0.7, **k),
        (A, B),
        np.where(D < 0.7, D**2 / 1.4, D - 0.35),
    ),
    "huber": (
        lambda x, y, **k: F.huber_loss(x, y, delta=0.7, **k),
        (A, B),
        np.where(D <= 0.7, D**2 / 2, 0.7 * (D - 0.35)),
    ),
    "bce": (F.binary_cross_entropy, (P, Q), -(Q * np.log(P) + (1 - Q) * np.log(1 - P))),
    "bce with logits": (
        F.binary_cross_entropy_with_logits,
        (A, Q),
        -(Q * np.log(sigmoid(A)) + (1 - Q) * np.log(1 - sigmoid(A))),
    ),
    "pos_weight": (
        lambda x, y, **k: F.binary_cross_entropy_with_logits(x, y, pos_weight=jg.tensor(W), **k),
        (A, Q),
        -(W * Q * np.log(sigmoid(A)) + (1 - Q) * np.log(1 - sigmoid(A))),
    ),
    "kl": (F.kl_div, (LOG_P, SOFT), SOFT * (np.log(SOFT) - LOG_P)),
    "kl log target": (
        lambda x, y, **k: F.kl_div(x, y, log_target=True, **k),
        (LOG_P, np.log(SOFT)),
        SOFT * (np.log(SOFT) - LOG_P),
    ),
    "poisson": (F.poisson_nll_loss, (A, V), np.exp(A) - V * A),
    "poisson rate": (
        lambda x, y, **k: F.poisson_nll_loss(x, y, log_input=False, **k),
        (P, V),
        P - V * np.log(P + 1e-8),
    ),
    "poisson full": (
        lambda x, y, **k: F.poisson_nll_loss(x, y, full=True, **k),
        (A, V),
        np.exp(A) - V * A + np.where(V > 1, V * np.log(V) - V + 0.5 * np.log(2 * np.pi * V), 0),
    ),
    "gaussian": (F.gaussian_nll_loss, (A, B, V), 0.5 * (np.log(V) + (A - B) ** 2 / V)),
    "gaussian full": (
        lambda x, y, v, **k: F.gaussian_nll_loss(x, y, v, full=True, **k),
        (A, B, V),
        0.5 * (np.log(V) + (A - B) ** 2 / V + np.log(2 * np.pi)),
    ),
    "ranking": (
        lambda x, y, **k: F.margin_ranking_loss(x, y, jg.tensor(SIGN), 0.3, **k),
        (A, B),
        np.maximum(0, 0.3 - SIGN * (A - B)),
    ),
    "hinge": (
        lambda x, **k: F.hinge_embedding_loss(x, jg.tensor(SIGN), 0.8, **k),
        (A,),
        np.where(SIGN == 1, A, np.maximum(0, 0.8 - A)),
    ),
    "cosine": (
        lambda x, y, **k: F.cosine_embedding_loss(x, y, jg.tensor(SIGN[:, 0]), 0.1, **k),
        (A, B),
        np.where(SIGN[:, 0] == 1, 1 - cosine(A, B), np.maximum(0, cosine(A, B) - 0.1)),
    ),
    "triplet": (
        lambda x, y, z, **k: F.triplet_margin_loss(x, y, z, 1.2, **k),
        (A, B, P),
        np.maximum(0, 1.2 + distance(A, B) - distance(A, P)),
    ),
    "nll": (lambda x, **k: F.nll_loss(x, jg.tensor(Y), **k), (LOG_P,), -LOG_P[range(4), Y]),
    "cross entropy": (lambda x, **k: F.cross_entropy(x, jg.tensor(Y), **k), (A,), -LOG_P[range(4), Y]),
    "smoothed": (
        lambda x, **k: F.cross_entropy(x, jg.tensor(Y), label_smoothing=0.2, **k),
        (A,),
        -0.8 * LOG_P[range(4), Y] - 0.2 * LOG_P.mean(1),
    ),
    "soft": (F.cross_entropy, (A, SOFT), -(LOG_P * SOFT).sum(1)),
    "soft weighted": (
        lambda x, y, **k: F.cross_entropy(x, y, weight=jg.tensor(W), **k),
        (A, SOFT),
        -(LOG_P * SOFT * W).sum(1),
    ),
}


def leaves(arrays):
    return [jg.tensor(a, dtype=jg.float64, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("label", ELEMENTS)
@pytest.mark.filterwarnings("ignore:kl_div")
def test_loss_follows_its_formula_in_every_reduction(label):
    call, arrays, expected = ELEMENTS[label]
    for reduction, value in (("none", expected), ("sum", expected.sum()), ("mean", expected.mean())):
        found = call(*leaves(arrays), reduction=reduction).detach().numpy()
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
        assert found.shape == np.shape(value)


@pytest.mark.parametrize("label", ELEMENTS)
def test_loss_gradient_is_the_slope(label):
    call, arrays, expected = ELEMENTS[label]
    cotangent = np.cos(np.arange(expected.size)).reshape(expected.shape) + 0.4

    def value(*tensors):
        return (call(*tensors, reduction="none") * jg.tensor(cotangent)).sum()

    tensors = leaves(arrays)
    value(*tensors).backward()
    step = 1e-6
    for place, tensor in enumerate(tensors):
        direction = np.sin(1 + np.arange(tensor.numel())).reshape(arrays[place].shape)
        moved = [list(arrays), list(arrays)]
        moved[0][place] = arrays[place] + step * direction
        moved[1][place] = arrays[place] - step * direction
        high, low = (value(*leaves(m)).item() for m in moved)
        slope = (tensor.grad.numpy() * direction).sum()
        assert slope == pytest.approx((high - low) / (2 * step), rel=2e-5, abs=1e-7)


CLASSES = {
    "weight": ({"weight": W}, Y, W[Y]),
    "ignore": ({"ignore_index": 4}, Y, (Y != 4) * 1.0),
    "weight and ignore": ({"weight": W, "ignore_index": 0}, Y, W[Y] * (Y != 0)),
    "default ignore": ({}, np.array([1, -100, 2, -100]), np.array([1.0, 0, 1, 0])),
}


@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("label", CLASSES)
def test_class_weights_and_ignored_targets(loss, label):
    options, target, factors = CLASSES[label]
    options = {k: jg.tensor(v) if k == "weight" else v for k, v in options.items()}
    expected = -LOG_P[range(4), np.maximum(target, 0)] * factors
    for reduction, value in (
        ("none", expected),
        ("sum", expected.sum()),
        ("mean", expected.sum() / factors.sum()),
    ):
        logits = jg.tensor(LOG_P, requires_grad=True)
        found = getattr(F, loss)(logits, jg.tensor(target), reduction=reduction, **options)
        np.testing.assert_allclose(found.detach().numpy(), value, rtol=1e-9, atol=1e-15)
        found.sum().backward()
        assert (logits.grad.numpy()[factors == 0] == 0).all()


def test_ignored_rows_may_be_infinite():
    logits = jg.tensor([[0.0, 1.0], [math.inf, math.nan]], requires_grad=True)
    for reduction in ("mean", "sum"):
        loss = F.nll_loss(logits, jg.tensor([1, -100]), reduction=reduction)
        assert loss.item() == -1.0


def test_all_targets_ignored_gives_nan():
    assert math.isnan(F.cross_entropy(jg.zeros(2, 3), jg.tensor([-100, -100])).item())
    assert math.isnan(F.nll_loss(jg.zeros(2, 3), jg.tensor([-100, -100])).item())


def test_spatial_classes_equal_the_flat_ones():
    logits = rng.standard_normal((2, 5, 3, 4))
    target = rng.integers(0, 5, (2, 3, 4))
    flat = np.moveaxis(logits, 1, -1).reshape(-1, 5)
    for reduction in ("mean", "sum", "none"):
        spatial = F.cross_entropy(jg.tensor(logits), jg.tensor(target), reduction=reduction)
        rows = F.cross_entropy(jg.tensor(flat), jg.tensor(target.reshape(-1)), reduction=reduction)
        np.testing.assert_allclose(spatial.numpy().reshape(-1), rows.numpy().reshape(-1), rtol=1e-12)


def test_large_logits_do_not_overflow():
    logits = jg.tensor([[1e5, 0.0, -1e5]], requires_grad=True)
    loss = F.cross_entropy(logits, jg.tensor([1]))
    loss.backward()
    assert loss.item() == 1e5
    np.testing.assert_allclose(logits.grad.numpy(), [[1, -1, 0]])
    far = jg.tensor([-1000.0, 1000.0], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(far, jg.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == 1000.0
    np.testing.assert_allclose(far.grad.numpy(), [-0.5, 0.5])


def test_bce_clamps_its_logarithms():
    loss = F.binary_cross_entropy(jg.tensor([0.0, 1.0]), jg.tensor([1.0, 0.0]), reduction="none")
    assert loss.numpy().tolist() == [100.0, 100.0]


def test_kl_div_reductions_and_warning():
    x, y = jg.tensor(LOG_P), jg.tensor(SOFT)
    divergence = (SOFT * (np.log(SOFT) - LOG_P)).sum() / 4
    assert F.kl_div(x, y, reduction="batchmean").item() == pytest.approx(divergence)
    with pytest.warns(UserWarning, match="batchmean"):
        assert F.kl_div(x, y).item() == pytest.approx(divergence / 5)


def test_mse_of_different_shapes_warns_and_broadcasts():
    with pytest.warns(UserWarning, match="different to the input size"):
        loss = F.mse_loss(jg.zeros(3, 1), jg.ones(2))
    assert loss.item() == 1.0


def test_mse_promotes_dtypes():
    loss = F.mse_loss(jg.ones(2), jg.zeros(2, dtype=jg.float64))
    assert loss.dtype == jg.float64 and loss.item() == 1.0


def test_gaussian_variances_below_eps_still_get_a_gradient():
    var = jg.tensor([1e-3, 1.0], dtype=jg.float64, requires_grad=True)
    zero = jg.zeros(2, dtype=jg.float64)
    F.gaussian_nll_loss(zero, zero, var, eps=0.1, reduction="sum").backward()
    np.testing.assert_allclose(var.grad.numpy(), [5.0, 0.5])
    np.testing.assert_array_equal(var.detach().numpy(), [1e-3, 1.0])


MODULES = {
    "MSELoss": (nn.MSELoss, {}),
    "L1Loss": (nn.L1Loss, {}),
    "SmoothL1Loss": (nn.SmoothL1Loss, {"beta": 0.3}),
    "HuberLoss": (nn.HuberLoss, {"delta": 0.3}),
    "BCELoss": (nn.BCELoss, {}),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss, {}),
    "PoissonNLLLoss": (nn.PoissonNLLLoss, {"full": True, "log_input": False, "eps": 0.01}),
    "HingeEmbeddingLoss": (nn.HingeEmbeddingLoss, {"margin": 0.4}),
}
TWINS = {
    "MSELoss": F.mse_loss,
    "L1Loss": F.l1_loss,
    "SmoothL1Loss": F.smooth_l1_loss,
    "HuberLoss": F.huber_loss,
    "BCELoss": F.binary_cross_entropy,
    "BCEWithLogitsLoss": F.binary_cross_entropy_with_logits,
    "PoissonNLLLoss": F.poisson_nll_loss,
    "HingeEmbeddingLoss": F.hinge_embedding_loss,
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label", MODULES)
def test_loss_module_passes_its_options_on(label, reduction):
    make, options = MODULES[label]
    x, y = jg.tensor(P), jg.tensor(Q)
    module = make(reduction=reduction, **options)
    np.testing.assert_array_equal(
        module(x, y).numpy(), TWINS[label](x, y, reduction=reduction, **options).numpy()
    )
    assert repr(module) == f"{label}()"


def test_loss_weights_are_buffers():
    loss = nn.BCEWithLogitsLoss(weight=jg.ones(3), pos_weight=jg.ones(3))
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert nn.CrossEntropyLoss(weight=jg.ones(3)).double().weight.dtype == jg.float64
    assert list(nn.NLLLoss().state_dict()) == []


BAD = {
    "reduction": (ValueError, lambda: F.mse_loss(jg.ones(2), jg.ones(2), reduction="average")),
    "module reduction": (ValueError, lambda: nn.L1Loss(reduction="x")(jg.ones(2), jg.ones(2))),
    "cross entropy reduction": (
        ValueError,
        lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, 1]), reduction="x"),
    ),
    "batch sizes": (ValueError, lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, 1, 2]))),
    "target dtype": (
        RuntimeError,
        lambda: F.cross_entropy(jg.zeros(2, 3), jg.zeros(2, dtype=jg.int32)),
    ),
    "float classes": (RuntimeError, lambda: F.nll_loss(jg.zeros(2, 3), jg.zeros(2))),
    "column of classes": (
        RuntimeError,
        lambda: F.cross_entropy(jg.zeros(2, 3), jg.zeros(2, 1, dtype=jg.int64)),
    ),
    "class too large": (IndexError, lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, 3]))),
    "class negative": (IndexError, lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, -1]))),
    "class too large, weighted": (
        IndexError,
        lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, 3]), weight=jg.ones(3)),
    ),
    "class weights": (
        RuntimeError,
        lambda: F.nll_loss(jg.zeros(2, 3), jg.tensor([0, 1]), weight=jg.ones(2)),
    ),
    "smoothing": (
        RuntimeError,
        lambda: F.cross_entropy(jg.zeros(2, 3), jg.tensor([0, 1]), label_smoothing=1.1),
    ),
    "bce sizes": (ValueError, lambda: F.binary_cross_entropy(jg.ones(3), jg.ones(3, 1))),
    "bce range": (RuntimeError, lambda: F.binary_cross_entropy(jg.tensor([1.5]), jg.ones(1))),
    "bce nan": (RuntimeError, lambda: F.binary_cross_entropy(jg.tensor([math.nan]), jg.ones(1))),
    "beta": (RuntimeError, lambda: F.smooth_l1_loss(jg.ones(2), jg.ones(2), beta=-1)),
    "delta": (RuntimeError, lambda: F.huber_loss(jg.ones(2), jg.ones(2), delta=0)),
    "variance": (ValueError, lambda: F.gaussian_nll_loss(jg.ones(2), jg.ones(2), -jg.ones(2))),
    "margin": (ValueError, lambda: nn.TripletMarginLoss(margin=0)),
    "weights": (ValueError, lambda: F.mse_loss(jg.ones(2), jg.ones(2), weight=jg.ones(1))),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_arguments_are_refused(label):
    error, action = BAD[label]
    with pytest.raises(error):
        action()
