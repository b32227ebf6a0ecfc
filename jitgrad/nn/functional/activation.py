"""Activation functions.

Most are one kernel each in the op table; this file gives them PyTorch's signatures. The others are
written on tensors: `glu`, `prelu`, `softmin` and `tanhshrink`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor, method, wrap
from jitgrad.functions._call import apply_floats, is_floating, require_tensors
from jitgrad.functions._dims import one_dim, shape_of
from jitgrad.kernels import BY_NAME
from jitgrad.user_frames import warn

_HARDSHRINK, _SOFTSHRINK = BY_NAME["hardshrink"], BY_NAME["softshrink"]


def overwrite(input: Tensor, function: Callable[..., Tensor], *options: Any) -> Tensor:
    """Put ``function(input)`` into ``input``; the clone keeps what backward needs to see."""
    require_tensors(function.__name__ + "_", input)
    return input.copy_(function(input.clone(), *options))


def relu_(input: Tensor) -> Tensor:
    """Apply `relu` in place."""
    return overwrite(input, T.relu)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(x, 0)``."""
    return relu_(input) if inplace else T.relu(input)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Apply `leaky_relu` in place."""
    return overwrite(input, T.leaky_relu, negative_slope)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return ``x`` where it is positive and ``negative_slope * x`` elsewhere."""
    if inplace:
        return leaky_relu_(input, negative_slope)
    return T.leaky_relu(input, negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return ``x`` where it is positive and ``weight * x`` elsewhere.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...) or (C,) with one weight
    weight : Tensor, shape () or (1,) or (C,)
        One slope for all, or one for each channel (dimension 1).

    Raises
    ------
    RuntimeError
        If the number of slopes is neither 1 nor the number of channels.
    """
    require_tensors("prelu", input, weight)
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: expected a scalar or 1D weight, got ndim = {weight.ndim}")
    slopes = weight.numel()
    if slopes != 1:
        if input.ndim == 0:
            raise RuntimeError(f"prelu: a 0-dim input takes one weight, got {slopes}")
        channels = input.shape[1] if input.ndim > 1 else 1
        if slopes != channels:
            raise RuntimeError(
                f"prelu: number of weights and of channels differ: {slopes} and {channels} "
                "(channels are dimension 1 of the input)"
            )
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2))
    elif input.ndim == 0:
        weight = weight.reshape(())
    return T.prelu(input, weight)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Apply `elu` in place."""
    return overwrite(input, T.elu, alpha)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``x`` where it is positive and ``alpha * (exp(x) - 1)`` elsewhere."""
    return elu_(input, alpha) if inplace else T.elu(input, alpha)


def selu_(input: Tensor) -> Tensor:
    """Apply `selu` in place."""
    return overwrite(input, T.selu)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return the self-normalising ELU of Klambauer et al. (2017)."""
    return selu_(input) if inplace else T.selu(input)


def _check_celu(alpha: float) -> None:
    if alpha == 0:
        raise RuntimeError("celu: alpha cannot be 0; use relu for the limit")


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Apply `celu` in place."""
    _check_celu(alpha)
    return overwrite(input, T.celu, alpha)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)`` (Barron, 2017).

    Raises
    ------
    RuntimeError
        If ``alpha`` is 0.
    """
    if inplace:
        return celu_(input, alpha)
    _check_celu(alpha)
    return T.celu(input, alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return ``x * Phi(x)``, Phi being the normal distribution function.

    Parameters
    ----------
    input : Tensor
    approximate : {'none', 'tanh'}
        Exact with erf, or with the tanh formula of Hendrycks and Gimpel (2016).

    Raises
    ------
    RuntimeError
        If ``approximate`` is something else.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either 'none' or 'tanh', got {approximate!r}")
    return T.gelu(input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``x * sigmoid(x)``."""
    return overwrite(input, T.silu) if inplace else T.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``x * tanh(softplus(x))`` (Misra, 2019)."""
    return overwrite(input, T.mish) if inplace else T.mish(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x > threshold``."""
    return T.softplus(input, beta, threshold)


def softsign(input: Tensor) -> Tensor:
    """Return ``x / (1 + |x|)``."""
    return T.softsign(input)


def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return T.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``."""
    return T.sigmoid(input)


def logsigmoid(input: Tensor) -> Tensor:
    """Return ``log(sigmoid(x))``, computed so that it never overflows."""
    return T.logsigmoid(input)


def _check_hardtanh(min_val: float, max_val: float) -> None:
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} cannot be greater than max_val {max_val}")


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Apply `hardtanh` in place."""
    _check_hardtanh(min_val, max_val)
    return overwrite(input, T.hardtanh, min_val, max_val)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return ``x`` held between two values; the gradient is 0 from the bounds on.

    Raises
    ------
    ValueError
        If ``min_val`` is greater than ``max_val``.
    """
    if inplace:
        return hardtanh_(input, min_val, max_val)
    _check_hardtanh(min_val, max_val)
    return T.hardtanh(input, min_val, max_val)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``min(max(x, 0), 6)``."""
    return overwrite(input, T.relu6) if inplace else T.relu6(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``x * relu6(x + 3) / 6``."""
    return overwrite(input, T.hardswish) if inplace else T.hardswish(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``relu6(x + 3) / 6``."""
    return overwrite(input, T.hardsigmoid) if inplace else T.hardsigmoid(input)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """Apply `threshold` in place."""
    return overwrite(input, T.threshold, threshold, value)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """Return ``x`` where it is greater than ``threshold`` and ``value`` elsewhere."""
    if inplace:
        return threshold_(input, threshold, value)
    return T.threshold(input, threshold, value)


def tanhshrink(input: Tensor) -> Tensor:
    """Return ``x - tanh(x)``."""
    return input - T.tanh(input)


@method
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return 0 from ``-lambd`` to ``lambd`` and ``x`` elsewhere."""
    require_tensors("hardshrink", input)
    if is_floating(input):
        return wrap(apply_floats(_HARDSHRINK, input, (float(lambd),)))
    return input.masked_fill((input >= -lambd) & (input <= lambd), 0.0)  # type: ignore[attr-defined]


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """Return ``x`` moved towards 0 by ``lambd``, stopping at 0.

    Raises
    ------
    RuntimeError
        If ``lambd`` is negative.
    """
    require_tensors("softshrink", input)
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must be greater or equal to 0, got {lambd}")
    if is_floating(input):
        return wrap(apply_floats(_SOFTSHRINK, input, (float(lambd),)))
    return input - input.clamp(-lambd, lambd)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Return ``a * sigmoid(b)``, where ``a`` and ``b`` are the two halves of the input.

    Parameters
    ----------
    input : Tensor, shape (..., 2 * H, ...)
    dim : int, default -1
        The dimension to halve.

    Raises
    ------
    RuntimeError
        If the size of that dimension is odd, or the input has no dimension.
    IndexError
        If there is no dimension ``dim``.
    """
    require_tensors("glu", input)
    own = shape_of(input)
    if not own:
        raise RuntimeError("glu: a 0-dim tensor cannot be halved")
    size = own[one_dim(dim, len(own), "glu")]
    if size % 2:
        raise RuntimeError(f"glu: halving dimension must be even, but dimension {dim} is size {size}")
    half = size // 2
    return T.narrow(input, dim, 0, half) * T.sigmoid(T.narrow(input, dim, half, half))


def _default_dim(name: str, ndim: int) -> int:
    warn(f"{name}: implicit dimension choice has been deprecated; pass dim=X as an argument", UserWarning)
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return ``exp(x)`` divided by its sum along ``dim``.

    Parameters
    ----------
    input : Tensor
    dim : int
        The dimension along which the result sums to 1. Leaving it out is deprecated.
    dtype : dtype, optional
        Convert the input to this first.
    """
    if dim is None:
        dim = _default_dim("softmax", input.ndim)
    return T.softmax(input if dtype is None else input.to(dtype), dim)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return ``log(softmax(x))``, computed so that it never overflows; see `softmax`."""
    if dim is None:
        dim = _default_dim("log_softmax", input.ndim)
    return T.log_softmax(input if dtype is None else input.to(dtype), dim)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Return ``softmax(-x)``; see `softmax`."""
    require_tensors("softmin", input)
    if dim is None:
        dim = _default_dim("softmin", input.ndim)
    return T.softmax(-(input if dtype is None else input.to(dtype)), dim)
