"""Calls in the order of PyTorch's early years: factors before the tensors, and types of tensors as dtypes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitgrad as torch

ROWS = np.array([[1.0, -2.0], [0.5, 3.0]])
MORE = np.array([[2.0, 1.0], [-4.0, 0.25]])
ROW = np.array([3.0, -1.0])


def t(array):
    return torch.from_numpy(array.copy())


def batch(array):
    return t(array[None])


# the call of old -> the call of now
CALLS = {
    "add_": (lambda x, y: x.add_(-3, y), lambda x, y: x - 3 * y),
    "add_ of a number": (lambda x, y: x.add_(3, 2), lambda x, y: x + 6),
    "add_ by a tensor": (lambda x, y: x.add_(torch.tensor(2.0), y), lambda x, y: x + 2 * y),
    "add_ by name": (lambda x, y: x.add_(3, other=y), lambda x, y: x + 3 * y),
    "add": (lambda x, y: x.add(3, y), lambda x, y: x + 3 * y),
    "torch.add": (lambda x, y: torch.add(x, 3, y), lambda x, y: x + 3 * y),
    "sub_": (lambda x, y: x.sub_(3, y), lambda x, y: x - 3 * y),
    "sub_ by name": (lambda x, y: x.sub_(3, other=y), lambda x, y: x - 3 * y),
    "torch.sub": (lambda x, y: torch.sub(x, 3, y), lambda x, y: x - 3 * y),
    "addcmul_": (lambda x, y: x.addcmul_(3, y, y), lambda x, y: x + 3 * y * y),
    "addcmul": (lambda x, y: x.addcmul(3, y, y), lambda x, y: x + 3 * y * y),
    "addcdiv_": (lambda x, y: x.addcdiv_(-3, x, y), lambda x, y: x - 3 * (x / y)),
    "torch.addcdiv": (lambda x, y: torch.addcdiv(x, 3, x, y), lambda x, y: x + 3 * (x / y)),
    "addmm_": (lambda x, y: x.addmm_(1, -2, y, y.t()), lambda x, y: x - 2 * (y @ y.t())),
    "addmm_ by beta": (lambda x, y: x.addmm_(3, y, y), lambda x, y: 3 * x + y @ y),
    "addmm": (lambda x, y: x.addmm(3, 2, y, y), lambda x, y: 3 * x + 2 * (y @ y)),
    "torch.addmm": (lambda x, y: torch.addmm(3, x, 2, y, y), lambda x, y: 3 * x + 2 * (y @ y)),
    "torch.addmm by beta": (lambda x, y: torch.addmm(3, x, y, y), lambda x, y: 3 * x + y @ y),
    "addmv": (lambda x, y: x[0].addmv(3, 2, y, t(ROW)), lambda x, y: 3 * x[0] + 2 * (y @ t(ROW))),
    "torch.addr": (
        lambda x, y: torch.addr(3, x, 2, t(ROW), y[0]), lambda x, y: 3 * x + 2 * torch.outer(t(ROW), y[0])
    ),
    "baddbmm": (
        lambda x, y: x[None].baddbmm(3, 2, y[None], y[None]), lambda x, y: (3 * x + 2 * (y @ y))[None]
    ),
    "addbmm": (lambda x, y: x.addbmm(3, 2, y[None], y[None]), lambda x, y: 3 * x + 2 * (y @ y)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_factors_before_the_tensors_are_taken_with_a_warning(name):
    old, now = CALLS[name]
    with pytest.warns(UserWarning, match="by name"):
        made = old(t(ROWS), t(MORE))
    np.testing.assert_allclose(made.numpy(), now(t(ROWS), t(MORE)).numpy(), rtol=1e-15)


@pytest.mark.parametrize("name", [name for name in CALLS if "_" not in name])
def test_gradients_go_through_calls_of_old(name):
    def gradients(call):
        x, y = t(ROWS).requires_grad_(), t(MORE).requires_grad_()
        (call(x, y) ** 2).sum().backward()
        return x.grad.numpy(), y.grad.numpy()

    old, now = CALLS[name]
    with pytest.warns(UserWarning, match="by name"):
        made = gradients(old)
    for got, wanted in zip(made, gradients(now), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-14)


@pytest.mark.filterwarnings("ignore:.*a factor before the tensors")
def test_an_optimizer_of_old_is_compiled():
    def trained(wrap):
        w, kept = torch.ones(3, requires_grad=True), torch.zeros(3)

        def step(x):
            w.grad = None
            ((w * x - 1) ** 2).sum().backward()
            kept.mul_(0.9).addcmul_(0.1, w.grad, w.grad)
            w.data.addcdiv_(-0.1, w.grad, kept.sqrt().add_(1.0))
            w.data.add_(-0.01, w.data)

        run = wrap(step)
        for k in range(5):
            run(torch.tensor([1.0, 2.0, 3.0]) + k)
        return w.detach().numpy()

    compiled, eager = trained(lambda step: torch.compile(step, fullgraph=True)), trained(lambda step: step)
    np.testing.assert_array_equal(compiled, eager)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.add(x, 3),
        lambda x: x.add_(3, x, alpha=2),
        lambda x: x.add_(3, x, other=x),
        lambda x: x.sub_(3, other=x, alpha=2),
        lambda x: x.add(3, x, x),
        lambda x: x.addcmul_(x, x, x),
        lambda x: x.addcdiv(3, x, x, value=2),
        lambda x: torch.addmm(3, x, x, x, beta=2),
        lambda x: torch.addmm(x, x, 2, x, x),
    ],
)
def test_what_is_no_factor_is_refused_and_changes_nothing(call):
    x = t(ROWS)
    with pytest.raises(TypeError, match="by name"):
        call(x)
    np.testing.assert_array_equal(x.numpy(), ROWS)


def test_what_is_added_in_place_may_be_named():
    x = t(ROWS)
    assert x.add_(other=t(MORE), alpha=2) is x and x.sub_(other=1) is x
    np.testing.assert_array_equal(x.numpy(), ROWS + 2 * MORE - 1)
    for call in (x.add_, x.sub_):
        with pytest.raises(TypeError):
            call()


def test_products_of_integers_are_added_in_place():
    x = torch.tensor([1, 2], dtype=torch.int32)
    kept = x.addcmul_(x, x, value=2)
    assert kept is x and x.tolist() == [3, 10] and x.dtype == torch.int32
    assert x.addcmul(x, x, value=2.5).tolist() == [21, 210]  # the factor is a whole number, too
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.addcmul_(torch.ones(2), x)


@pytest.mark.parametrize("wanted", [torch.Tensor, "torch.Tensor"])
def test_the_type_of_all_tensors_stands_for_the_default_dtype(wanted):
    x = torch.tensor([1.5], dtype=torch.float64)
    assert x.type(wanted).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert x.type(wanted) is x
    finally:
        torch.set_default_dtype(torch.float32)
    assert x.type(torch.LongTensor, False).tolist() == [1]


@pytest.mark.parametrize("name", ["rand_like", "randn_like", "randint_like", "zeros_like", "full_like"])
def test_likenesses_take_the_options_of_memory(name):
    x = torch.zeros(2, 3)
    further = {"randint_like": (0, 2), "full_like": (1.0,)}.get(name, ())
    options = {"memory_format": torch.preserve_format, "layout": torch.strided, "pin_memory": False}
    assert getattr(torch, name)(x, *further, **options).shape == x.shape


def test_the_upper_bound_of_whole_numbers_is_taken_by_name():
    assert torch.randint_like(torch.ones(50), high=2).unique().tolist() == [0.0, 1.0]
    with pytest.raises(TypeError, match="high"):
        torch.randint_like(torch.ones(2))


def test_real_tensors_answer_what_complex_ones_are_asked():
    x = torch.ones(2, requires_grad=True)
    for name in ("conj", "conj_physical", "resolve_conj", "resolve_neg"):
        assert getattr(x, name)() is x and getattr(torch, name)(x) is x
    assert x.real is x and torch.real(x) is x
    assert not (x.is_conj() or torch.is_conj(x) or x.is_neg() or torch.is_neg(x))
    for ask in (torch.imag, lambda x: x.imag):
        with pytest.raises(RuntimeError, match="non-complex"):
            ask(x)
    with pytest.raises(TypeError, match="conj"):
        torch.conj(1.0)


def test_a_factor_that_changes_is_warned_of_once():
    x = torch.ones(2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for k in range(3):
            x.add_(k, x)
    assert len(told) == 1
