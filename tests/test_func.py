"""Transformations of functions and Jacobians, by formulas known in advance; and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import func
from jitgrad.autograd import functional

X = [0.5, -1.0, 2.0]


def point(values=X):
    return torch.tensor(values, dtype=torch.float64)


def matrix_of(f):
    return f.detach().numpy()


def test_jacobians_of_an_elementwise_function_are_diagonal():
    expected = np.diag(np.cos(X))
    for made in (
        functional.jacobian(torch.sin, point()),
        functional.jacobian(torch.sin, point(), strategy="forward-mode"),
        func.jacrev(torch.sin)(point()),
        func.jacfwd(torch.sin)(point()),
    ):
        np.testing.assert_allclose(matrix_of(made), expected, rtol=1e-12)
        assert not made.requires_grad


def test_hessian_of_a_quadratic_form_is_its_matrix():
    a = torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 4.0]], dtype=torch.float64)
    f = lambda x: 0.5 * (x @ a @ x)  # noqa: E731
    for made in (functional.hessian(f, point()), func.hessian(f)(point())):
        np.testing.assert_allclose(made.numpy(), a.numpy(), atol=1e-12)
    v = point([1.0, 2.0, 3.0])
    np.testing.assert_allclose(functional.hvp(f, point(), v)[1].numpy(), (a @ v).numpy(), atol=1e-12)
    np.testing.assert_allclose(functional.vhp(f, point(), v)[1].numpy(), (a @ v).numpy(), atol=1e-12)


def test_jvp_is_the_directional_derivative():
    x, v = point(), point([1.0, 2.0, 3.0])
    value, change = func.jvp(lambda t: t**3, (x,), (v,))
    np.testing.assert_allclose(value.numpy(), np.array(X) ** 3)
    np.testing.assert_allclose(change.numpy(), 3 * np.array(X) ** 2 * v.numpy(), rtol=1e-12)
    np.testing.assert_allclose(functional.jvp(lambda t: t**3, x, v)[1].numpy(), change.numpy())


def test_linearize_is_the_derivative_at_one_point():
    calls = []

    def f(x, p):
        calls.append(1)
        return {"y": (x @ p["w"]).sin(), "z": x.exp().sum()}

    x, w = torch.randn(3, 2, dtype=torch.float64), {"w": torch.randn(2, 4, dtype=torch.float64)}
    value, push = func.linearize(f, x, w)
    assert calls == [1]
    assert not value["y"].requires_grad
    for _ in range(3):
        dx, dw = torch.randn(3, 2, dtype=torch.float64), {"w": torch.randn(2, 4, dtype=torch.float64)}
        moved = push(dx, dw)
        assert calls == [1]
        expected_value, expected = func.jvp(f, (x, w), (dx, dw))
        calls.pop()
        for key in "yz":
            np.testing.assert_array_equal(value[key].numpy(), expected_value[key].numpy())
            np.testing.assert_allclose(moved[key].numpy(), expected[key].numpy(), rtol=1e-12)
            assert not moved[key].requires_grad
    with pytest.raises(RuntimeError, match=r"linearize: tangents must have the shapes .*\(3, 2\)"):
        push(torch.zeros(3), w)


def test_linearize_in_a_compiled_function_and_with_gradients():
    w = torch.tensor([1.5, -0.5], requires_grad=True)

    def step(x, v):
        _, push = func.linearize(lambda x: (x * w).sin(), x)
        return push(v)

    compiled = torch.compile(step)
    for k in range(4):
        x, v = torch.tensor([0.1 + k, 0.2]), torch.tensor([1.0, 2.0 + k])
        (slope,) = torch.autograd.grad(step(x, v).sum(), w)
        expected = (v * ((x * w).cos() - w * x * (x * w).sin())).detach()
        np.testing.assert_allclose(slope.numpy(), expected.numpy(), rtol=1e-5)
        with torch.no_grad():
            np.testing.assert_allclose(compiled(x, v).numpy(), (v * w * (x * w).cos()).numpy(), rtol=1e-5)


def test_per_sample_gradients_add_up_to_the_gradient_of_the_sum():
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    x = torch.randn(6, 3)

    def loss(p, sample):
        return func.functional_call(net, p, (sample,)).pow(2).sum()

    each = func.vmap(func.grad(loss), in_dims=(None, 0))(parameters, x)
    net(x).pow(2).sum().backward()
    for name, p in net.named_parameters():
        assert each[name].shape == (6, *p.shape)
        np.testing.assert_allclose(each[name].sum(0).numpy(), p.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_functional_call_leaves_the_module_as_it_was():
    net = torch.nn.Linear(2, 2)
    before = net.weight
    with pytest.raises(RuntimeError):
        func.functional_call(net, {"weight": torch.zeros(2, 2)}, (torch.zeros(5),))
    assert net.weight is before and dict(net.named_parameters())["weight"] is before
    out = func.functional_call(net, {"weight": torch.zeros(2, 2), "bias": torch.ones(2)}, torch.ones(1, 2))
    np.testing.assert_array_equal(out.numpy(), [[1, 1]])
    assert net.weight is before


def test_functional_call_replaces_tied_weights_together():
    net = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 2, bias=False), "b": torch.nn.Linear(2, 2, bias=False)}
    )
    net["b"].weight = net["a"].weight

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, x):
            return self.inner["b"](self.inner["a"](x))

    out = func.functional_call(Both(), {"inner.a.weight": 2 * torch.eye(2)}, torch.ones(1, 2))
    np.testing.assert_array_equal(out.numpy(), [[4, 4]])


def test_functional_call_refuses_unknown_and_missing_names():
    net = torch.nn.Linear(2, 2)
    with pytest.raises(KeyError, match="wieght"):
        func.functional_call(net, {"wieght": torch.zeros(2, 2)}, torch.ones(2))
    with pytest.raises(RuntimeError, match="bias"):
        func.functional_call(net, {"weight": torch.zeros(2, 2)}, torch.ones(2), strict=True)
    with pytest.raises(RuntimeError, match="wieght"):
        func.functional_call(net, {"wieght": torch.zeros(2, 2)}, torch.ones(2), strict=True)


def test_vmap_takes_a_compiled_function():
    f = torch.compile(lambda x, y: (x * y).sum() + x.exp().sum())
    x, y = torch.randn(7, 5), torch.randn(7, 5)
    found = func.vmap(f)(x, y)
    np.testing.assert_allclose(found.numpy(), ((x * y).sum(1) + x.exp().sum(1)).numpy(), rtol=1e-5)


def test_vmap_inside_a_compiled_function():
    f = torch.compile(lambda x: func.vmap(func.grad(lambda t: (t**3).sum()))(x), fullgraph=True)
    x = torch.randn(4, 3)
    for _ in range(3):
        np.testing.assert_allclose(f(x).numpy(), 3 * x.numpy() ** 2, rtol=1e-5)
        x = x + 1


def test_vmap_draws():
    draw = lambda x: x + torch.randn(2)  # noqa: E731
    x = torch.zeros(3, 2)
    same = func.vmap(draw, randomness="same")(x).numpy()
    other = func.vmap(draw, randomness="different")(x).numpy()
    assert (same[0] == same[1]).all() and (same[0] == same[2]).all()
    assert len(np.unique(other)) == 6


REFUSALS = [
    (lambda: func.grad(torch.sin)(point()), RuntimeError, "scalar"),
    (lambda: func.grad(torch.sum, argnums=1)(point()), RuntimeError, "argnums"),
    (lambda: func.jacrev(lambda x: 3)(point()), RuntimeError, "to return tensors, got int"),
    (lambda: func.jvp(torch.sin, (point(),), (point([1.0]),)), RuntimeError, "tangents"),
    (lambda: func.vjp(torch.sin, point())[1](point([1.0])), RuntimeError, "cotangents"),
    (lambda: func.vmap(torch.sin, in_dims=None)(point()), ValueError, "nothing is mapped"),
    (lambda: func.vmap(torch.add)(point(), point([1.0])), ValueError, "same size"),
    (lambda: func.vmap(torch.sin, in_dims=3)(point()), ValueError, "dimension"),
    (lambda: func.vmap(lambda x: 1)(point()), ValueError, "must return tensors"),
    (lambda: functional.vjp(torch.sin, point()), RuntimeError, "v can only be None"),
    (lambda: functional.vjp(torch.sin, point(), point([1.0])), RuntimeError, "invalid size"),
    (lambda: functional.hessian(torch.sin, point()), RuntimeError, "single"),
    (lambda: functional.jacobian(torch.sin, [1.0]), TypeError, "inputs"),
    (lambda: functional.jacobian(lambda x: x.detach(), point(), strict=True), RuntimeError, "independent"),
    (lambda: functional.jacobian(torch.sin, point(), strategy="sideways"), RuntimeError, "strategy"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[m for _, _, m in REFUSALS])
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


# name -> a transform of a function of a vector without elements, and the shapes of what it gives
OF_NOTHING = {
    "jacrev": (lambda: func.jacrev(lambda z: z * z), [(0, 0)]),
    "jacfwd": (lambda: func.jacfwd(lambda z: z * z), [(0, 0)]),
    "of a number": (lambda: func.jacrev(lambda z: z.sum()), [(0,)]),
    "hessian": (lambda: func.hessian(lambda z: (z**3).sum()), [(0, 0)]),
    "order three": (lambda: func.jacrev(func.hessian(lambda z: (z**3).sum())), [(0, 0, 0)]),
    "jacobian": (
        lambda: lambda x: torch.autograd.functional.jacobian(lambda z: (z, torch.ones(2)), x),
        [(0, 0), (2, 0)],
    ),
    "vmap": (lambda: lambda x: func.vmap(func.jacrev(lambda z: z * z))(x.expand(3, 0)), [(3, 0, 0)]),
}


@pytest.mark.parametrize("name", OF_NOTHING)
def test_jacobians_of_tensors_without_elements(name):
    make, shapes = OF_NOTHING[name]
    found = make()(torch.zeros(0))
    assert [tuple(x.shape) for x in (found if isinstance(found, tuple) else (found,))] == shapes
