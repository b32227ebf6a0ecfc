"""Orthogonal polynomials of ``special``: values against NumPy's, ends, unusual degrees, compiled steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from special_references import POLYNOMIALS

import jitgrad as torch
from jitgrad import special

X = np.concatenate([np.linspace(-1.4, 1.4, 57), [0.0, 1.0, -1.0, 0.5, -0.5]])


@pytest.mark.parametrize("name", POLYNOMIALS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2e-13), ("float32", 2e-4)])
def test_values(name, dtype, tolerance):
    x = X.astype(dtype)
    n = np.arange(16, dtype=dtype)[:, None]
    found = getattr(special, name)(torch.tensor(x), torch.tensor(n))
    assert found.dtype is getattr(torch, dtype)
    for k in range(16):
        expected = POLYNOMIALS[name](x.astype(float), k) * np.ones_like(X)
        scale = np.abs(expected) + np.abs(expected).mean()
        assert np.max(np.abs(found[k].numpy() - expected) / scale) < tolerance, k


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_degrees_that_are_no_usual_ones(name):
    call = getattr(special, name)
    degrees = torch.tensor([-1.0, -7.5, 0.0, 2.9, math.nan, math.inf, -math.inf])
    found = call(0.3, degrees)
    assert found[:3].tolist() == [0, 0, 1]
    assert found[3].item() == call(0.3, torch.tensor(2.0)).item()
    assert found[4:6].isnan().all() and found[6].item() == 0
    assert call(torch.tensor([math.nan]), 3).isnan().all()


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_operands_broadcast_and_integers_become_floats(name):
    call = getattr(special, name)
    x, n = torch.linspace(0.1, 0.9, 6).reshape(2, 3), torch.tensor([1, 4, 2])
    whole = call(x, n)
    assert tuple(whole.shape) == (2, 3) and whole.dtype is torch.float32
    for j, k in enumerate([1, 4, 2]):
        np.testing.assert_array_equal(whole[:, j].numpy(), call(x[:, j], k).numpy())
    np.testing.assert_array_equal(call(x.t(), n[:, None]).numpy(), whole.numpy().T)
    assert call(torch.tensor([1, 2]), 3).dtype is torch.float32
    assert tuple(call(torch.ones(0, 3), n).shape) == (0, 3)
    out = torch.empty(2, 3)
    assert call(x, n, out=out) is out and torch.equal(out, whole)
    with pytest.raises(TypeError, match=name):
        call(1.0, 2.0)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_high_degrees_end(name):
    """Between -1 and 1 Chebyshev's are waves of any degree; of others a loop over as many turns would not end."""
    found = getattr(special, name)(torch.tensor([0.3, 5.0], dtype=torch.float64), 1e30)
    assert found.isnan().tolist() == ["chebyshev" not in name, True]


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_a_walk_back_is_an_error(name):
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"derivative for {name} is not implemented; detach"):
        getattr(special, name)(x, 2).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_compiled_steps(name):
    w = torch.tensor([0.5, -0.2], requires_grad=True)

    def step(x, n):
        w.grad = None
        loss = (getattr(special, name)(x, n) * w).sum()
        loss.backward()
        return loss

    replay = torch.compile(step, fullgraph=True)
    for k in range(4):
        x, n = torch.tensor([0.2 * k, 0.4]), torch.tensor([2.0 + k, 12.0])
        expected = step(x, n).item(), w.grad.tolist()
        assert (replay(x, n).item(), w.grad.tolist()) == expected
    assert len(replay.programs) == 1


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_values_are_pytorchs(name):
    theirs = pytest.importorskip("torch")
    x = np.concatenate([X, [math.inf, -math.inf, 30.0]])
    n = np.array([-2.0, 0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0, 12.0, 25.0, 60.0])[:, None]
    found = getattr(special, name)(torch.tensor(x), torch.tensor(n)).numpy()
    expected = getattr(theirs.special, name)(theirs.tensor(x), theirs.tensor(n)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
