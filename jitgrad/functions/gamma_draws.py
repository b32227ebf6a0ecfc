"""Draws by parameters that tensors hold (gamma, Poisson, binomial), and incomplete gamma functions."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor, method, wrap
from ..dispatch import call
from ..dtypes import float64, int64
from ..kernels import BY_NAME
from ..store import store
from ._call import as_tensors, is_floating, require_tensors
from ._random import check_floating
from .expansion import broadcast_tensors
from .generator import Generator
from .random import randint

__all__ = ["binomial", "igamma", "igammac", "poisson"]

_LOG_GAMMA, _POISSON, _BINOMIAL = (BY_NAME[f"{name}_draw"] for name in ("log_gamma", "poisson", "binomial"))
_SEEDS = (-(1 << 63), (1 << 63) - 1)


def _drawn(op: Any, generator: Generator | None, *parameters: Tensor) -> Tensor:
    seeds = randint(*_SEEDS, parameters[0].shape, generator=generator, dtype=int64)
    return wrap(call(op, (*(x.contiguous() for x in parameters), seeds)))  # type: ignore[attr-defined]


def log_standard_gamma(alpha: Tensor, generator: Generator | None = None) -> Tensor:
    """Return the logarithms of gamma numbers of shape ``alpha`` and rate 1.

    Their gradient is the implicit one, along quantiles (Figurnov, Mohamed and Mnih, 2018). Small shapes give numbers
    that are zero in every floating format, but their logarithms are not lost.
    """
    return _drawn(_LOG_GAMMA, generator, alpha)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Return Poisson numbers; ``input`` holds the rate of each.

    Parameters
    ----------
    input : Tensor
        Not negative; of rates above 1e8 the numbers are rounded normal ones.
    generator : Generator, optional

    Raises
    ------
    RuntimeError
        If a rate is negative. A step that is being recorded cannot look at its rates: there such a number is nan.
    NotImplementedError
        If ``input`` is not floating.
    """
    require_tensors("poisson", input)
    if not is_floating(input):
        raise NotImplementedError(f"poisson: not implemented for {input.dtype}; expected float32 or float64")
    from ..autograd import no_grad

    with no_grad():
        if store.recording is None and bool((input < 0).any()):  # type: ignore[operator]
            raise RuntimeError("poisson: invalid Poisson rate, expected rate to be non-negative")
        return _drawn(_POISSON, generator, input)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Return how many of ``count`` trials succeed, each with the probability ``prob``.

    Parameters
    ----------
    count, prob : Tensor
        Of one floating dtype; they broadcast. Of variances above 1e8 the numbers are rounded normal ones.
    generator : Generator, optional

    Raises
    ------
    RuntimeError
        If a dtype is not floating or they differ, or the shapes do not broadcast.

    Notes
    -----
    Where a count is negative or a probability not from 0 to 1, the number is nan.
    """
    require_tensors("binomial", count, prob)
    check_floating("binomial", count)
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"binomial: expected count and prob of one dtype, got {count.dtype} and {prob.dtype}; "
            "convert one with .to()"
        )
    from ..autograd import no_grad

    with no_grad():
        return _drawn(_BINOMIAL, generator, *broadcast_tensors(count.floor(), prob))  # type: ignore[attr-defined]


def _incomplete(name: str, op_name: str, summary: str) -> Any:
    op = BY_NAME[op_name]

    def function(input: Tensor, other: Tensor) -> Tensor:
        require_tensors(name, input, other)
        pair = as_tensors(name, input, other)
        if not (is_floating(pair[0]) or is_floating(pair[1])):
            raise NotImplementedError(
                f"{name}: expected floating-point tensors, got {input.dtype} and {other.dtype}"
            )
        kind = (pair[0] if is_floating(pair[0]) else pair[1]).dtype
        if is_floating(pair[0]) and is_floating(pair[1]) and pair[0].dtype is not pair[1].dtype:
            kind = float64
        a, x = broadcast_tensors(*(t.to(kind) for t in pair))  # type: ignore[attr-defined]
        needs = a.requires_grad
        found = wrap(call(op, (a.detach().contiguous(), x.contiguous())))  # type: ignore[attr-defined]
        return _refusing(name, found, a) if needs else found

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    input : Tensor
        The shape a of the gamma distribution; it has no gradient, and going back to it is a NotImplementedError.
    other : Tensor
        Where; it broadcasts with ``input``.

    Raises
    ------
    NotImplementedError
        If neither is floating.
    """
    return method(function)


def _refusing(name: str, found: Tensor, a: Tensor) -> Tensor:
    from ..autograd import Function

    class Refused(Function):
        """A result without a gradient for one operand."""

        @staticmethod
        def forward(ctx: Any, found: Tensor, a: Tensor) -> Tensor:
            return found.clone()  # type: ignore[attr-defined]

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor) -> Any:
            if ctx.needs_input_grad[1]:
                raise NotImplementedError(
                    f"the derivative for 'input' of {name} is not implemented; detach it"
                )
            return cotangents[0], None

    return Refused.apply(found, a)


igamma = _incomplete(
    "igamma", "gammainc", "The regularised lower incomplete gamma function: the gamma distribution's."
)
igammac = _incomplete(
    "igammac", "gammaincc", "The regularised upper incomplete gamma function: 1 - `igamma`."
)
