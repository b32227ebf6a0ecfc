"""Random index expressions on random shapes: reading, viewing and writing agree with NumPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from index_cases import is_basic, read, split, write

import jitgrad as torch

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def slices(draw):
    bound = st.one_of(st.none(), st.integers(-6, 6))
    return slice(draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3])))


@st.composite
def cases(draw, repeats=True):
    """A shape and an index that fits it."""
    shape = draw(SHAPES)
    lengths = draw(st.sampled_from([(1,), (2,), (3,), (2, 1), (1, 3), (2, 3)]))
    items = []
    d = 0
    while d < len(shape):
        kinds = ["slice", "none", "stop"] + (["int"] * 2 + ["array"] * repeats if shape[d] else []) + ["mask"]
        kind = draw(st.sampled_from(kinds))
        if kind == "stop":
            break
        if kind == "none":
            if sum(x is None for x in items) < 2:
                items.append(None)
            continue
        if kind == "slice":
            items.append(draw(slices()))
        elif kind == "int":
            items.append(draw(st.integers(-shape[d], shape[d] - 1)))
        elif kind == "array":
            own = tuple(draw(st.sampled_from([1, n])) for n in lengths)
            values = st.lists(
                st.integers(-shape[d], shape[d] - 1), min_size=int(np.prod(own)), max_size=int(np.prod(own))
            )
            items.append(np.array(draw(values), np.int64).reshape(own))
        else:
            if any(isinstance(x, np.ndarray) for x in items):
                break  # its count would have to fit the others'
            width = draw(st.integers(1, len(shape) - d))
            bits = draw(st.integers(0, 2**30))
            count = int(np.prod(shape[d : d + width]))
            mask = np.array([bits >> (k % 30) & 1 for k in range(count)], bool).reshape(shape[d : d + width])
            items.append(mask)
            d += width
            break
        d += 1
    if draw(st.booleans()):
        items.append(Ellipsis)
    return shape, (items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items))


def _array(shape):
    return np.arange(1.0, 1 + int(np.prod(shape))).reshape(shape)


@settings(deadline=None, max_examples=200)
@given(cases())
def test_reads_agree_with_numpy(case):
    shape, index = case
    a = _array(shape)
    got, want = torch.tensor(a)[index], read(a, index)
    assert tuple(got.shape) == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_basic_indices_share_memory_and_others_do_not(case):
    shape, index = case
    a = _array(shape)
    x = torch.tensor(a)
    part = x[index]
    part.zero_()
    np.testing.assert_array_equal(x.numpy(), write(a, index, 0.0) if is_basic(index) else a)


@settings(deadline=None, max_examples=150)
@given(cases(repeats=False), st.sampled_from(["number", "full", "last"]))
def test_writes_agree_with_numpy(case, kind):
    shape, index = case
    a = _array(shape)
    region = read(a, index).shape
    value = -7.5
    if kind != "number":
        value = -_array(region if kind == "full" else region[-1:])
    x = torch.tensor(a)
    x[index] = value if kind == "number" else torch.tensor(value)
    np.testing.assert_array_equal(x.numpy(), write(a, index, value))


@settings(deadline=None, max_examples=100)
@given(cases())
def test_the_gradient_of_a_read_counts_how_often_each_element_was_read(case):
    shape, index = case
    a = _array(shape)
    x = torch.tensor(a, requires_grad=True)
    y = x[index]
    weights = _array(tuple(y.shape))
    y.backward(torch.tensor(weights))
    want = np.zeros(shape)
    basic, advanced = split(index, len(shape))
    np.add.at(want[basic], advanced, weights)
    np.testing.assert_array_equal(x.grad.numpy(), want)


@settings(deadline=None, max_examples=100)
@given(cases(repeats=False))
def test_a_recorded_write_equals_an_unrecorded_one(case):
    shape, index = case
    a = _array(shape)
    value = -_array(read(a, index).shape)
    x, v = torch.tensor(a, requires_grad=True), torch.tensor(value, requires_grad=True)
    y = x * 1
    y[index] = v
    np.testing.assert_array_equal(y.detach().numpy(), write(a, index, value))
    g = _array(shape)
    y.backward(torch.tensor(g))
    np.testing.assert_array_equal(x.grad.numpy(), write(g, index, 0.0))
    np.testing.assert_array_equal(v.grad.numpy(), read(g, index))
