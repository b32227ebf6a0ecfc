"""Gradients of a declared operation against numerical derivatives, on NumPy: before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels.abi import BOOL, FLOAT32, FLOAT64, NUMPY_DTYPES
from ..kernels.array_functions import names_of
from ..kernels.table import parameters

POINTS = 64
STEP = 1e-5
TOLERANCE = 1e-5
KINK = 1e-3  # numerical derivatives with two steps that differ by more are beside a kink or a pole
FEWEST = 4  # points that must be left


def values_for(name: str, code: int, samples: Mapping[str, Any], shape: tuple, rng: Any) -> np.ndarray:
    """Values of one operand for the check."""
    given = samples.get(name)
    if given is not None and not (isinstance(given, tuple) and len(given) == 2):
        values = np.asarray(given.detach().numpy() if hasattr(given, "detach") else given)
        return np.array(np.broadcast_to(values, shape), NUMPY_DTYPES[code] if code >= 0 else float)
    if code == BOOL:
        return rng.random(shape) < 0.5
    if code >= 0 and code not in (FLOAT32, FLOAT64):
        low, high = given or (0, 4)
        return rng.integers(low, max(int(high), int(low) + 1), shape).astype(NUMPY_DTYPES[code])
    low, high = given or (-2.0, 2.0)
    return rng.uniform(low, high, shape)


def check_formula(
    name: str,
    formulas: Mapping[str, Callable],
    operands: Sequence[str],
    attributes: Mapping[str, Any],
    fixed: Mapping[str, int],
    samples: Mapping[str, Any],
) -> None:
    """Compare gradient formulas with central differences at random points; RuntimeError where they differ.

    Points where the formula is not finite, or where differences with two steps disagree, do not count.
    """
    rng = np.random.default_rng(0)
    numbers = {k: float(samples.get(k, v)) for k, v in attributes.items()}
    at = {o: values_for(o, fixed.get(o, -1), samples, (POINTS,), rng) for o in operands}
    g = rng.standard_normal(POINTS)

    def forward(**moved: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.broadcast_to(formulas[name](**(at | moved | numbers)), (POINTS,)).astype(float)

    y = forward()
    for operand in operands:
        if operand not in formulas:
            continue
        x = at[operand]
        fine, coarse = ((forward(**{operand: x + h}) - forward(**{operand: x - h})) / (2 * h)
                        for h in (STEP, 3 * STEP))  # fmt: skip
        known = at | numbers | {"y": y, "g": g}
        with np.errstate(all="ignore"):
            reads = {p: known[p] for p in parameters(formulas[operand])}
            actual = np.broadcast_to(formulas[operand](**reads), (POINTS,)).astype(float)
        with np.errstate(all="ignore"):
            usable = np.isfinite(fine) & (np.abs(fine - coarse) <= KINK * (1 + np.abs(fine)))
        if usable.sum() < FEWEST:
            raise RuntimeError(
                f"op {name!r}: the gradient of {operand!r} could not be checked: the formula is finite "
                "and smooth at "
                f"only {usable.sum()} of {POINTS} points; say where it is with "
                f"samples={{{operand!r}: (low, high)}}, or check=False"
            )
        expected = fine * g
        scale = TOLERANCE * (1 + np.abs(expected)) * 10
        with np.errstate(all="ignore"):
            wrong = usable & ~(np.abs(actual - expected) <= scale)
        if wrong.any():
            k = int(np.flatnonzero(wrong)[0])
            where = ", ".join(f"{o} = {at[o][k]:.6g}" for o in operands)
            raise RuntimeError(
                f"op {name!r}: the gradient of {operand!r} is wrong at {where}, g = {g[k]:.6g}: the "
                "formula gives "
                f"{actual[k]:.6g}, numerical differentiation {expected[k]:.6g} (at {wrong.sum()} of "
                f"{POINTS} points)"
            )


def check_arrays(
    name: str,
    layout: Any,
    forward: Callable,
    joint: Callable | None,
    single: Mapping[str, Callable],
    sizes: Mapping[str, Callable],
    samples: Mapping[str, Any],
    attributes: Mapping[str, Any],
    targets: Mapping[str, Any],
) -> None:
    """Run the functions as Python on small NumPy arrays, and compare gradients with central differences.

    Python notices what compiled code does not: an index out of bounds.
    """
    rng = np.random.default_rng(0)
    numbers = {k: samples.get(k, v) for k, v in attributes.items()}
    extents = _sample_extents(layout, samples)
    values = {}
    for o, dims in zip(layout.operands, layout.signature.operands, strict=True):
        shape = tuple(int(d) if d.isdigit() else extents[d] for d in dims)
        given = samples.get(o)
        if given is not None and np.ndim(given) == len(dims) and not isinstance(given, tuple):
            shape = np.shape(given)
            extents |= dict(zip(dims, shape, strict=True))
        values[o] = values_for(o, layout.fixed.get(o, -1), samples, shape, rng)
    known = extents | numbers
    for d, rule in sizes.items():
        known[d] = extents[d] = rule(**{p: known[p] for p in names_of(rule)})
    out_shapes = [
        tuple(int(d) if d.isdigit() else extents[d] for d in dims) for dims in layout.signature.results
    ]

    def run(moved: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = [
            np.zeros(s or (1,), _kind(layout, r)) for s, r in zip(out_shapes, layout.results, strict=True)
        ]
        passed = {o: _given(v) for o, v in (values | moved).items()}
        _call(name, forward, passed | dict(zip(layout.results, results, strict=True)) | numbers)
        return results

    results = run({})
    cotangents = [rng.standard_normal(r.shape) * (r.dtype.kind == "f") for r in results]
    gradients = _analytic(name, layout, joint, single, values, results, cotangents, numbers)
    for o in targets:
        expected, smooth = _numerical(values[o], lambda x, o=o: run({o: x}), cotangents)
        actual = gradients[o].reshape(expected.shape)
        wrong = smooth & ~(np.abs(actual - expected) <= 10 * TOLERANCE * (1 + np.abs(expected)))
        if wrong.any():
            k = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise RuntimeError(
                f"op {name!r}: the gradient of {o!r} is wrong at element {k} of shape "
                f"{values[o].shape}: the function "
                f"gives {actual[k]:.6g}, numerical differentiation {expected[k]:.6g} ({wrong.sum()} of "
                f"{wrong.size} "
                "elements)"
            )


def _sample_extents(layout: Any, samples: Mapping[str, Any]) -> dict[str, int]:
    """Sizes for the check: small, and all different."""
    extents: dict[str, int] = {}
    names = dict.fromkeys(d for dims in layout.signature.operands for d in dims if not d.isdigit())
    for k, d in enumerate(names):
        extents[d] = int(samples.get(d, max(2, 5 - k)))
    return extents


def _kind(layout: Any, name: str) -> np.dtype:
    return NUMPY_DTYPES[layout.fixed.get(name, FLOAT64)]


def _given(value: np.ndarray) -> Any:
    """An operand as the function gets it: a number when it has no dimensions."""
    return value if value.ndim else value[()]


def _call(name: str, function: Callable, known: Mapping[str, Any]) -> None:
    """Call a user's function as Python."""
    python = getattr(function, "py_func", function)
    try:
        with np.errstate(all="ignore"):
            python(**{p: known[p] for p in names_of(function)})
    except Exception as error:
        raise RuntimeError(
            f"op {name!r}: {python.__name__} fails on arrays of "
            f"{', '.join(f'{p}: {np.shape(known[p])}' for p in names_of(function))}: "
            f"{type(error).__name__}: {error}. "
            "Other operands can be given as samples={'name': array}; check=False skips the check"
        ) from error


def _analytic(
    name: str,
    layout: Any,
    joint: Callable | None,
    single: Mapping[str, Callable],
    values: Mapping[str, np.ndarray],
    results: Sequence[np.ndarray],
    cotangents: Sequence[np.ndarray],
    numbers: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """What the functions that go back give."""
    known: dict[str, Any] = {o: _given(v) for o, v in values.items()} | dict(numbers)
    for k, (r, y, g) in enumerate(zip(layout.results, results, cotangents, strict=True)):
        scalar = not layout.dims(r)
        y, g = (y[0], g[0]) if scalar else (y, g)
        known |= {r: y, f"y{k or ''}": y, f"g{k or ''}": g, f"g_{r}": g}
    gradients = {o: np.zeros(values[o].shape or (1,)) for o in layout.operands}
    known |= {f"grad_{o}": v for o, v in gradients.items()}
    if joint is not None:
        _call(name, joint, known)
    for operand, function in single.items():
        _call(name, function, known | {"grad": gradients[operand]})
    return gradients


def _numerical(
    x: np.ndarray, run: Callable, cotangents: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of the results against their cotangents, and where they can be trusted."""
    fine, coarse = np.zeros(x.shape), np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        for h, into in ((STEP, fine), (3 * STEP, coarse)):
            sums = []
            for step in (h, -h):
                moved = x.copy()
                moved[index] = x[index] + step
                sums.append(sum(float((y * g).sum()) for y, g in zip(run(moved), cotangents, strict=True)))
            into[index] = (sums[0] - sums[1]) / (2 * h)
    return fine, np.isfinite(fine) & (np.abs(fine - coarse) <= KINK * (1 + np.abs(fine)))
