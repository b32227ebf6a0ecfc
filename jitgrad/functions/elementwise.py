"""Functions of one tensor, element by element: exponentials, trigonometry, rounding, classification."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor, wrap
from ..kernels import BY_NAME
from ._call import (
    apply_floats,
    dtype_code,
    is_floating,
    require_tensors,
    tensor_of,
    two_operands,
    two_operands_in_place,
    unary,
    unary_in_place,
)
from .arithmetic_in_place import in_place_of

__all__ = ["abs", "absolute", "acos", "arccos", "arcsin", "arctan", "arctan2", "asin", "atan", "atan2",
           "ceil", "copysign", "cos", "cosh", "deg2rad", "erf", "erfc", "exp", "exp2", "expm1",
           "fix", "floor", "frac", "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10",
           "logit", "nan_to_num", "neg", "negative", "positive", "rad2deg", "reciprocal",
           "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh",
           "trunc"]  # fmt: skip

exp = unary("exp")
exp2 = unary("exp2")
expm1 = unary("expm1")
log = unary("log")
log2 = unary("log2")
log10 = unary("log10")
log1p = unary("log1p")
sqrt = unary("sqrt")
rsqrt = unary("rsqrt")
square = unary("square")
reciprocal = unary("reciprocal")
sin = unary("sin")
cos = unary("cos")
tan = unary("tan")
asin = arcsin = unary("asin")
acos = arccos = unary("acos")
atan = arctan = unary("atan")
sinh = unary("sinh")
cosh = unary("cosh")
tanh = unary("tanh")
sigmoid = unary("sigmoid")
erf = unary("erf")
erfc = unary("erfc")

_abs, _neg, _sign = unary("abs"), unary("neg"), unary("sign")
_copy = unary("copy")


def _refuse_bool(name: str, input: Tensor, instead: str) -> None:
    if dtype_code(tensor_of(input, name)) == 0:
        raise RuntimeError(f"{name}: not implemented for a bool tensor; {instead}")


def abs(input: Tensor) -> Tensor:
    """Absolute values; integers stay integers."""
    _refuse_bool("abs", input, "its values are 0 and 1 already")
    return _abs(input)


absolute = abs


def neg(input: Tensor) -> Tensor:
    """``-input``.

    Raises
    ------
    RuntimeError
        For a bool tensor.
    """
    _refuse_bool(
        "neg",
        input,
        "Negation, the `-` operator, on a bool tensor is not supported; use `~` or logical_not()",
    )
    return _neg(input)


negative = neg


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return _copy(input) if dtype_code(tensor_of(input, "sign")) == 0 else _sign(input)


def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor_of(input, "positive")


def _rounding(name: str) -> Any:
    run = unary(name)

    def function(input: Tensor) -> Tensor:
        # integers are whole already
        return run(input) if is_floating(tensor_of(input, name)) else _copy(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}``, elementwise; integers stay as they are."
    return function


floor, ceil, trunc = _rounding("floor"), _rounding("ceil"), _rounding("trunc")
fix = trunc
_round = _rounding("round")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, ties to even, or the nearest number with so many decimals."""
    if not decimals:
        return _round(input)
    if not is_floating(tensor_of(input, "round")):
        raise RuntimeError("round: decimals are for floating-point tensors; convert it with .float() first")
    if decimals > 0:
        scale = 10.0**decimals
        return _round(input * scale) / scale
    scale = 10.0**-decimals
    return _round(input / scale) * scale


def frac(input: Tensor) -> Tensor:
    """``input - trunc(input)``.

    Raises
    ------
    NotImplementedError
        For integers, as in PyTorch.
    """
    if not is_floating(tensor_of(input, "frac")):
        raise NotImplementedError(
            f'frac: "frac_cpu" not implemented for {input.dtype.name}; the fraction of an integer is zero'
        )
    return input - trunc(input)


atan2 = arctan2 = two_operands("atan2")
atan2.__doc__ = "The angle of the point (other, input)."
copysign = two_operands("copysign")
copysign.__doc__ = "The magnitude of `input` with the sign of `other`."


def deg2rad(input: Tensor) -> Tensor:
    """Degrees to radians."""
    require_tensors("deg2rad", input)
    return input * 0.017453292519943295


def rad2deg(input: Tensor) -> Tensor:
    """Radians to degrees."""
    require_tensors("rad2deg", input)
    return input * 57.29577951308232


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))`` with `x` kept within ``eps`` and ``1 - eps``."""
    require_tensors("logit", input)
    x = input if eps is None else input.clamp(eps, 1 - eps)  # type: ignore[attr-defined]
    return log(x / (1 - x))


_isnan, _isinf, _isfinite = unary("isnan"), unary("isinf"), unary("isfinite")


def isnan(input: Tensor) -> Tensor:
    """Where the values are nan."""
    return _isnan(input) if is_floating(tensor_of(input, "isnan")) else input != input


def isinf(input: Tensor) -> Tensor:
    """Where the values are infinite."""
    return _isinf(input) if is_floating(tensor_of(input, "isinf")) else input != input


def isfinite(input: Tensor) -> Tensor:
    """Where the values are neither infinite nor nan."""
    return _isfinite(input) if is_floating(tensor_of(input, "isfinite")) else input == input


LARGEST = {4: 3.4028234663852886e38, 5: 1.7976931348623157e308}


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Replace nan by `nan` and infinities by `posinf` and `neginf` (default: the largest finite numbers)."""
    if not is_floating(tensor_of(input, "nan_to_num")):
        return _copy(input)
    return wrap(apply_floats(BY_NAME["nan_to_num"], input, _replacements(input, nan, posinf, neginf)))


def _replacements(x: Tensor, nan: float, posinf: float | None, neginf: float | None) -> tuple[float, ...]:
    largest = LARGEST[dtype_code(x)]
    values = (nan or 0.0, largest if posinf is None else posinf, -largest if neginf is None else neginf)
    return tuple(float(v) for v in values)


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])

IN_PLACE = ["abs", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square",
            "reciprocal", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid",
            "erf", "erfc", "neg", "sign"]  # fmt: skip
for _name in IN_PLACE:
    setattr(Tensor, _name + "_", unary_in_place(_name))


def _rounding_in_place(name: str) -> Any:
    run = unary_in_place(name)

    def function(self: Tensor) -> Tensor:
        # integers are whole already
        return run(self) if is_floating(self) else self

    function.__name__ = function.__qualname__ = name + "_"
    function.__doc__ = f"``{name}``, elementwise and in place; integers stay as they are."
    return function


for _name in ("floor", "ceil", "trunc"):
    setattr(Tensor, _name + "_", _rounding_in_place(_name))
_whole_ = _rounding_in_place("round")


def _round_(self: Tensor, *, decimals: int = 0) -> Tensor:
    """``round`` in place."""
    return self.copy_(round(self, decimals=decimals)) if decimals else _whole_(self)  # type: ignore


Tensor.round_ = _round_
for _name in ("deg2rad", "rad2deg", "frac", "logit"):
    setattr(Tensor, _name + "_", in_place_of(globals()[_name]))

Tensor.__neg__ = neg
Tensor.__abs__ = abs
Tensor.__pos__ = positive


def _nan_to_num_(self: Tensor, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """``nan_to_num`` in place."""
    if is_floating(self):
        values = _replacements(self, nan, posinf, neginf)
        self._become(apply_floats(BY_NAME["nan_to_num"], self, values, self._slot))
    return self


Tensor.nan_to_num_ = _nan_to_num_
Tensor.atan2_, Tensor.copysign_ = two_operands_in_place("atan2"), two_operands_in_place("copysign")
for _alias, _name in (("absolute", "abs"), ("negative", "neg"), ("fix", "trunc"), ("arcsin", "asin"),
                      ("arccos", "acos"), ("arctan", "atan"), ("arctan2", "atan2")):  # fmt: skip
    setattr(Tensor, _alias + "_", getattr(Tensor, _name + "_"))
