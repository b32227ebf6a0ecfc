"""``out=`` arguments: the result is written into the tensor given, or the call is refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from call_samples import valid_call
from out_calls import (
    CASES,
    DRAWN,
    FUNCTIONS,
    MAKERS,
    OF_PLACES,
    OF_TENSORS,
    OF_TRUTH,
    OWN_DTYPE,
    SEVERAL,
    WITH_VALUES,
    F,
    filled_like,
    matrix,
)
from out_cases import ELEMENTWISE

import jitgrad as torch


def test_the_cases_are_all_functions_that_take_it():
    takes = {name for name, f in FUNCTIONS.items() if "out" in inspect.signature(f).parameters}
    named = {name for name, f in FUNCTIONS.items() if any(f is getattr(torch, n) for n in ELEMENTWISE)}
    by_other_name = {"torch.outer": "torch.ger", "torch.vstack": "torch.row_stack"}
    cases = {by_other_name.get(name, name) for name in CASES}
    drawn = {f"torch.{name.split()[0]}" for name in DRAWN}
    assert takes == cases | set(SEVERAL) | named | OF_TRUTH | OF_PLACES | drawn
    assert torch.outer is torch.ger and torch.vstack is torch.row_stack
    assert torch.concat is torch.concatenate is torch.cat


@pytest.mark.parametrize(
    "name", [name for name, f in FUNCTIONS.items() if "out" not in inspect.signature(f).parameters]
)
def test_other_functions_refuse_it(name):
    function = FUNCTIONS[name]
    with pytest.raises(TypeError):
        function(*valid_call(name, function), out=torch.zeros(3))


@pytest.mark.parametrize("name", CASES)
def test_it_returns_the_tensor_given(name):
    out = filled_like(CASES[name]())
    assert CASES[name](out=out) is out
    assert out._version == 1 + filled_like(out)._version


@pytest.mark.parametrize("name", WITH_VALUES)
def test_values_are_those_without_it(name):
    expected = CASES[name]()
    out = filled_like(expected)
    CASES[name](out=out)
    np.testing.assert_array_equal(out.numpy(), expected.numpy())


@pytest.mark.parametrize("name", WITH_VALUES)
def test_views_are_written_through(name):
    expected = CASES[name]()
    base = torch.full((*expected.shape, 2), 77, dtype=expected.dtype)
    CASES[name](out=base[..., 1])
    np.testing.assert_array_equal(base.numpy()[..., 1], expected.numpy())
    assert (base.numpy()[..., 0] == 77).all()


def test_an_operand_may_be_written_over():
    x = matrix()
    F.normalize(x, out=x)
    np.testing.assert_allclose(np.linalg.norm(x.numpy(), axis=1), [1, 1], rtol=1e-6)
    y = torch.tensor([1.0, 2.0, 3.0])
    torch.cat([y[1:], y[:1]], out=y)
    assert y.tolist() == [2, 3, 1]


# shapes and dtypes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_another_shape_is_refused(name):
    shape = tuple(CASES[name]().shape)
    for wrong in ((*shape, 1), (1, *shape)):
        out = torch.full(wrong, 77.0)
        with pytest.raises(RuntimeError) as caught:
            CASES[name](out=out)
        for word in (name.rpartition(".")[2], str(shape), str(wrong)):
            assert word in str(caught.value)
        assert (out.numpy() == 77).all()
        assert out._version == 1


@pytest.mark.parametrize("name", WITH_VALUES)
def test_a_tensor_without_elements_takes_the_shape_of_the_result(name):
    expected = CASES[name]()
    for wrong in ((0,), (3, 0)):
        out = torch.empty(wrong, dtype=expected.dtype)
        assert CASES[name](out=out) is out
        np.testing.assert_array_equal(out.numpy(), expected.numpy())


def test_a_step_that_resizes_its_out_is_compiled_right():
    @torch.compile
    def step(x):
        out = torch.empty(0)
        torch.mul(x, 2.0, out=out)
        return out + 1

    for k in range(4):
        assert step(torch.full((3,), float(k))).tolist() == [2.0 * k + 1] * 3


@pytest.mark.parametrize("name", [name for name in OF_TENSORS if name not in OWN_DTYPE])
def test_a_higher_dtype_of_the_same_category_is_filled(name):
    expected = CASES[name]()
    out = filled_like(expected, torch.float64)
    CASES[name](out=out)
    assert out.dtype == torch.float64
    np.testing.assert_array_equal(out.numpy(), expected.numpy().astype(np.float64))
    low = filled_like(expected)
    CASES[name](matrix(torch.float64), out=low)
    assert low.dtype == torch.float32


@pytest.mark.parametrize("name", OF_TENSORS)
def test_a_lower_category_is_refused(name):
    out = filled_like(CASES[name](), torch.int64)
    kind = TypeError if name in ("torch.cat", "torch.stack") else RuntimeError  # as PyTorch
    with pytest.raises(kind, match=r"float32 can't be cast to the desired output type int64"):
        CASES[name](out=out)
    assert (out.numpy() == 77).all()


@pytest.mark.parametrize("name", OWN_DTYPE)
def test_some_take_their_own_dtype_only(name):
    with pytest.raises(RuntimeError, match=f"{name.removeprefix('torch.')}: result type float32"):
        CASES[name](out=filled_like(CASES[name](), torch.float64))


def test_norm_takes_its_own_dtype_only():
    with pytest.raises(RuntimeError, match="norm: result type float32"):
        torch.norm(matrix(), out=torch.zeros((), dtype=torch.float64))
    out = torch.zeros((), dtype=torch.float64)
    assert torch.norm(matrix(), dtype=torch.float64, out=out) is out


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.uint8])
@pytest.mark.parametrize("name", MAKERS)
def test_makers_make_the_dtype_that_they_are_given(name, dtype):
    out = filled_like(CASES[name](), dtype)
    assert CASES[name](out=out).dtype == dtype
    if name in WITH_VALUES:
        np.testing.assert_array_equal(out.numpy(), CASES[name](dtype=dtype).numpy())
    assert CASES[name](out=out, dtype=dtype) is out
    with pytest.raises(RuntimeError, match=f"int32 does not match dtype of out parameter .{dtype.name}"):
        CASES[name](out=out, dtype=torch.int32)


@pytest.mark.parametrize("what", [3, "text", np.zeros((2, 3)), [1.0]])
@pytest.mark.parametrize("name", CASES)
def test_what_is_no_tensor_is_refused(name, what):
    with pytest.raises(TypeError, match=r"argument 'out' must be Tensor, not"):
        CASES[name](out=what)


# gradients ------------------------------------------------------------------------------------------------

NO_GRADIENT = r"\(\): functions with out=\.\.\. arguments don't support automatic differentiation"


@pytest.mark.parametrize("name", CASES)
def test_an_out_that_requires_grad_is_refused_while_recording(name):
    out = filled_like(CASES[name](), torch.float32).requires_grad_()
    with pytest.raises(RuntimeError, match=name.rpartition(".")[2] + NO_GRADIENT):
        CASES[name](out=out)
    assert (out.detach().numpy() == 77).all()
    with torch.no_grad():
        assert CASES[name](out=out) is out
    assert out.requires_grad
    assert out.is_leaf


@pytest.mark.parametrize("name", OF_TENSORS)
def test_an_operand_that_requires_grad_is_refused_while_recording(name):
    x = matrix(grad=True)
    out = filled_like(CASES[name]())
    with pytest.raises(RuntimeError, match=name.rpartition(".")[2] + NO_GRADIENT):
        CASES[name](x, out=out)
    with torch.no_grad():
        CASES[name](x, out=out)
    assert not out.requires_grad
    np.testing.assert_array_equal(out.numpy(), CASES[name]().numpy())


@pytest.mark.parametrize(
    "name", [name for name in MAKERS if name not in ("torch.arange", "torch.randint", "torch.randperm")]
)
def test_makers_switch_gradients_on(name):
    out = filled_like(CASES[name]())
    assert CASES[name](out=out, requires_grad=True) is out
    assert out.requires_grad
    assert out.is_leaf


@pytest.mark.parametrize(
    "call",
    [
        lambda **k: torch.linalg.norm(matrix(), **k),
        lambda **k: torch.linalg.cross(matrix(), matrix() + 1, **k),
    ],
)
def test_norms_and_products_of_linalg_write_into_it(call):
    expected = call()
    into = torch.empty_like(expected)
    assert call(out=into) is into
    torch.testing.assert_close(into, expected)


@pytest.mark.parametrize("name", sorted(OF_TRUTH))
def test_truth_is_written_into_bools_only(name):
    function, into = FUNCTIONS[name], torch.zeros(2, dtype=torch.bool)
    assert function(matrix(grad=True), 1, out=into) is into
    assert into.tolist() == [True, True]
    with pytest.raises(RuntimeError, match=f"{name.removeprefix('torch.')}: result type bool"):
        function(matrix(), 1, out=torch.zeros(2, dtype=torch.int64))
