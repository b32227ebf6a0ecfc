"""New random tensors: uniform, normal and whole numbers, and permutations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from .._tensor import Tensor
from ..dtypes import check_device, check_layout, dtype, int64, to_dtype
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..kernels.table import Op
from ._call import require_tensors
from ._checks import within
from ._dims import sizes_of
from ._out import make_out
from ._random import check_std, float_words, floating_dtype, make_random, range_words
from .generator import Generator

__all__ = ["normal", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm"]

# under the names that scripts know, for errors
UNIFORM, NORMAL, INTEGERS, PERMUTATION = (
    replace(BY_NAME[own], name=name)
    for own, name in (
        ("random_uniform", "uniform"),
        ("random_normal", "normal"),
        ("random_integers", "random"),
        ("random_permutation", "randperm"),
    )
)
_check_stds = within(0.0, math.inf, RuntimeError, "normal: expects all elements of std >= 0.0", nan_as=-1.0)
LARGEST = {4: 1 << 24, 5: 1 << 53}  # floating integers up to here are exact, by dtype code


def _drawn_into(
    name: str, op: Op, generator: Any, sizes: Any, words: Any, out: Any, kind: Any, requires_grad: bool
) -> Tensor:
    """`make_random` into the tensor of a caller, in its dtype."""

    def make(own: dtype) -> Tensor:
        fitting = own if op is INTEGERS else floating_dtype(name, own)
        return make_random(op, generator, fitting, sizes, words)

    return make_out(name, make, out, kind, requires_grad)


# floating numbers -------------------------------------------------------------------------------------------


def _maker(name: str, op: Op, summary: str) -> Callable[..., Tensor]:
    words = float_words(0.0, 1.0)

    def function(
        *args: Any,
        size: Any = None,
        generator: Generator | None = None,
        dtype: dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        out: Any = None,
    ) -> Tensor:
        if device is not None:
            check_device(device)
        sizes = sizes_of(args, name, "size", size)
        if out is not None:
            return _drawn_into(name, op, generator, sizes, words, out, dtype, requires_grad)
        return make_random(op, generator, floating_dtype(name, dtype), sizes, words, requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    *args : int or one sequence of int
    size : sequence of int, optional
        The shape, given by name.
    generator : Generator, optional
        The default generator if left out.
    dtype : dtype, optional
        A floating one.
    out : Tensor, optional
        Takes the numbers, in its own dtype, and is returned.

    Raises
    ------
    RuntimeError
        If a size is negative or the dtype is not a floating one.
    """
    return function


rand = _maker("rand", UNIFORM, "Return uniform numbers from [0, 1).")
randn = _maker("randn", NORMAL, "Return normal numbers of mean 0 and deviation 1.")


def _like(name: str, op: Op, what: str) -> Callable[..., Tensor]:
    words = float_words(0.0, 1.0)

    def function(
        input: Tensor,
        *,
        generator: Generator | None = None,
        dtype: dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        layout: Any = None,
        memory_format: Any = None,
    ) -> Tensor:
        require_tensors(name, input)
        check_layout(name, layout)
        if device is not None:
            check_device(device)
        kind = floating_dtype(name, input.dtype if dtype is None else dtype)
        return make_random(op, generator, kind, entries.sizes(input), words, requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return {what}, in the shape and dtype of ``input``."
    return function


rand_like = _like("rand_like", UNIFORM, "uniform numbers from [0, 1)")
randn_like = _like("randn_like", NORMAL, "normal numbers of mean 0 and deviation 1")


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return normal numbers of the given mean and deviation, which may be tensors.

    Parameters
    ----------
    mean, std : float or Tensor
        Tensors broadcast, and give the shape.
    size : sequence of int
        The shape when both are numbers.
    out : Tensor, optional
        Takes the numbers and is returned.

    Raises
    ------
    RuntimeError
        If the deviation is negative.
    """
    if out is not None:
        make = partial(normal, mean, std, size, generator=generator)
        return make_out("normal", lambda own: make(dtype=own), out, dtype, requires_grad)
    if not isinstance(std, Tensor):
        check_std("normal", std)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): two numbers need a size: normal(mean, std, size)")
        kind = floating_dtype("normal", dtype)
        words = float_words(float(mean), float(std))
        return make_random(NORMAL, generator, kind, sizes_of((size,), "normal", "size"), words, requires_grad)
    from ..autograd import no_grad

    with no_grad():
        if isinstance(std, Tensor):
            _check_stds(std)
        shape = (mean + std).shape
        tensor = mean if isinstance(mean, Tensor) else std
        return randn(shape, generator=generator, dtype=tensor.dtype) * std + mean


# whole numbers ----------------------------------------------------------------------------------------------


def randint(
    low: int = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
) -> Tensor:
    """Return integers from ``low`` up to but not including ``high``.

    Parameters
    ----------
    low : int, default 0
        May be left out: ``randint(high, size)``.
    high : int
    size : sequence of int
    generator : Generator, optional
    dtype : dtype, default int64, or that of `out`
    out : Tensor, optional
        Takes the numbers and is returned.

    Raises
    ------
    RuntimeError
        If there is no integer in the range.
    """
    if size is None:
        low, high, size = 0, low, high
    if size is None or not hasattr(high, "__index__"):
        raise TypeError("randint(): expected randint(high, size) or randint(low, high, size)")
    if device is not None:
        check_device(device)
    words = range_words("randint", int(low), int(high))
    sizes = sizes_of((size,), "randint", "size")
    if out is not None:
        return _drawn_into("randint", INTEGERS, generator, sizes, words, out, dtype, requires_grad)
    kind = int64 if dtype is None else to_dtype(dtype, "randint")
    return make_random(INTEGERS, generator, kind, sizes, words, requires_grad)


def randint_like(
    input: Tensor,
    low: int = 0,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    layout: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """Return integers from ``low`` (default 0) up to ``high``, in the shape and dtype of ``input``."""
    require_tensors("randint_like", input)
    check_layout("randint_like", layout)
    if high is None and not low:
        raise TypeError(
            "randint_like(): expected randint_like(input, high) or randint_like(input, low, high)"
        )
    low, high = (0, low) if high is None else (low, high)
    kind = input.dtype if dtype is None else to_dtype(dtype, "randint_like")
    return randint(
        low, high, input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad
    )


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    out: Any = None,
) -> Tensor:
    """Return the integers from 0 to ``n - 1`` in random order; `out` takes them in its dtype.

    Raises
    ------
    RuntimeError
        If ``n`` is negative or too large for the dtype.
    """
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    if device is not None:
        check_device(device)
    if out is not None:
        make = partial(randperm, n, generator=generator)
        return make_out("randperm", lambda own: make(dtype=own), out, dtype, requires_grad)
    kind = int64 if dtype is None else to_dtype(dtype, "randperm")
    if kind.code not in PERMUTATION.dtypes:
        return randperm(n, generator=generator).to(kind)  # type: ignore[attr-defined]
    if n > LARGEST.get(kind.code, n):
        raise RuntimeError(f"randperm: n is too large for result tensor type {kind.name}: {n}")
    return make_random(PERMUTATION, generator, kind, (int(n),), (), requires_grad)
