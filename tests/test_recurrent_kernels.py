"""The kernels of recurrent layers themselves: any number of parts, nothing written outside their arrays."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_harness import kernel
from kernel_records import run
from recurrent_cases import KINDS
from sample_values import numbers

from jitgrad.kernels import abi
from jitgrad.kernels.recurrent_cells import Bundle, activated
from jitgrad.kernels.recurrent_layout import layout

NUMPY = {abi.FLOAT32: np.float32, abi.FLOAT64: np.float64}
FENCE = 64  # elements on both sides of an array that must stay as they are
MARK = 12345.0


class Fenced:
    """Arrays with marks on both sides."""

    def __init__(self, dtype: int) -> None:
        self._dtype, self._blocks = NUMPY[dtype], []

    def new(self, *shape: int) -> np.ndarray:
        """An array filled with nan."""
        size = int(np.prod(shape))
        block = np.full(size + 2 * FENCE, MARK, self._dtype)
        self._blocks.append(block)
        inner = block[FENCE : FENCE + size]
        inner[:] = np.nan
        return inner.reshape(shape)

    def check(self) -> None:
        """All marks stand."""
        for block in self._blocks:
            assert (block[:FENCE] == MARK).all() and (block[-FENCE:] == MARK).all()


def there_and_back(kind, dtype, steps, batch, features, hidden, parts, projection=0, options=(), counts=None):
    """Everything that a layer's rows make from the same numbers, in so many parts."""
    fenced, to = Fenced(dtype), NUMPY[dtype]
    out, gates = projection or hidden, kind.gates * hidden
    rows = steps * batch if counts is None else int(counts.sum())
    lead = (rows,) if counts is not None else (batch, steps) if "by_batch" in options else (steps, batch)
    projected = kind.has_cell and projection > 0
    flags = dict.fromkeys(options, True)
    words, elements = layout(kind, steps, batch, rows, (hidden, out), projected=projected, **flags)

    def given(*shape, seed=0):
        return (numbers(*shape, seed=seed) * 0.5).astype(to)

    x, w_ih, w_hh = given(*lead, features), given(gates, features, seed=1), given(gates, out, seed=2)
    b_ih, b_hh = given(gates, seed=3), given(gates, seed=4)
    w_hr = given(out, hidden, seed=5) if projected else None
    inputs = (x, w_ih, b_ih, w_hh, b_hh, w_hr)
    products, store = fenced.new(*lead, gates), fenced.new(elements)
    run("recurrent_input", dtype, (*inputs, products, store), words, parts)
    h0, c0 = given(1, batch, out, seed=6), given(1, batch, hidden, seed=7)
    cell = (c0, w_hr) if kind.has_cell else ()
    y, h_n, c_n = fenced.new(*lead, out), fenced.new(1, batch, out), fenced.new(1, batch, hidden)
    outputs = [y, h_n, c_n] if kind.has_cell else [y, h_n]
    made_of = (None, None, None)  # the kernels do not read what the products were made of
    run(kind.op, dtype, (products, store, h0, w_hh, b_hh, counts, *cell, *made_of, *outputs), words, parts)
    cotangents = [given(*o.shape, seed=8) for o in outputs]
    d_gates = fenced.new(*products.shape)
    d_h0, d_c0 = fenced.new(*h0.shape), fenced.new(*c0.shape)
    saved = (products, store, None, w_hh, None, counts, *((None, w_hr) if kind.has_cell else ()), *made_of)
    gradients = (d_gates, None, d_h0, None, None, None, *((d_c0, None) if kind.has_cell else ()), *made_of)
    run(kind.op, dtype, (*saved, *[None] * len(outputs), *cotangents, *gradients), words, parts, variant=1)
    made = [None if a is None else fenced.new(*a.shape) for a in inputs]
    arrays = (x, w_ih, None, w_hh, None, w_hr, None, store, d_gates, None, *made)
    run("recurrent_input", dtype, arrays, words, parts, variant=1)
    fenced.check()
    results = [
        *outputs,
        d_gates,
        d_h0,
        *([d_c0] if kind.has_cell else ()),
        *(m for m in made if m is not None),
    ]
    for r in results:
        assert not np.isnan(r).any()
    return results


SHAPES = [
    (3, 16, 5, 32),
    (2, 40, 3, 33),
    (2, 9, 4, 1),
    (3, 17, 1, 7),
    (1, 64, 20, 48),
    (4, 5, 3, 16),
    (2, 1, 3, 5),
]


@pytest.mark.parametrize("dtype", [abi.FLOAT32, abi.FLOAT64], ids=["float32", "float64"])
@pytest.mark.parametrize("op", KINDS)
def test_results_do_not_depend_on_the_number_of_parts(op, dtype):
    kind = KINDS[op]
    for shape in SHAPES:
        for options in ((), ("by_batch",), ("reverse",), ("by_batch", "reverse")):
            projection = min(3, shape[3] - 1) if kind.has_cell and "reverse" in options else 0
            one = there_and_back(kind, dtype, *shape, 1, projection, options)
            for parts in (2, 3, 8):
                several = there_and_back(kind, dtype, *shape, parts, projection, options)
                for a, b in zip(one, several, strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=f"{shape} {options} {parts}")


@pytest.mark.parametrize("op", KINDS)
def test_sequences_of_different_lengths_in_several_parts(op):
    counts = np.array([20, 20, 11, 11, 3, 1])
    for options in ((), ("reverse",)):
        one, two = (
            there_and_back(KINDS[op], abi.FLOAT32, 6, 20, 3, 9, parts, 0, options, counts) for parts in (1, 2)
        )
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [abi.FLOAT32, abi.FLOAT64], ids=["float32", "float64"])
def test_sizes_around_whole_vectors(dtype):
    """Nothing is written outside the arrays, whatever is left over at the end of a row."""
    for hidden in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 65):
        for kind in KINDS.values():
            there_and_back(kind, dtype, 2, 3, hidden, hidden, 1)
        there_and_back(KINDS["lstm"], dtype, 2, 3, hidden, hidden + 1, 1, hidden)


def sigmoid(x):
    return activated([Bundle([x])])[0].vectors[0]


def tangent(x):
    return activated([], [Bundle([x])])[0].vectors[0]


@pytest.mark.parametrize(
    ("name", "wide", "reach"), [("float32", np.float64, 86), ("float64", np.longdouble, 699)]
)
def test_functions_of_gates_are_accurate(name, wide, reach):
    """Errors in units in the last place: a little more than said, for machines without multiply-add."""
    rng = np.random.default_rng(0)
    cases = ((sigmoid, lambda x: 1 / (1 + np.exp(-x)), reach, 4), (tangent, np.tanh, 22, 5))
    for function, exact, limit, allowed in cases:
        for size in (limit, 2.0, 0.5, 1e-3, 1e-30):
            x = rng.uniform(-size, size, 1 << 15).astype(name)
            expected = exact(x.astype(wide))
            error = np.abs(kernel(function, name)(x) - expected) / np.spacing(np.abs(expected).astype(name))
            assert error.max() <= allowed, size
        special = kernel(function, name)(np.array([np.inf, -np.inf, np.nan, 0.0, 1e30], name))
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(
                special, exact(np.array([np.inf, -np.inf, np.nan, 0.0, 1e30])), atol=1e-37
            )
