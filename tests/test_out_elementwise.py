"""``out=`` of functions element by element: what is written, what is refused, and programs of it."""

from __future__ import annotations

import numpy as np
import pytest
from out_cases import ELEMENTWISE, OF_INTEGERS, first

import jitgrad as torch

FLOATING = [name for name in ELEMENTWISE if name not in OF_INTEGERS]


def call(name, library=torch, x=None, **options):
    x = first(name) if x is None else x
    rest = [make() for make in ELEMENTWISE[name]]
    if library is not torch:
        x, *rest = (library.tensor(v.numpy()) if isinstance(v, torch.Tensor) else v for v in (x, *rest))
    return getattr(library, name)(x, *rest, **options)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_result_is_written_and_returned(name):
    expected = call(name)
    out = torch.full((*expected.shape, 2), 77, dtype=expected.dtype)
    view = out[..., 1]
    assert call(name, out=view) is view
    np.testing.assert_array_equal(out.numpy()[..., 1], expected.numpy())
    assert (out.numpy()[..., 0] == torch.tensor(77, dtype=expected.dtype).numpy()).all()


@pytest.mark.parametrize("name", FLOATING)
def test_the_dtypes_are_those_of_pytorch(name):
    other = pytest.importorskip("torch")
    for kind in ("float64", "float32", "int64", "bool"):
        ours, theirs = (
            torch.zeros(2, 3, dtype=getattr(torch, kind)),
            other.zeros(2, 3, dtype=getattr(other, kind)),
        )
        refused = None
        try:
            call(name, other, out=theirs)
        except RuntimeError as error:
            refused = type(error)
        if refused is None:
            call(name, out=ours)
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)
        else:
            with pytest.raises(refused, match=f"{name}: result type"):
                call(name, out=ours)
            assert not ours.numpy().any()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_another_shape_or_no_tensor_is_refused(name):
    out = torch.full((3, 2), 1, dtype=call(name).dtype)
    with pytest.raises(RuntimeError, match=rf"{name}: expected an out= of shape \(2, 3\), got \(3, 2\)"):
        call(name, out=out)
    assert (out.numpy() == 1).all()
    with pytest.raises(TypeError, match="argument 'out' must be Tensor, not list"):
        call(name, out=[1.0])


@pytest.mark.parametrize("name", ["exp", "abs", "floor", "maximum", "clamp", "pow", "lerp", "hypot", "logit"])
def test_gradients_are_refused_while_recording(name):
    x, out = first(name).requires_grad_(), torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match=rf"{name}\(\): functions with out=\.\.\. arguments don't support"):
        call(name, x=x, out=out)
    with torch.no_grad():
        call(name, x=x, out=out)
    np.testing.assert_array_equal(out.numpy(), call(name).numpy())


def test_an_operand_may_be_written_over():
    x = first("exp")
    expected = torch.exp(x).tolist()
    assert torch.exp(x, out=x) is x
    assert x.tolist() == expected


@pytest.mark.parametrize("name", ["exp", "floor", "maximum", "clamp", "pow", "lerp", "logit"])
def test_a_compiled_step_writes_it_too(name):
    out = torch.zeros(2, 3)

    @torch.compile(fullgraph=True)
    def step(x):
        return call(name, x=x, out=out) * 2

    for k in range(4):
        x = first(name) + 0.01 * k
        assert step(x).tolist() == (call(name, x=x) * 2).tolist()
        assert out.tolist() == call(name, x=x).tolist()
