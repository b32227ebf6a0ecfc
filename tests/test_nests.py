"""The loops over strided operands: which dimension is the innermost, and that the values do not depend on it."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.program.show.table import lines_of

# sizes, order of the dimensions: innermost sizes of the nest
ORDERS = {
    "short rows go along the dimension before": ((3, 2, 9, 10), (0, 2, 3, 1), (2, 90)),
    "pixels": ((2, 2, 2, 5, 12), (0, 3, 1, 4, 2), (2, 12)),
    "as long as before": ((4, 5, 3), (2, 1, 0), (5, 4)),
    "two dimensions stay": ((3, 40), (1, 0), (40, 3)),
}


@pytest.mark.parametrize("name", ORDERS)
def test_rows_of_a_strided_copy_are_long(name):
    sizes, order, expected = ORDERS[name]
    step = torch.compile(lambda x: x.permute(*order).contiguous())
    (line,) = lines_of(step.program(torch.zeros(sizes)))
    assert line.operands.reads[0].view.shape[-2:] == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", ORDERS)
def test_strided_operands_have_numpys_values(name, dtype):
    sizes, order, _ = ORDERS[name]
    values = (np.random.default_rng(3).permutation(np.prod(sizes)) % 200).reshape(sizes).astype(dtype)
    turned = torch.tensor(values).permute(*order)
    np.testing.assert_array_equal(turned.contiguous().numpy(), values.transpose(order))
    if dtype != "bool":
        last = np.arange(turned.shape[-1]).astype(dtype)
        found = turned + torch.tensor(last)
        np.testing.assert_array_equal(found.numpy(), values.transpose(order) + last)


@pytest.mark.parametrize("name", ORDERS)
def test_gradients_pass_strided_operands(name):
    sizes, order, _ = ORDERS[name]
    rng = np.random.default_rng(4)
    values, weights = rng.standard_normal(sizes), rng.standard_normal([sizes[d] for d in order])
    x = torch.tensor(values, requires_grad=True)
    (x.permute(*order).sin() * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(values) * weights.transpose(np.argsort(order)))


EDGES = [(2, 2), (2, 9), (3, 100), (8, 8), (9, 7), (17, 2), (16, 33), (100, 3), (65, 130), (130, 1030)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("sizes", EDGES, ids=str)
def test_transposed_matrices_are_copied_and_nothing_beside_them(sizes, dtype, threads):
    """From a part of a matrix, and into a part of one, as it lies and turned; also of several matrices."""
    rows, columns = sizes
    values = np.random.default_rng(5).permutation(5 * (rows + 2) * (columns + 3)) % 251
    whole = values.reshape(5, rows + 2, columns + 3).astype(dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        source = torch.tensor(whole)[:, 1 : rows + 1, 2 : columns + 2]
        expected = whole[:, 1 : rows + 1, 2 : columns + 2].swapaxes(1, 2)
        np.testing.assert_array_equal(source.transpose(1, 2).contiguous().numpy(), expected)
        np.testing.assert_array_equal(source[3].t().contiguous().numpy(), expected[3])
        around = torch.zeros(5, columns + 1, rows + 1, dtype=getattr(torch, dtype))
        around[:, :columns, 1:].copy_(source.transpose(1, 2))
        into = torch.zeros(5, rows + 1, columns + 1, dtype=getattr(torch, dtype))
        into[:, 1:, :columns].transpose(1, 2).copy_(torch.tensor(expected.copy()))
    finally:
        torch.set_num_threads(before)
    inside = np.zeros(around.shape, dtype)
    inside[:, :columns, 1:] = expected
    np.testing.assert_array_equal(around.numpy(), inside)
    inside = np.zeros(into.shape, dtype)
    inside[:, 1:, :columns] = expected.swapaxes(1, 2)
    np.testing.assert_array_equal(into.numpy(), inside)
