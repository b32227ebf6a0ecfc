"""Numbers and tensors written where a mask says: eagerly, in compiled steps, and with gradients."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

A = np.random.default_rng(0).standard_normal((4, 5, 3))
MASK = A > 0.3


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("value", [0, 3, 1.5, True])
def test_a_number_under_a_mask(kind, value):
    array = np.arange(6).reshape(2, 3).astype(kind)
    mask = array % 2 == 0
    x = torch.tensor(array)
    x[torch.tensor(mask)] = value
    array[mask] = value
    np.testing.assert_array_equal(x.numpy(), array)
    assert x[torch.tensor(mask)].tolist() == array[mask].tolist()


def test_a_number_under_a_mask_in_a_compiled_step_and_its_gradient():
    def step(x):
        y = x * 2
        y[y < 0] = 0
        return y

    compiled = torch.compile(step, fullgraph=True)
    for _ in range(5):
        x = torch.randn(7, requires_grad=True)
        y = compiled(x)
        assert y.tolist() == step(x).tolist()
        y.sum().backward()
        assert x.grad.tolist() == [2.0 if v > 0 else 0.0 for v in x.tolist()]


# name -> the index that a mask of shape (4, 5, 3) is made into, and what is written there
UNDER_MASKS = {
    "number": (lambda m: m, lambda v: 2.5),
    "tensor without dimensions": (lambda m: m, lambda v: v[0, 0]),
    "tensor of one element": (lambda m: m, lambda v: v[:1, :1]),
    "leading dimension": (lambda m: m[:, 0, 0], lambda v: 2.5),
    "leading dimensions, row": (lambda m: m[..., 0], lambda v: v[0]),
    "leading dimension, matrix": (lambda m: m[:, 0, 0], lambda v: v),
    "leading dimension, matrix of its own": (lambda m: m[:, 0, 0], lambda v: v.unsqueeze(0)),
    "leading dimension, column": (lambda m: m[:, 0, 0], lambda v: v[:, :1]),
    "middle, row": (lambda m: (slice(None), m[0, :, 0]), lambda v: v[0]),
    "middle, by the first dimension": (
        lambda m: (slice(None), m[0, :, 0]),
        lambda v: v[:4, 0].reshape(4, 1, 1),
    ),
    "last": (lambda m: (..., m[0, 0]), lambda v: v[:, :1]),
    "after a slice": (lambda m: (slice(1, None, 2), m[0, :, 0]), lambda v: v[0]),
    "before an int": (lambda m: (m[..., 0], 1), lambda v: v[0, 0]),
    "before a slice": (lambda m: (m[:, 0, 0], slice(None, None, 2)), lambda v: v[:3]),
    "none selected": (lambda m: m[:, 0, 0] & False, lambda v: v),
}


# index_put_ takes masks from the first dimension on
PUT = [n for n, (index_of, _) in UNDER_MASKS.items() if not isinstance(index_of(torch.tensor(MASK)), tuple)]


@pytest.mark.parametrize(
    ("name", "put"), [*((name, False) for name in UNDER_MASKS), *((name, True) for name in PUT)]
)
def test_one_value_under_a_mask_in_a_compiled_step_and_its_gradients(name, put):
    index_of, value_of = UNDER_MASKS[name]

    def run(compiled):
        x, v = (torch.tensor(a, requires_grad=True) for a in (A, A[0, :, :].copy()))

        def step(m):
            x.grad = v.grad = None
            y, plain = x * 2, x.detach() * 3
            index, value = index_of(m), value_of(v)
            if put:
                y.index_put_((index,), torch.as_tensor(value, dtype=x.dtype))
            else:
                y[index] = value
            plain[index] = value.detach() if isinstance(value, torch.Tensor) else value
            (y * y + y).sum().backward()
            return y.detach(), plain

        step = torch.compile(step, fullgraph=True) if compiled else step
        found = []
        for k in range(4):
            results = step(torch.tensor(MASK if k % 2 else ~MASK))
            grads = (x.grad, v.grad)
            found.append([None if r is None else r.tolist() for r in (*results, *grads)])
        return found

    assert run(True) == run(False)


@pytest.mark.parametrize("name", UNDER_MASKS)
def test_one_value_under_a_mask(name):
    index_of, value_of = UNDER_MASKS[name]
    for mask in (MASK, ~MASK, np.ones_like(MASK)):
        index = index_of(torch.tensor(mask))
        value = value_of(torch.tensor(A[0]))
        x = torch.tensor(A, requires_grad=True)
        written, under_gradients = torch.tensor(A), x * 1
        written[index] = under_gradients[index] = value
        np.testing.assert_array_equal(written.numpy(), under_gradients.detach().numpy())


def test_a_mask_takes_a_tensor_of_one_number_without_being_counted():
    """So the step stays compiled, as it does for a plain number; the number is converted."""

    @torch.compile(fullgraph=True)
    def step(x, top):
        y = x.clone()
        y[x > top] = top
        y[x < 0] = torch.tensor(0, dtype=torch.int64)
        return y

    for seed in range(4):
        torch.manual_seed(seed)
        x, top = torch.randn(5, 3), torch.rand(())
        np.testing.assert_array_equal(step(x, top).numpy(), x.clamp(0, top.item()).numpy())


@pytest.mark.parametrize("of", ["self", "value"])
def test_a_mask_of_what_has_a_history_takes_a_tensor_of_one_number(of):
    x, v = torch.ones(3, requires_grad=of == "self"), torch.tensor(2.0, requires_grad=of == "value")
    y = x * 1
    y[torch.tensor([True, False, True])] = v
    (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert (x if of == "self" else v).grad.tolist() == ([0, 2, 0] if of == "self" else 4)
