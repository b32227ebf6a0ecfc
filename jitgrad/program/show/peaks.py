"""What this machine can do at best: multiply-adds, and bytes copied, a second. Measured once a process.

Rates are in operations or bytes a nanosecond, which are GF/s and GB/s. The best of several runs counts, because
other programs can only make a run slower.
"""

from __future__ import annotations

import functools
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.layout import SEGMENT_BEGIN, SEGMENT_END, SEGMENT_PARTS, SEGMENT_WORDS
from ...kernels import BY_NAME, compiler, program_rows
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_DTYPE,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    ARRAYS,
    DTYPE_NAMES,
    ITEM_SIZES,
    NUMPY_DTYPES,
    PLAIN,
    R_ATTRS,
    R_COUNT,
    R_KERNEL,
    R_LAYOUT,
    R_WORDS,
)
from ...kernels.op_kernels import compile_kernel
from ..replay.walk import walk

if TYPE_CHECKING:
    from llvmlite import ir

ROUNDS = 20  # runs of which the best counts
PEAK_ROUNDS = 200  # of runs for a peak: other programs must be quiet during one of them
MANY = 1 << 20  # bytes whose copies are repeated less
SHORTEST = 50_000  # nanoseconds of a run: the clock and the call take less than one hundredth of it
CHAINS = 12  # multiply-adds side by side, more than any core has under way
TURNS = 100_000
PRODUCT = 256  # rows, columns and depth of the matrix product
COPIES = tuple(1 << k for k in (14, 16, 18, 20, 22, 24, 27))  # bytes read and written
TOLD = {1 << 14: "L1", 1 << 18: "L2", 1 << 27: "memory"}  # and where they come from, on most machines
LINE, PAGE = 64, 4096
TURNS_WORD, SEEDS_WORD = 8, 9


def best_time(
    table: np.ndarray, n: int, before: Callable[[], object] = lambda: None, rounds: int = ROUNDS
) -> float:
    """Nanoseconds that a walk over a table of segments takes when it is repeated.

    Parameters
    ----------
    table : numpy.ndarray
        The segments, see `engine.replay`.
    n : int
        Walks in all, at least: short ones are repeated until the clock can tell their time. They are divided
        into runs, of which the best counts.
    before : callable
        Called before each run, outside the time.
    rounds : int
        Number of runs.
    """
    count = max(1, n // rounds)
    while _timed(table, count, before) < SHORTEST:
        count *= 2
    return min(_timed(table, count, before) for _ in range(rounds)) / count


def best_time_of_few(table: np.ndarray, n: int, few: int, before: Callable[[], object]) -> float:
    """As `best_time`, with at most `few` walks after one another and one.

    So few may take less time than the call and what is not yet in the cache, which a run of one walk tells. Where other
    programs have slowed all runs of one walk, so that it tells nothing, it is not taken off.
    """
    rounds = max(ROUNDS, min(n // few, 10 * ROUNDS))
    one = min(_timed(table, 1, before) for _ in range(rounds))
    more = min(_timed(table, 1 + few, before) for _ in range(rounds))
    return (more - one) / few if more > one else max(more, 1) / (1 + few)


def _timed(table: np.ndarray, count: int, before: Callable[[], object]) -> int:
    before()
    begun = time.perf_counter_ns()
    walk(table, count)
    return time.perf_counter_ns() - begun


def one_record(words: np.ndarray, parts: int = 1) -> np.ndarray:
    """A table of segments with one record."""
    table = np.zeros((1, SEGMENT_WORDS), np.int64)
    begin = words.ctypes.data
    table[0, SEGMENT_BEGIN], table[0, SEGMENT_END] = begin, begin + words.nbytes
    table[0, SEGMENT_PARTS] = parts
    return table


# multiply-adds ------------------------------------------------------------------------------------


@functools.cache
def multiply_add_peak(dtype: str) -> float:
    """GF/s of multiply-adds on values that stay in registers, on one thread."""
    code = DTYPE_NAMES.index(dtype)
    seeds = np.linspace(0.1, 0.9, CHAINS + 2).astype(NUMPY_DTYPES[code])
    words = _record(_multiply_adds(code), PLAIN, SEEDS_WORD + 1)
    words[TURNS_WORD], words[SEEDS_WORD] = TURNS, seeds.ctypes.data
    return 2 * CHAINS * _lanes(code) * TURNS / best_time(one_record(words), 1, rounds=PEAK_ROUNDS)


def _lanes(code: int) -> int:
    from ...kernels.host import host

    return host().lanes(ITEM_SIZES[code])


def _multiply_adds(code: int) -> int:
    """Address of a kernel that does nothing but multiply-adds."""
    # the cache knows kernels by the files of the kernels package: this one carries its own file in its name
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    name = f"peak.{version}.{DTYPE_NAMES[code]}"
    return compiler.native(name, lambda: _build_multiply_adds(name, code))


def _build_multiply_adds(name: str, code: int) -> ir.Module:
    """``s = s * x + y`` TURNS times on CHAINS vectors; the seeds keep the compiler from working it out."""
    from ...kernels.stage import I32, I64, Scope, Vec, new_kernel, new_module

    module = new_module(name)
    b, record, _part, _parts = new_kernel(module, name)
    one, wide = Scope(b, 1), Scope(b, _lanes(code))
    seeds = one.pointer(one.word(record, SEEDS_WORD), code)
    x, y, *start = (wide.splat(one.load(one.at(seeds, k), code).value, code) for k in range(CHAINS + 2))
    with wide.carried(I64(0), one.word(record, TURNS_WORD), 1, start) as (_turn, sums, carry):
        carry.next(*(wide.intrinsic("fmuladd", s, x, y) for s in sums))
    total: Any = functools.reduce(Vec.__add__, carry.final)
    # s tends to y / (1 - x): the sum is never negative, but the compiler cannot know
    first = b.extract_element(total.value, I32(0)) if wide.lanes > 1 else total.value
    with b.if_then(b.fcmp_ordered("<", first, first.type(0.0))):
        one.store(Vec(one, first, code), seeds)
    b.ret_void()
    return module


@functools.cache
def product_rate(dtype: str) -> float:
    """GF/s of a square matrix product in the cache, on one thread."""
    code, n = DTYPE_NAMES.index(dtype), PRODUCT
    matrices = np.random.default_rng(0).standard_normal((3, n, n)).astype(NUMPY_DTYPES[code])
    words = _record(compile_kernel(BY_NAME["matmul"].code, 0, code), ARRAYS, A_ARRAYS + 3 * ARRAY_WORDS)
    words[R_COUNT] = 3
    for k, matrix in enumerate(matrices):
        array = words[A_ARRAYS + k * ARRAY_WORDS :]
        array[ARRAY_ADDRESS], array[ARRAY_DTYPE] = matrix.ctypes.data, code
        array[ARRAY_DIMS], array[ARRAY_NUMEL] = 2, n * n
        array[ARRAY_SHAPE : ARRAY_SHAPE + 2] = n
        array[ARRAY_STRIDES : ARRAY_STRIDES + 2] = n, 1
    return 2 * n**3 / best_time(one_record(words), 1, rounds=PEAK_ROUNDS)


def _record(kernel: int, layout: int, length: int) -> np.ndarray:
    words = np.zeros(length, np.int64)
    words[R_KERNEL], words[R_WORDS], words[R_LAYOUT], words[R_ATTRS] = kernel, length, layout, length
    return words


# copies -------------------------------------------------------------------------------------------


@functools.cache
def copy_rates() -> dict[int, float]:
    """GB/s, read plus written, of copies from small to large by the bytes that they touch; on one thread."""
    rates = {}
    for size in COPIES:
        half = size // 2
        memory = np.ones(size + 2 * PAGE, np.uint8)
        source = -(-memory.ctypes.data // LINE) * LINE
        # half a page further on in a page: reads and writes at one place of a page wait for each other
        target = source + -(-half // PAGE) * PAGE + PAGE // 2
        record = np.array(program_rows.record("copy", [target, source, half]), np.int64)
        rounds = ROUNDS if half > MANY else PEAK_ROUNDS
        rates[size] = size / best_time(one_record(record), 1, rounds=rounds)
    return rates


def copy_rate(footprint: int) -> float:
    """GB/s at which a copy that touches so many bytes moves them, between those that were measured."""
    rates = copy_rates()
    return float(np.interp(math.log2(max(footprint, 1)), np.log2(list(rates)), list(rates.values())))


def peaks_text(dtypes: list[str]) -> list[str]:
    """The machine's peaks for people."""
    lines = [
        f"{dtype} peak, one thread: {multiply_add_peak(dtype):.0f} GF/s of multiply-adds in registers; "
        f"a product of {PRODUCT}x{PRODUCT} matrices takes {product_rate(dtype):.0f}"
        for dtype in dtypes
    ]
    copies = ", ".join(f"{copy_rates()[size]:.0f} in {name}" for size, name in TOLD.items())
    return [*lines, f"copies, read plus written: {copies} (GB/s)"]
