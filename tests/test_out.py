"""``out=`` arguments: the result is written into the tensor given, or the call is refused."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from call_samples import public, valid_call
from out_cases import ELEMENTWISE

import jitgrad as torch

F = torch.nn.functional
A = [[1.5, -2.0, 3.0], [0.25, 4.0, -1.0]]


def matrix(dtype=torch.float32, grad=False):
    return torch.tensor(A, dtype=dtype, requires_grad=grad)


def seeded(function, *args, **options):
    """A call whose draws are the same every time."""
    torch.manual_seed(3)
    return function(*args, **options)


# name: the call, and what it returns without out=
CASES = {
    "torch.add": lambda x=None, **k: torch.add(matrix() if x is None else x, matrix(), alpha=2, **k),
    "torch.sub": lambda x=None, **k: torch.sub(matrix() if x is None else x, 1.5, **k),
    "torch.mul": lambda x=None, **k: torch.mul(matrix() if x is None else x, matrix(), **k),
    "torch.div": lambda x=None, **k: torch.div(matrix() if x is None else x, 2, rounding_mode="floor", **k),
    "torch.matmul": lambda x=None, **k: torch.matmul(matrix() if x is None else x, matrix().t(), **k),
    "torch.mm": lambda x=None, **k: torch.mm(matrix() if x is None else x, matrix().t(), **k),
    "torch.bmm": lambda x=None, **k: torch.bmm((matrix() if x is None else x)[None], matrix().t()[None], **k),
    "torch.softmax": lambda x=None, **k: torch.softmax(matrix() if x is None else x, 1, **k),
    "torch.log_softmax": lambda x=None, **k: torch.log_softmax(matrix() if x is None else x, 0, **k),
    "torch.cross": lambda x=None, **k: torch.cross(matrix() if x is None else x, matrix().flip(0), **k),
    "torch.arange": lambda **k: torch.arange(1, 7, 2, **k),
    "torch.cat": lambda x=None, **k: torch.cat([matrix() if x is None else x, matrix()], 1, **k),
    "torch.empty": lambda **k: torch.empty(2, 3, **k),
    "torch.eye": lambda **k: torch.eye(2, 3, **k),
    "torch.full": lambda **k: torch.full((2, 3), 2.5, **k),
    "torch.linspace": lambda **k: torch.linspace(0, 3, 5, **k),
    "torch.norm": lambda x=None, **k: torch.norm(matrix() if x is None else x, dim=1, **k),
    "torch.logspace": lambda **k: torch.logspace(0, 2, 3, base=2, **k),
    "torch.mean": lambda x=None, **k: torch.mean(matrix() if x is None else x, 1, **k),
    "torch.nanmean": lambda x=None, **k: torch.nanmean(matrix() if x is None else x, 0, keepdim=True, **k),
    "torch.nansum": lambda x=None, **k: torch.nansum(matrix() if x is None else x, -1, **k),
    "torch.prod": lambda x=None, **k: torch.prod(matrix() if x is None else x, 1, **k),
    "torch.sum": lambda x=None, **k: torch.sum(matrix() if x is None else x, (0, 1), keepdim=True, **k),
    "torch.randint": lambda **k: seeded(torch.randint, 2, 9, (2, 3), **k),
    "torch.randperm": lambda **k: seeded(torch.randperm, 5, **k),
    "torch.ones": lambda **k: torch.ones(2, 3, **k),
    "torch.polygamma": lambda x=None, **k: torch.polygamma(2, matrix() if x is None else x, **k),
    "torch.stack": lambda x=None, **k: torch.stack([matrix() if x is None else x, matrix()], **k),
    "torch.zeros": lambda **k: torch.zeros((2, 3), **k),
    "torch.nn.functional.normalize": lambda x=None, **k: F.normalize(matrix() if x is None else x, **k),
}
# name: a call of one matrix
ALIKE = {
    "addbmm": lambda x: [x, torch.ones(2, 2, 4), torch.ones(2, 4, 3)],
    "addmm": lambda x: [x, x, torch.ones(3, 3)],
    "addmv": lambda x: [x[:, 0], x, x[0]],
    "addr": lambda x: [x, x[:, 0], x[0]],
    "amax": lambda x: [x, 1],
    "amin": lambda x: [x, (0, 1), True],
    "baddbmm": lambda x: [x, x[None], torch.ones(1, 3, 3)],
    "column_stack": lambda x: [[x, x]],
    "cumprod": lambda x: [x, 1],
    "cumsum": lambda x: [x, -1],
    "diag": lambda x: [x, 1],
    "dot": lambda x: [x[0], x[1]],
    "dstack": lambda x: [[x, x]],
    "gather": lambda x: [x, 1, torch.tensor([[2], [0]])],
    "hstack": lambda x: [[x, x]],
    "index_select": lambda x: [x, 1, torch.tensor([2, 0])],
    "inner": lambda x: [x, x],
    "kron": lambda x: [x, x],
    "logcumsumexp": lambda x: [x, 0],
    "logsumexp": lambda x: [x, 1],
    "masked_select": lambda x: [x, matrix() > 0],
    "mv": lambda x: [x, x[0]],
    "nanquantile": lambda x: [x, 0.3, 1],
    "outer": lambda x: [x[0], x[1]],
    "quantile": lambda x: [x, torch.tensor([0.2, 0.7]).to(x.dtype), 0],
    "renorm": lambda x: [x, 2, 0, 1.0],
    "std": lambda x: [x, 1],
    "take_along_dim": lambda x: [x, torch.tensor([[2], [0]]), 1],
    "tril": lambda x: [x, 1],
    "triu": lambda x: [x],
    "var": lambda x: [x, 0, False, True],
    "vdot": lambda x: [x[0], x[1]],
    "vstack": lambda x: [[x, x]],
}


def alike(name):
    return lambda x=None, **k: getattr(torch, name)(*ALIKE[name](matrix() if x is None else x), **k)


CASES |= {f"torch.{name}": alike(name) for name in ALIKE}
# name: a call with several results
SEVERAL = {
    "torch.cummax": lambda **k: torch.cummax(matrix(), 1, **k),
    "torch.cummin": lambda **k: torch.cummin(matrix(), 0, **k),
    "torch.kthvalue": lambda **k: torch.kthvalue(matrix(), 2, 1, **k),
    "torch.max": lambda **k: torch.max(matrix(), 1, keepdim=True, **k),
    "torch.min": lambda **k: torch.min(matrix(), dim=0, **k),
    "torch.mode": lambda **k: torch.mode(matrix(), 1, **k),
    "torch.sort": lambda **k: torch.sort(matrix(), dim=0, descending=True, **k),
    "torch.topk": lambda **k: torch.topk(matrix(), 2, **k),
}
FUNCTIONS = dict(public())
# these refuse a higher dtype
OWN_DTYPE = (
    "torch.bmm",
    "torch.cross",
    "torch.log_softmax",
    "torch.matmul",
    "torch.mm",
    "torch.norm",
    "torch.softmax",
    *(f"torch.{name}" for name in ALIKE),
)
OF_TRUTH = {"torch.all", "torch.any"}  # these make bools
OF_PLACES = {"torch.argmax", "torch.argmin"}  # and these indices
# draws: what is drawn, and a dtype that out= cannot have
DRAWN = {
    "bernoulli": (lambda **k: torch.bernoulli(torch.full((2, 3), 0.4), **k), None),
    "bernoulli of one probability": (lambda **k: torch.bernoulli(matrix(), 0.4, **k), None),
    "multinomial": (lambda **k: torch.multinomial(matrix().abs(), 2, **k), torch.float32),
    "normal": (lambda **k: torch.normal(1.0, 2.0, (2, 3), **k), torch.int64),
    "normal of tensors": (lambda **k: torch.normal(matrix(), matrix().abs(), **k), torch.int64),
    "rand": (lambda **k: torch.rand(2, 3, **k), torch.int64),
    "randn": (lambda **k: torch.randn((2, 3), **k), torch.int32),
}
OF_TENSORS = [name for name, call in CASES.items() if "x" in inspect.signature(call).parameters]
MAKERS = [name for name in CASES if name not in OF_TENSORS]
WITH_VALUES = [name for name in CASES if name != "torch.empty"]


def filled_like(result, dtype=None):
    return torch.full(tuple(result.shape), 77, dtype=dtype or result.dtype)


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


# several results --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEVERAL)
def test_several_results_are_written_into_as_many_tensors(name):
    expected = SEVERAL[name]()
    for shapes in ([r.shape for r in expected], [(0,), (0,)]):
        outs = tuple(torch.zeros(shape, dtype=r.dtype) for shape, r in zip(shapes, expected, strict=True))
        made = SEVERAL[name](out=outs)
        assert type(made) is type(expected) and all(a is b for a, b in zip(made, outs, strict=True))
        for into, result in zip(outs, expected, strict=True):
            np.testing.assert_array_equal(into.numpy(), result.numpy())


@pytest.mark.parametrize("name", SEVERAL)
def test_nothing_is_written_unless_all_fit(name):
    values, indices = SEVERAL[name]()
    outs = torch.zeros(values.shape), torch.zeros(indices.shape)
    with pytest.raises(RuntimeError, match=f"{name[6:]}: result type int64"):
        SEVERAL[name](out=outs)
    assert not outs[0].numpy().any() and not outs[1].numpy().any()
    for one in (outs[0], outs[:1]):
        with pytest.raises(TypeError, match="argument 'out' must be a tuple of 2 tensors"):
            SEVERAL[name](out=one)


def test_the_larger_of_two_tensors_is_one_result():
    out = torch.zeros(2, 3)
    assert torch.max(matrix(), torch.ones(3), out=out) is out
    np.testing.assert_array_equal(out.numpy(), np.maximum(A, 1).astype("f4"))


# draws and indices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_those_without_it(name):
    draw, wrong = DRAWN[name]
    expected = seeded(draw)
    for out in (filled_like(expected), torch.empty(0, dtype=expected.dtype)):
        assert seeded(draw, out=out) is out
        np.testing.assert_array_equal(out.numpy(), expected.numpy())
    if wrong is not None:
        out = filled_like(expected, wrong)
        with pytest.raises(RuntimeError):
            draw(out=out)
        assert (out.numpy() == 77).all()
    with pytest.raises(TypeError, match=f"{name.split()[0]}.*argument 'out' must be Tensor"):
        draw(out=[1.0])


def test_draws_take_the_dtype_of_the_tensor_given():
    for draw in (torch.rand, torch.randn):
        out = torch.zeros(3, dtype=torch.float64)
        seeded(draw, 3, out=out)
        np.testing.assert_array_equal(out.numpy(), seeded(draw, 3, dtype=torch.float64).numpy())
        with pytest.raises(RuntimeError, match=r"float32 does not match dtype of out parameter .float64"):
            draw(3, out=out, dtype=torch.float32)
    whole = torch.zeros(4, dtype=torch.int64)
    assert torch.bernoulli(torch.ones(4), out=whole).tolist() == [1] * 4


@pytest.mark.parametrize(("name", "expected"), [("argmax", [2, 1]), ("argmin", [1, 2])])
def test_places_are_written_as_integers(name, expected):
    out = torch.zeros(2, dtype=torch.int64)
    assert getattr(torch, name)(matrix(), 1, out=out) is out and out.tolist() == expected
    with pytest.raises(RuntimeError, match=f"{name}: result type int64"):
        getattr(torch, name)(matrix(), 1, out=torch.zeros(2))


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
