"""Numbers in a row, and the identity matrix."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dispatch import CONTEXT
from ..dtypes import check_layout, get_default_dtype, int64, to_dtype
from ..engine.entry import entries
from ._out import make_out
from .creation import dtype_or_default, finish
from .from_data import from_array

__all__ = ["arange", "eye", "linspace", "logspace"]  # fmt: skip


def arange(*bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
           layout: Any = None, pin_memory: bool = False, **named: Any) -> Tensor:  # fmt: skip
    """Numbers from `start` up to but not including `end`, `step` apart.

    Parameters
    ----------
    *bounds : number
        ``end``, ``start, end`` or ``start, end, step``, also by name; they start at 0, and are 1 apart by default.
    dtype : dtype, optional
        By default int64 where all bounds are whole numbers, else that of `get_default_dtype`.

    Returns
    -------
    Tensor, shape (ceil((end - start) / step),)

    Raises
    ------
    RuntimeError
        When the step is zero or leads away from the end, or a bound is not finite.
    """
    if layout is not None:
        check_layout("arange", layout)
    if out is not None:
        return make_out(
            "arange",
            lambda kind: arange(*bounds, dtype=kind, device=device, **named),
            out,
            dtype,
            requires_grad,
        )
    start, end, step = 0, None, 1
    if len(bounds) == 1:
        end = bounds[0]
    elif bounds:
        start, end, step = (*bounds, 1)[:3]
    if named:
        start, end, step = named.pop("start", start), named.pop("end", end), named.pop("step", step)
    if end is None or named or len(bounds) > 3:
        raise TypeError("arange(): expected (end), (start, end) or (start, end, step)")
    whole = type(start) is int and type(end) is int and type(step) is int
    if not whole:
        start, end, step = (x.item() if isinstance(x, np.generic | Tensor) else x for x in (start, end, step))
        whole = all(isinstance(x, int) for x in (start, end, step))
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(
            "arange: upper bound and lower bound inconsistent with step sign: "
            f"start {start}, end {end}, step {step}"
        )
    kind = (int64 if whole else get_default_dtype()) if dtype is None else to_dtype(dtype, "arange")
    if whole:
        values = np.arange(start, end, step, dtype=np.int64)
    else:
        if not all(math.isfinite(x) for x in (start, end)):
            raise RuntimeError(f"arange: unsupported range: {start} -> {end}")
        values = start + step * np.arange(math.ceil((end - start) / step), dtype=np.float64)
    return finish(from_array(values, kind), requires_grad, device)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False, out: Any = None, layout: Any = None) -> Tensor:  # fmt: skip
    """Numbers evenly spaced from `start` to `end`, both included exactly.

    Parameters
    ----------
    start, end : float
    steps : int
        How many numbers.
    dtype : dtype, optional
        By default that of `get_default_dtype`.

    Returns
    -------
    Tensor, shape (steps,)

    Raises
    ------
    RuntimeError
        When `steps` is negative.
    """
    if layout is not None:
        check_layout("linspace", layout)
    if out is not None:
        return make_out(
            "linspace",
            lambda kind: linspace(start, end, steps, dtype=kind, device=device),
            out,
            dtype,
            requires_grad,
        )
    if steps < 0:
        raise RuntimeError(f"linspace: number of steps must be non-negative, got {steps}")
    start, end, kind = float(start), float(end), dtype_or_default(dtype, "linspace")
    if kind.is_floating_point and type(steps) is int:
        step = (end - start) / (steps - 1) if steps > 1 else 0.0
        made = entries.spaced(CONTEXT, kind.code, start, step, end, steps)
        if type(made) is not int:
            return finish(made, requires_grad, device)
    return finish(from_array(_spaced(start, end, steps), kind), requires_grad, device)


def _spaced(start: float, end: float, steps: int) -> np.ndarray:
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    distances = step * np.arange(steps, dtype=np.float64)
    values = start + distances
    # counted from the nearer end, so that both ends are exact
    late = steps // 2
    values[steps - late :] = end - distances[:late][::-1]
    return values


def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None,
             device: Any = None, requires_grad: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """``base`` to the powers that `linspace` gives."""
    if out is not None:
        make = partial(logspace, start, end, steps, base, device=device)
        return make_out("logspace", lambda kind: make(dtype=kind), out, dtype, requires_grad)
    if steps < 0:
        raise RuntimeError(f"logspace: number of steps must be non-negative, got {steps}")
    values = float(base) ** _spaced(float(start), float(end), steps)
    return finish(from_array(values, dtype_or_default(dtype, "logspace")), requires_grad, device)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
        out: Any = None, layout: Any = None) -> Tensor:  # fmt: skip
    """Ones on the diagonal, zeros elsewhere.

    Parameters
    ----------
    n : int
        Rows.
    m : int, optional
        Columns; by default as many.

    Returns
    -------
    Tensor, shape (n, m)

    Raises
    ------
    RuntimeError
        When a size is negative.
    """
    if layout is not None:
        check_layout("eye", layout)
    if out is not None:
        return make_out("eye", lambda kind: eye(n, m, dtype=kind, device=device), out, dtype, requires_grad)
    columns = n if m is None else m
    if n < 0 or columns < 0:
        raise RuntimeError(f"eye: sizes must be greater or equal to 0, got {n} and {columns}")
    kind = dtype_or_default(dtype, "eye")
    return finish(from_array(np.eye(n, columns, dtype=kind.numpy), kind), requires_grad, device)
