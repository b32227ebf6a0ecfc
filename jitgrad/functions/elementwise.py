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
from ._out import takes_alike_out, takes_out, write_out
from .arithmetic_in_place import in_place_of

__all__ = ["abs", "absolute", "acos", "arccos", "arcsin", "arctan", "arctan2", "asin", "atan", "atan2",
           "ceil", "copysign", "cos", "cosh", "deg2rad", "erf", "erfc", "exp", "exp2", "expm1",
           "fix", "floor", "frac", "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10",
           "logit", "nan_to_num", "neg", "negative", "positive", "rad2deg", "reciprocal",
           "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh",
           "trunc"]  # fmt: skip

exp = unary("exp", out=True)
exp2 = unary("exp2", out=True)
expm1 = unary("expm1", out=True)
log = unary("log", out=True)
log2 = unary("log2", out=True)
log10 = unary("log10", out=True)
log1p = unary("log1p", out=True)
sqrt = unary("sqrt", out=True)
rsqrt = unary("rsqrt", out=True)
square = unary("square", out=True)
reciprocal = unary("reciprocal", out=True)
sin = unary("sin", out=True)
cos = unary("cos", out=True)
tan = unary("tan", out=True)
asin = arcsin = unary("asin", out=True)
acos = arccos = unary("acos", out=True)
atan = arctan = unary("atan", out=True)
sinh = unary("sinh", out=True)
cosh = unary("cosh", out=True)
tanh = unary("tanh", out=True)
sigmoid = unary("sigmoid", out=True)
erf = unary("erf", out=True)
erfc = unary("erfc", out=True)

_abs, _neg, _sign = unary("abs"), unary("neg"), unary("sign")
_copy = unary("copy")


def _refuse_bool(name: str, input: Tensor, instead: str) -> None:
    if dtype_code(tensor_of(input, name)) == 0:
        raise RuntimeError(f"{name}: not implemented for a bool tensor; {instead}")


def abs(input: Tensor, *, out: Any = None) -> Tensor:
    """Absolute values; integers stay integers."""
    if out is not None:
        return write_out("abs", abs(input), out, same_dtype=True)
    _refuse_bool("abs", input, "its values are 0 and 1 already")
    return _abs(input)


absolute = abs


def neg(input: Tensor, *, out: Any = None) -> Tensor:
    """``-input``.

    Raises
    ------
    RuntimeError
        For a bool tensor.
    """
    if out is not None:
        return write_out("neg", neg(input), out, same_dtype=True)
    _refuse_bool(
        "neg",
        input,
        "Negation, the `-` operator, on a bool tensor is not supported; use `~` or logical_not()",
    )
    return _neg(input)


negative = neg


@takes_alike_out
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return _copy(input) if dtype_code(tensor_of(input, "sign")) == 0 else _sign(input)


def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor_of(input, "positive")


def _rounding(name: str) -> Any:
    run = unary(name)

    def function(input: Tensor, *, out: Any = None) -> Tensor:
        if out is not None:
            return write_out(name, function(input), out, same_dtype=True)
        # integers are whole already
        return run(input) if is_floating(tensor_of(input, name)) else _copy(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}``, elementwise; integers stay as they are."
    return function


floor, ceil, trunc = _rounding("floor"), _rounding("ceil"), _rounding("trunc")
fix = trunc
_round = _rounding("round")


@takes_alike_out
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


_frac = unary("frac")


@takes_alike_out
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
    return _frac(input)


atan2 = arctan2 = takes_out(two_operands("atan2"))
atan2.__doc__ = "The angle of the point (other, input)."
copysign = takes_out(two_operands("copysign"))
copysign.__doc__ = "The magnitude of `input` with the sign of `other`."


@takes_out
def deg2rad(input: Tensor) -> Tensor:
    """Degrees to radians."""
    require_tensors("deg2rad", input)
    return input * 0.017453292519943295


@takes_out
def rad2deg(input: Tensor) -> Tensor:
    """Radians to degrees."""
    require_tensors("rad2deg", input)
    return input * 57.29577951308232


_logit = unary("logit")


@takes_out
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))`` with `x` kept within ``eps`` and ``1 - eps``."""
    require_tensors("logit", input)
    return _logit(input if eps is None else input.clamp(eps, 1 - eps))  # type: ignore[attr-defined]


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


@takes_alike_out
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
