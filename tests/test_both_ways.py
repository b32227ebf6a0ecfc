"""Losses and their way back as one row of a program: the same bits, and only where nothing in between minds."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import training_step
from sample_values import draw

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels.table import BOTH, OPS

F = nn.functional
DTYPES = ("float32", "float64")
CLASSES = (1, 2, 5, 10, 16, 17, 31, 33, 129)
ROWS = (1, 3, 16, 19)


def joined(step) -> list[str]:
    """The operations of a step that go both ways in one row."""
    return [row.op for row in step.programs[0].rows if row.variant == BOTH]


def compare(function, *arguments) -> list[str]:
    """Replay with the rewrite and without it, on arguments that neither was recorded with; what has been joined."""
    results = []
    for options in ({}, {"both_ways": False}):
        step = torch.compile(function, fullgraph=True, options=options)
        step(*[torch.zeros_like(x) for x in arguments])
        step.program(*arguments).improve()
        results.append((joined(step), [x.detach().numpy().copy() for x in step(*arguments)]))
    (names, ours), (none, theirs) = results
    assert not none
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, y)
    return names


def step_of(loss):
    """A step that returns a loss and the gradients of what is to be trained."""

    def step(x, *rest):
        x = x.detach().requires_grad_()
        value = loss(x, *rest)
        return value, *torch.autograd.grad(value, [x])

    return step


LAYOUTS = {
    "rows": lambda x: x,
    "columns": lambda x: x.t().contiguous().t(),
    "every other": lambda x: torch.cat([x, x], 1)[:, ::2] if x.shape[1] > 1 else x,
    "with a gap": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("classes", CLASSES)
def test_cross_entropy_gives_the_same_bits(classes, layout, dtype):
    rng = np.random.default_rng(classes)
    for rows in ROWS:
        x = LAYOUTS[layout](draw(rng, (rows, classes), dtype) * 3)
        targets = rng.integers(0, classes, rows)
        ignored = np.where(rng.random(rows) < 0.3, -100, targets)
        for target in (targets, ignored):
            names = compare(step_of(F.cross_entropy), x, torch.from_numpy(target))
            assert names == ["cross_entropy_mean"]


WEIGHTED = {
    "weights": lambda x, t, w: F.cross_entropy(x, t, w),
    "smoothed": lambda x, t, w: F.cross_entropy(x, t, label_smoothing=0.1),
    "both, a sum": lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.1, reduction="sum"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", WEIGHTED)
@pytest.mark.parametrize("classes", CLASSES)
def test_weighted_cross_entropy_gives_the_same_bits(classes, kind, dtype):
    rng = np.random.default_rng(classes)
    for layout, rows in zip(LAYOUTS.values(), ROWS, strict=True):
        x = layout(draw(rng, (rows, classes), dtype) * 3)
        target = np.where(rng.random(rows) < 0.3, -100, rng.integers(0, classes, rows))
        weight = draw(rng, (classes,), dtype).abs()
        names = compare(step_of(WEIGHTED[kind]), x, torch.from_numpy(target), weight)
        assert names == ["cross_entropy_weighted"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_cross_entropy_of_unusual_numbers_gives_the_same_bits(value):
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((20, 10)).astype(np.float32))
    x[3, 2] = x[7, 0] = value
    target = torch.arange(20) % 10
    assert compare(step_of(F.cross_entropy), x, target) == ["cross_entropy_mean"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (4, 1, 5), (64, 8), (3, 0)], ids=str)
def test_the_squared_error_gives_the_same_bits(shape, dtype):
    rng = np.random.default_rng(len(shape))
    x, t = draw(rng, shape, dtype), draw(rng, shape, dtype)
    expected = ["mse_loss"] if x.numel() else []  # nothing goes back to no elements
    assert compare(step_of(F.mse_loss), x, t) == expected
    if len(shape) == 2:
        assert compare(step_of(F.mse_loss), x.t().contiguous().t(), t) == expected


def test_the_squared_error_goes_back_to_both_operands():
    rng = np.random.default_rng(3)

    def step(x, t):
        x, t = x.detach().requires_grad_(), t.detach().requires_grad_()
        loss = F.mse_loss(x, t)
        return loss, *torch.autograd.grad(loss, [x, t])

    assert compare(step, draw(rng, (5, 3), "float32"), draw(rng, (5, 3), "float32")) == ["mse_loss"]


def test_every_operation_that_goes_both_ways_is_tested_here():
    assert {op.name for op in OPS if op.both is not None} == {
        "cross_entropy_mean",
        "cross_entropy_weighted",
        "mse_loss",
    }


def test_a_training_step_is_one_row_shorter_and_says_so(capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 6), torch.arange(8) % 3
    train = training_step(model, optimizer, F.cross_entropy)
    lengths = []
    for options in ({}, {"both_ways": False}):
        step = torch.compile(train, fullgraph=True, options=options)
        step(x, y)
        lengths.append(len(step.program(x, y).rows))
        step.program(x, y).show()
    assert lengths[0] == lengths[1] - 1
    text = capsys.readouterr().out
    assert "cross_entropy_mean and back to x" in text
    assert "-> result[]" in text.split("cross_entropy_mean and back to x")[1].split("linear")[0]


def test_each_way_back_keeps_its_own_attributes():
    """Two losses of the same scores and targets, which ignore other targets: the way back of the last comes first."""

    def step(x, target):
        x = x.detach().requires_grad_()
        first, second = (F.cross_entropy(x, target, ignore_index=k) for k in (0, 1))
        return first, second, *torch.autograd.grad([first, second], [x], [torch.ones(()), torch.ones(()) * 2])

    rng = np.random.default_rng(4)
    compare(step, draw(rng, (12, 3), "float32"), torch.arange(12) % 3)


def test_each_loss_finds_a_way_back_of_its_own():
    """Three losses of the same operands, each with a walk back after all of them."""

    def step(x, t):
        x = x.detach().requires_grad_()
        losses = [F.mse_loss(x, t) for _ in range(3)]
        return *losses, *[torch.autograd.grad(loss, [x])[0] for loss in losses]

    rng = np.random.default_rng(5)
    assert compare(step, draw(rng, (4, 3), "float32"), draw(rng, (4, 3), "float32")) == ["mse_loss"] * 3


def uses_the_loss_before(x, t):
    loss = F.mse_loss(x, t)
    return (loss * loss).detach(), loss


def changes_the_target_between(x, t):
    t = t.clone()
    loss = F.mse_loss(x, t.detach() * 1)
    return t.mul_(2), loss


def takes_the_mean_of_two(x, t):
    return F.mse_loss(x, t), F.mse_loss(x * 2, t)


@pytest.mark.parametrize("losses", [uses_the_loss_before, changes_the_target_between, takes_the_mean_of_two])
def test_rows_in_between_find_what_they_should(losses):
    rng = np.random.default_rng(9)

    def step(x, t):
        x = x.detach().requires_grad_()
        first, second = losses(x, t)
        return first, second, *torch.autograd.grad(second, [x])

    compare(step, draw(rng, (4, 3), "float32"), draw(rng, (4, 3), "float32"))


def test_a_loss_after_a_write_to_its_operand_is_made_after_that_write():
    """The way back before it belongs to another loss, of the same operands as they were."""

    def step(x, y):
        x = (x * 1).requires_grad_()
        (g,) = torch.autograd.grad(F.mse_loss(x, y), x)
        with torch.no_grad():
            x.sub_(torch.tanh(g * 5000))
            return F.mse_loss(x, y), torch.tanh(x)

    rng = np.random.default_rng(6)
    x, y = draw(rng, (20000,), "float32"), draw(rng, (20000,), "float32")
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(5):
        for got, want in zip(compiled(x, y), step(x, y), strict=True):
            assert torch.allclose(got, want, rtol=1e-5)


def test_a_loss_whose_targets_are_computed_reports_them():
    """Such a row may stop the replay, so it stays where it is."""

    def step(x, target):
        x = x.detach().requires_grad_()
        loss = F.cross_entropy(x, target + 0)
        return loss, *torch.autograd.grad(loss, [x])

    x, good = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    assert compare(step, x, good) == []
    compiled = torch.compile(step, fullgraph=True)
    compiled(x, good)
    compiled.program(x, good).improve()
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        compiled(x, good + 1)


def test_a_loss_that_threads_would_share_is_left_alone():
    x, target = torch.randn(4096, 10), torch.arange(4096) % 10
    assert compare(step_of(F.cross_entropy), x, target) == []
