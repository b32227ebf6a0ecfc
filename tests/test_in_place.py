"""Writes in place: into the graph, over values that are still needed, and over their own operands."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from usage import usage

import jitgrad as torch

STALE = "modified by an inplace operation"
STEP = 1e-6


def slope(function, values):
    """Central differences of ``function(tensor).sum()``, element by element."""
    result = np.empty_like(values)
    for k in range(values.size):
        ends = []
        for step in (STEP, -STEP):
            moved = values.copy()
            moved.flat[k] += step
            with torch.no_grad():
                ends.append(function(torch.tensor(moved)).sum().item())
        result.flat[k] = (ends[0] - ends[1]) / (2 * STEP)
    return result


def sine(y):
    return y.mul_(2).add_(0.5).sin_()


WRITES = {
    "mul_ by itself": lambda x: (y := x * 1).mul_(y),
    "mul_ by another": lambda x: (x * 1).mul_(x.exp()),
    "div_ by another": lambda x: (x * 1).div_(x.exp()),
    "div_ itself": lambda x: (y := x * 1).div_(y),
    "pow_": lambda x: (x * 1).pow_(3.0),
    "sin_": lambda x: (x * 1).sin_(),
    "exp_": lambda x: (x * 1).exp_(),
    "tanh_": lambda x: (x * 1).tanh_().mul(3),
    "sqrt_": lambda x: (x * 1).sqrt_(),
    "chain": lambda x: sine(x * 1),
    "relu_": lambda x: (x - 1).relu_(),
    "clamp_": lambda x: (x * 1).clamp_(0.8, 1.2),
    "mul_ by its first row": lambda x: (y := x * 1).mul_(y[0]),
    "addcmul_": lambda x: (y := x * 1).addcmul_(y, x),
    "lerp_": lambda x: (x * 1).lerp_(x * x, 0.3),
    "masked_fill_": lambda x: (x * 2).masked_fill_(x > 1, 7.0).mul(x),
    "copy_": lambda x: (x * 2).copy_(x * x),
    "fill_": lambda x: (x * 2).fill_(3.0).mul(x),
    "zero_": lambda x: (x * 2).zero_().add(x),
    "div_ rounded down": lambda x: (x * 1).div_(0.3, rounding_mode="floor").mul(x),
    "div_ rounded": lambda x: (x * 1).div_(x + 7, rounding_mode="trunc").add(x),
    "nan_to_num_": lambda x: (x + np.where(np.arange(4) > 2, np.nan, 2.0)).nan_to_num_(0.5).mul(x),
    "cumsum_": lambda x: (x * 1).cumsum_(0).mul(x),
    "cumprod_": lambda x: (x * 1).cumprod_(1).mul(x),
    "remainder_": lambda x: (x * 1).remainder_(0.4).mul(x),
    "setitem of a row": lambda x: set_item(x * 2, 0, (x * x)[1]),
    "setitem from itself": lambda x: set_item(y := x * 2, slice(1, None), y[:-1]),
    "setitem of a mask": lambda x: set_item(x * 2, x.detach() > 1, 0.5),
}


def set_item(y, index, value):
    y[index] = value
    return y * y


@pytest.mark.parametrize("name", WRITES)
def test_gradient_through_a_write(name):
    values = np.random.default_rng(3).uniform(0.5, 1.5, (3, 4))
    x = torch.tensor(values, requires_grad=True)
    WRITES[name](x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(WRITES[name], values), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", WRITES)
def test_write_without_recording_gives_the_same_values(name):
    values = np.random.default_rng(4).uniform(0.5, 1.5, (3, 4))
    recorded = WRITES[name](torch.tensor(values, requires_grad=True))
    with torch.no_grad():
        plain = WRITES[name](torch.tensor(values))
    np.testing.assert_array_equal(plain.numpy(), recorded.detach().numpy())


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda x: x.mul_(x[1]), lambda v: v * v[1]),
        (lambda x: x.sub_(x[:1]), lambda v: v - v[:1]),
        (lambda x: x[1:].add_(x[:-1]), lambda v: v[1:] + v[:-1]),
        (lambda x: x[:-1].add_(x[1:]), lambda v: v[:-1] + v[1:]),
        (
            lambda x: x.view(20, 50).add_(x.view(50, 20).t()),
            lambda v: v.reshape(20, 50) + v.reshape(50, 20).T,
        ),
        (lambda x: x.copy_(x.flip(0)), lambda v: v[::-1]),
        (lambda x: x[3:].copy_(x[:-3]), lambda v: v[:-3]),
    ],
    ids=["element", "slice", "forward", "backward", "transposed", "flip", "copy"],
)  # fmt: skip
def test_write_over_its_own_operand_reads_the_values_from_before(write, expected):
    values = np.random.default_rng(0).standard_normal(1000)
    x = torch.tensor(values)
    np.testing.assert_array_equal(write(x).numpy(), expected(values))


REPEATED = {
    "add_": lambda x: x.add_(1),
    "+=": lambda x: x.__iadd__(1),
    "add_ transposed": lambda x: x.T.add_(torch.ones(2, 3)),
    "copy_": lambda x: x.copy_(torch.ones(3, 2)),
    "setitem of all": lambda x: x.__setitem__(slice(None), torch.ones(2)),
    "masked_fill_": lambda x: x.masked_fill_(torch.eye(3)[:, :2] == 1, 7.0),
    "tril_": lambda x: x.tril_(),
    "fill_diagonal_": lambda x: x.fill_diagonal_(3.0),
    "cumsum_": lambda x: x.cumsum_(0),
    "uniform_": lambda x: x.uniform_(),
    "index_add_": lambda x: x.index_add_(0, torch.tensor([0]), torch.ones(1, 2)),
    "scatter_": lambda x: x.scatter_(0, torch.tensor([[0, 0]]), torch.ones(1, 2)),
}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", REPEATED)
def test_write_into_elements_that_share_a_place_is_refused_and_changes_nothing(name, recorded):
    row = torch.arange(2.0).requires_grad_(recorded) * 1
    with pytest.raises(RuntimeError, match=r"more than one element of the written-to tensor .* clone\(\)"):
        REPEATED[name](row.expand(3, 2))
    assert row.tolist() == [0.0, 1.0] and row._version == 0


@pytest.mark.parametrize("recorded", [False, True])
def test_windows_that_share_elements_are_read_only_views(recorded):
    x = torch.arange(5.0).requires_grad_(recorded) * 1
    windows = x.unfold(0, 3, 1)
    x[2] = 9
    assert windows.tolist() == [[0, 1, 9], [1, 9, 3], [9, 3, 4]]
    for write in (
        lambda: windows.add_(1),
        lambda: windows.__setitem__(slice(None), 1.0),
        lambda: windows[:, 1:].zero_(),
    ):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            write()
    windows[:, 1].add_(1)
    windows[::3].zero_()
    assert x.tolist() == [0, 0, 0, 4, 4]


@pytest.mark.parametrize("recorded", [False, True])
def test_one_value_fits_elements_that_share_a_place(recorded):
    leaf = torch.arange(4.0).requires_grad_(recorded)
    row = leaf * 1
    x = row[1:3].expand(3, 2)
    x.fill_(5)
    assert row.tolist() == [0, 5, 5, 3]
    x[:, 1:].zero_()
    assert x.tolist() == [[5, 0]] * 3 and row.tolist() == [0, 5, 0, 3]
    if recorded:
        (row.sum() + x.sum()).backward()
        assert leaf.grad.tolist() == [1, 0, 0, 1]
    else:
        x[:] = 7
        assert row.tolist() == [0, 7, 7, 3]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda x: x.scatter_(0, x, x), [0, 1, 2]),
        (lambda x: x.__setitem__(x, x), [0, 1, 2]),
        (lambda x: x.index_add_(0, x, x), [2, 1, 3]),
        (lambda x: x.index_copy_(0, x, x), [0, 1, 2]),
        (lambda x: x.scatter_add_(0, x, x), [2, 1, 3]),
    ],
    ids=["scatter_", "setitem", "index_add_", "index_copy_", "scatter_add_"],
)
def test_indices_and_sources_are_read_before_their_own_memory_is_written(write, expected):
    x = torch.tensor([2, 0, 1])
    write(x)
    assert x.tolist() == expected


def test_slice_assigned_from_an_overlapping_slice_of_itself():
    values = np.arange(1000.0)
    x = torch.tensor(values)
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x.numpy(), np.concatenate([[0.0], values[:-1]]))
    x = torch.tensor(values)
    x[:-1] = x[1:]
    np.testing.assert_array_equal(x.numpy(), np.concatenate([values[1:], [999.0]]))


def test_write_returns_the_tensor_itself_and_counts_a_version():
    x = torch.zeros(3)
    for k, write in enumerate((x.add_, x.mul_, x.sub_, x.div_), start=1):
        assert write(2) is x
        assert x._version == k
    x += 1
    assert x._version == 5


def test_row_kept_before_the_write_is_stale_even_if_the_write_copies():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    kept = y.sin()
    y.mul_(y)  # keeps a copy of y for itself, not for the sine
    with pytest.raises(RuntimeError, match=STALE):
        kept.sum().backward()
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_result_kept_by_a_write_is_stale_after_the_next():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 1).tanh_()
    y.mul_(3)
    with pytest.raises(RuntimeError, match=f"{STALE}.*output 0 of TanhBackward0"):
        y.sum().backward()


WITHOUT_DERIVATIVE = {
    "x // 2": ("floor_divide", lambda x: x // 2.0),
    "x // y": ("floor_divide", lambda x: torch.floor_divide(torch.ones(3, dtype=torch.float64), x)),
    "2 // x": ("floor_divide", lambda x: 2 // x),
    "x //= 2": ("floor_divide", lambda x: (x * 3).__ifloordiv__(2)),
    "floor_divide_": ("floor_divide", lambda x: torch.ones(3, dtype=torch.float64).floor_divide_(x)),
    "floor_divide_ of a view": ("floor_divide", lambda x: (x * 3)[:2].floor_divide_(2)),
    "heaviside": ("heaviside", lambda x: torch.heaviside(x, x)),
    "heaviside_": ("heaviside", lambda x: (x * 3).heaviside_(x.detach())),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", WITHOUT_DERIVATIVE)
def test_a_walk_through_what_has_no_derivative_is_refused(name, create_graph):
    op, function = WITHOUT_DERIVATIVE[name]
    x = torch.tensor([5.0, 7.0, -1.0], dtype=torch.float64, requires_grad=True)
    y = function(x)
    assert y.requires_grad
    with pytest.raises(RuntimeError, match=f"derivative for {op} is not implemented; detach"):
        (y.sum() + x.sum()).backward(create_graph=create_graph)
    assert x.grad is None
    (x[0] * function(x).detach()[0]).backward()
    assert x.grad.tolist() == [function(x)[0].item(), 0, 0]


def test_copies_for_the_walk_back_are_freed_with_the_graph():
    x = torch.ones(1000, requires_grad=True)
    before = usage()
    y = x * 1
    y.sin_()
    y.mul_(y)
    del y
    assert usage() == before


def test_write_of_a_shape_that_does_not_fit_changes_nothing():
    x = torch.tensor([1.0, 2.0])
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(torch.ones(3, 2))
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0


def test_write_that_would_need_a_wider_dtype_is_refused():
    x = torch.tensor([1, 2])
    with pytest.raises(RuntimeError, match=r"result type float32 can't be cast to .* type int64"):
        x.add_(0.5)
    assert x.tolist() == [1, 2]


def test_view_of_a_leaf_is_not_written():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of"):
        x[0].mul_(5)
    assert x.tolist() == [1.0, 2.0]


def test_a_view_made_before_a_recorded_write_knows_of_it():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    view = y[0]
    y.mul_(x)
    (view * 3).backward()
    assert x.grad.tolist() == [12.0, 0.0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 70), (3, 1, 5), (4, 2, 16)], ids=str)
def test_writes_into_memory_of_any_order(shape, order):
    """With operands that repeat along each dimension, and one that lies in another order."""
    values = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    sizes = [shape[d] for d in order]
    for repeated in (*itertools.product((False, True), repeat=3), None):
        if repeated is None:
            other = np.arange(values.size, dtype=np.float32).reshape(sizes[::-1]).T
        else:
            few = [1 if r else n for r, n in zip(repeated, sizes, strict=True)]
            other = np.arange(np.prod(few), dtype=np.float32).reshape(few)
        memory = torch.from_numpy(values.copy())
        memory.permute(order).add_(torch.from_numpy(other))
        expected = values.transpose(order) + other
        np.testing.assert_array_equal(memory.numpy().transpose(order), expected)


OVERWRITTEN = {
    "a quotient": lambda x: (x / x.flip(0)).mul_(2).add_(x),
    "a number over a tensor": lambda x: (2 / x).mul_(x),
    "a quotient by a sum": lambda x: (x / x.sum(-1, keepdim=True)).mul_(3),
    "what was standardised": lambda x: ((x - x.mean(0)) / (x.var(0) + 1)).mul_(x[0]).add_(x[1]),
    "a normalised vector": lambda x: torch.nn.functional.normalize(x).mul_(x),
}


@pytest.mark.parametrize("name", OVERWRITTEN)
def test_quotients_may_be_written_over_because_their_gradients_read_operands(name):
    values = np.linspace(0.5, 2.0, 6).reshape(2, 3)
    x = torch.tensor(values, requires_grad=True)
    OVERWRITTEN[name](x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(OVERWRITTEN[name], values), rtol=1e-6, atol=1e-8)
