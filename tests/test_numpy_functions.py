"""NumPy's own functions and scalars on tensors: what comes out is a tensor, and gradients pass a scalar's operators."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import jitgrad as torch

OPERATORS = ("add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge")


@pytest.mark.parametrize("number", [np.float64(1.5), np.float32(1.5), np.int64(2), np.sqrt(2.0)], ids=repr)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_numpys_scalars_are_those_of_tensors(name, number):
    apply = getattr(operator, name)
    w = torch.tensor([1.5, 2.0, 0.5], requires_grad=True)
    got, expected = apply(number, w), apply(number.item(), w)
    assert type(got) is torch.Tensor and got.dtype is expected.dtype and torch.equal(got, expected)
    assert got.requires_grad == expected.requires_grad


def test_a_gradient_passes_the_product_with_a_numpy_scalar():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (np.sqrt(4.0) * w * w + np.float32(1) / w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), [3.0, 7.75], rtol=1e-6)


def test_a_step_with_a_numpy_scalar_is_compiled():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x):
        optimizer.zero_grad()
        loss = (np.sqrt(2.0) * w * x).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(torch.tensor([0.5, 0.25])).item() for _ in range(3)]
    assert losses[0] == pytest.approx(1.0) and losses[2] < losses[1] < losses[0]


FUNCTIONS = {
    "exp": lambda x: np.exp(x),
    "maximum": lambda x: np.maximum(x, 0),
    "isnan": lambda x: np.isnan(x),
    "add.reduce": lambda x: np.add.reduce(x),
    "of an array": lambda x: np.ones(3) * np.asarray(x) if isinstance(x, np.ndarray) else np.ones(3) * x,
    "round": lambda x: np.round(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_of_elements_give_tensors(name):
    values = np.array([-1.0, 0.5, 2.0], np.float32)
    got, expected = FUNCTIONS[name](torch.from_numpy(values)), FUNCTIONS[name](values)
    assert isinstance(got, torch.Tensor)
    np.testing.assert_array_equal(got.numpy(), expected)
    assert got.dtype == torch.from_numpy(np.asarray(expected)).dtype


def test_functions_of_several_results_give_several_tensors():
    whole, rest = np.divmod(torch.tensor([5.0, 7.5]), 2)
    assert whole.tolist() == [2, 3] and rest.tolist() == [1, 1.5]


def test_what_no_tensor_can_hold_stays_an_array():
    assert np.exp(torch.zeros(2), dtype=np.complex128).dtype == np.complex128
    assert isinstance(np.multiply.outer(np.ones(2), torch.ones(2)), np.ndarray)


def test_results_go_where_out_says():
    x, into, array = torch.tensor([1.0, 2.0]), torch.zeros(2), np.zeros(2, np.float32)
    assert np.add(x, x, out=array) is array and array.tolist() == [2, 4]
    np.add(x, x, out=into)
    assert into.tolist() == [2, 4]


def test_a_gradient_is_not_lost_on_the_way_through_numpy():
    with pytest.raises(RuntimeError, match="requires grad"):
        np.exp(torch.ones(2, requires_grad=True))
