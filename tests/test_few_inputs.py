"""Gradients of a layer of a few inputs are made in one pass: of any size, in any number of parts, planned or not."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_records import run
from sample_values import numbers
from switched import with_and_without

import jitgrad as torch
from jitgrad.kernels import abi, few_inputs
from jitgrad.kernels.host import host

DTYPES = {np.float32: abi.FLOAT32, np.float64: abi.FLOAT64}
TOLERANCES = {np.float32: 2e-5, np.float64: 1e-13}
DEPTHS = (1, 2, 3, 4)
LEAST = host().vector_bytes // 4
FEATURES = (LEAST, LEAST + 1, 2 * LEAST - 1, 2 * LEAST, 2 * LEAST + 1, 5 * LEAST + 3)
ROWS = (0, 1, 2, 3, 5, 255, 256, 257, 600)


def gradients(x, g, dtype, parts=1):
    """Gradients of weights and bias by the kernel, each filled with nan before."""
    features, depth = g.shape[-1], x.shape[-1]
    w, bias, y = np.zeros((features, depth), dtype), np.zeros(features, dtype), np.zeros(g.shape, dtype)
    gw, gb = np.full(w.shape, np.nan, dtype), np.full(bias.shape, np.nan, dtype)
    run("linear", DTYPES[dtype], (x, w, bias, y, g, None, gw, gb), parts=parts, variant=1)
    return gw, gb


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("depth", DEPTHS)
def test_sums_over_any_number_of_rows(depth, features, dtype):
    for rows in ROWS:
        x, g = numbers(rows, depth, dtype=dtype), numbers(rows, features, seed=1, dtype=dtype)
        gw, gb = gradients(x, g, dtype)
        exact = g.astype(np.float64)
        most = TOLERANCES[dtype] * max(1, rows) ** 0.5
        np.testing.assert_allclose(gw, exact.T @ x.astype(np.float64), rtol=0, atol=most)
        np.testing.assert_allclose(gb, exact.sum(0), rtol=0, atol=most)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("parts", [2, 3, 7])
def test_any_number_of_parts_gives_the_same(parts, depth, dtype):
    for features in FEATURES:
        x, g = numbers(37, depth, dtype=dtype), numbers(37, features, seed=1, dtype=dtype)
        for one, several in zip(gradients(x, g, dtype), gradients(x, g, dtype, parts), strict=True):
            np.testing.assert_array_equal(one, several)


OPERANDS = {
    "inputs side by side": lambda x, g: (np.asfortranarray(x), g),
    "one input for all rows": lambda x, g: (np.broadcast_to(x[:1], x.shape), g),
    "parts of longer rows": lambda x, g: (
        np.pad(x, ((0, 0), (1, 2)))[:, 1:-2],
        np.pad(g, ((0, 0), (3, 4)))[:, 3:-4],
    ),
    "every other row": lambda x, g: (np.repeat(x, 2, 0)[::2], np.repeat(g, 2, 0)[::2]),
    "three dimensions": lambda x, g: (x.reshape(5, 8, -1), g.reshape(5, 8, -1)),
    "outputs side by side": lambda x, g: (x, np.asfortranarray(g)),  # not taken in one pass
}


@pytest.mark.parametrize("kind", OPERANDS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_operands_may_lie_anywhere(depth, kind):
    x, g = OPERANDS[kind](numbers(40, depth), numbers(40, LEAST + 5, seed=1))
    gw, gb = gradients(x, g, np.float64)
    flat_x, flat_g = x.reshape(40, -1), g.reshape(40, -1)
    np.testing.assert_allclose(gw, flat_g.T @ flat_x, atol=1e-12)
    np.testing.assert_allclose(gb, flat_g.sum(0), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [*DEPTHS, few_inputs.INPUTS + 1])
def test_planned_records_and_others_choose_alike(depth, dtype):
    for features in (1, 3, LEAST - 1, *FEATURES):
        for rows in (1, 40, 300):
            layer = torch.nn.Linear(depth, features, dtype=dtype)
            x, g = torch.randn(rows, depth, dtype=dtype), torch.randn(rows, features, dtype=dtype)

            def step(x, g, layer=layer):
                return torch.autograd.grad(layer(x), [layer.weight, layer.bias], g)

            ours, *_ = with_and_without("plans", step, x, g)
            for found, eager in zip(ours, step(x, g), strict=True):
                np.testing.assert_array_equal(found, eager.numpy())


@pytest.mark.parametrize("features", [1, LEAST - 1, LEAST, LEAST + 1])
@pytest.mark.parametrize("depth", [0, 1, few_inputs.INPUTS, few_inputs.INPUTS + 1])
@pytest.mark.parametrize("column", [1, 2])
def test_only_few_inputs_and_whole_vectors_of_outputs_are_taken(features, depth, column):
    expected = 1 <= depth <= 4 and features >= LEAST and column == 1
    assert few_inputs.suits(features, depth, column) == expected
