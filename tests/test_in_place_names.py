"""In-place forms that compute and copy: the values of the function, the tensor itself, and gradients through."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch

RNG = np.random.default_rng(12)
X, Y = RNG.uniform(0.2, 0.9, (3, 3)), RNG.uniform(0.2, 0.9, (3, 3))
BATCH = RNG.uniform(0.2, 0.9, (2, 3, 3))

# name: (first operand, other operands, keyword arguments)
CASES = {
    "absolute_": (-X, (), {}),
    "negative_": (X, (), {}),
    "arcsin_": (X, (), {}),
    "arccos_": (X, (), {}),
    "arctan_": (X, (), {}),
    "arctan2_": (X, (Y,), {}),
    "deg2rad_": (X, (), {}),
    "rad2deg_": (X, (), {}),
    "fix_": (3 * X, (), {}),
    "frac_": (3 * X, (), {}),
    "erfc_": (X, (), {}),
    "logit_": (X, (0.1,), {}),
    "float_power_": (X, (1.5,), {}),
    "round_": (X, (), {"decimals": 1}),
    "addmm_": (X, (Y, X), {"beta": 0.5, "alpha": 2.0}),
    "addmv_": (X[0], (Y, X[1]), {"alpha": 2.0}),
    "addr_": (X, (X[0], Y[1]), {"beta": 0.5}),
    "baddbmm_": (BATCH, (BATCH, 2 * BATCH), {"beta": 2.0}),
    "addbmm_": (X, (BATCH, BATCH), {"beta": 0.0}),
}
COMPARISONS = {"greater_": np.greater, "greater_equal_": np.greater_equal, "less_": np.less,
               "less_equal_": np.less_equal, "not_equal_": np.not_equal}  # fmt: skip


def tensors(arrays):
    return [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]


@pytest.mark.parametrize("name", CASES)
def test_gives_what_the_function_gives(name):
    first, others, options = CASES[name]
    x, others = torch.tensor(first), tensors(others)
    expected = getattr(torch, name[:-1])(x, *others, **options).numpy()
    before = x._version
    assert getattr(x, name)(*others, **options) is x
    assert x._version > before
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("name", CASES)
def test_writes_into_a_view(name):
    first, others, options = CASES[name]
    around = torch.zeros(*first.shape, 2, dtype=torch.float64)
    around[..., 1] = torch.tensor(first)
    getattr(around[..., 1], name)(*tensors(others), **options)
    expected = getattr(torch, name[:-1])(torch.tensor(first), *tensors(others), **options)
    np.testing.assert_array_equal(around[..., 1].numpy(), expected.numpy())
    assert not around[..., 0].any()


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("fix_", "round_")])
def test_gradients_go_through(name):
    first, others, options = CASES[name]
    arrays = [a for a in others if isinstance(a, np.ndarray)]
    numbers = [a for a in others if not isinstance(a, np.ndarray)]
    check_gradients(lambda x, *rest: getattr(x * 1, name)(*rest, *numbers, **options), first, *arrays)


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_leave_zeros_and_ones(name):
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 2.0])
    expected = COMPARISONS[name](x.numpy(), y.numpy()).astype(np.float32)
    assert getattr(x, name)(y) is x
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("name", ["floor_", "ceil_", "trunc_", "fix_", "round_", "absolute_"])
def test_integers_that_are_rounded_stay(name):
    x = torch.tensor([1, 2])
    assert getattr(x, name)() is x
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda w, f: f.float_power_(2), RuntimeError, "requires float64"),
        (lambda w, f: w.rad2deg_(), RuntimeError, "can't be cast"),
        (lambda w, f: w.erfc_(), RuntimeError, "can't be cast"),
        (lambda w, f: w.frac_(), NotImplementedError, "frac"),
        (lambda w, f: torch.frac(w), NotImplementedError, "frac"),
        (
            lambda w, f: f.addmm_(torch.ones(2, 3), torch.ones(3, 3)),
            RuntimeError,
            "addmm_: output with shape",
        ),
        (lambda w, f: f.addmv_(w, f), RuntimeError, "mv"),
        (lambda w, f: f[:1].addr_(f, f), RuntimeError, "addr_: output with shape"),
        (lambda w, f: f.greater_(torch.ones(2, 3)), RuntimeError, "output with shape"),
        (lambda w, f: f.arctan2_("1"), TypeError, "must be Tensor"),
    ],
)
def test_refusals_change_nothing(call, error, words):
    whole, floats = torch.tensor([1, 2, 3]), torch.ones(3)
    with pytest.raises(error, match=words):
        call(whole, floats)
    assert whole.tolist() == [1, 2, 3]
    assert floats.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", sorted(torch._IN_PLACE))
def test_methods_that_pytorch_has_as_functions_are_functions(name):
    assert getattr(torch, name) is getattr(torch.Tensor, name)


def test_functions_in_place_write_their_first_argument():
    x = torch.tensor([0.5, 2.0])
    assert torch.clamp_(torch.exp_(x), max=2.0) is x
    np.testing.assert_allclose(x.numpy(), [np.exp(0.5), 2.0], rtol=1e-6)
