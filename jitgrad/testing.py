"""``torch.testing.assert_close``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._tensor import Tensor
from .dtypes import float32, float64
from .functions import tensor

# relative and absolute tolerances by dtype; other dtypes have to be equal
TOLERANCES = {float32: (1.3e-6, 1e-5), float64: (1e-7, 1e-7)}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    check_stride: bool = False,
    msg: Any = None,
    **ignored: Any,
) -> None:
    """Assert that tensors, numbers, or sequences and mappings of them, are nearly the same.

    Each element has to fulfil ``|actual - expected| <= atol + rtol * |expected|``.

    Parameters
    ----------
    actual, expected
        What is compared.
    rtol, atol : float, optional
        Tolerances, both or none; by the dtype if not given: see `TOLERANCES`.
    equal_nan : bool
        Whether two nan are the same.
    check_dtype, check_stride : bool
        Whether dtypes and strides have to be equal, too.
    msg : str or callable, optional
        The message, or a function of it.
    **ignored
        ``check_device`` and ``check_layout``: there is one of each.

    Raises
    ------
    AssertionError
        If they differ.
    ValueError
        If only one tolerance is given.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: expected rtol and atol, or neither of them, got only one")
    found = _difference(actual, expected, (rtol, atol), equal_nan, (check_dtype, check_stride))
    if found is not None:
        raise AssertionError(msg(found) if callable(msg) else msg or found)


def _difference(a: Any, b: Any, tolerances: tuple, equal_nan: bool, checks: tuple[bool, bool]) -> str | None:
    """What is different, or None."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return f"The keys of the mappings do not match: {sorted(map(str, a))} and {sorted(map(str, b))}"
        pairs: list[tuple[Any, Any, Any]] = [(key, a[key], b[key]) for key in a]
    elif _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        pairs = [(k, x, y) for k, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return _of_tensors(_tensor(a), _tensor(b), tolerances, equal_nan, checks)
    for key, x, y in pairs:
        found = _difference(x, y, tolerances, equal_nan, checks)
        if found is not None:
            return f"{found}\n\nThe failure occurred for item [{key!r}]"
    return None


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else tensor(value)


def _of_tensors(
    a: Tensor, b: Tensor, tolerances: tuple, equal_nan: bool, checks: tuple[bool, bool]
) -> str | None:
    if a.shape != b.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
    if checks[0] and a.dtype is not b.dtype:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}."
    if checks[1] and a.stride() != b.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}."
    rtol, atol = tolerances
    if rtol is None:
        of_both = [TOLERANCES.get(x.dtype, (0.0, 0.0)) for x in (a, b)]
        rtol, atol = (max(pair) for pair in zip(*of_both, strict=True))
    return _of_arrays(a.numpy(), b.numpy(), rtol, atol, equal_nan)


def _of_arrays(a: np.ndarray, b: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> str | None:
    exact = rtol == atol == 0 and "f" not in a.dtype.kind + b.dtype.kind
    wrong = a != b if exact else ~np.isclose(a, b, rtol, atol, equal_nan)
    if not wrong.any():
        return None
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not a.ndim:
        return f"Scalars are not close!\n\nExpected {b} but got {a}."
    with np.errstate(all="ignore"):
        absolute = np.where(wrong, np.abs(a - b), 0)  # nan counts as the greatest of all
        relative = np.where(wrong, absolute / np.abs(b), 0)
    share = 100 * wrong.mean()
    lines = [f"Mismatched elements: {wrong.sum()} / {wrong.size} ({share:.1f}%)"]
    for name, values, allowed in (("absolute", absolute, atol), ("relative", relative, rtol)):
        place = tuple(int(k) for k in np.unravel_index(np.argmax(values), values.shape))
        lines.append(
            f"Greatest {name} difference: {values[place]} at index {place} (up to {allowed} allowed)"
        )
    return "Tensor-likes are not close!\n\n" + "\n".join(lines)
