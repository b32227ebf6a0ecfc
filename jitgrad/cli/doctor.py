"""``jitgrad doctor``: what this installation is, and whether its engine computes rightly."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

EXTRAS = ("scikit-learn", "matplotlib", "tqdm")
MATMUL_SIZE = 256
FAILED = 1


def run(options: argparse.Namespace) -> int:
    """Print the report; the exit code is 1 when the self-test fails."""
    for title, lines in (("versions", _versions), ("machine", _machine), ("kernel cache", _cache)):
        _section(title, lines)
    print("self-test", flush=True)
    healthy = [_check(name, test) for name, test in SELF_TESTS]
    if all(healthy):
        return 0
    print("jitgrad doctor: the self-test failed; `jitgrad cache clear` and try again", file=sys.stderr)
    return FAILED


def _section(title: str, lines: Callable[[], Iterator[tuple[str, object]]]) -> None:
    print(title)
    for name, value in lines():
        print(f"  {name:<14} {value}")


def _versions() -> Iterator[tuple[str, object]]:
    from importlib.metadata import PackageNotFoundError, version

    from .. import __version__

    yield "jitgrad", f"{__version__} in {Path(__file__).parents[1]}"
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in ("numpy", "numba", "llvmlite", *EXTRAS):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, 'not installed (pip install "jitgrad[demo]")'


def _machine() -> Iterator[tuple[str, object]]:
    from ..kernels.host import host
    from ..threads import get_num_threads

    target = host()
    yield "CPU", target.cpu
    yield (
        "vectors",
        f"{8 * target.vector_bytes} bits ({target.lanes(4)} float32), {target.vector_registers} registers, "
        f"fused multiply-add: {'yes' if target.fma else 'no'}",
    )
    yield "threads", f"{get_num_threads()} of {os.cpu_count()} processors"
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        busy = "; other programs are busy, so the rates below are low" if load > 0.75 * _processors() else ""
        yield "load", f"{load:.2f}{busy}"


def _processors() -> int:
    return os.cpu_count() or 1


def _cache() -> Iterator[tuple[str, object]]:
    from ..kernels import cache

    kept = cache.files()
    size = sum(f.stat().st_size for f in kept) / 2**20
    yield "folder", cache.root()
    yield "holds", f"{len(kept)} compiled kernels, {size:.1f} MiB"
    if cache.enabled():
        yield (
            "writable",
            "yes" if _writable(cache.root()) else "no: every process compiles anew what is not there",
        )
    else:
        yield "switched off", "by JITGRAD_CACHE: every process compiles anew"


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself can be."""
    import tempfile

    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _check(name: str, test: Callable[[], tuple[bool, str]]) -> bool:
    try:
        passed, said = test()
    except Exception as error:  # a broken engine may fail in any way: report it and go on
        passed, said = False, f"{type(error).__name__}: {error}"
    print(f"  {name:<14} {'ok' if passed else 'FAILED'}: {said}", flush=True)
    return passed


def _engine() -> tuple[bool, str]:
    """Time the first operation: reading the engine from the cache, or compiling it."""
    import jitgrad

    begun = time.perf_counter()
    total = (jitgrad.tensor([1.0, 2.0]) + 1.0).tolist()
    return total == [2.0, 3.0], f"first operation after {time.perf_counter() - begun:.2f} s"


def _gradient() -> tuple[bool, str]:
    """The gradients of a small network against the same ones written out in NumPy, in float64."""
    import numpy as np

    import jitgrad

    rng = np.random.default_rng(0)
    x, w, v = rng.standard_normal((5, 4)), rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
    h = np.tanh(x @ w)
    gv = h.T @ (2 * (h @ v))
    gw = x.T @ ((2 * (h @ v) @ v.T) * (1 - h * h))
    tw, tv = (jitgrad.tensor(a, requires_grad=True) for a in (w, v))
    ((jitgrad.tensor(x) @ tw).tanh() @ tv).square().sum().backward()
    assert tw.grad is not None and tv.grad is not None
    error = max(abs(tw.grad.numpy() - gw).max(), abs(tv.grad.numpy() - gv).max())
    return bool(error < 1e-12), f"gradients of a network differ from NumPy's by at most {error:.1e}"


def _matmul() -> tuple[bool, str]:
    """The rate of a float32 matrix product, and its values against NumPy's."""
    import numpy as np

    import jitgrad

    n = MATMUL_SIZE
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, n)).astype(np.float32) for _ in range(2))
    ta, tb = jitgrad.from_numpy(a), jitgrad.from_numpy(b)
    error = float(abs((ta @ tb).numpy() - a.astype(np.float64) @ b).max())
    best = min(_seconds(lambda: ta @ tb) for _ in range(10))
    rate = 2 * n**3 / best / 1e9
    return error < 1e-3, f"{n}x{n} float32 matmul at {rate:.1f} GF/s, largest error {error:.1e}"


def _seconds(function: Callable[[], object], calls: int = 5) -> float:
    begun = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - begun) / calls


SELF_TESTS = (("engine", _engine), ("gradient", _gradient), ("matmul", _matmul))
