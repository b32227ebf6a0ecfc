"""In-place writes and views give PyTorch's values, gradients and second gradients."""

from __future__ import annotations

import numpy as np
import pytest
from view_programs import LYING, PROGRAMS

import jitgrad

torch = pytest.importorskip("torch")


def results_of(module, program, across):
    rng = np.random.default_rng(7)
    values = rng.standard_normal((3, 4))
    a = module.tensor(values.T if across else values, dtype=module.float64, requires_grad=True)
    w = module.tensor(rng.standard_normal(4), dtype=module.float64, requires_grad=True)
    outputs = program(module, a.t() if across else a, w)
    total = sum((y * module.tensor(rng.standard_normal(tuple(y.shape)))).sum() for y in outputs)
    first = module.autograd.grad(total, (a, w), create_graph=True, allow_unused=True)
    square = sum((g * g).sum() for g in first if g is not None)
    second = (None, None)
    if square.requires_grad:
        second = module.autograd.grad(square, (a, w), allow_unused=True)
    found = [*outputs, *first, *second]
    return [None if t is None else t.detach().numpy() for t in found]


# PyTorch refuses to write into one of several views that one call has made; there is no need to
MORE_THAN_TORCH = {"chunks"}


@pytest.mark.parametrize(("name", "across"), [case for case in LYING if case[0] not in MORE_THAN_TORCH])
def test_as_in_torch(name, across):
    ours, theirs = (results_of(module, PROGRAMS[name], across) for module in (jitgrad, torch))
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = (np.zeros(1) if x is None else x for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"result {k}")
