"""Max pooling with few wide windows in a row: values and places against loops over the windows, in any layout."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch
from jitgrad.nn import functional as F

# shape of the plane, size of the result
ADAPTIVE = {"all": ((9, 33), (1, 1)), "uneven": ((7, 40), (2, 3)), "one row": ((1, 50), (1, 2))}
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "stepped": lambda x: torch.stack([x, x * 0 + 99], -1).flatten(-2)[..., ::2],
}


def largest(plane, rows, columns):
    """Value and place of the largest element: the first of equal ones, the last of nan."""
    best = None
    for i in rows:
        for j in columns:
            value = plane[i, j]
            if best is None or value > best[0] or value != value:
                best = value, i * plane.shape[1] + j
    return best


def windows(size, outputs):
    return [range(o * size // outputs, -(-(o + 1) * size // outputs)) for o in range(outputs)]


def expected(values, outputs):
    high, wide = values.shape[2:]
    found = [
        largest(plane, rows, columns)
        for image in values
        for plane in image
        for rows in windows(high, outputs[0])
        for columns in windows(wide, outputs[1])
    ]
    shape = (*values.shape[:2], *outputs)
    return tuple(np.array(list(part)).reshape(shape) for part in zip(*found, strict=True))


def samples(plane, kind):
    values = np.random.default_rng(5).integers(-4, 5, (2, 3, *plane)).astype(kind)  # many are equal
    values[0, 1, 0, 3] = values[0, 1, -1, -2] = np.nan
    values[1, 2] = -np.inf
    return values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ADAPTIVE)
def test_windows_that_divide_the_input(case, layout, dtype):
    plane, outputs = ADAPTIVE[case]
    values = samples(plane, dtype)
    want, places = expected(values, outputs)
    x = LAYOUTS[layout](torch.tensor(values))
    found, at = F.adaptive_max_pool2d(x, outputs, return_indices=True)
    np.testing.assert_array_equal(found.numpy(), want)
    np.testing.assert_array_equal(at.numpy(), places)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_of_one_size_that_overlap_and_leave_elements_out(dtype):
    values = np.random.default_rng(6).standard_normal((2, 2, 6, 70)).astype(dtype)
    found, at = F.max_pool2d(torch.tensor(values), (3, 20), (2, 30), (1, 5), (1, 2), return_indices=True)
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (5, 5)), constant_values=-np.inf)
    for o in np.ndindex(found.shape):
        i, j = 2 * o[2], 30 * o[3]
        window = padded[o[0], o[1], i : i + 3, j : j + 39 : 2]
        assert found[o].item() == window.max()
        assert values[o[0], o[1]].reshape(-1)[at[o].item()] == window.max()


@pytest.mark.parametrize("outputs", [1, (2, 3)])
def test_gradients_and_compiled_steps(outputs):
    values = np.random.default_rng(7).permutation(2 * 3 * 5 * 30).reshape(2, 3, 5, 30) * 1.0
    check_gradients(lambda x: F.adaptive_max_pool2d(x, outputs), values)
    x = torch.tensor(values)
    step = torch.compile(lambda x: F.adaptive_max_pool2d(x, outputs), fullgraph=True)
    for _ in range(3):
        assert torch.equal(step(x), F.adaptive_max_pool2d(x, outputs))
