"""Optimizers take numbers too small to be normal for zero; nothing else does."""

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels.host import host

pytestmark = pytest.mark.skipif(not host().x86, reason="subnormal numbers are as fast as others here")

SMALL = 1e-39  # subnormal in float32


def _shares(optimizer):
    """The part of subnormal numbers in each moment."""
    moments = [s["exp_avg"].numpy() for s in optimizer.state.values()]
    return [float(((m != 0) & (np.abs(m) < np.finfo(m.dtype).tiny)).mean()) for m in moments]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_moments_of_a_gradient_that_is_zero_now_do_not_end_among_subnormal_numbers(compiled):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 40), nn.Linear(40, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x):
        optimizer.zero_grad()
        (model(x).sum() * x.sum()).backward()
        optimizer.step()

    if compiled:
        step = torch.compile(step, fullgraph=True)
    step(torch.randn(4, 7))
    for _ in range(1200):  # 0.9**830 is the smallest normal number
        step(torch.zeros(4, 7))
    assert _shares(optimizer) == [0.0] * 4
    assert all((s["exp_avg"].abs() < 1e-36).all() for s in optimizer.state.values())


def test_other_arithmetic_keeps_subnormal_numbers():
    weight = nn.Parameter(torch.ones(20))
    optimizer = torch.optim.Adam([weight])
    x = torch.full((20,), SMALL)
    for _ in range(2):
        weight.grad = torch.ones(20)
        optimizer.step()
        assert np.all((x * 1.0).numpy() == np.float32(SMALL))
        assert np.all(x.numpy() * np.float32(0.5) == np.float32(SMALL * 0.5))
