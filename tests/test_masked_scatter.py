"""Elements scattered under a mask, in order: layouts, gradients, compiled steps, and a source that is too short."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.program.show.table import lines_of

rng = np.random.default_rng(7)
A, SOURCE = rng.standard_normal((3, 5)), rng.standard_normal((4, 4))
MASK = rng.random((3, 5)) > 0.5


def expected(values, mask, source):
    made = values.copy()
    made[mask] = source.reshape(-1)[: mask.sum()]
    return made


def scatter(x, mask, source):
    return x.masked_scatter(mask, source)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("mask", [MASK, MASK & False, MASK | True], ids=["some", "none", "all"])
def test_operands_of_any_layout_and_dtype(dtype, mask):
    values, source = ((10 * np.abs(a)).astype(dtype) for a in (A, SOURCE))
    want = expected(values, mask, source)
    turned = (
        torch.tensor(values.T.copy()).t(),
        torch.tensor(mask.T.copy()).t(),
        torch.tensor(source.T.copy()).t(),
    )
    for operands in (tuple(map(torch.tensor, (values, mask, source))), turned):
        np.testing.assert_array_equal(scatter(*operands).numpy(), want)
        x = operands[0]
        assert x.masked_scatter_(*operands[1:]) is x
        np.testing.assert_array_equal(x.numpy(), want)


def test_a_mask_is_broadcast_and_nothing_is_scattered_into_nothing():
    mask = torch.tensor(MASK[0])
    want = expected(A, np.broadcast_to(MASK[0], A.shape), SOURCE)
    np.testing.assert_array_equal(scatter(torch.tensor(A), mask, torch.tensor(SOURCE)).numpy(), want)
    assert scatter(torch.zeros(0, 5), mask, torch.zeros(0)).shape == (0, 5)
    assert scatter(torch.ones(5), mask & False, torch.zeros(0)).tolist() == [1.0] * 5
    assert scatter(torch.tensor(1.0), torch.tensor(True), torch.tensor(2.0)).item() == 2.0


def test_gradients_of_any_order():
    operands = [torch.tensor(a, requires_grad=True) for a in (A, SOURCE)]

    def function(x, source):
        return scatter(x, torch.tensor(MASK), source).exp()

    assert torch.autograd.gradcheck(function, operands)
    assert torch.autograd.gradgradcheck(function, operands)


def test_a_compiled_step_may_meet_another_mask_each_time():
    step = torch.compile(scatter, fullgraph=True)
    x, source = torch.tensor(A), torch.tensor(SOURCE)
    assert [line.kernel for line in lines_of(step.program(x, torch.tensor(MASK), source))] == [
        "masked_scatter"
    ]
    for mask in (MASK, ~MASK, MASK & False):
        np.testing.assert_array_equal(step(x, torch.tensor(mask), source).numpy(), expected(A, mask, SOURCE))


@pytest.mark.parametrize("name", ["masked_scatter", "masked_scatter_"])
def test_a_source_that_is_too_short_is_refused_and_nothing_is_written(name):
    x = torch.zeros(2, 3)
    message = f"{name}: expected source to have at least 6 elements, got 4"
    with pytest.raises(RuntimeError, match=message):
        getattr(x, name)(torch.ones(2, 3, dtype=torch.bool), torch.ones(4))
    assert (x == 0).all() and x._version == 0


def test_a_replay_refuses_a_source_that_is_too_short():
    step = torch.compile(scatter, fullgraph=True)
    x, source, mask = torch.zeros(3), torch.ones(2), torch.tensor([True, False, True])
    for _ in range(3):
        assert step(x, mask, source).tolist() == [1, 0, 1]
    with pytest.raises(RuntimeError, match="masked_scatter"):
        step(x, torch.ones(3, dtype=torch.bool), source)


# an index with one mask -> what is written there
ONE_FOR_EACH = {
    "mask of all": lambda mask: mask,
    "mask of rows": lambda mask: mask[:, 0],
    "mask of columns": lambda mask: (slice(None), mask[0]),
    "mask behind dots": lambda mask: (..., mask[0]),
    "mask of a part": lambda mask: (slice(1, 3), mask[0]),
}


@pytest.mark.parametrize("name", ONE_FOR_EACH)
def test_a_compiled_step_writes_to_the_places_of_any_mask(name):
    def step(x, mask, values):
        made = x * 2
        made[ONE_FOR_EACH[name](mask)] = values * 3
        return made, torch.autograd.grad((made * made).sum(), (x, values))

    compiled = torch.compile(step, fullgraph=True)
    masks = [
        np.roll(np.array([[1, 0, 0, 1, 1], [0, 1, 0, 1, 1], [1, 0, 0, 0, 1]], bool), n, (0, 1))
        for n in range(3)
    ]
    for mask in masks:
        x, flags = torch.tensor(A, requires_grad=True), torch.tensor(mask)
        shape = A[ONE_FOR_EACH[name](mask)].shape
        values = torch.tensor(rng.standard_normal(shape), requires_grad=True)
        made, gradients = compiled(x, flags, values)
        want = 2 * A
        want[ONE_FOR_EACH[name](mask)] = 3 * values.detach().numpy()
        np.testing.assert_array_equal(made.detach().numpy(), want)
        outside = 2 * want
        outside[ONE_FOR_EACH[name](mask)] = 0
        np.testing.assert_allclose(gradients[0].numpy(), 2 * outside)
        np.testing.assert_allclose(gradients[1].numpy(), 18 * values.detach().numpy())


def written(x, mask, values):
    made = x.clone()
    made[mask] = values
    return made


@pytest.mark.parametrize("flags", [[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], ids=["more", "fewer", "none"])
def test_values_for_another_number_of_places_are_refused(flags):
    step, x, values = torch.compile(written, fullgraph=True), torch.zeros(4), torch.tensor([1.0, 2.0])
    mask = torch.tensor(flags, dtype=torch.bool)
    for run in (written, step):  # the first call of a compiled step, which records
        with pytest.raises(RuntimeError, match="shape mismatch"):
            run(x, mask, values)
    for _ in range(4):
        assert step(x, torch.tensor([False, True, False, True]), values).tolist() == [0, 1, 0, 2]
    with pytest.raises(RuntimeError, match="shape mismatch"):
        step(x, mask, values)


def test_one_value_and_no_value_for_the_places_of_a_mask():
    step = torch.compile(written, fullgraph=True)
    for flags in ([True, False, True], [False, True, False]):
        assert step(torch.zeros(3), torch.tensor(flags), torch.tensor([5.0])).tolist() == [
            5.0 * f for f in flags
        ]
        none = torch.zeros(3, dtype=torch.bool)
        assert step(torch.ones(3), none, torch.zeros(0)).tolist() == [1.0] * 3


def test_a_replay_that_writes_to_its_argument_refuses_values_for_another_number_of_places():
    @torch.compile(fullgraph=True)
    def step(x, mask, values):
        x.mul_(2.0)
        x[mask] = values

    x, values = torch.zeros(4), torch.tensor([1.0, 2.0])
    for _ in range(4):
        step(x, torch.tensor([True, False, True, False]), values)
    for flags, places in (([True] * 4, 4), ([True, False, False, False], 1)):
        with pytest.raises(
            RuntimeError, match=f"2 elements were given for {places} places, in a compiled step"
        ):
            step(x, torch.tensor(flags), values)


def test_eager_writes_under_a_mask_keep_pytorchs_name_in_the_graph():
    made = written(
        torch.ones(3, requires_grad=True) * 1, torch.tensor([True, False, True]), torch.tensor([1.0, 2.0])
    )
    assert made.grad_fn.name() == "IndexPutBackward0" and made.tolist() == [1, 1, 2]
