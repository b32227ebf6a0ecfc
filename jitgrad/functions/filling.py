"""Filling tensors with random numbers in place: uniform, normal, exponential and whole ones, ones and zeros."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from .._tensor import Tensor, method
from ..dtypes import float64
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import INT32
from ..store import store
from ._random import (
    check_floating,
    check_std,
    float_words,
    overwrite,
    range_words,
    threshold_of,
    undrawn_if_refused,
)
from .creation import empty
from .draws import bernoulli
from .generator import Generator
from .random import INTEGERS, LARGEST, NORMAL, UNIFORM, rand, randn

# under the names that errors say
_BERNOULLI, _EXPONENTIAL = (
    replace(BY_NAME[f"random_{name}"], name=name) for name in ("bernoulli", "exponential")
)
RANGES = {0: 2, 1: 256, INT32: 1 << 31, 3: (1 << 63) - 1}  # one more than the greatest, by dtype code


@method
def uniform_(
    self: Tensor,
    from_: float = 0.0,
    to: float = 1.0,
    *,
    generator: Generator | None = None,
    **named: float,  # "from" is not a name in Python
) -> Tensor:
    """Fill with uniform numbers from [from, to), in place.

    Raises
    ------
    RuntimeError
        If ``from`` is greater than ``to``, or the dtype is not a floating one.
    """
    from_ = named.pop("from", from_)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument {next(iter(named))!r}")
    check_floating("uniform_", self)
    if not from_ <= to:
        raise RuntimeError(
            f"uniform_: expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    return overwrite(self, UNIFORM, generator, float_words(float(from_), float(to)))


@method
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers, in place.

    Raises
    ------
    RuntimeError
        If the deviation is negative, or the dtype is not a floating one.
    """
    check_floating("normal_", self)
    check_std("normal_", std)
    return overwrite(self, NORMAL, generator, float_words(float(mean), float(std)))


@method
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate ``lambd``, in place."""
    check_floating("exponential_", self)
    if not lambd > 0:
        raise RuntimeError(f"exponential_: expects lambda > 0.0, but found lambda={lambd}")
    return overwrite(self, _EXPONENTIAL, generator, float_words(float(lambd)))


@method
def random_(self: Tensor, *bounds: int, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with random integers, in place: ``random_()``, ``random_(to)`` or ``random_(from, to)``.

    Without bounds the integers are from 0 to the largest that the dtype holds exactly.
    """
    low = named.pop("from", bounds[0] if len(bounds) > 1 else 0)
    high = named.pop("to", bounds[-1] if bounds else None)
    if named or len(bounds) > 2:
        raise TypeError("random_(): expected random_(), random_(to) or random_(from, to)")
    code = store.slots[self._slot * SLOT_WORDS + S_DTYPE]
    if high is None:
        high = LARGEST[code] + 1 if code in LARGEST else RANGES[code]
    return overwrite(self, INTEGERS, generator, range_words("random_", int(low), int(high)))


@method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones, each with probability ``p``, and zeros, in place.

    Parameters
    ----------
    p : float or Tensor
        A tensor must broadcast to this one's shape.

    Raises
    ------
    RuntimeError
        If a probability is not between 0 and 1.
    """
    if isinstance(p, Tensor):
        expanded = p.detach().expand(self.shape)  # type: ignore[attr-defined]
        with undrawn_if_refused(generator):
            return self.copy_(bernoulli(expanded, generator=generator))  # type: ignore[attr-defined]
    return overwrite(self, _BERNOULLI, generator, (threshold_of("bernoulli_", p),))


@method
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the Cauchy distribution, in place.

    Raises
    ------
    RuntimeError
        If ``sigma`` is not positive, or the tensor is not floating.
    """
    check_floating("cauchy_", self)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_: expects sigma > 0.0, but found sigma={sigma}")
    with undrawn_if_refused(generator):
        turns = rand(self.shape, dtype=self.dtype, generator=generator)
        return self.copy_(median + sigma * ((turns - 0.5) * math.pi).tan())  # type: ignore[attr-defined]


@method
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithms are normal, in place.

    Raises
    ------
    RuntimeError
        If ``std`` is not positive, or the tensor is not floating.
    """
    check_floating("log_normal_", self)
    if not std > 0:
        raise RuntimeError(f"log_normal_: expects std > 0.0, but found std={std}")
    with undrawn_if_refused(generator):
        return self.copy_((mean + std * randn(self.shape, dtype=self.dtype, generator=generator)).exp())


@method
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with how many trials of success probability ``p`` it takes to succeed, in place.

    Raises
    ------
    RuntimeError
        If ``p`` is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: expects p to be in (0, 1), but got p={p}")
    with undrawn_if_refused(generator):
        times = empty(self.shape, dtype=float64).exponential_(generator=generator)
        return self.copy_((times / -math.log1p(-p)).ceil().clamp(min=1))  # type: ignore[attr-defined]
