"""`jitgrad.op`: operations declared at run time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from custom_ops import (
    RNG,
    bent,
    bent_reference,
    dot,
    dot_back,
    dot_back_b,
    gated,
    half_given,
    leaf,
    pick,
    slide,
    spread,
)
from gradients import check_gradients

import jitgrad as torch
from jitgrad.kernels import formula as F
from jitgrad.kernels import symbolic_text

# elementwise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (0, 3), (2, 3, 33)])
def test_values_of_a_formula(shape, dtype):
    x = leaf(shape, dtype)
    y = bent(x)
    assert y.dtype is x.dtype
    np.testing.assert_allclose(y.detach().numpy(), bent_reference(x.detach().numpy()), rtol=3e-6)


def test_derived_gradients_broadcast_and_take_strides():
    a, b = RNG.standard_normal((4, 3, 5)), RNG.standard_normal((3, 1))
    check_gradients(lambda x, w: gated(x, w, slope=0.4), a, b)
    check_gradients(lambda x, w: gated(x.transpose(0, 2)[::2], w.t().t()), a, b)
    check_gradients(lambda x: gated(x, x), a)
    check_gradients(bent, a)


@pytest.mark.parametrize(
    "formula",
    [
        lambda x: F.exp(-x * x) / (1 + F.cosh(x)),
        lambda x: F.log1p(x * x) ** 1.5 + F.log2(x * x + 1) - F.log10(x * x + 2),
        lambda x: F.sigmoid(x) * F.erf(x) + F.erfc(x) * F.softplus(x),
        lambda x: F.sin(x) * F.cos(x) + F.tan(0.3 * x) - F.sinh(x),
        lambda x: F.arcsin(0.4 * x) + F.arccos(0.4 * x) * F.arctan(x) + F.expm1(x) * F.exp2(x),
        lambda x: F.minimum(x, 0.5) * F.maximum(-1.0, x) + abs(x) ** 3,
        lambda x: F.fma(x, x, 2.0) * F.rsqrt(x * x + 1) + F.floor(x) * x - F.trunc(x),
        lambda x: F.power(x * x + 1, 1.3) + 2.0**x + F.arctan2(x, 2.0) + F.copysign(x, -1.0),
        lambda x: np.where(x > 0.2, np.tanh(x), x / 3) + np.square(x) - np.clip(x, -1, 1),
        lambda x: x.tanh() + x.clamp(max=1.0) + x.relu() + (+x) / -2 + x**-2,
    ],
)
def test_every_function_is_differentiated(formula):
    op = torch.op("tried", formula, replace=True)  # the check itself compares with numerical derivatives
    x = RNG.uniform(0.3, 1.9, (37,))
    with np.errstate(all="ignore"):
        expected = symbolic_text.function(op.formula)(x)
    np.testing.assert_allclose(op(torch.tensor(x)).numpy(), expected, rtol=1e-12)
    check_gradients(op, x[x % 0.5 > 0.01])


def test_two_operands_of_powers_and_angles():
    op = torch.op(
        "tried", lambda a, b: F.power(a, b) + F.arctan2(a, b) + a / b, samples={"a": (0.5, 2)}, replace=True
    )
    check_gradients(op, RNG.uniform(0.5, 2, (6,)), RNG.uniform(0.5, 2, (6,)))


def test_a_branch_that_is_not_chosen_does_not_spoil_the_gradient():
    op = torch.op("safe_root", lambda x: F.where(x > 0, F.sqrt(x), 0.0))
    x = torch.tensor([-1.0, 0.0, 4.0], requires_grad=True)
    op(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.25]


def test_derived_gradients_read_the_result_where_that_serves():
    op = torch.op("my_tanh", lambda x: F.tanh(x))
    assert op.gradients["x"] == "def my_tanh_x(y, g):\n    return g * (1.0 - y * y)\n"
    x = leaf((2,))
    out = io.StringIO()
    torch.show_tape(op(x), out)
    assert "%1*: float64[2]" in out.getvalue()


def test_given_gradients_and_constants():
    x, w = leaf((3,)), leaf((3,))
    half_given(x, w).sum().backward()
    assert w.grad is None
    np.testing.assert_allclose(x.grad.numpy(), np.where(x.detach().numpy() > 0, 1, 0.1) * w.detach().numpy())
    assert half_given.__doc__ == "A gate whose weight is fixed."
    assert not torch.op("still", lambda x: x + 1, constant=True)(x).requires_grad


def test_integers_and_numbers_are_promoted():
    assert bent(torch.tensor([1, 2])).dtype is torch.float32
    np.testing.assert_allclose(gated(torch.tensor([2.0]), 3).numpy(), 3 * np.tanh([2.0]), rtol=1e-6)


def test_an_operation_may_be_called_as_a_function_that_it_uses():
    op = torch.op("power", lambda x: F.power(x, 2.0) + 1.0)
    assert op(torch.tensor([3.0])).tolist() == [10.0]
    check_gradients(op, RNG.uniform(1, 2, (3,)))


def test_truth_values_as_an_operand():
    op = torch.op("kept", lambda x, m: F.where(m, x * x, -x), dtypes={"m": torch.bool})
    x, mask = leaf((6,)), torch.tensor([True, False] * 3)
    y = op(x, mask)
    y.sum().backward()
    v, m = x.detach().numpy(), mask.numpy()
    np.testing.assert_allclose(y.detach().numpy(), np.where(m, v * v, -v))
    np.testing.assert_allclose(x.grad.numpy(), np.where(m, 2 * v, -1))
    with pytest.raises(RuntimeError, match=r"kept: not implemented .*m: bool"):
        op(x, x)


def test_a_formula_is_frozen_when_it_is_declared():
    scope = {"scale": 2.0}
    op = torch.op("scaled", lambda x: x * scope["scale"])
    scope["scale"] = 3.0
    assert op(torch.tensor([1.0])).tolist() == [2.0]


# arrays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_of_a_function_on_arrays(dtype):
    x, k = leaf((9,), dtype), leaf((3,), dtype)
    y = slide(x, k)
    assert y.dtype is x.dtype
    expected = np.correlate(x.detach().numpy(), k.detach().numpy(), "valid")
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5)


def test_batches_broadcast_and_operands_may_be_strided():
    x, k = RNG.standard_normal((2, 1, 7)), RNG.standard_normal((3, 2))
    check_gradients(slide, x, k)
    check_gradients(
        lambda x, k: slide(x.transpose(0, 2), k[:, ::2]),
        RNG.standard_normal((5, 3, 2)),
        RNG.standard_normal((3, 3)),
    )
    check_gradients(lambda x: slide(x, x[..., :2]), x)
    assert slide(torch.ones(0, 5), torch.ones(2)).shape == (0, 4)
    assert slide(torch.ones(3, 5), torch.ones(0)).tolist() == [[0.0] * 6] * 3


def test_only_the_wanted_gradients_are_computed():
    x, k = leaf((6,)), torch.tensor(RNG.standard_normal(2))
    slide(x, k).sum().backward()
    expected = np.convolve(np.ones(5), k.numpy())
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_several_results_of_which_one_is_used():
    x = RNG.standard_normal((4, 5))
    check_gradients(lambda x: spread(x)[0] * 2 + spread(x, factor=3.0)[1], x)
    check_gradients(lambda x: spread(x)[1], x)
    low, high = spread(torch.tensor(x), 1.0)
    np.testing.assert_array_equal(low.numpy(), x.min(1))
    np.testing.assert_array_equal(high.numpy(), x.max(1))


def test_an_operand_of_another_dtype():
    x, index = leaf((3, 4)), torch.tensor([1, 0, 3])
    pick(x, index).sum().backward()
    expected = np.zeros((3, 4))
    expected[[0, 1, 2], [1, 0, 3]] = 1
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    with pytest.raises(RuntimeError, match="pick: operand 'index' must be int64, got float64"):
        pick(x, x[:, 0])


def test_gradients_of_gradients_exist_for_formulas_and_are_refused_for_functions():
    x = torch.tensor([0.3, -0.7, 1.2], dtype=torch.float64, requires_grad=True)

    def slope(x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            return torch.autograd.grad(gated(x, x * 2, slope=0.3).square().sum(), x, create_graph=True)[0]

    check_gradients(slope, x.detach().numpy())
    k = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    plain = torch.autograd.grad(slide(x, k).square().sum(), (x, k))
    recorded = torch.autograd.grad(slide(x, k).square().sum(), (x, k), create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        assert a.tolist() == b.detach().tolist()
    with pytest.raises(
        NotImplementedError, match="slide: its gradient is a function on arrays, which cannot"
    ):
        recorded[0].sum().backward()
    high = spread(x)[1]
    (found,) = torch.autograd.grad(high, x, create_graph=True)
    assert found.tolist() == [0.0, 0.0, 2.0]
    (found,) = torch.autograd.grad(pick(x, torch.tensor(1)), x, create_graph=True)
    assert found.tolist() == [0.0, 1.0, 0.0]


def test_vmap():
    x, k = torch.tensor(RNG.standard_normal((4, 6))), torch.tensor([1.0, -2.0], dtype=torch.float64)
    rows = torch.func.vmap(lambda r: slide(bent(r), k))(x)
    np.testing.assert_allclose(rows.numpy(), slide(bent(x), k).numpy())
    gradients = torch.func.vmap(torch.func.grad(lambda r: slide(r, k).square().sum()))(x)
    for r, g in zip(x, gradients, strict=True):
        leaf_ = r.clone().requires_grad_()
        slide(leaf_, k).square().sum().backward()
        np.testing.assert_allclose(g.numpy(), leaf_.grad.numpy())


def test_shapes_that_do_not_fit():
    with pytest.raises(RuntimeError, match=r"slide: operand 'k' has shape \(\); .*at least 1 dimensions"):
        slide(torch.ones(3), torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="slide: the size of 'm' comes out as -1"):
        slide(torch.ones(3), torch.ones(5))
    with pytest.raises(RuntimeError, match=r"slide: shapes .* must be equal or 1"):
        slide(torch.ones(2, 3), torch.ones(3, 2))
    op = torch.op("dotted", dot, signature="(n),(n)->()", a=dot_back, b=dot_back_b)
    with pytest.raises(RuntimeError, match=r"dotted: operand 'b' has shape \(4,\).*n = 3, got 4"):
        op(torch.ones(3), torch.ones(4))


# programs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_is_bitwise_what_eager_is(dtype):
    def build():
        torch.manual_seed(0)
        w = torch.randn(3, dtype=dtype).requires_grad_()
        v = torch.randn(64, dtype=dtype).requires_grad_()
        x = torch.randn(4, 66, dtype=dtype)
        optimizer = torch.optim.Adam([w, v], lr=0.01)

        def step():
            optimizer.zero_grad()
            low, high = spread(gated(bent(slide(x, w)), v, slope=0.3))
            loss = (high - low).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, lambda k: (), w, v)

    assert_same(build, "ccccc", programs=1)


def test_programs_name_the_operation():
    x = torch.randn(3, 5, requires_grad=True)
    k = torch.randn(2, requires_grad=True)

    @torch.compile
    def step():
        loss = bent(slide(x, k)).sum()
        loss.backward()
        return loss

    step()
    out = io.StringIO()
    step.program().show(out)
    text = out.getvalue()
    assert "slide back to x, k" in text
    assert "bent back to x" in text
    assert "~" not in text


def test_parts_of_a_batch_are_shared():
    x = torch.randn(400, 200)
    k = torch.randn(5)

    @torch.compile
    def step(x):
        return slide(x, k)

    expected = slide(x, k)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for _ in range(3):
                assert np.array_equal(step(x).numpy(), expected.numpy())
    finally:
        torch.set_num_threads(before)
