"""One script run with PyTorch and with jitgrad: the same numbers, shapes, dtypes, histories and errors.

A script is ``script(m, t)``: `m` is the module, and ``t(*shape)`` makes a tensor of normal float64 numbers, the
same in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")


def maker(m: Any) -> Callable[..., Any]:
    source = np.random.default_rng(20240917)

    def make(*shape: int, grad: bool = False, **options: Any) -> Any:
        x = m.tensor(source.standard_normal(shape), **{"dtype": m.float64, **options})
        return x.requires_grad_() if grad else x

    return make


def same(a: Any, b: Any, where: str = "", rtol: float = 1e-9, atol: float = 1e-10) -> None:
    """What jitgrad returned is what PyTorch did."""
    if isinstance(b, torch.Tensor):
        assert isinstance(a, jitgrad.Tensor), where
        assert str(a.dtype) == str(b.dtype), where
        assert (a.requires_grad, tuple(a.shape)) == (b.requires_grad, tuple(b.shape)), where
        values, expected = a.detach().numpy(), b.detach().resolve_conj().numpy()
        np.testing.assert_allclose(values, expected, rtol=rtol, atol=atol, err_msg=where)
    elif isinstance(b, dict):
        assert list(a) == list(b), where
        for key in b:
            same(a[key], b[key], f"{where}.{key}", rtol, atol)
    elif isinstance(b, tuple | list):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}.{k}", rtol, atol)
    elif isinstance(b, float):
        assert a == pytest.approx(b, rel=rtol, abs=atol, nan_ok=True), where
    else:
        assert a == b, where


def run_both(script: Callable[[Any, Any], Any], **tolerances: float) -> None:
    same(script(jitgrad, maker(jitgrad)), script(torch, maker(torch)), **tolerances)


def fail_alike(script: Callable[[Any, Any], Any], words: str) -> None:
    """Both raise an exception of one class (or jitgrad's is a subclass); jitgrad's message has all the words."""
    with pytest.raises(Exception) as theirs:
        script(torch, maker(torch))
    with pytest.raises(Exception) as ours:
        script(jitgrad, maker(jitgrad))
    names = {kind.__name__ for kind in type(ours.value).__mro__}
    assert theirs.type.__name__ in names, (ours.value, theirs.value)
    for word in words.split():
        assert word in str(ours.value), (word, str(ours.value))


def with_gradients(m: Any, function: Callable[..., Any], *inputs: Any) -> Any:
    """The results of a function of inputs that need a gradient, and the gradients of a weighted sum of them."""
    found = function(*inputs)
    results = [y for y in (found if isinstance(found, tuple | list) else [found]) if y.requires_grad]
    total = sum((y * m.linspace(0.5, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() for y in results)
    return found, m.autograd.grad(total, inputs, allow_unused=True)
