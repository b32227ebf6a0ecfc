"""Compile a formula on staged vectors as an elementwise kernel and call it on NumPy arrays.

sine = kernel(vector_math.sin, "float32")
sine(np.linspace(0, 1, 100, dtype=np.float32))
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np

from jitgrad.kernels import abi, compiler
from jitgrad.kernels.host import host
from jitgrad.kernels.stage import I64, Scope, new_kernel, new_module

EXTENDED = np.finfo(np.longdouble).nmant >= 63  # whether NumPy has a wider type than float64
FLOATS = ("float32", "float64")
SPECIAL = [0.0, 1.0, 0.5, 2.0, 3.0, 10.0, 100.0, 1e5, 1e9, 1e30, math.inf]

_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_serial = itertools.count()


@functools.cache
def kernel(
    formula: Callable, *inputs: str, output: str | None = None, lanes: int | None = None
) -> Callable[..., np.ndarray]:
    """Compile `formula` as a loop over contiguous arrays, once for the same arguments.

    Parameters
    ----------
    formula : callable
        Called with one `Vec` for each input; returns the output `Vec`.
    *inputs : str
        Dtypes of the inputs, by name.
    output : str, optional
        Dtype of the output: the first input's if not given.
    lanes : int, optional
        Lanes of the vectors; by default one register of the widest input. The elements that are left over
        at the end of the arrays go through the same formula with one lane.

    Returns
    -------
    callable
        Takes arrays (or numbers, which are repeated) and returns the array of results. Its attribute
        ``run(numel, *addresses)`` calls the kernel itself, output first.
    """
    dtypes = [abi.DTYPE_NAMES.index(name) for name in (output or inputs[0], *inputs)]
    width = lanes or host().lanes(max(abi.ITEM_SIZES[d] for d in dtypes[1:]))
    name = f"harness_{next(_serial)}"
    # formulas of tests are no part of the cache's key, so they are compiled anew each time
    with mock.patch.dict(os.environ, {"JITGRAD_CACHE": "off"}):
        call = _CALL(compiler.native(name, lambda: _build(name, formula, dtypes, width)))

    def run(numel: int, *addresses: int) -> None:
        record = np.array([numel, *addresses], dtype=np.int64)
        call(record.ctypes.data, 0, 1)

    def apply(*arrays: np.ndarray) -> np.ndarray:
        wanted = [abi.NUMPY_DTYPES[d] for d in dtypes]
        whole = np.broadcast_arrays(*arrays)
        whole = [np.ascontiguousarray(a, dtype=t) for a, t in zip(whole, wanted[1:], strict=True)]
        result = np.empty(whole[0].shape, wanted[0])
        run(result.size, result.ctypes.data, *(a.ctypes.data for a in whole))
        return result

    apply.run = run  # type: ignore[attr-defined]
    apply.symbol = name  # type: ignore[attr-defined]
    return apply


def _build(name: str, formula: Callable, dtypes: Sequence[int], lanes: int):
    module = new_module(name)
    b, record, _part, _parts = new_kernel(module, name)
    one = Scope(b, 1)
    numel = one.word(record, 0)
    pointers = [one.pointer(one.word(record, k + 1), dtype) for k, dtype in enumerate(dtypes)]
    whole = b.and_(numel, I64(-lanes))
    for scope, start, stop in ((Scope(b, lanes), I64(0), whole), (one, whole, numel)):
        with scope.loop(start, stop, scope.lanes) as i:
            places = [scope.at(p, i) for p in pointers]
            loads = [scope.load(p, d) for p, d in zip(places[1:], dtypes[1:], strict=True)]
            result = formula(*loads)
            scope.store(result.to(dtypes[0]), places[0])
    b.ret_void()
    return module


def assembly(formula: Callable, *inputs: str) -> str:
    """The assembly of the loop that `kernel` would compile."""
    from llvmlite import binding

    dtypes = [abi.DTYPE_NAMES.index(name) for name in (inputs[0], *inputs)]
    lanes = host().lanes(max(abi.ITEM_SIZES[d] for d in dtypes))
    module = binding.parse_assembly(str(_build("assembly", formula, dtypes, lanes)))
    return compiler.codegen()._tm.emit_assembly(module)


def worst_ulp(got: np.ndarray, exact: np.ndarray) -> float:
    """The largest error of `got` in ulp of its dtype; `exact` has more precision. Nans must agree."""
    info = np.finfo(got.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    keep = ~np.isnan(exact)
    got, exact = got[keep].astype(exact.dtype), exact[keep]
    top = np.ldexp(exact.dtype.type(1), info.maxexp)  # infinity counts as the next number after the last
    got, exact = np.clip(got, -top, top), np.clip(exact, -top, top)
    exponent = np.clip(np.frexp(exact)[1], info.minexp + 1, info.maxexp)
    return float(np.max(np.abs(got - exact) / np.ldexp(exact.dtype.type(1), exponent - 1 - info.nmant)))


def specials(dtype: str) -> np.ndarray:
    """Zeros, infinities, nan, subnormal numbers and the ends of the range, of both signs."""
    info = np.finfo(dtype)
    edges = [info.tiny, info.max, info.smallest_subnormal, info.tiny * 0.75, info.eps, 1 - info.epsneg]
    values = np.array([*SPECIAL, *edges], dtype)
    return np.concatenate([values, -values, np.array([math.nan], dtype)])
