"""Functions that go through our choice of Numba's passes do what Python does, and leave Numba as it was."""

import ctypes
import subprocess
import sys

import pytest

from jitgrad.kernels import compiler
from jitgrad.kernels.lean import jit
from jitgrad.kernels.plain import set_word


def swapped_in_turns(a, b):
    for _ in range(a):
        a, b = b, a + b
    return a - b


def set_on_some_ways(a, b):
    if a > b:
        found = a
    elif a == b:
        return -1
    else:
        found = b * 2
    while found > 3:
        found -= 3
        if found == 5:
            break
    else:
        found += 100
    return found


def loops_in_loops(a, b):
    total = 0
    for i in range(a):
        for j in range(i, b):
            if j == 2 * i:
                continue
            if total > 40:
                break
            total += i * j
            last = j
        else:
            total += 1
            last = -i
        total -= last
    return total


def of_pairs(a, b):
    least, most = (a, b) if a < b else (b, a)
    pair = (most, least)
    for _ in range(3):
        pair = (pair[1], pair[0] - 1)
    return 10 * pair[0] + pair[1] + min(a, b)


@pytest.mark.parametrize("python", [swapped_in_turns, set_on_some_ways, loops_in_loops, of_pairs])
def test_branches_and_loops_do_what_python_does(python):
    compiled = jit(python)

    def kernel(record, part, parts):
        set_word(record, 0, compiled(part, parts))

    address = compiler.kernel(f"test.{python.__name__}", lambda: kernel, cached=False)
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)
    result = ctypes.c_int64()
    for a in range(8):
        for b in range(8):
            run(ctypes.addressof(result), a, b)
            assert result.value == python(a, b), (a, b)


USER = """
from jitgrad.kernels import BY_NAME, abi, op_kernels
op_kernels.compile_kernel(BY_NAME["index"].code, 0, abi.FLOAT32)

import numba

@numba.njit
def extremes(a, b):
    return min(a, b), max(a, b)

print(extremes(3, 4), extremes(4.5, 2.0))
"""


def test_numba_compiles_users_functions_with_what_it_has_compiled_for_kernels(monkeypatch):
    monkeypatch.setenv("JITGRAD_CACHE", "off")
    run = [sys.executable, "-P", "-c", USER]
    output = subprocess.run(run, check=True, capture_output=True, text=True, timeout=300).stdout
    assert output == "(3, 4) (2.0, 4.5)\n"
