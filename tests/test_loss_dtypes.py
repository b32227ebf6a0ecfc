"""Losses of float32 beside float64: in which dtype they come, also with a number as a tensor, and their gradients."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
from compile_cases import Scene, assert_same

import jitgrad as torch
from jitgrad.nn import functional as F

FLOAT, DOUBLE = "float32", "float64"
VALUES = np.random.default_rng(3).uniform(0.1, 0.9, (3, 3, 4))
SHAPES = {"same": ((3, 4), (3, 4)), "number as target": ((3, 4), ()), "number as input": ((), (3, 4))}

# of float32 input and float64 target, and the other way round
RESULTS = {
    "mse_loss": (DOUBLE, DOUBLE),
    "l1_loss": (DOUBLE, DOUBLE),
    "smooth_l1_loss": (DOUBLE, DOUBLE),
    "huber_loss": (FLOAT, DOUBLE),
    "binary_cross_entropy_with_logits": (DOUBLE, FLOAT),
}
SAME_SHAPES_ONLY = {"binary_cross_entropy_with_logits"}


def operands(library, shapes, dtypes):
    """Tensors of a library with these shapes and dtypes that ask for gradients."""
    found = []
    for values, shape, dtype in zip(VALUES[: len(shapes)], shapes, dtypes, strict=True):
        part = (values if shape else values[0, 0]).tolist()
        found.append(library.tensor(part, dtype=getattr(library, dtype), requires_grad=True))
    return found


def name_of(tensor):
    return str(tensor.dtype).split(".")[-1]


def loss_of(library, name, *tensors, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they broadcast
        return getattr(importlib.import_module(f"{library.__name__}.nn.functional"), name)(
            *tensors, **options
        )


CASES = [
    (name, shape, reduction)
    for name in RESULTS
    for shape in (["same"] if name in SAME_SHAPES_ONLY else SHAPES)
    for reduction in ("mean", "sum", "none")
]


@pytest.mark.parametrize(("name", "shape", "reduction"), CASES)
@pytest.mark.parametrize("turned", [False, True])
def test_losses_of_two_dtypes(name, shape, reduction, turned):
    dtypes = (DOUBLE, FLOAT) if turned else (FLOAT, DOUBLE)
    x, y = operands(torch, SHAPES[shape][:2], dtypes)
    loss = loss_of(torch, name, x, y, reduction=reduction)
    assert name_of(loss) == RESULTS[name][turned]
    u, v = operands(torch, SHAPES[shape][:2], (DOUBLE, DOUBLE))
    wide = loss_of(torch, name, u, v, reduction=reduction)
    np.testing.assert_allclose(loss.detach().numpy(), wide.detach().numpy(), rtol=1e-5)
    (loss * loss).sum().backward()
    (wide * wide).sum().backward()
    for a, b in ((x, u), (y, v)):
        assert a.grad.dtype is a.dtype and a.grad.shape == a.shape
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=2e-5, atol=1e-6)


WEIGHTED = {
    "mse_loss": {"weight": (3, 4)},
    "l1_loss": {"weight": (3, 4)},
    "binary_cross_entropy": {"weight": (3, 4)},
    "binary_cross_entropy_with_logits": {"weight": (3, 4)},
    "positive weights": {"pos_weight": (3, 4)},
}


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("dtypes", [(FLOAT, FLOAT, DOUBLE), (DOUBLE, DOUBLE, FLOAT)])
def test_weights_of_another_dtype(name, dtypes):
    theirs = pytest.importorskip("torch")
    (option, shape), *_ = WEIGHTED[name].items()
    call = "binary_cross_entropy_with_logits" if option == "pos_weight" else name
    found = []
    for library in (torch, theirs):
        x, y, w = operands(library, ((3, 4), (3, 4), shape), dtypes)
        loss = loss_of(library, call, x, y.detach(), **{option: w.detach()})
        loss.backward()
        found.append((name_of(loss), loss.item(), name_of(x.grad), x.grad.numpy()))
    assert found[0][::2] == found[1][::2]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6)
    np.testing.assert_allclose(found[0][3], found[1][3], rtol=1e-5)


@pytest.mark.parametrize(("name", "shape", "reduction"), [c for c in CASES if c[2] == "mean"])
def test_dtypes_are_pytorchs(name, shape, reduction):
    theirs = pytest.importorskip("torch")
    for dtypes in ((FLOAT, DOUBLE), (DOUBLE, FLOAT)):
        with theirs.no_grad(), torch.no_grad():
            ours, other = (
                loss_of(library, name, *operands(library, SHAPES[shape][:2], dtypes))
                for library in (torch, theirs)
            )
        assert name_of(ours) == name_of(other)
        assert ours.item() == pytest.approx(other.item(), rel=1e-5)


@pytest.mark.parametrize("name", RESULTS)
def test_compiled_steps_take_losses_of_two_dtypes(name):
    def build():
        w = torch.full((3, 4), 0.5, requires_grad=True)

        def step(x, y):
            w.grad = None
            loss = getattr(F, name)(w * x, y)
            loss.backward()
            return loss

        return Scene(
            step, lambda k: tuple(x.detach() * (1 + k) for x in operands(torch, ((3, 4),) * 2, kinds)), w
        )

    kinds = (FLOAT, DOUBLE)
    assert_same(build)
