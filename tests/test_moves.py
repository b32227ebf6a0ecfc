"""Flipping, joining and extremes of lines: in every dtype, layout and number of parts, against plain NumPy."""

import itertools

import numpy as np
import pytest
from kernel_records import run

import jitgrad
from jitgrad.kernels import abi

KINDS = [t.name for t in abi.NUMPY_DTYPES]
# one piece and several; runs shorter than a vector, and longer than a piece
SHAPES = [(), (1,), (5,), (9001,), (3, 37), (2, 1, 5), (4, 3, 2, 5), (0, 3), (3, 0)]
LAYOUTS = ["plain", "transposed", "stepped", "reversed", "repeated"]


def _numbers(shape, kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "bool":
        return np.asarray(rng.integers(0, 2, shape), bool)
    if kind.startswith("float"):
        return np.asarray(rng.integers(-4, 5, shape) / 4, kind)
    return np.asarray(rng.integers(0 if kind == "uint8" else -9, 10, shape), kind)


def _laid_out(shape, kind, layout, seed=0):
    """An array of a shape whose elements lie in memory as told."""
    if layout == "plain" or not shape:
        return _numbers(shape, kind, seed)
    if layout == "transposed":
        return _numbers(shape[::-1], kind, seed).T
    if layout == "stepped":
        return _numbers((*shape[:-1], 2 * shape[-1]), kind, seed)[..., ::2]
    if layout == "reversed":
        return _numbers(shape, kind, seed)[..., ::-1]
    return np.broadcast_to(_numbers((*shape[:-1], 1), kind, seed), shape)


def _dtype(kind):
    return KINDS.index(kind)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["bool", "int32", "float64"])
def test_flip_reverses_each_choice_of_dimensions_in_any_layout_and_number_of_parts(kind, layout):
    for shape in SHAPES:
        x = _laid_out(shape, kind, layout)
        for mask in range(1 << len(shape)):
            dims = tuple(d for d in range(len(shape)) if mask >> d & 1)
            for parts in (1, 3):
                y = np.empty(shape, kind)
                y.fill(1)
                run("flip", _dtype(kind), [x, y], [mask], parts)
                np.testing.assert_array_equal(y, np.flip(x, dims))
                back = np.ones(shape, kind)
                run("flip", _dtype(kind), [None, None, x, back], [mask], parts, variant=1)
                np.testing.assert_array_equal(back, np.flip(x, dims))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["uint8", "float32", "int64"])
def test_cat_joins_and_its_gradient_cuts_along_each_dimension(kind, layout):
    for shape in [s for s in SHAPES if s]:
        for dim in range(len(shape)):
            sizes = [tuple(n + k * (d == dim) for d, n in enumerate(shape)) for k in range(3)]
            xs = [_laid_out(s, kind, layout, k) for k, s in enumerate(sizes)]
            whole = np.concatenate(xs, dim)
            for parts in (1, 4):
                y = np.ones(whole.shape, kind)
                run("cat", _dtype(kind), [*xs, y], [dim], parts)
                np.testing.assert_array_equal(y, whole)
                g = _laid_out(whole.shape, kind, layout, 9)
                grads = [np.ones(s, kind) for s in sizes]
                grads[1] = None  # not wanted
                run("cat", _dtype(kind), [*xs, None, g, *grads], [dim], parts, variant=1)
                cuts = np.cumsum([s[dim] for s in sizes])[:-1]
                for got, expected in zip(grads, np.split(g, cuts, dim), strict=True):
                    if got is not None:
                        np.testing.assert_array_equal(got, expected)


def test_bits_of_numbers_survive_moving():
    bits = np.array([0x7FC00001, 0x7F800001, 0x80000000, 1], np.uint32)  # nans with a load, -0.0, a denormal
    x = jitgrad.from_numpy(bits.view(np.float32).copy())
    assert jitgrad.flip(x, (0,)).numpy().view(np.uint32).tolist() == bits[::-1].tolist()
    assert jitgrad.cat((x, x)).numpy().view(np.uint32).tolist() == [*bits, *bits]


def _extreme(x, dim, greatest):
    """Place of the first extreme of each line, nan beyond any number: one element after another."""
    lines = np.moveaxis(x, dim, -1)
    places = np.zeros(lines.shape[:-1], np.int64)
    for at in itertools.product(*map(range, places.shape)):
        line, best = lines[at], 0
        for j, value in enumerate(line):
            if line[best] != line[best]:
                break
            if value != value or (value > line[best] if greatest else value < line[best]):
                best = j
        places[at] = best
    return places


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_are_the_first_of_equals_in_any_layout_and_number_of_parts(name, kind, layout):
    for shape in [(5,), (130,), (3, 37), (37, 3), (2, 3, 20)]:
        x = _laid_out(shape, kind, layout)
        for dim, parts, keep in itertools.product(range(len(shape)), (1, 3), (True, False)):
            places = _extreme(x, dim, name == "max")
            values = np.take_along_axis(x, np.expand_dims(places, dim), dim)
            values = values if keep else values.squeeze(dim)
            places = places.reshape(values.shape)
            got, at, alone = np.ones_like(values), np.ones_like(places), np.ones_like(places)
            run(f"{name}_along", _dtype(kind), [x, at, got], [dim], parts)
            run(f"arg{name}", _dtype(kind), [x, alone], [dim], parts)
            np.testing.assert_array_equal(at, places)
            np.testing.assert_array_equal(alone, places)
            np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("dim", [0, 1])
def test_extremes_of_nans_infinities_and_zeros(kind, dim):
    nan, inf = np.nan, np.inf
    rows = [
        [nan] * 3,
        [1, nan, nan],
        [inf, -inf, nan],
        [-inf] * 3,
        [inf] * 3,
        [-0.0, 0.0, -0.0],
        [0.0, -0.0, 0.0],
    ]
    x = np.array(rows, kind).repeat(7, 1)
    x = np.ascontiguousarray(x if dim == 1 else x.T)
    for name in ("max", "min"):
        places = _extreme(x, dim, name == "max")
        values, at = getattr(jitgrad, name)(jitgrad.from_numpy(x), dim)
        assert at.tolist() == places.tolist()
        expected = np.take_along_axis(x, np.expand_dims(places, dim), dim).squeeze(dim)
        np.testing.assert_array_equal(values.numpy(), expected)
        np.testing.assert_array_equal(np.signbit(values.numpy()), np.signbit(expected))


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("keep", [True, False])
def test_gradient_of_an_extreme_goes_to_the_chosen_element(kind, keep):
    for shape in [(5,), (3, 37), (37, 3), (2, 3, 20)]:
        for dim, parts, layout in itertools.product(range(len(shape)), (1, 3), LAYOUTS):
            x = _numbers(shape, kind)
            places = np.expand_dims(_extreme(x, dim, True), dim)
            g = _laid_out(places.shape if keep else places.squeeze(dim).shape, kind, layout, 3)
            expected = np.zeros(shape, kind)
            np.put_along_axis(expected, places, g.reshape(places.shape), dim)
            at, out = np.ascontiguousarray(places.reshape(g.shape)), np.ones(shape, kind)
            run("max_along", _dtype(kind), [None, at, None, None, g, out], [dim], parts, variant=1)
            np.testing.assert_array_equal(out, expected)
            out.fill(1)
            run("max_along", _dtype(kind), [None, at, None, None, None, out], [dim], parts, variant=1)
            assert not out.any()


def test_extremes_of_nothing_are_nothing():
    x = jitgrad.ones(0, 3, requires_grad=True)
    values, places = x.max(1)
    assert values.shape == places.shape == (0,)
    values.backward(jitgrad.ones(0))
    assert x.grad.shape == (0, 3)


def test_extreme_of_a_single_number():
    x = jitgrad.tensor(2.5, requires_grad=True)
    value, place = x.max(0)
    value.backward()
    assert (value.item(), place.item(), x.grad.item()) == (2.5, 0, 1.0)
