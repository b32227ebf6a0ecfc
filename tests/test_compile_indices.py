"""Integer tensors without dimensions as indices, in compiled steps: a replay reads them anew."""

from __future__ import annotations

import pytest

import jitgrad as torch

# name -> how a step writes at an integer tensor without dimensions
WRITES = {
    "number": lambda y, i, v: y.__setitem__(i, 7.0),
    "row": lambda y, i, v: y.__setitem__(i, v[0]),
    "row with a slice": lambda y, i, v: y.__setitem__((i, slice(None)), v[0]),
    "part of a row": lambda y, i, v: y.__setitem__((i, slice(1, 3)), v[0, 1:3]),
    "column": lambda y, i, v: y.__setitem__((slice(None), i), v[:, 0]),
    "element": lambda y, i, v: y.__setitem__((i, i), v[0, 0]),
    "element beside an int": lambda y, i, v: y.__setitem__((1, i), v[0, 0]),
    "after an ellipsis": lambda y, i, v: y.__setitem__((Ellipsis, i), v[:, 0]),
    "with a new dimension": lambda y, i, v: y.__setitem__((None, i), v[:1]),
    "int32": lambda y, i, v: y.__setitem__(i.to(torch.int32), v[0]),
}


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_at_a_number_in_memory(name, gradient):
    x = torch.arange(12.0).reshape(3, 4).requires_grad_(gradient)
    v = (torch.arange(12.0).reshape(3, 4) - 20).requires_grad_(gradient)
    weight = torch.arange(12.0).reshape(3, 4) ** 2

    def step(i):
        y = x * 3
        WRITES[name](y, i, v)
        if not gradient:
            return y
        found = torch.autograd.grad((y * y * weight).sum(), [x, v], allow_unused=True)
        return torch.cat([g for g in found if g is not None])

    compiled = torch.compile(step, fullgraph=True)
    for k in (0, 1, 2, -1, -3, 1):
        i = torch.tensor(k)
        assert compiled(i).tolist() == step(i).tolist()
    assert len(compiled.programs) == 1


def test_a_write_at_a_number_out_of_range():
    def step(x, i):
        y = x * 1
        y[i] = 5.0
        return y

    x, compiled = torch.zeros(3), torch.compile(step, fullgraph=True)
    for k in (0, 1, 3, -4, 2, 3):
        i = torch.tensor(k)
        if -3 <= k < 3:
            assert compiled(x, i).tolist() == step(x, i).tolist()
        else:
            with pytest.raises(IndexError, match=f"index {k} is out of bounds for dimension 0 with size 3"):
                compiled(x, i)
