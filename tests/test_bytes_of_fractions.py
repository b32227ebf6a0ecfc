"""Fractions become bytes in vectors as they do one by one: the lowest eight bits of the whole number."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

SIZES = (1, 5, 16, 64, 100, 1000)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_every_byte_is_reached(dtype, size):
    values = np.linspace(0.0, 255.99, size).astype(dtype)
    x = torch.from_numpy(values)
    wanted = values.astype(np.int64).astype(np.uint8)
    np.testing.assert_array_equal(x.to(torch.uint8).numpy(), wanted)
    written = torch.zeros(size, dtype=torch.uint8)
    written.copy_(x)
    np.testing.assert_array_equal(written.numpy(), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_numbers_that_no_byte_holds_lose_their_higher_bits(dtype, size):
    values = np.resize(np.array([256.0, 300.0, -1.0, -3.75, -200.5, 70000.25, -128.0], dtype), size)
    wanted = values.astype(np.int64).astype(np.uint8)
    np.testing.assert_array_equal(torch.from_numpy(values).to(torch.uint8).numpy(), wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_strided_image_becomes_bytes_in_a_compiled_step(dtype):
    image = np.random.default_rng(0).random((9, 32, 3)).astype(dtype)
    wanted = (image.transpose(2, 0, 1) * 255).astype(np.int64)

    @torch.compile(fullgraph=True)
    def step(x):
        return (x.permute(2, 0, 1) * 255).byte()

    for _ in range(4):
        np.testing.assert_array_equal(step(torch.from_numpy(image)).numpy(), wanted)
