"""Section: exponentials and their kin on 4,096 float32 numbers, and how far the results are from the truth.

The error is in units of the last place of the float32 result, the largest of 200,000 points that cover the
function's usual range, against NumPy (or Python's math) in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from cells import Cell
from children import run, tell
from timing import rounds_of

SECTION = "vectors"
COUNT, POINTS = 4096, 200_000
LIBRARIES = ("jitgrad", "numpy", "torch")


class Function(NamedTuple):
    """Where a function is looked at, and its true values."""

    low: float
    high: float
    truth: Callable[[np.ndarray], np.ndarray]


FUNCTIONS = {
    "exp": Function(-80, 80, np.exp),
    "expm1": Function(-10, 10, np.expm1),
    "log": Function(1e-6, 1e6, np.log),
    "log1p": Function(-0.99, 100, np.log1p),
    "tanh": Function(-10, 10, np.tanh),
    "sigmoid": Function(-30, 30, lambda x: 1 / (1 + np.exp(-x))),
    "erf": Function(-4, 4, lambda x: np.array([math.erf(v) for v in x])),
    "sin": Function(-100, 100, np.sin),
    "cos": Function(-100, 100, np.cos),
    "atan": Function(-50, 50, np.arctan),
    "sqrt": Function(0, 1e6, np.sqrt),
    "rsqrt": Function(1e-6, 1e6, lambda x: 1 / np.sqrt(x)),
}
NUMPY = {"atan": np.arctan}


def cells(plan: Any) -> Iterator[Cell | str]:
    """Time and error of every function in every library."""
    for library in LIBRARIES:
        if plan.wants(library):
            found, reason = run("vectors.py", library, *(["short"] if plan.short else []))
            yield from found
            if reason:
                yield f"{library}: {reason}"


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    library, rng = arguments[0], np.random.default_rng(0)
    names = list(FUNCTIONS)[:3] if "short" in arguments else list(FUNCTIONS)
    for name in names:
        f = FUNCTIONS[name]
        function, wrap = _function(library, name)
        if function is None:
            continue
        x = rng.uniform(f.low, f.high, POINTS).astype(np.float32)
        truth = f.truth(x.astype(np.float64))
        error = np.abs(np.asarray(function(wrap(x)), np.float64) - truth)
        place = np.spacing(np.maximum(np.abs(truth), np.finfo(np.float32).tiny).astype(np.float32))
        few = wrap(x[:COUNT].copy())
        yield Cell(SECTION, name, library, "ns", [1e9 * t for t in rounds_of(lambda g=function, v=few: g(v))])
        yield Cell(SECTION, f"{name}, largest error", library, "ulp", [float((error / place).max())])


def _function(library: str, name: str) -> tuple[Callable[[Any], Any] | None, Callable[[np.ndarray], Any]]:
    if library == "numpy":
        return NUMPY.get(name, getattr(np, name, None)), lambda x: x
    import importlib

    torch = importlib.import_module(library)
    torch.set_num_threads(1)
    return getattr(torch, name), torch.from_numpy


if __name__ == "__main__":
    tell(measured)
