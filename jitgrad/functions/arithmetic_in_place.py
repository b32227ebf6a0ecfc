"""Arithmetic that writes its result into its first operand, and how any function comes to do so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from .._tensor import Tensor
from ..autograd.modes import records
from ..dispatch import call
from ..dtypes import category, float64
from ..engine.entry import entries
from ..engine.layout import BAD_DTYPE
from ..kernels import BY_NAME
from ..kernels.arguments import MOST
from ..operators import number_tensor
from ._call import apply_three, as_tensors, is_floating, two_operands_in_place
from ._older_calls import factors_by_name
from .arithmetic import addcmul, div, float_power, fmod, scaled

_MUL = BY_NAME["mul"]


def _named_operand(name: str, first: Any, older: tuple, other: Any, alpha: float) -> tuple[Any, float]:
    """The operand and its factor from a call by name, or from one of old, whose factor stands before the operand."""
    if first is None and not older:
        return other, alpha
    given = (first, *older) if other is None else (first, *older, other)
    return given[1], factors_by_name(name, given, ("alpha",), 1, alpha)["alpha"]


def _add_(self: Tensor, first: Any = None, /, *older: Any, other: Any = None, alpha: float = 1) -> Tensor:
    """``self += alpha * other``; `first` is `other`, or the factor where `other` stands after it."""
    if older or other is not None:
        first, alpha = _named_operand("add_", first, older, other, alpha)
    self += first if alpha == 1 else scaled(first, alpha, "add_", self)
    return self


def _sub_(self: Tensor, first: Any = None, /, *older: Any, other: Any = None, alpha: float = 1) -> Tensor:
    """``self -= alpha * other``; `first` is `other`, or the factor where `other` stands after it."""
    if older or other is not None:
        first, alpha = _named_operand("sub_", first, older, other, alpha)
    self -= first if alpha == 1 else scaled(first, alpha, "sub_", self)
    return self


def _shown(self: Tensor, other: Any, *older: Any, alpha: float = 1) -> Tensor: ...


_add_.__signature__ = _sub_.__signature__ = inspect.signature(_shown)  # type: ignore[attr-defined]


def _mul_(self: Tensor, other: Any) -> Tensor:
    """``self *= other``."""
    self *= other
    return self


def mul_each_(tensors: list[Tensor], factor: Tensor) -> None:
    """``x *= factor`` for each of a list of tensors, in few compiled calls."""
    for some in chunks(tensors):
        for x in some[entries.each_in_place(_MUL.code, some, factor) :]:
            _mul_(x, factor)


def chunks(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """A list in parts that a compiled call takes at once."""
    for first in range(0, len(tensors), MOST):
        yield tensors[first : first + MOST]


def _div_(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``self /= other``."""
    if rounding_mode is not None:
        return self.copy_(div(self, other, rounding_mode=rounding_mode))
    self /= other
    return self


def _floor_divide_(self: Tensor, other: Any) -> Tensor:
    """``self //= other``."""
    self //= other
    return self


def _remainder_(self: Tensor, other: Any) -> Tensor:
    """``self %= other``."""
    self %= other
    return self


def _pow_(self: Tensor, exponent: Any) -> Tensor:
    """``self **= exponent``."""
    self **= exponent
    return self


def in_place_of(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of a function that is not worth a kernel of its own: compute, then copy back."""
    signature = inspect.signature(function)

    @wraps(function)
    def run(self: Tensor, *args: Any, **options: Any) -> Tensor:
        if "out" in options:
            raise TypeError(
                f"{function.__name__}_() got an unexpected argument 'out'; it writes into the tensor itself"
            )
        recorded = records() and any(isinstance(x, Tensor) and x.requires_grad for x in (self, *args))
        # the walk back may want the values from before
        result = function(self.clone() if recorded else self, *args, **options)  # type: ignore[attr-defined]
        if category(result.dtype) > category(self.dtype):
            raise RuntimeError(
                f"{function.__name__}_: result type {result.dtype.name} can't be cast to the desired output "
                f"type {self.dtype.name}; use {function.__name__} without the underscore"
            )
        if result.shape != self.shape:
            raise RuntimeError(
                f"{function.__name__}_: output with shape {list(self.shape)} doesn't match the broadcast "
                f"shape {list(result.shape)}; use {function.__name__} without the underscore"
            )
        return self.copy_(result)

    run.__name__ = run.__qualname__ = function.__name__ + "_"
    run.__doc__ = f"``{function.__name__}`` in place."
    own: Any = run
    own.__signature__ = signature.replace(
        parameters=[p for p in signature.parameters.values() if p.name != "out"]
    )
    return run


def _two_named(name: str, operands: dict[str, Any], named: dict[str, Any]) -> Any:
    """The two operands, of which some were given by name."""
    for key, value in named.items():
        if key not in operands:
            raise TypeError(f"{name}_() got an unexpected keyword argument '{key}'")
        if operands[key] is not None:
            raise TypeError(f"{name}_() got multiple values for argument '{key}'")
        operands[key] = value
    for key, value in operands.items():
        if value is None:
            raise TypeError(f"{name}_() missing 1 required positional argument: '{key}'")
    return operands.values()


def _into(name: str, first: str, second: str) -> Callable[..., Tensor]:
    """``lerp_``, ``addcmul_`` and ``addcdiv_``: the optimizer's and the moving average's own steps."""
    op = BY_NAME[name]

    def run(
        self: Tensor, a: Any = None, b: Any = None, *older: Any, value: float = 1, **named: Any
    ) -> Tensor:
        if older:
            factors = factors_by_name(name + "_", (a, b, *older), ("value",), 2, value)
            return run(self, b, older[0], **factors)
        if named or b is None:
            a, b = _two_named(name, {first: a, second: b}, named)
        floats = (float(value),) if op.attributes else ()
        if type(b) is float and is_floating(self):
            b = number_tensor(b, self.dtype)
        try:
            slot = apply_three(op, self, a, b, floats, self._slot)
        except AttributeError:  # a number among them
            slot = BAD_DTYPE
        if slot < 0 and name == "addcmul" and not is_floating(self):
            return _any_addcmul_(self, a, b, value=value)
        self._become(slot if slot >= 0 else call(op, as_tensors(name, self, a, b), floats, self._slot))
        return self

    run.__name__ = run.__qualname__ = name + "_"
    run.__doc__ = f"``{name}`` in place."
    return run


Tensor.add_, Tensor.sub_, Tensor.mul_, Tensor.div_ = _add_, _sub_, _mul_, _div_
Tensor.floor_divide_, Tensor.remainder_, Tensor.pow_ = _floor_divide_, _remainder_, _pow_
Tensor.multiply_, Tensor.divide_, Tensor.subtract_, Tensor.true_divide_ = _mul_, _div_, _sub_, _div_
_float_fmod_, _any_fmod_ = two_operands_in_place("fmod"), in_place_of(fmod)


def _fmod_(self: Tensor, other: Any) -> Tensor:
    """``fmod`` in place."""
    return (_float_fmod_ if is_floating(self) else _any_fmod_)(self, other)


Tensor.fmod_ = _fmod_
_any_addcmul_ = in_place_of(addcmul)
Tensor.lerp_ = _into("lerp", "end", "weight")
Tensor.addcmul_, Tensor.addcdiv_ = (_into(name, "tensor1", "tensor2") for name in ("addcmul", "addcdiv"))


def _float_power_(self: Tensor, exponent: Any) -> Tensor:
    """``float_power`` in place, of a float64 tensor."""
    if self.dtype is not float64:
        raise RuntimeError(
            f"float_power_: the base has dtype {self.dtype.name} but the operation's result requires float64; "
            "use float_power without the underscore"
        )
    return _any_float_power_(self, exponent)


_any_float_power_ = in_place_of(float_power)
Tensor.float_power_ = _float_power_
