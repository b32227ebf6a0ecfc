"""First values of parameters. Every function fills the tensor in place, unrecorded, and returns it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import float64
from jitgrad.user_frames import warn

_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,  # PyTorch's: found by experiment, see its pull request 50664
    **{f"conv{transposed}{d}d": 1.0 for transposed in ("", "_transpose") for d in (1, 2, 3)},
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : str
        linear, sigmoid, tanh, relu, leaky_relu, selu or a convolution's name.
    param : float, optional
        The negative slope of leaky_relu, 0.01 by default.

    Raises
    ------
    ValueError
        If the nonlinearity is not one of these or the slope is not a number.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: unsupported nonlinearity {nonlinearity}; take one of "
            f"{', '.join([*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


_skipped: ContextVar[bool] = ContextVar("skipped", default=False)


@contextmanager
def skipped() -> Iterator[None]:
    """Have the functions of this file leave tensors as they are, for modules that somebody else will fill."""
    before = _skipped.set(True)
    try:
        yield
    finally:
        _skipped.reset(before)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn uniformly from ``a`` to ``b``."""
    if _skipped.get():
        return tensor
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with numbers drawn from the normal distribution."""
    if _skipped.get():
        return tensor
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    if _skipped.get():
        return tensor
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Write ones on the diagonal and zeros elsewhere.

    Raises
    ------
    ValueError
        If the tensor has not 2 dimensions.
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: only tensors with 2 dimensions are supported, got {tensor.ndim}")
    if _skipped.get():
        return tensor
    with no_grad():
        return tensor.copy_(T.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a convolution's weight pass its channels on, as many as it has: ones in the middle, zeros elsewhere.

    Parameters
    ----------
    tensor : Tensor, shape (out_channels, in_channels, ...) with 1 to 3 more dimensions
    groups : int
        Of the convolution; each passes its first channels on.

    Raises
    ------
    ValueError
        If the tensor has not 3 to 5 dimensions, or its channels do not make so many groups.
    """
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"dirac_: only tensors with 3, 4, or 5 dimensions are supported, got {tensor.ndim}")
    outputs, inputs, *sizes = tensor.shape
    if outputs % groups:
        raise ValueError(
            f"dirac_: expected a first dimension that is divisible by groups={groups}, got {outputs}"
        )
    middle = tuple(size // 2 for size in sizes)
    each = outputs // groups
    if _skipped.get():
        return tensor
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(each, inputs)):
                tensor[(group * each + channel, channel, *middle)] = 1
    return tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill with numbers drawn from the normal distribution, given that they lie from ``a`` to ``b``.

    The bounds are values, not multiples of ``std``. A number drawn uniformly between the
    distribution function's values at the bounds is mapped back by its inverse.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warn(
            "trunc_normal_: mean is more than 2 std from [a, b]; the distribution of values may be incorrect",
            UserWarning,
        )
    if _skipped.get():
        return tensor
    with no_grad():
        low, high = (math.erf((bound - mean) / (std * math.sqrt(2.0))) for bound in (a, b))
        # clamped, because erf is 1 in floating point from 6 on
        places = T.empty(tuple(tensor.shape), dtype=float64)
        places.uniform_(low, high, generator=generator).clamp_(-1 + 2**-52, 1 - 2**-53)
        values = _inverse_erf(places) * (std * math.sqrt(2.0)) + mean
        return tensor.copy_(values.clamp(a, b))


def _inverse_erf(y: Tensor) -> Tensor:
    """Solve ``erf(x) = y`` in float64.

    Winitzki's closed formula (2008) is right to 0.2 %; each of Halley's steps then triples the
    number of right digits.
    """
    a = 0.147
    log = T.log((1 - y) * (1 + y))
    first = log / 2 + 2 / (math.pi * a)
    x = T.sign(y) * T.sqrt(T.sqrt(first * first - log / a) - first)
    for _ in range(2):
        newton = (T.erf(x) - y) * T.exp(x * x) * (math.sqrt(math.pi) / 2)
        x = x - newton / (1 + x * newton)
    return x


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output has and how many outputs an input has; layers of one's own ask for it, too."""
    if tensor.ndim < 2:
        raise ValueError(
            "fan in and fan out cannot be computed for a tensor with fewer than 2 dimensions, "
            f"got {tensor.ndim}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill uniformly within ``gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio, 2010).

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.
    """
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Fill with normal numbers of deviation ``gain * sqrt(2 / (fan_in + fan_out))``.

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor))), generator)


def _fan_of_mode(mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode {mode} not supported, please use one of fan_in, fan_out")
    return int(mode == "fan_out")


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """Return the fan of a mode, ``fan_in`` or ``fan_out``."""
    return _calculate_fan_in_and_fan_out(tensor)[_fan_of_mode(mode)]


def _kaiming_deviation(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """Return ``gain / sqrt(fan)``, or None (with a warning) for a tensor without elements."""
    choose = _fan_of_mode(mode)
    if 0 in tensor.shape:
        warn("Initializing zero-element tensors is a no-op", UserWarning)
        return None
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_fan_in_and_fan_out(tensor)[choose])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill uniformly within ``gain * sqrt(3 / fan)`` (He et al., 2015).

    Parameters
    ----------
    tensor : Tensor
    a : float, default 0
        The negative slope of the leaky ReLU that follows.
    mode : {'fan_in', 'fan_out'}
        Keep the variance of the forward or of the backward pass.
    nonlinearity : str, default 'leaky_relu'
        For `calculate_gain`.
    generator : Generator, optional

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions, or mode or nonlinearity are unknown.
    """
    deviation = _kaiming_deviation(tensor, a, mode, nonlinearity)
    if deviation is None:
        return tensor
    bound = math.sqrt(3.0) * deviation
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Fill with normal numbers of deviation ``gain / sqrt(fan)``; see `kaiming_uniform_`."""
    deviation = _kaiming_deviation(tensor, a, mode, nonlinearity)
    return tensor if deviation is None else normal_(tensor, 0.0, deviation, generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix times ``gain`` (Saxe et al., 2013).

    Dimensions after the first count as one. The matrix is the Q of a random normal matrix, with
    signs chosen so that every orthogonal matrix is equally likely (Mezzadri, 2007).

    Raises
    ------
    ValueError
        If the tensor has fewer than 2 dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_: only tensors with 2 or more dimensions are supported, got {tensor.ndim}"
        )
    if tensor.numel() == 0:
        return tensor
    import numpy as np

    if _skipped.get():
        return tensor
    with no_grad():
        rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
        shape = (max(rows, columns), min(rows, columns))
        draw = T.empty(shape, dtype=float64).normal_(0.0, 1.0, generator=generator)
        q, r = np.linalg.qr(draw.numpy())
        q *= np.sign(np.diagonal(r))
        matrix = np.ascontiguousarray(q.T if rows < columns else q)
        return tensor.copy_(T.from_numpy(matrix).reshape(tuple(tensor.shape))).mul_(gain)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill with normal numbers, then zero a fraction of every column (Martens, 2010).

    Parameters
    ----------
    tensor : Tensor, 2 dimensions
    sparsity : float
        The fraction of each column that becomes 0, rounded up.
    std : float, default 0.01
    generator : Generator, optional

    Raises
    ------
    ValueError
        If the tensor has not 2 dimensions.
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: only tensors with 2 dimensions are supported, got {tensor.ndim}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    if _skipped.get():
        return tensor
    with no_grad():
        tensor.normal_(0.0, std, generator=generator)
        for column in range(columns):
            tensor[T.randperm(rows, generator=generator)[:zeros], column] = 0
    return tensor


def __getattr__(name: str) -> Any:
    """The names without an underscore at their end, which PyTorch still has: they warn."""
    function = globals().get(f"{name}_")
    if name.startswith("_") or name == "trunc_normal" or function is None:
        raise AttributeError(f"module 'jitgrad.nn.init' has no attribute '{name}'")

    def older(*args: Any, **options: Any) -> Any:
        warn(f"nn.init.{name} is the older name of nn.init.{name}_; call that", FutureWarning)
        return function(*args, **options)

    return older
