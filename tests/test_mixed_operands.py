"""Functions of two and three operands, with numbers, several dtypes and shapes among these, and in place."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as torch

X = np.array([[-2.5, -0.0, 0.75], [1.5, 3.0, -7.25]], np.float32)
Y = np.array([2.0, -0.5, 1.5], np.float32)
WHOLE = np.array([[-7, 0, 3], [5, -2, 9]])

TWO = {
    "atan2": np.arctan2,
    "copysign": np.copysign,
    "fmod": np.fmod,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize(
    "other", [Y, Y.astype(np.float64), 1.5, -2, np.float32(0.5), np.array([3, -1, 2])], ids=str
)
def test_two_operands(name: str, other) -> None:
    given = torch.from_numpy(other) if isinstance(other, np.ndarray) else other
    got = getattr(torch, name)(torch.from_numpy(X), given)
    wide = isinstance(other, np.ndarray) and other.dtype == np.float64
    kind = torch.bool if "logical" in name else torch.float64 if wide else torch.float32
    assert got.dtype is kind
    np.testing.assert_allclose(got.numpy(), TWO[name](X, other), rtol=2e-6)


@pytest.mark.parametrize("name", ["atan2", "copysign", "fmod"])
@pytest.mark.parametrize("other", [Y, 1.5, -2], ids=str)
def test_two_operands_in_place(name: str, other) -> None:
    x = torch.from_numpy(X.copy())
    alias = x[0]
    given = torch.from_numpy(other) if isinstance(other, np.ndarray) else other
    assert getattr(x, name + "_")(given) is x
    np.testing.assert_allclose(x.numpy(), TWO[name](X, other), rtol=2e-6)
    np.testing.assert_array_equal(alias.numpy(), x.numpy()[0])


@pytest.mark.parametrize("name", ["atan2", "copysign", "fmod"])
def test_in_place_gradients_are_those_of_the_function(name: str) -> None:
    grads = []
    for form in (name, name + "_"):
        leaf = torch.from_numpy(X.copy()).requires_grad_()
        x = leaf * 1
        result = getattr(x, form)(torch.from_numpy(Y))
        (result * torch.from_numpy(X + 1)).sum().backward()
        grads.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*grads)


def test_logical_functions_of_whole_numbers_and_truth_values() -> None:
    x, mask = torch.from_numpy(WHOLE), torch.from_numpy(WHOLE > 0)
    for name in ("logical_and", "logical_or", "logical_xor"):
        for other in (x, mask, 1, 0.5):
            plain = other.numpy() if isinstance(other, torch.Tensor) else other
            np.testing.assert_array_equal(getattr(torch, name)(x, other).numpy(), TWO[name](WHOLE, plain))


@pytest.mark.parametrize("weight", [0.25, 1, np.float32(0.25), Y], ids=str)
def test_lerp(weight) -> None:
    start, end = torch.from_numpy(X), torch.from_numpy(Y)
    given = torch.from_numpy(weight) if isinstance(weight, np.ndarray) else weight
    expected = X + weight * (Y - X)
    np.testing.assert_allclose(torch.lerp(start, end, given).numpy(), expected, rtol=1e-6)
    own = start.clone()
    assert own.lerp_(end, given) is own
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("value", [1, 0.5, np.float64(-2.0)], ids=str)
@pytest.mark.parametrize("name", ["addcmul", "addcdiv"])
def test_products_and_quotients_added(name: str, value) -> None:
    term = X * Y if name == "addcmul" else X / Y
    x, a, b = (torch.from_numpy(v) for v in (X, X, Y))
    expected = X + float(value) * term
    np.testing.assert_allclose(getattr(torch, name)(x, a, b, value=value).numpy(), expected, rtol=1e-6)
    own = x.clone()
    getattr(own, name + "_")(a, b, value=value)
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-6)
    wide = getattr(torch, name)(x, a, torch.from_numpy(Y.astype(float)), value=value)
    assert wide.dtype is torch.float64
    np.testing.assert_allclose(wide.numpy(), expected, rtol=1e-6)


def test_products_of_whole_numbers_stay_whole() -> None:
    x = torch.from_numpy(WHOLE)
    got = torch.addcmul(x, x, x, value=2)
    assert got.dtype is torch.int64
    np.testing.assert_array_equal(got.numpy(), WHOLE + 2 * WHOLE * WHOLE)
    with pytest.raises(RuntimeError, match="Integer division"):
        torch.addcdiv(x, x, x)


@pytest.mark.parametrize("call", [
    lambda x: torch.lerp(x, x, "half"),
    lambda x: torch.addcmul(x, None, x),
    lambda x: torch.copysign(None, x),
    lambda x: torch.fmod(x, "2"),
    lambda x: torch.logical_and(2.0, x),
    lambda x: x.atan2_("1"),
    lambda x: x.lerp_(x, None),
])  # fmt: skip
def test_what_is_neither_tensor_nor_number_is_refused(call) -> None:
    x = torch.from_numpy(X.copy())
    with pytest.raises(TypeError):
        call(x)
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize("value", [0, 2, -1.5, math.nan, math.inf, np.float32(3.5), True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fill(value, dtype) -> None:
    x = torch.zeros(3, 4, dtype=dtype)
    before = x._version
    assert x[:, 1].fill_(value) is not x
    np.testing.assert_array_equal(x.numpy()[:, 1], np.full(3, value, x.numpy().dtype))
    assert not x.numpy()[:, 0].any() and x._version > before
    assert not x.zero_().numpy().any()


def test_filling_a_view_of_a_recorded_tensor_stops_its_gradient() -> None:
    leaf = torch.ones(4, requires_grad=True)
    x = leaf * 3
    x[:2].fill_(5.0)
    (x * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), [0, 0, 9, 12])
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.fill_(1.0)


def test_masked_fill_takes_numbers_of_any_kind() -> None:
    x, mask = torch.from_numpy(X), torch.from_numpy(X > 0)
    for value in (7, -math.inf, np.float32(2.5), torch.tensor(4.0)):
        plain = value.item() if isinstance(value, torch.Tensor) else value
        np.testing.assert_array_equal(x.masked_fill(mask, value).numpy(), np.where(X > 0, plain, X))
    whole = torch.from_numpy(WHOLE)
    assert whole.masked_fill(whole > 0, 3).dtype is torch.int64


def test_clamping_by_tensors_and_in_place() -> None:
    x, low = torch.from_numpy(X), torch.from_numpy(Y)
    np.testing.assert_array_equal(torch.clamp(x, low).numpy(), np.maximum(X, Y))
    np.testing.assert_array_equal(x.clone().clamp_min_(0.5).numpy(), np.maximum(X, 0.5))
    np.testing.assert_array_equal(x.clone().clamp_max_(0.5).numpy(), np.minimum(X, 0.5))
    np.testing.assert_array_equal(x.clone().clamp_min_(low).numpy(), np.maximum(X, Y))


def test_compiled_steps_fill_and_mix_as_eager_ones_do() -> None:
    def step(x, y):
        z = torch.lerp(x, y, 0.3).addcmul_(x, y, value=0.5).fmod_(2.0)
        z[0].fill_(0.25)
        return torch.copysign(z.masked_fill(x > 1, -1.0), y) + torch.logical_or(x, y)

    x, y = torch.from_numpy(X), torch.from_numpy(np.broadcast_to(Y, X.shape).copy())
    compiled = torch.compile(step)
    for scale in (1.0, 0.5, 2.0):
        np.testing.assert_array_equal(compiled(x * scale, y).numpy(), step(x * scale, y).numpy())


@pytest.mark.parametrize(
    ("function", "count"),
    [
        *((f, 2) for f in ("atan2", "copysign", "maximum", "minimum", "xlogy")),
        *((f, 3) for f in ("addcdiv", "addcmul", "lerp")),
    ],
)
def test_plain_numbers_alone_are_refused(function, count) -> None:
    with pytest.raises(
        TypeError, match=rf"^{function}\(\): argument 'input' must be Tensor, not float; wrap"
    ):
        getattr(torch, function)(*[1.0] * count)


# of two numbers: the call, and what it makes
OF_NUMBERS = {
    "add": (lambda a, b: torch.add(a, b), lambda a, b: a + b),
    "add with a factor": (lambda a, b: torch.add(a, b, alpha=2), lambda a, b: a + 2 * b),
    "add by name": (lambda a, b: torch.add(input=a, other=b), lambda a, b: a + b),
    "sub": (lambda a, b: torch.sub(a, b), lambda a, b: a - b),
    "subtract with a factor": (lambda a, b: torch.subtract(a, b, alpha=3), lambda a, b: a - 3 * b),
    "mul": (lambda a, b: torch.mul(a, b), lambda a, b: a * b),
    "multiply": (lambda a, b: torch.multiply(a, b), lambda a, b: a * b),
    "div": (lambda a, b: torch.div(a, b), lambda a, b: a / b),
    "true_divide": (lambda a, b: torch.true_divide(a, b), lambda a, b: a / b),
    "div towards zero": (lambda a, b: torch.div(a, b, rounding_mode="trunc"), lambda a, b: math.trunc(a / b)),
    "div down": (lambda a, b: torch.div(a, b, rounding_mode="floor"), lambda a, b: a // b),
    "floor_divide": (lambda a, b: torch.floor_divide(a, b), lambda a, b: a // b),
}
REFUSE_NUMBERS = (
    "atan2",
    "bitwise_and",
    "eq",
    "fmod",
    "hypot",
    "logical_or",
    "maximum",
    "pow",
    "remainder",
    "rsub",
)


@pytest.mark.parametrize("name", OF_NUMBERS)
@pytest.mark.parametrize("pair", [(7, 2), (-7, 2), (7.5, 2), (7, -2.5), (np.float64(7.5), 2)], ids=str)
def test_two_numbers_give_a_tensor(name: str, pair: tuple) -> None:
    call, expected = OF_NUMBERS[name]
    got, value = call(*pair), expected(*pair)
    whole = all(isinstance(x, int) for x in pair) and name not in ("div", "true_divide")
    assert (got.dtype, got.shape) == (torch.int64 if whole else torch.float32, ())
    assert got.item() == pytest.approx(value, rel=1e-6)


def test_two_bools_give_a_tensor_as_tensors_of_bools_would() -> None:
    assert torch.add(True, False).dtype is torch.mul(True, True).dtype is torch.bool
    assert torch.add(True, 2).item() == 3
    with pytest.raises(RuntimeError, match="Subtraction"):
        torch.sub(True, False)


@pytest.mark.parametrize("name", REFUSE_NUMBERS)
def test_two_numbers_are_refused_where_pytorch_refuses_them(name: str) -> None:
    with pytest.raises(TypeError, match="must be Tensor, not int"):
        getattr(torch, name)(7, 2)


def test_two_numbers_in_a_compiled_function_are_those_of_each_call() -> None:
    @torch.compile
    def scaled(x, n):
        return x * torch.div(n, 2, rounding_mode="floor") + torch.add(n, 0.5)

    for n in (3, 3, 5, 5, 2.0, 7, 3):
        expected = Y * (n // 2) + (n + 0.5)
        np.testing.assert_array_equal(scaled(torch.from_numpy(Y), n).numpy(), expected.astype(np.float32))
