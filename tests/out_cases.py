"""The elementwise functions that take ``out=``: by name, what they are given beside the tensor."""

from __future__ import annotations

import jitgrad as torch

OTHER = [[0.5, 2.0, 0.25], [1.0, 4.0, 2.0]]


def other() -> torch.Tensor:
    return torch.tensor(OTHER)


def whole() -> torch.Tensor:
    return torch.tensor([[1, 2, 3], [4, 5, 6]])


_ONE = """abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor frac
i0 lgamma log log10 log1p log2 logit neg rad2deg reciprocal round rsqrt sgn sigmoid sign sin sinc sinh sqrt square tan
tanh trunc nan_to_num isneginf isposinf logical_not signbit"""
_TWO = """atan2 copysign eq float_power floor_divide fmax fmin fmod ge gt heaviside hypot ldexp le logaddexp
logaddexp2 logical_and logical_or logical_xor lt maximum minimum ne nextafter pow remainder true_divide xlogy"""
_WHOLE = "gcd lcm bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift"

# name: what stands beside the first operand
ELEMENTWISE = {
    **dict.fromkeys(_ONE.split(), ()),
    **dict.fromkeys(_TWO.split(), (other,)),
    **dict.fromkeys((*_WHOLE.split(),), (whole,)),
    "bitwise_not": (),
    "clamp": (lambda: 0.6, lambda: 1.5),
    "clamp_min": (lambda: 0.6,),
    "clamp_max": (lambda: 0.6,),
    "lerp": (other, lambda: 0.25),
    "addcmul": (other, other),
    "addcdiv": (other, other),
    "where": (other, other),
    "mvlgamma": (lambda: 2,),
}
OF_INTEGERS = {*_WHOLE.split(), "bitwise_not"}


def first(name: str) -> torch.Tensor:
    """The first operand of a function."""
    if name in OF_INTEGERS:
        return whole() + 1
    x = torch.tensor([[0.25, 0.5, 0.75], [0.1, 0.9, 0.3]])
    if name == "where":
        return x > 0.4
    return x + 1 if name in ("acosh", "mvlgamma") else x
