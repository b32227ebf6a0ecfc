"""The loops over strided operands: which dimension is the innermost, and that the values do not depend on it."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.program.show import lines_of

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
