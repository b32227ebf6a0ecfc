"""Reductions: values against NumPy's, gradients against differences, dimensions, nan and nothing to reduce."""

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch

RNG = np.random.default_rng(7)
X = RNG.standard_normal((3, 4, 5))
DIMS = [None, 0, 1, -1, (0, 2), (1,), (0, 1, 2)]


def numpy_axis(dim):
    return tuple(dim) if isinstance(dim, tuple) else dim


REFERENCES = {
    "sum": np.sum,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
    "var": lambda x, axis, keepdims: np.var(x, axis=axis, keepdims=keepdims, ddof=1),
    "std": lambda x, axis, keepdims: np.std(x, axis=axis, keepdims=keepdims, ddof=1),
    "norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    "logsumexp": lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    "all": lambda x, axis, keepdims: np.all(x, axis=axis, keepdims=keepdims),
    "any": lambda x, axis, keepdims: np.any(x, axis=axis, keepdims=keepdims),
}


def run(name, x, dim, keepdim):
    if dim is None and not keepdim and name != "logsumexp":
        return getattr(x, name)()
    return getattr(x, name)(dim=dim, keepdim=keepdim)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("name", REFERENCES)
def test_reductions_agree_with_numpy(name, dim, keepdim):
    if dim is None and keepdim and name in ("amax", "amin"):
        dim = ()
    expected = REFERENCES[name](
        X, axis=numpy_axis(dim) or None if dim == () else numpy_axis(dim), keepdims=keepdim
    )
    np.testing.assert_allclose(run(name, torch.tensor(X), dim, keepdim).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("layout", ["transposed", "stepped", "expanded", "broadcast row"])
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "norm", "prod"])
def test_reductions_follow_strides(name, layout):
    base = torch.tensor(X)
    x = {
        "transposed": lambda: base.transpose(0, 2),
        "stepped": lambda: base[:, ::2, 1::3],
        "expanded": lambda: base[:1].expand(3, 4, 5),
        "broadcast row": lambda: base[0, :1].expand(4, 5),
    }[layout]()
    values = np.array(x.numpy())
    for dim in range(x.ndim):
        expected = {"sum": np.sum, "mean": np.mean, "amax": np.max, "norm": np.linalg.norm, "prod": np.prod}[
            name
        ]
        np.testing.assert_allclose(getattr(x, name)(dim=dim).numpy(), expected(values, axis=dim), rtol=1e-12)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_max_and_min_along_a_dimension(dim, keepdim):
    x = torch.tensor(X)
    for name, value, argument in (("max", np.max, np.argmax), ("min", np.min, np.argmin)):
        found = getattr(x, name)(dim, keepdim=keepdim)
        np.testing.assert_array_equal(found.values.numpy(), value(X, axis=dim, keepdims=keepdim))
        np.testing.assert_array_equal(found.indices.numpy(), argument(X, axis=dim, keepdims=keepdim))
        values, indices = found
        assert values is found.values
        assert indices.dtype is torch.int64
        arg = getattr(x, "arg" + name)(dim, keepdim=keepdim)
        np.testing.assert_array_equal(arg.numpy(), argument(X, axis=dim, keepdims=keepdim))
    assert x.argmax().item() == X.argmax()
    assert x.transpose(0, 2).argmin().item() == X.transpose(2, 1, 0).argmin()


def test_max_of_everything_and_of_two_tensors():
    x = torch.tensor(X)
    assert x.max().item() == X.max()
    assert torch.min(x).item() == X.min()
    np.testing.assert_array_equal(torch.max(x, -x).numpy(), np.maximum(X, -X))
    np.testing.assert_array_equal(torch.min(x, other=-x).numpy(), np.minimum(X, -X))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_is_the_extreme(dtype):
    x = torch.tensor([1.0, float("nan"), 3.0, float("nan")], dtype=dtype)
    assert x.max().isnan().item()
    assert x.amin(0).isnan().item()
    assert x.argmax().item() == 1
    assert x.max(0).indices.item() == 1


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1, lambda x: np.abs(x).sum(1)),
        (2, lambda x: np.sqrt((x * x).sum(1))),
        (3, lambda x: (np.abs(x) ** 3).sum(1) ** (1 / 3)),
        (0.5, lambda x: (np.abs(x) ** 0.5).sum(1) ** 2),
        (float("inf"), lambda x: np.abs(x).max(1)),
        (-float("inf"), lambda x: np.abs(x).min(1)),
        (0, lambda x: (x != 0).sum(1).astype(float)),
        ("fro", lambda x: np.sqrt((x * x).sum(1))),
    ],
)
def test_norms(p, expected):
    np.testing.assert_allclose(torch.norm(torch.tensor(X), p, dim=1).numpy(), expected(X), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, np.inf])
def test_norms_have_a_gradient_of_zero_where_all_is_zero_and_where_one_is(p, dtype):
    x = torch.tensor([[0.0, 0.0], [0.0, -2.0]], dtype=dtype, requires_grad=True)
    norms = x.norm(p, 1)
    norms.sum().backward()
    assert norms.tolist() == pytest.approx([0, 2])
    assert x.grad.reshape(-1).tolist() == pytest.approx([0, 0, 0, -1])


def test_count_of_nonzeros_keeps_the_graph_with_a_gradient_of_zero():
    x = torch.tensor([1.0, 0.0, float("nan")], requires_grad=True)
    count = x.norm(0)
    count.backward()
    assert count.item() == 2
    assert x.grad.tolist() == [0, 0, 0]


def test_extreme_norm_of_nothing_is_a_runtime_error():
    with pytest.raises(RuntimeError, match="norm: Expected reduction dim 1 to have non-zero size"):
        torch.zeros(2, 0).norm(float("inf"), 1)


@pytest.mark.parametrize("p", [-1, -2.5])
def test_norms_of_negative_order_are_zero_beside_a_zero(p):
    x = torch.tensor([0.0, 3.0], requires_grad=True)
    norm = x.norm(p)
    norm.backward()
    assert norm.item() == 0
    assert x.grad.tolist() == [0, 0]
    assert torch.tensor([2.0, 2.0]).norm(p).item() == pytest.approx(2 * 2 ** (1 / p))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool], ids=repr)
def test_integers_sum_to_int64(dtype):
    values = np.array([[1, 0, 3], [2, 5, 250]])
    x = torch.tensor(values, dtype=dtype)
    plain = x.numpy().astype(np.int64)
    for name in ("sum", "prod"):
        made = getattr(x, name)()
        assert made.dtype is torch.int64
        assert made.item() == getattr(np, name)(plain)
    np.testing.assert_array_equal(x.sum(0).numpy(), plain.sum(0))
    assert x.count_nonzero().item() == np.count_nonzero(plain)
    assert x.max().dtype is dtype


def test_dtype_converts_before_reducing():
    x = torch.tensor([1, 2, 4])
    assert x.sum(dtype=torch.float64).dtype is torch.float64
    assert x.mean(dtype=torch.float32).item() == pytest.approx(7 / 3)
    assert torch.tensor([0.5, 0.5]).sum(dtype=torch.int64).item() == 0


@pytest.mark.parametrize(
    ("dtype", "total", "product"),
    [("bool", True, False), ("uint8", 44, 0), ("int32", 300, 0), ("float64", 300, 0)],
)
def test_sums_and_products_have_the_dtype_asked_for(dtype, total, product):
    kind = getattr(torch, dtype)
    x = torch.tensor([[100, 200], [0, 0]])
    for made in (x.sum(dtype=kind), torch.nansum(x, dtype=kind), x.sum((0, 1), dtype=kind)):
        assert (made.dtype, made.item()) == (kind, total)
    assert (x.prod(dtype=kind).dtype, x.prod(1, dtype=kind).tolist()[1]) == (kind, product)


def test_truth_along_no_dimensions_is_that_of_each_element():
    x = torch.tensor([[0, 2], [3, 0]], dtype=torch.uint8)
    assert x.any(()).tolist() == x.all([]).tolist() == [[0, 1], [1, 0]]
    assert (x.any(dim=()).dtype, x.int().all(()).dtype) == (torch.uint8, torch.bool)
    assert x.sum(()).item() == 5  # as in PyTorch, sums are of everything then


def test_reductions_of_nothing():
    empty = torch.zeros(0, 3)
    assert empty.sum().item() == 0
    assert empty.prod().item() == 1
    assert empty.mean().isnan().item()
    assert empty.sum(0).tolist() == [0, 0, 0]
    assert empty.sum(1).shape == (0,)
    assert empty.amax(1).shape == (0,)
    assert empty.all().item() is True
    assert empty.any().item() is False


def test_reductions_of_a_tensor_without_dimensions():
    x = torch.tensor(2.5)
    for name in ("sum", "mean", "amax", "prod", "norm"):
        assert getattr(x, name)().item() == 2.5
    assert x.sum(0).item() == 2.5
    assert x.max(-1).values.item() == 2.5
    assert x.max(0).indices.item() == 0
    assert x.argmax(0).item() == 0


def test_variance_forms():
    x = torch.tensor(X)
    assert x.var(unbiased=False).item() == pytest.approx(X.var())
    assert x.var(correction=3).item() == pytest.approx(X.var() * 60 / 57)
    variance, mean = torch.var_mean(x, 1, keepdim=True)
    np.testing.assert_allclose(variance.numpy(), X.var(1, ddof=1, keepdims=True))
    np.testing.assert_allclose(mean.numpy(), X.mean(1, keepdims=True))
    deviation, mean = torch.std_mean(x)
    assert (deviation.item(), mean.item()) == pytest.approx((X.std(ddof=1), X.mean()))
    assert torch.tensor([1.0]).var().isnan().item()


def test_logsumexp_neither_overflows_nor_loses_infinities():
    x = torch.tensor([[1000.0, 1000.0], [-1000.0, -1001.0], [-float("inf")] * 2, [float("inf"), 0.0]])
    found = x.logsumexp(1).tolist()
    assert found[0] == pytest.approx(1000 + np.log(2))
    assert found[1] == pytest.approx(-1000 + np.log1p(np.exp(-1)))
    assert found[2:] == [-float("inf"), float("inf")]


def test_nan_is_left_out_on_request():
    x = torch.tensor([1.0, float("nan"), 3.0])
    assert x.nansum().item() == 4
    assert x.nanmean().item() == 2


WITH_ZEROS = X[0].copy()
WITH_ZEROS[0, 1] = WITH_ZEROS[2, 0] = WITH_ZEROS[2, 3] = 0
GRADIENTS = {
    "sum": lambda x: x.sum(1),
    "sum of all": lambda x: x.sum(),
    "mean": lambda x: x.mean((0, 1), keepdim=True),
    "prod": lambda x: x.prod(0),
    "prod of all": lambda x: x.prod(),
    "var": lambda x: x.var(1),
    "std": lambda x: x.std((0, 1)),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1, 1),
    "norm 3": lambda x: x.norm(3, 0),
    "norm inf": lambda x: x.norm(float("inf"), 0),
    "logsumexp": lambda x: x.logsumexp(1),
    "amax": lambda x: x.amax(0),
    "amin": lambda x: x.amin((0, 1), keepdim=True),
    "max of all": lambda x: x.max() * x.min(),
    "max": lambda x: x.max(1).values * x.min(1, keepdim=True)[0],
    "var and mean": lambda x: sum(torch.var_mean(x, 0)),
    "of a transpose": lambda x: x.t().sum(0) * x.t().max(0)[0],
    "of an expansion": lambda x: x.unsqueeze(0).expand(2, 4, 5).mean(2),
    "nansum": lambda x: x.nansum(0),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    check_gradients(GRADIENTS[name], X[0])


def test_gradient_of_prod_is_right_with_zeros():
    check_gradients(lambda x: x.prod(1), WITH_ZEROS)
    check_gradients(lambda x: x[:1].prod(), WITH_ZEROS)
    check_gradients(lambda x: x.prod(), WITH_ZEROS)


def test_ties_share_the_gradient_of_amax_and_the_first_gets_that_of_max():
    x = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    x.amax(1).backward(torch.tensor([1.0, 6.0]))
    assert x.grad.tolist() == [[0, 0.5, 0.5], [2, 2, 2]]
    x.grad = None
    x.max(1).values.backward(torch.tensor([1.0, 6.0]))
    assert x.grad.tolist() == [[0, 1, 0], [6, 0, 0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[0, 0.5, 0.5], [0, 0, 0]]


def test_norm_of_zeros_has_gradient_zero():
    x = torch.zeros(3, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.sum(2), IndexError, "Dimension out of range"),
        (lambda x: x.sum((0, -2)), RuntimeError, "multiple times"),
        (lambda x: x.sum(dim=1.5), TypeError, "float"),
        (lambda x: x.max(-3), IndexError, "Dimension out of range"),
        (lambda x: x.long().mean(), RuntimeError, "floating point"),
        (lambda x: x.long().var(), RuntimeError, "floating point"),
        (lambda x: x.long().norm(), RuntimeError, "floating point"),
        (lambda x: x[:0].max(), RuntimeError, "dim"),
        (lambda x: x[:0].max(0), IndexError, "non-zero size"),
        (lambda x: x[:0].amin(0), IndexError, "non-zero size"),
        (lambda x: x[:0].argmax(), IndexError, "dim"),
        (lambda x: x.bool().argmax(), RuntimeError, "bool"),
        (lambda x: torch.sum(1), TypeError, "must be Tensor"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.zeros(2, 3))


def test_results_are_named_as_in_pytorch():
    found = torch.tensor([1.0, 2.0]).max(0)
    assert repr(found) == "torch.return_types.max(\nvalues=tensor(2.),\nindices=tensor(1))"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nansum_passes_gradients_to_numbers_only_and_is_replayed(dtype):
    values = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.inf]], dtype)
    for transposed in (False, True):
        given = torch.tensor(values).t() if transposed else torch.tensor(values)
        x = given.detach().requires_grad_()
        made = torch.nansum(x, 0)
        np.testing.assert_array_equal(made.detach().numpy(), np.nansum(x.detach().numpy(), 0))
        made.backward(torch.ones_like(made))
        np.testing.assert_array_equal(x.grad.numpy(), ~np.isnan(x.detach().numpy()))
        again = torch.compile(lambda v: torch.nansum(v, 0), fullgraph=True)(x.detach())
        np.testing.assert_array_equal(again.numpy(), made.detach().numpy())
    assert torch.nansum(torch.zeros(0, 2), 0).tolist() == [0, 0]
