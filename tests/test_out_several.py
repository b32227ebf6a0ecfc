"""``out=`` of several results, of draws and of indices."""

from __future__ import annotations

import numpy as np
import pytest
from out_calls import DRAWN, SEVERAL, A, filled_like, matrix, seeded

import jitgrad as torch


@pytest.mark.parametrize("name", SEVERAL)
def test_several_results_are_written_into_as_many_tensors(name):
    expected = SEVERAL[name]()
    for shapes in ([r.shape for r in expected], [(0,), (0,)]):
        outs = tuple(torch.zeros(shape, dtype=r.dtype) for shape, r in zip(shapes, expected, strict=True))
        made = SEVERAL[name](out=outs)
        assert type(made) is type(expected) and all(a is b for a, b in zip(made, outs, strict=True))
        for into, result in zip(outs, expected, strict=True):
            np.testing.assert_array_equal(into.numpy(), result.numpy())


@pytest.mark.parametrize("name", SEVERAL)
def test_nothing_is_written_unless_all_fit(name):
    values, indices = SEVERAL[name]()
    outs = torch.zeros(values.shape), torch.zeros(indices.shape)
    with pytest.raises(RuntimeError, match=f"{name[6:]}: result type int64"):
        SEVERAL[name](out=outs)
    assert not outs[0].numpy().any() and not outs[1].numpy().any()
    for one in (outs[0], outs[:1]):
        with pytest.raises(TypeError, match="argument 'out' must be a tuple of 2 tensors"):
            SEVERAL[name](out=one)


def test_the_larger_of_two_tensors_is_one_result():
    out = torch.zeros(2, 3)
    assert torch.max(matrix(), torch.ones(3), out=out) is out
    np.testing.assert_array_equal(out.numpy(), np.maximum(A, 1).astype("f4"))


# draws and indices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_those_without_it(name):
    draw, wrong = DRAWN[name]
    expected = seeded(draw)
    for out in (filled_like(expected), torch.empty(0, dtype=expected.dtype)):
        assert seeded(draw, out=out) is out
        np.testing.assert_array_equal(out.numpy(), expected.numpy())
    if wrong is not None:
        out = filled_like(expected, wrong)
        with pytest.raises(RuntimeError):
            draw(out=out)
        assert (out.numpy() == 77).all()
    with pytest.raises(TypeError, match=f"{name.split()[0]}.*argument 'out' must be Tensor"):
        draw(out=[1.0])


def test_draws_take_the_dtype_of_the_tensor_given():
    for draw in (torch.rand, torch.randn):
        out = torch.zeros(3, dtype=torch.float64)
        seeded(draw, 3, out=out)
        np.testing.assert_array_equal(out.numpy(), seeded(draw, 3, dtype=torch.float64).numpy())
        with pytest.raises(RuntimeError, match=r"float32 does not match dtype of out parameter .float64"):
            draw(3, out=out, dtype=torch.float32)
    whole = torch.zeros(4, dtype=torch.int64)
    assert torch.bernoulli(torch.ones(4), out=whole).tolist() == [1] * 4


@pytest.mark.parametrize(("name", "expected"), [("argmax", [2, 1]), ("argmin", [1, 2])])
def test_places_are_written_as_integers(name, expected):
    out = torch.zeros(2, dtype=torch.int64)
    assert getattr(torch, name)(matrix(), 1, out=out) is out and out.tolist() == expected
    with pytest.raises(RuntimeError, match=f"{name}: result type int64"):
        getattr(torch, name)(matrix(), 1, out=torch.zeros(2))
