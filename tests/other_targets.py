"""Running tests once more with kernels for older processors of the same kind."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

TARGETS = {
    "avx2": ("haswell", "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt"),
    "baseline": ("x86-64", "+sse,+sse2"),
}


def on_other_targets(test: Callable) -> Callable:
    """Parametrize a test by `target`; where that cannot be run, or is what all tests run on, skip it."""
    for mark in (
        pytest.mark.slow,
        pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="targets of x86 only"),
        pytest.mark.skipif("NUMBA_CPU_NAME" in os.environ, reason="the target is chosen already"),
        pytest.mark.parametrize("target", TARGETS),
    ):
        test = mark(test)
    return test


def run_tests(target: str, choice: str, *files: str) -> None:
    """Run the tests in `files` that pytest's ``-k choice`` selects, in a process with kernels for the target."""
    cpu, features = TARGETS[target]
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", choice, *files]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
