"""What one compiled call makes of a few operations: the same as these one by one, history and gradients too."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.functions import extremes, ranges, reduce

SHAPES = ((4, 6), (1, 5), (3,), (), (2, 0), (2, 3, 4))
DIMS = (None, 0, -1, (0, -1), ())


def stepwise(name, x, dim, correction, keepdim):
    """`var` or `std` by the operations that they are made of."""
    found = reduce._moments(name, x, dim, None, correction, keepdim)[0]
    return reduce.square_root(found) if name == "std" else found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["var", "std"])
def test_a_variance_is_that_of_its_steps(name, shape, dtype):
    start = torch.arange(float(np.prod(shape)), dtype=dtype).reshape(shape).sin()
    for dim in DIMS:
        if dim == (0, -1) and len(shape) < 2:
            continue
        for correction in (0, 1, 2):
            for keepdim in (False, True):
                x, y = start.clone().requires_grad_(), start.clone().requires_grad_()
                made = getattr(x, name)(dim, correction=correction, keepdim=keepdim)
                expected = stepwise(name, y, dim, correction, keepdim)
                assert made.shape == expected.shape
                assert made.dtype is dtype
                np.testing.assert_array_equal(made.detach().numpy(), expected.detach().numpy())
                assert made.grad_fn.name() == expected.grad_fn.name()
                made.sum().backward()
                expected.sum().backward()
                np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


def test_a_variance_takes_what_lies_across_and_other_numbers_for_a_correction():
    x = torch.arange(24.0).reshape(4, 6).cos()
    np.testing.assert_allclose(x.t().var(1).numpy(), x.numpy().T.var(1, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(x.var(0, correction=1.5).numpy(), x.numpy().var(0, ddof=1.5), rtol=1e-5)
    np.testing.assert_allclose(x.std(False).numpy(), x.numpy().std(), rtol=1e-5)
    np.testing.assert_allclose(x.var(np.int64(1)).numpy(), x.numpy().var(1, ddof=1), rtol=1e-5)


@pytest.mark.parametrize(("dim", "error"), [(2, IndexError), ((0, 0), RuntimeError), ("x", TypeError)])
def test_a_variance_along_no_dimension_is_refused(dim, error):
    with pytest.raises(error, match="var"):
        torch.ones(2, 3).var(dim)


def test_a_compiled_step_takes_variances_and_extremes():
    def step(x):
        low, high = x.aminmax(dim=0)
        return x.var(1).sum() + x.std() + (high - low).sum()

    fast = torch.compile(step)
    for k in range(4):
        x = torch.arange(12.0).reshape(3, 4).sin() + k
        assert fast(x).item() == pytest.approx(step(x).item(), rel=1e-6)


@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_both_extremes_are_each_of_them(dim, keepdim, dtype):
    x = torch.tensor([[3, -1, 2], [0, 7, -5]], dtype=dtype)
    made = torch.aminmax(x, dim=dim, keepdim=keepdim)
    named = () if dim is None else dim
    assert type(made).__name__ == "aminmax"
    assert made.min.tolist() == extremes.amin(x, named, keepdim).tolist()
    assert made.max.tolist() == extremes.amax(x, named, keepdim).tolist()
    assert made.min.dtype is made.max.dtype is dtype


def test_both_extremes_have_gradients_and_need_elements():
    x = torch.tensor([1.0, 5.0, 5.0, 1.0], requires_grad=True)
    low, high = torch.aminmax(x)
    (low + 2 * high).backward()
    assert x.grad.tolist() == [0.5, 1.0, 1.0, 0.5]
    with pytest.raises(IndexError, match="amin"):
        torch.aminmax(torch.empty(0, 3), dim=0)


EQUALS = [
    (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), True),
    (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), False),
    (torch.tensor([1.0]), torch.tensor([1.0, 1.0]), False),
    (torch.tensor([[1.0]]), torch.tensor([1.0]), False),
    (torch.tensor([1.0]), torch.tensor([1]), True),
    (torch.tensor([float("nan")]), torch.tensor([float("nan")]), False),
    (torch.tensor([True, False]), torch.tensor([True, False]), True),
    (torch.empty(0, 3), torch.empty(0, 3), True),
    (torch.empty(0, 3), torch.empty(0, 4), False),
    (torch.arange(6).reshape(2, 3), torch.arange(6).reshape(3, 2).t(), False),
]


@pytest.mark.parametrize(("a", "b", "same"), EQUALS)
def test_tensors_are_equal_in_shape_and_elements(a, b, same):
    assert torch.equal(a, b) is same
    assert torch.equal(b, a) is same


def test_probabilities_draw_as_the_comparison_with_uniform_numbers():
    p = torch.linspace(0.0, 1.0, 40, dtype=torch.float64).reshape(5, 8)
    for given in (p, p.float(), p.t(), p.clone().requires_grad_()):
        torch.manual_seed(5)
        made = torch.bernoulli(given)
        torch.manual_seed(5)
        expected = (torch.rand_like(given) < given).to(given.dtype)
        assert made.tolist() == expected.tolist()
        assert made.dtype is given.dtype
        assert not made.requires_grad


def test_what_is_no_probability_draws_nothing():
    generator = torch.Generator().manual_seed(3)
    for bad in ([0.5, 1.5], [-0.1, 0.5], [float("nan"), 0.5]):
        before = generator.get_state()
        with pytest.raises(RuntimeError, match=r"probabilities to be in \[0, 1\]"):
            torch.bernoulli(torch.tensor(bad), generator=generator)
        assert torch.equal(generator.get_state(), before)
    assert torch.bernoulli(torch.tensor([0.0, 1.0]), generator=generator).tolist() == [0.0, 1.0]


def test_a_compiled_step_draws_anew_by_probabilities():
    p = torch.full((64,), 0.5)
    step = torch.compile(lambda: torch.bernoulli(p))
    drawn = {tuple(step().tolist()) for _ in range(6)}
    assert len(drawn) == 6
    assert {number for numbers in drawn for number in numbers} == {0.0, 1.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize(("shift", "dim"), [(1, 0), (-1, 1), (7, -1), (0, 0), (4, 0), (-9, -2)])
def test_what_rolls_out_at_one_end_comes_in_at_the_other(shift, dim, dtype):
    x = (torch.arange(24).reshape(4, 6) % 5).to(dtype)
    for given in (x, x.t()):
        assert given.roll(shift, dim).tolist() == np.roll(given.numpy(), shift, dim).tolist()


def test_a_roll_has_gradients_and_refuses_dimensions_that_are_not_there():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    (x.roll(1, 1) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [[2.0, 3.0, 1.0]] * 2
    assert torch.empty(0, 3).roll(1, 0).shape == (0, 3)
    with pytest.raises(IndexError, match="roll"):
        x.roll(1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ends", [(0, 1), (3, -2), (1e-3, 7), (5, 5)])
def test_numbers_in_a_row_are_counted_from_the_nearer_end(ends, dtype):
    for steps in (0, 1, 2, 5, 100):
        made = torch.linspace(*ends, steps, dtype=dtype)
        expected = ranges._spaced(float(ends[0]), float(ends[1]), steps).astype(dtype.numpy)
        np.testing.assert_array_equal(made.numpy(), expected)


def test_a_compiled_step_makes_its_rows_of_numbers_anew():
    @torch.compile
    def step(x):
        made = torch.linspace(0, 1, 5)
        made += torch.full((5,), 2.0)
        made += x
        return made

    for k in range(5):
        np.testing.assert_allclose(step(torch.tensor(float(k))).numpy(), np.linspace(0, 1, 5) + 2 + k)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("value", [2.5, 3, float("inf")])
def test_a_mask_overwrites_with_one_number(value, grad):
    x = torch.arange(12.0).reshape(3, 4).requires_grad_(grad)
    for of in (lambda y: y, lambda y: y[1:], lambda y: y.t()):
        base = x * 1.0
        target = of(base)
        mask = target > 4.0
        assert target.masked_fill_(mask, value) is target
        expected = of(x).detach().numpy().copy()
        expected[mask.numpy()] = value
        assert target.detach().numpy().tolist() == expected.tolist()
    if grad:
        (base * torch.where(base.isinf(), 0.0, 1.0)).sum().backward()
        assert x.grad.tolist() == (x <= 4.0).float().tolist()
    with pytest.raises(RuntimeError, match="boolean masks"):
        torch.zeros(3).masked_fill_(torch.zeros(3), 1.0)
    with pytest.raises(TypeError, match="mask"):
        torch.zeros(3).masked_fill_([True, False, True], 1.0)
    leaf = torch.zeros(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.masked_fill_(torch.tensor([True, False, True]), 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_writes_to_slices_leave_what_they_are_given(dtype):
    x = torch.arange(12).reshape(3, 4).to(dtype)
    index = torch.tensor([2, 0, 2])
    source = torch.ones(3, 4, dtype=dtype)
    for given in (x, x.t().contiguous().t()):
        before = given.tolist()
        made = given.index_add(0, index, source)
        expected = given.numpy().copy()
        np.add.at(expected, index.numpy(), 1)
        assert made.tolist() == expected.tolist()
        assert given.tolist() == before
        assert given.index_fill(1, torch.tensor([1]), 7)[:, 1].tolist() == [7, 7, 7]
        with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
            given.index_add(0, index + 1, source)
        assert given.tolist() == before


@pytest.mark.parametrize("index", [[0, -1, 5], [[1], [2]], 3, []])
def test_take_counts_through_all_elements(index):
    x = torch.arange(12.0).reshape(3, 4)
    places = torch.tensor(index, dtype=torch.int64)
    for given in (x, x.t()):
        assert torch.take(given, places).tolist() == np.take(given.numpy(), places.numpy()).tolist()
    x.requires_grad_()
    torch.take(x, torch.tensor([0, 0, -1])).sum().backward()
    assert x.grad.sum().item() == 3.0
    with pytest.raises(IndexError, match="take: index 12 is out of bounds"):
        torch.take(x, torch.tensor([12]))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("offset", [-7, -2, 0, 1, 9])
def test_the_places_of_triangles_are_those_of_numpy(offset, dtype):
    for rows, columns in ((0, 3), (3, 0), (1, 1), (3, 5), (6, 4), (70, 80)):
        for made, expected in (
            (torch.tril_indices(rows, columns, offset, dtype=dtype), np.tril_indices(rows, offset, columns)),
            (torch.triu_indices(rows, columns, offset, dtype=dtype), np.triu_indices(rows, offset, columns)),
        ):
            assert made.dtype is dtype
            assert made.tolist() == np.array(expected).tolist()


def test_a_compiled_step_makes_places_of_triangles_anew():
    @torch.compile
    def step(x):
        made = torch.tril_indices(3, 3)
        made += x
        return made

    for k in range(5):
        assert step(torch.tensor(k)).tolist() == (np.array(np.tril_indices(3)) + k).tolist()
