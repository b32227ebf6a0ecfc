"""Operators: dtypes that meet, whole numbers, writes in place, NumPy values, and gradients."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch

B, U, I, L, F, D = torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32, torch.float64
PROMOTIONS = [
    (B, U, U),
    (B, L, L),
    (B, F, F),
    (U, I, I),
    (I, L, L),
    (L, F, F),
    (I, D, D),
    (F, D, D),
    (B, B, B),
]


@pytest.mark.parametrize(("a", "b", "expected"), PROMOTIONS, ids=repr)
def test_promotion_of_two_tensors(a, b, expected):
    x, y = torch.ones(2, dtype=a), torch.ones(2, dtype=b)
    assert (x + y).dtype is expected
    assert (y * x).dtype is expected
    assert torch.where(torch.tensor([True, False]), x, y).dtype is expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: torch.ones(2) + 1, F),
        (lambda: torch.ones(2, dtype=L) + 1.5, F),
        (lambda: torch.ones(2, dtype=U) + 1, U),
        (lambda: torch.ones(2, dtype=B) + 1, L),
        (lambda: torch.ones(2, dtype=B) + 1.0, F),
        (lambda: torch.ones(2, dtype=D) * 2.5, D),
        (lambda: torch.ones(2) + torch.tensor(1.0, dtype=D), F),
        (lambda: torch.ones(2, dtype=L) + torch.tensor(1.0, dtype=D), D),
        (lambda: torch.ones(2, dtype=I) * torch.tensor(3), I),
        (lambda: torch.ones(2, dtype=L) / 2, F),
        (lambda: torch.ones(2, dtype=I) / torch.ones(2, dtype=I), F),
        (lambda: torch.ones(2, dtype=I) // 2, I),
        (lambda: torch.ones(2, dtype=L) ** 2, L),
        (lambda: torch.ones(2, dtype=L) ** 2.0, F),
        (lambda: torch.ones(2, dtype=I).sqrt(), F),
        (lambda: torch.ones(2, dtype=I).abs(), I),
        (lambda: torch.ones(2, dtype=I) == 1.5, B),
        (lambda: torch.ones(2) > 0, B),
    ],
)
def test_promotion_with_numbers_and_scalars(make, expected):
    assert make().dtype is expected


def test_bool_arithmetic_is_logic():
    a, b = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    assert (a + b).tolist() == [True, True, True, False]
    assert (a * b).tolist() == [True, False, False, False]
    assert (a & b).tolist() == (a * b).tolist()
    assert (a ^ b).tolist() == [False, True, True, False]
    assert (~a).tolist() == [False, False, True, True]
    with pytest.raises(RuntimeError, match="bool"):
        a.neg()


MASK, WHOLE, FLOAT = torch.tensor([True, False]), torch.tensor([1, 2]), torch.tensor([1.5, 2.5])


@pytest.mark.parametrize(
    "subtract",
    [
        lambda: MASK - MASK,
        lambda: MASK - 1,
        lambda: 1 - MASK,
        lambda: MASK - 1.5,
        lambda: 1.5 - MASK,
        lambda: MASK - True,
        lambda: WHOLE - True,
        lambda: True - WHOLE,
        lambda: True - FLOAT,
        lambda: MASK - WHOLE,
        lambda: WHOLE - MASK,
        lambda: FLOAT - MASK,
        lambda: torch.sub(MASK, 1),
        lambda: torch.rsub(MASK, 1),
        lambda: FLOAT.sub_(MASK),
        lambda: WHOLE.sub_(True),
        lambda: MASK.sub_(MASK),
        lambda: operator.isub(FLOAT, MASK),
    ],
)
def test_masks_are_not_subtracted(subtract):
    with pytest.raises(
        RuntimeError, match="Subtraction, the `-` operator, with a bool tensor is not supported"
    ):
        subtract()
    assert (MASK.tolist(), WHOLE.tolist(), FLOAT.tolist()) == ([True, False], [1, 2], [1.5, 2.5])


def test_integer_arithmetic():
    x = torch.tensor([-7, -1, 5, 8])
    assert (x // 2).tolist() == [-4, -1, 2, 4]
    assert (x % 3).tolist() == [2, 2, 2, 2]
    assert torch.fmod(x, 3).tolist() == [-1, -1, 2, 2]
    assert torch.div(x, 3, rounding_mode="trunc").tolist() == [-2, 0, 1, 2]
    assert (x**2).tolist() == [49, 1, 25, 64]
    assert (2 ** torch.tensor([0, 3, 10])).tolist() == [1, 8, 1024]
    assert (torch.tensor([1, -1, 2]) ** torch.tensor([-1, -3, -2])).tolist() == [1, -1, 0]
    assert (x << 1).tolist() == [-14, -2, 10, 16]
    assert (x >> 1).tolist() == [-4, -1, 2, 4]
    assert (7 - x).tolist() == [14, 8, 2, -1]
    for call in (lambda: x // 0, lambda: x % 0, lambda: 5 // torch.tensor([0]), lambda: torch.fmod(x, 0)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()
    with pytest.raises(RuntimeError, match="negative integer powers"):
        x**-1


@pytest.mark.parametrize(
    ("x", "y", "modulo", "rest"),
    [
        (5.0, np.inf, 5, 5),
        (-5.0, np.inf, np.inf, -5),
        (5.0, -np.inf, -np.inf, 5),
        (1e17, 3.0, 1, 1),
        (-1e17, 3.0, 2, -1),
        (2.0, 0.1, 2.0 % 0.1, 2.0 % 0.1),
        (1e300, 7e-300, np.fmod(1e300, 7e-300), np.fmod(1e300, 7e-300)),
        (np.inf, 2.0, np.nan, np.nan),
        (2.0, 0.0, np.nan, np.nan),
    ],
)
def test_remainders_of_floats_are_those_of_the_exact_quotient(x, y, modulo, rest):
    a = torch.tensor([x] * 5, dtype=torch.float64)
    np.testing.assert_array_equal((a % y).numpy(), [modulo] * 5)
    np.testing.assert_array_equal(torch.fmod(a, torch.tensor(y, dtype=torch.float64)).numpy(), [rest] * 5)


@pytest.mark.parametrize(
    ("dtype", "values", "call", "expected"),
    [
        ("uint8", [0, 5, 8], lambda x: -7 / x, [-np.inf, -1.4, -0.875]),
        ("uint8", [5, 8], lambda x: x / 300, [5 / 300, 8 / 300]),
        ("uint8", [5, 8], lambda x: x / -1, [-5, -8]),
        ("int32", [-1, 5], lambda x: x / 2**40, [-(2.0**-40), 5 * 2.0**-40]),
        ("bool", [False, True], lambda x: x / 300, [0, 1 / 300]),
    ],
)
def test_numbers_beside_integers_are_divided_as_floats(dtype, values, call, expected):
    y = call(torch.tensor(values, dtype=getattr(torch, dtype)))
    assert y.dtype is torch.float32
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)


def test_integer_powers_wrap_around_whatever_the_exponent():
    bases = [0, 1, 2, 5, -3, -100]
    for exponent in (40, 63, 300, 2**40 + 1, 2**63 - 1):
        powers = [pow(b, exponent, 2**64) for b in bases]
        expected = [p - 2**64 if p >> 63 else p for p in powers]
        assert (torch.tensor(bases) ** exponent).tolist() == expected


@pytest.mark.parametrize("count", [-1, -64, 64, 2**40])
def test_shifts_by_more_bits_than_there_are_leave_none(count):
    x = torch.tensor([-5, -1, 0, 1, 200])
    assert (x << count).tolist() == [0] * 5
    assert (x >> count).tolist() == [-1, -1, 0, 0, 0]
    narrow = torch.tensor([1, 200], dtype=torch.uint8)
    assert ((narrow << 9).tolist(), (narrow >> 9).tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x**300,
        lambda x: x.clamp(max=300),
        lambda x: x.masked_fill(x > 0, 256),
        lambda x: x.fill_(-256),
        lambda x: x.fill_(float("inf")),
        lambda x: x.__setitem__(0, 300),
        lambda x: torch.full((2,), 300, dtype=x.dtype),
        lambda x: torch.tensor(300, dtype=x.dtype),
    ],
)
def test_numbers_that_a_dtype_does_not_have_are_refused(call):
    x = torch.tensor([1, 2], dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="uint8 without overflow"):
        call(x)
    assert x.tolist() == [1, 2]


def test_bools_take_every_number_that_is_not_zero_for_true():
    x = torch.tensor([True, False])
    assert x.masked_fill(~x, 256).tolist() == [True, True]
    assert (x == torch.full((2,), 512, dtype=torch.bool)).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_relu_keeps_integers(dtype):
    x = torch.tensor([0 if dtype == "uint8" else -1, 2, 9], dtype=getattr(torch, dtype))
    for function, expected in (
        (torch.relu, [0, 2, 9]),
        (torch.relu6, [0, 2, 6]),
        (torch.Tensor.relu_, [0, 2, 9]),
    ):
        y = function(x)
        assert (y.dtype, y.tolist()) == (x.dtype, expected)
    with pytest.raises(RuntimeError, match="Boolean inputs"):
        torch.relu(x > 0)


def test_integers_beyond_float_precision_stay_exact():
    big = 2**53 + 1
    x = torch.tensor([big])
    assert (x + 1).item() == big + 1
    assert (x * 1).item() == big
    assert x.max().item() == big
    assert x.sum().item() == big


IN_PLACE = {
    "add_": (lambda x: x.add_(2, alpha=3), [7, 4, 6.5]),
    "+=": (lambda x: x.__iadd__(torch.ones(3)), [2, -1, 1.5]),
    "sub_": (lambda x: x.sub_(torch.tensor([1.0])), [0, -3, -0.5]),
    "mul_": (lambda x: x.mul_(2), [2, -4, 1]),
    "div_": (lambda x: x.div_(2), [0.5, -1, 0.25]),
    "pow_": (lambda x: x.pow_(2), [1, 4, 0.25]),
    "clamp_": (lambda x: x.clamp_(-1, 0.75), [0.75, -1, 0.5]),
    "clamp_ one side": (lambda x: x.clamp_(min=0), [1, 0, 0.5]),
    "fill_": (lambda x: x.fill_(3), [3, 3, 3]),
    "zero_": (lambda x: x.zero_(), [0, 0, 0]),
    "copy_": (lambda x: x.copy_(torch.tensor([1, 2, 3])), [1, 2, 3]),
    "copy_ broadcast": (lambda x: x.copy_(torch.tensor(4.0)), [4, 4, 4]),
    "abs_": (lambda x: x.abs_(), [1, 2, 0.5]),
    "neg_": (lambda x: x.neg_(), [-1, 2, -0.5]),
    "relu_": (lambda x: x.relu_(), [1, 0, 0.5]),
    "masked_fill_": (lambda x: x.masked_fill_(x < 0, 9), [1, 9, 0.5]),
    "lerp_": (lambda x: x.lerp_(torch.zeros(3), 0.5), [0.5, -1, 0.25]),
    "addcmul_": (lambda x: x.addcmul_(torch.ones(3), torch.ones(3), value=2), [3, 0, 2.5]),
    "addcdiv_": (lambda x: x.addcdiv_(torch.ones(3), torch.full((3,), 2.0)), [1.5, -1.5, 1]),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms_write_into_the_same_memory(name):
    x = torch.tensor([1.0, -2.0, 0.5])
    address, version = x.data_ptr(), x._version
    call, expected = IN_PLACE[name]
    made = call(x)
    assert made is x
    assert x.tolist() == expected
    assert x.data_ptr() == address
    assert x._version > version


@pytest.mark.parametrize("name", [n for n in IN_PLACE if n not in ("zero_", "fill_")])
def test_in_place_forms_record_history(name):
    x = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    IN_PLACE[name][0](x * 1).sum().backward()
    assert x.grad is not None


def test_overwriting_stops_the_gradient():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.zero_()
    (y + x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch.ones(2, requires_grad=True).add_(1), "leaf Variable"),
        (lambda: torch.ones(2, dtype=torch.int64).add_(1.5), "can't be cast"),
        (lambda: torch.ones(2, dtype=torch.int64).div_(2), "can't be cast"),
        (lambda: torch.ones(2).add_(torch.ones(3, 2)), "doesn't match the broadcast shape"),
        (lambda: torch.ones(2).copy_(torch.ones(3)), "must match|doesn't match"),
        (lambda: torch.ones(2) + torch.ones(3), "must match"),
        (lambda: torch.ones(2, 3).clamp(), "At least one"),
        (lambda: torch.where(torch.ones(2), 1.0, 2.0), "boolean"),
        (lambda: torch.ones(2).masked_fill(torch.ones(2), 1), "boolean"),
        (lambda: torch.isclose(torch.ones(2), torch.ones(2, dtype=torch.float64)), "did not match"),
    ],
)
def test_refused_operations(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


def test_operators_with_numpy_values():
    x = torch.tensor([1.0, 2.0])
    assert (x + np.float64(1)).tolist() == [2, 3]
    assert (np.float32(3) * x).tolist() == [3, 6]
    assert (x - np.array([1.0, 1.0], np.float32)).tolist() == [0, 1]
    assert (x == "a") is False
    with pytest.raises(TypeError):
        x + "a"
    with pytest.raises(TypeError, match="must be Tensor"):
        torch.exp(1.0)


def test_comparisons_of_whole_tensors():
    x = torch.tensor([1.0, float("nan")])
    assert torch.equal(x[:1], torch.tensor([1.0]))
    assert not torch.equal(x, x)
    assert not torch.equal(x, x[:1])
    assert torch.allclose(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    assert not torch.allclose(torch.tensor([1.0]), torch.tensor([1.1]))
    assert torch.allclose(x, x, equal_nan=True)
    assert torch.isclose(torch.tensor([float("inf"), 1.0]), torch.tensor([float("inf"), 2.0])).tolist() == [
        True,
        False,
    ]


A = np.random.default_rng(0).standard_normal((2, 3))
POSITIVE = np.abs(A) + 0.3
GRADIENTS = {
    "arithmetic": (lambda x, y: (x + 2) * y - x / (y + 3) + 1 / y, A, POSITIVE),
    "broadcast": (lambda x, y: x * y.sum(0) + x[0] / y, A, POSITIVE),
    "powers": (lambda x, y: y**2 + y**3 + y**0.5 + y**-1 + y**-0.5 + y**1.7 + 2**x + y**x, A, POSITIVE),
    "remainder": (lambda x, y: x % y + torch.fmod(x, y), A, POSITIVE),
    "bounds": (lambda x, y: x.clamp(-0.5, 0.5) + torch.minimum(x, y) * torch.maximum(x, 2 * y), A, POSITIVE),
    "where": (lambda x, y: torch.where(x > 0, x * x, y) + x.masked_fill(x < 0, 2.0), A, POSITIVE),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.3) + torch.lerp(x, y, x), A, POSITIVE),
    "fused": (lambda x, y: torch.addcmul(x, x, y, value=2) + torch.addcdiv(x, x, y, value=-1), A, POSITIVE),
    "atan2": (torch.atan2, A, POSITIVE),
    "gelu": (lambda x, y: torch.gelu(x) + torch.gelu(y, approximate="tanh"), A, POSITIVE),
    "add alpha": (lambda x, y: torch.add(x, y, alpha=3).sub(y, alpha=0.5), A, POSITIVE),
    "nan_to_num": (lambda x, y: (x / y).nan_to_num(), A, POSITIVE),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    function, *arrays = GRADIENTS[name]
    check_gradients(function, *arrays)
