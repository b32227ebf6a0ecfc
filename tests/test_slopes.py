"""Compiled steps keep the slope of an activation where that saves work and nothing else reads its operand."""

from __future__ import annotations

import numpy as np
import pytest
from switched import with_and_without

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import OPS

F = nn.functional
WITH_SLOPE = {op.name: op for op in OPS if op.with_slope is not None}
ACTIVATIONS = {"silu": F.silu, "mish": F.mish, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}


def kernels(program) -> set[str]:
    return {one.kernel for row in program.rows for one in row.chain or (row,)}


def both(function, *arguments):
    """The results of a function, which gives with slopes and without them the same, and its program."""
    results, program, plain = with_and_without("slopes", function, *arguments)
    assert not any(name in kernels(plain) for name in slope_kernels())
    return results, program


def slope_kernels() -> set[str]:
    return {f"{name}.2.{dtype}" for name in WITH_SLOPE for dtype in ("float32", "float64")}


def test_every_operation_with_a_slope_is_tried_here():
    assert set(WITH_SLOPE) == set(ACTIVATIONS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 3, 16, 77, 300])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_the_same_bit_for_bit(name, size, dtype):
    torch.manual_seed(size)
    w, x = torch.randn(size, dtype=dtype, requires_grad=True), 4 * torch.randn(size, dtype=dtype)

    def step(x):
        y = ACTIVATIONS[name](w * x)
        (g,) = torch.autograd.grad(y.sum() * 2, w)
        return y, g

    want = [v.detach().numpy() for v in step(x)]
    found, program = both(step, x)
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_array_equal(got, expected)
    suffix = "float32" if dtype == torch.float32 else "float64"
    assert f"{name}.2.{suffix}" in kernels(program)
    assert f"{name}.1.{suffix}" not in kernels(program)


# where the operand is needed again, or is not the program's own, it stays
w = torch.linspace(-1, 2, 33).requires_grad_()
WANTED_AGAIN = {
    "the operand is returned": lambda x: (h := w * x, F.silu(h)),
    "another row reads it": lambda x: (lambda h: (F.silu(h) * h,))(w * x),
    "two activations read it": lambda x: (lambda h: (F.silu(h) + F.mish(h),))(w * x),
    "it is a parameter": lambda x: (F.silu(w) * x,),
    "it is a part of a larger value": lambda x: (F.silu((w * x)[::2]),),
    "it is wide": lambda x: (F.silu((w * x)[None].expand(4, 33)),),
    "it is read after the way back": lambda x: (lambda h: (F.silu(h), h.detach() * 2))(w * x),
}


@pytest.mark.parametrize("case", WANTED_AGAIN)
def test_an_operand_that_is_needed_again_is_kept(case):
    x = torch.linspace(1, 3, 33)

    def step(x):
        results = WANTED_AGAIN[case](x)
        (g,) = torch.autograd.grad(results[-1 if case == "the operand is returned" else 0].sum(), w)
        return *results, g, w.detach() + 0

    want = [v.detach().numpy().copy() for v in step(x)]
    found, _ = both(step, x)
    for got, expected in zip(found, want, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_second_gradients_are_the_same():
    x = torch.linspace(-2, 2, 40)
    v = torch.linspace(0.5, 1.5, 40).requires_grad_()

    def step(x):
        (g,) = torch.autograd.grad(F.silu(v * x).sum(), v, create_graph=True)
        (second,) = torch.autograd.grad((g * g).sum(), v)
        return g, second

    both(step, x)


@pytest.mark.parametrize("make", [lambda: torch.tensor([0.5] * 16), lambda: torch.zeros(16)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_constant_is_there_in_every_replay(name, make):
    """What is filled once, when the program is made, must not be overwritten by a slope."""

    def step(v):
        x = make().requires_grad_()
        y = ACTIVATIONS[name](x)
        y.backward(v)
        return x.grad, y.detach() * 1

    v = torch.ones(16)
    want = [g.tolist() for g in step(v)]
    compiled = torch.compile(step, fullgraph=True)
    assert [[g.tolist() for g in compiled(v)] for _ in range(6)] == [want] * 6


def test_slopes_of_activations_go_with_strips(many_strips):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.SiLU(), nn.Linear(16, 8), nn.Mish(), nn.Linear(8, 2))
    x, t = torch.randn(64, 5), torch.randn(64, 2)

    def step(x, t):
        loss = F.mse_loss(model(x), t)
        return torch.autograd.grad(loss, list(model.parameters()))

    compiled = torch.compile(step, fullgraph=True)
    compiled.program(x, t).improve()
    for got, want in zip(compiled(x, t), step(x, t), strict=True):
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-7)
    chained = {one.kernel for row in compiled.program(x, t).rows for one in row.chain}
    assert {"silu.2.float32", "mish.2.float32"} <= chained
