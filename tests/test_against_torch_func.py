"""`autograd.functional` and `func` give PyTorch's values, structures and histories."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")


def same(a, b, where=""):
    if isinstance(b, torch.Tensor):
        assert isinstance(a, jitgrad.Tensor), where
        assert (a.requires_grad, tuple(a.shape)) == (b.requires_grad, tuple(b.shape)), where
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-10)
    elif isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(b, tuple | list):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}.{k}")
    else:
        assert a == b, where


def two(x, y):
    return (x**2).sum(1) * y, x.sin()


def cubic(x, y):
    return (x**3 * y).sum()


def functional_call_per_sample(m, t):
    net = m.nn.Linear(3, 2).double()
    parameters = {"weight": t(2, 3), "bias": t(2)}

    def loss(p, x):
        return (m.func.functional_call(net, p, (x,)) ** 2).sum()

    return m.func.vmap(m.func.grad(loss), in_dims=(None, 0))(parameters, t(5, 3)), net.weight.requires_grad


def closure(m, t):
    w, x = t(3).requires_grad_(), t(3)
    return m.func.grad(lambda x: (w * x).sin().sum())(x), m.func.grad(lambda x: (2 * x).sin().sum())(w)


def jacobians_closed_over(m, t):
    """What the function closes over is trained through its Jacobians, but for that under no_grad."""
    w, x, found = t(3, 3).requires_grad_(), t(2, 3), []
    for transform in (m.func.jacrev, m.func.jacfwd, m.func.hessian):
        blocks = m.func.vmap(transform(lambda x: (w @ x).sin().prod()))(x)
        with m.no_grad():
            found.append(transform(lambda x: (w @ x).sin())(x[0]))
        found += [blocks, *m.autograd.grad((blocks**2).sum(), w)]
    aux = m.func.jacrev(lambda x: (w @ x, w.sum()), has_aux=True)(x[0])
    return found, aux, m.func.jacrev(lambda x: (w.detach() @ x, x.sum()), has_aux=True)(x[0])


def pulled_back(m, t):
    value, pull = m.func.vjp(lambda x, y: (x * y, x.sum()), t(3), t(3))
    return value, pull((t(3), t()))


def beside_what_is_trained(m, t):
    """Values and what is returned beside them have a history where they depend on the caller's tensors themselves."""
    trained, fixed, found = t(3).requires_grad_(), t(3), []
    for u, v in ((trained, fixed), (fixed, trained), (trained, trained)):
        f = lambda x, u=u, v=v: ((x.sin() * u).sum(), (x * v, v.sum()))  # noqa: E731
        x = t(3)
        found += [
            m.func.grad(f, has_aux=True)(x),
            m.func.grad_and_value(f, has_aux=True)(x),
            m.func.jvp(f, (x,), (t(3),), has_aux=True),
            m.func.vjp(f, x, has_aux=True)[::2],
        ]
    return found


A = lambda m: m.autograd.functional  # noqa: E731
CASES = {
    "vjp": lambda m, t: A(m).vjp(lambda x: (x**2).sum(1), t(3, 4), t(3)),
    "vjp of several": lambda m, t: A(m).vjp(two, (t(3, 4), t(3)), (t(3), t(3, 4))),
    "jvp of several": lambda m, t: A(m).jvp(two, (t(3, 4), t(3)), (t(3, 4), t(3))),
    "jacobian": lambda m, t: A(m).jacobian(lambda x: (x**2).sum(1), t(3, 4)),
    "jacobian with history": lambda m, t: A(m).jacobian(two, (t(3, 4), t(3)), create_graph=True),
    "jacobian forward": lambda m, t: A(m).jacobian(
        two, (t(3, 4), t(3)), strategy="forward-mode", vectorize=True
    ),
    "hessian": lambda m, t: A(m).hessian(lambda x: (x**3).sum(), t(3, 2)),
    "hessian of several": lambda m, t: A(m).hessian(cubic, (t(3, 2), t(2))),
    "vhp": lambda m, t: A(m).vhp(cubic, (t(3, 2), t(2)), (t(3, 2), t(2))),
    "hvp": lambda m, t: A(m).hvp(lambda x: (x**3).sum(), t(3, 2), t(3, 2)),
    "grad": lambda m, t: m.func.grad(lambda x: x.sin().sum())(t(3)),
    "grad of a dict": lambda m, t: m.func.grad(lambda d: d["a"].sin().sum() * d["b"].sum())(
        {"a": t(3), "b": t(2)}
    ),
    "grad of grad": lambda m, t: m.func.grad(m.func.grad(lambda x: x**3))(t()),
    "grad_and_value": lambda m, t: m.func.grad_and_value(
        lambda x, y: ((x * y).sum(), y * 2), argnums=(0, 1), has_aux=True
    )(t(3), t(3)),
    "grad with aux": lambda m, t: m.func.grad(lambda x, y: ((x * y).sum(), y * 2), has_aux=True)(t(3), t(3)),
    "func.vjp": pulled_back,
    "func.jvp": lambda m, t: m.func.jvp(lambda x, y: (x * y).sin(), (t(3), t(3)), (t(3), t(3))),
    "jacrev": lambda m, t: m.func.jacrev(lambda x: x.sin())(t(3)),
    "jacfwd": lambda m, t: m.func.jacfwd(lambda x, y: {"u": x.sin() * y}, argnums=(0, 1))(t(3), t(3)),
    "jacrev of jacfwd": lambda m, t: m.func.jacrev(m.func.jacfwd(lambda x: (x**3).sum()))(t(2)),
    "func.hessian": lambda m, t: m.func.hessian(lambda x: x.sin().prod())(t(3)),
    "vmap": lambda m, t: m.func.vmap(lambda x, y: x @ y)(t(5, 3), t(5, 3)),
    "vmap with dims": lambda m, t: m.func.vmap(lambda x, y: x * y, in_dims=(None, 1), out_dims=1)(
        t(3), t(3, 6)
    ),
    "vmap of grad": lambda m, t: m.func.vmap(
        m.func.grad(lambda w, x: (w * x).sin().sum()), in_dims=(None, 0)
    )(t(3), t(4, 3)),
    "vmap of dicts": lambda m, t: m.func.vmap(lambda d: {"s": d["a"] + d["b"]})({"a": t(3, 2), "b": t(3, 2)}),
    "functional_call": functional_call_per_sample,
    "closed over": closure,
    "Jacobians closed over": jacobians_closed_over,
    "beside what is trained": beside_what_is_trained,
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch's own, in its forward mode
@pytest.mark.parametrize("name", CASES)
def test_as_in_torch(name):
    results = []
    for module in (jitgrad, torch):
        rng = np.random.default_rng(0)
        results.append(
            CASES[name](module, lambda *s, m=module, r=rng: m.tensor(r.normal(size=s), dtype=m.float64))
        )
    same(*results)
