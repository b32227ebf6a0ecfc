"""Activations as modules; the formulas stand with their twins in `functional`.

Each class calls its kernel directly, without the detour through the functional twin.
"""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ..user_frames import warn
from . import functional as F
from ._calls import call_with_one
from .module import Module


class _InPlace(Module):
    """The base of activations whose only option is to overwrite the input.

    Parameters
    ----------
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """Return ``max(x, 0)``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.relu_(input) if self.inplace else T.relu(input)


class ReLU6(_InPlace):
    """Return ``min(max(x, 0), 6)``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, True) if self.inplace else T.relu6(input)


class SELU(_InPlace):
    """See `functional.selu`; with ``inplace=True`` the result is in the input's memory."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.selu_(input) if self.inplace else T.selu(input)


class SiLU(_InPlace):
    """Return ``x * sigmoid(x)``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, True) if self.inplace else T.silu(input)


class Mish(_InPlace):
    """Return ``x * tanh(softplus(x))``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, True) if self.inplace else T.mish(input)


class Hardswish(_InPlace):
    """Return ``x * relu6(x + 3) / 6``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def extra_repr(self) -> str:
        return ""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, True) if self.inplace else T.hardswish(input)


class Hardsigmoid(_InPlace):
    """Return ``relu6(x + 3) / 6``; with ``inplace=True`` in the input's memory."""

    __call__ = call_with_one

    def extra_repr(self) -> str:
        return ""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, True) if self.inplace else T.hardsigmoid(input)


class LeakyReLU(Module):
    """Return ``x`` where it is positive and ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.01
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if self.inplace:
            return F.leaky_relu_(input, self.negative_slope)
        return T.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{_inplace_text(self)}"


class ELU(Module):
    """Return ``x`` where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.elu_(input, self.alpha) if self.inplace else T.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_inplace_text(self)}"


class CELU(Module):
    """Return ``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)``.

    Parameters
    ----------
    alpha : float, default 1.0
        Not 0.
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{_inplace_text(self)}"


class GELU(Module):
    """Return ``x * Phi(x)``, Phi being the normal distribution function.

    Parameters
    ----------
    approximate : {'none', 'tanh'}
        Exact with erf, or with the tanh formula.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """Return ``log(1 + exp(beta * x)) / beta``.

    Parameters
    ----------
    beta : float, default 1.0
    threshold : float, default 20.0
        Where ``beta * x`` is above this the result is ``x``.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """Return ``x / (1 + |x|)``."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.softsign(input)


class Tanh(Module):
    """Return the hyperbolic tangent."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.tanh(input)


class Sigmoid(Module):
    """Return ``1 / (1 + exp(-x))``."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.sigmoid(input)


class LogSigmoid(Module):
    """Return ``log(sigmoid(x))``, computed so that it never overflows."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.logsigmoid(input)


class Hardtanh(Module):
    """Return ``x`` held between two values.

    Parameters
    ----------
    min_val, max_val : float, default -1.0 and 1.0
    inplace : bool, default False
        Write the result into the input.
    min_value, max_value : float, optional
        PyTorch's deprecated names of the bounds.

    Raises
    ------
    AssertionError
        If ``max_val`` is not greater than ``min_val``.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.min_val = _renamed("min_value", "min_val", min_value, min_val)
        self.max_val = _renamed("max_value", "max_val", max_value, max_val)
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise AssertionError(
                f"Hardtanh: max_val ({self.max_val}) must be greater than min_val ({self.min_val})"
            )

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if self.inplace:
            return F.hardtanh_(input, self.min_val, self.max_val)
        return T.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{_inplace_text(self)}"


class Threshold(Module):
    """Return ``x`` where it is greater than ``threshold`` and ``value`` elsewhere.

    Parameters
    ----------
    threshold, value : float
    inplace : bool, default False
        Write the result into the input.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if self.inplace:
            return F.threshold_(input, self.threshold, self.value)
        return T.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}{_inplace_text(self)}"


class Tanhshrink(Module):
    """Return ``x - tanh(x)``."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class _Shrink(Module):
    """The base of the two activations that have one threshold.

    Parameters
    ----------
    lambd : float, default 0.5
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """Return 0 from ``-lambd`` to ``lambd`` and ``x`` elsewhere."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """Return ``x`` moved towards 0 by ``lambd``, stopping at 0."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


def _inplace_text(module: Module) -> str:
    return ", inplace=True" if module.inplace else ""


def _renamed(old: str, new: str, given: float | None, value: float) -> float:
    """Prefer a bound given under its old name, with PyTorch's warning."""
    if given is None:
        return value
    warn(f"keyword argument `{old}` is deprecated and renamed to `{new}`", FutureWarning)
    return given
