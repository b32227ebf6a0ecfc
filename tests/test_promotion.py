"""Operands of several dtypes: the engine promotes what it can by itself, Python the rest, and both do the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import dispatch, operators
from jitgrad._tensor import wrap
from jitgrad.dtypes import DTYPES
from jitgrad.engine import layout
from jitgrad.engine.entry import entries
from jitgrad.kernels import BY_NAME

NAMES = ("add", "mul", "div", "sub", "eq", "lt", "floor_divide", "maximum", "bitwise_and")
NUMBERS = (True, 2, 0.5)
FOLDS = ("sum", "prod", "mean", "amax", "any", "count_nonzero")


def of(kind, *shape):
    return torch.tensor(np.resize([1, 0, 3, 2, 1, 1], shape).astype(kind.numpy))


OPERANDS = {f"{kind.name}{list(shape)}": of(kind, *shape) for kind in DTYPES for shape in ((2, 3), ())}


def facts(made):
    """Whatever promotion decides."""
    return made.dtype, repr(made.tolist()), made.shape


def known(slot_of):
    """What the way through Python makes, or None where that refuses; it also compiles what the engine needs."""
    try:
        return facts(wrap(slot_of()))
    except RuntimeError:
        return None


@pytest.fixture(params=[torch.float32, torch.float64], ids=lambda d: d.name)
def default(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_two_tensors(name, default):
    op = BY_NAME[name]
    promoted = 0
    for a, b in itertools.product(OPERANDS.values(), repeat=2):
        expected = known(lambda pair=(a, b): dispatch.call(op, pair))
        made = entries.binary(op.code, a, b)
        if type(made) is not int:
            assert facts(made) == expected, (a, b)
            promoted += a.dtype is not b.dtype
    assert promoted > 0


@pytest.mark.parametrize("name", NAMES[:-2])
def test_a_tensor_and_a_number(name, default):
    op = BY_NAME[name]
    promoted = 0
    for x, value, reflected in itertools.product(OPERANDS.values(), NUMBERS, (0, 1)):
        pair = (value, x) if reflected else (x, value)
        if value is True and op.bool_error:
            continue  # what Python refuses before the engine sees it
        expected = known(lambda pair=pair: operators.mixed_binary(op, *pair, 0))
        made = entries.with_number(op.code, x, value, int(value), dispatch.number_category(value), reflected)
        if type(made) is not int:
            assert facts(made) == expected, pair
            promoted += made.dtype is not x.dtype
    assert promoted > 0


@pytest.mark.parametrize("name", FOLDS)
def test_one_tensor(name, default):
    op = BY_NAME[name]
    for x in OPERANDS.values():
        expected = known(lambda x=x: dispatch.reduce(op, x, 255, False))
        assert facts(entries.reduced_whole(op.code, x)) == expected
        if x.ndim == 2:
            expected = known(lambda x=x: dispatch.reduce(op, x, 2, False))
            assert facts(entries.reduced(op.code, x, 0, -1)) == expected


def test_what_has_no_such_operation_is_still_refused():
    for call in (
        lambda: torch.ones(2, dtype=torch.bool) - torch.ones(2, dtype=torch.int64).bool(),
        lambda: torch.ones(2) & torch.ones(2, dtype=torch.int64),
        lambda: torch.ones(2, dtype=torch.bool) @ torch.ones(2),
        lambda: torch.ones(3, dtype=torch.int64) * torch.ones(2),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_operands_that_are_cast_leave_nothing_behind():
    """Neither rows nor slots: what is cast has no gradient, and goes at once."""
    x, mask = torch.rand(4, requires_grad=True), torch.tensor([True, False, True, True])
    (x * mask).sum().backward()
    assert x.grad.tolist() == [1, 0, 1, 1]
    rows = dispatch.store.field("rows")
    x * mask
    assert dispatch.store.field("rows") == rows + 1
    before = dispatch.store.field("free_slots")
    for _ in range(3):
        mask.sum() / 3
        mask * 0.5 + mask
    assert dispatch.store.field("free_slots") == before


def test_compiled_steps_promote_too():
    @torch.compile
    def share(a, b):
        return (a == b).sum() / len(a), (a > b) * 0.5

    for seed in range(5):
        torch.manual_seed(seed)
        a, b = torch.randint(0, 3, (8,)), torch.randint(0, 3, (8,))
        same, half = share(a, b)
        assert same.item() == (a.numpy() == b.numpy()).mean()
        assert half.tolist() == ((a.numpy() > b.numpy()) * 0.5).tolist()


CHOICES = {
    "where": lambda x, mask, value: torch.where(mask, x, value),
    "masked_fill": lambda x, mask, value: x.masked_fill(mask, value),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", [0.5, -2, float("-inf"), True])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64], ids=lambda d: d.name)
def test_a_choice_between_a_tensor_and_a_number(name, value, kind, default):
    """The number takes the tensor's dtype, as a tensor of that number would have."""
    x, mask = torch.arange(6).reshape(2, 3).to(kind), torch.tensor([[True], [False]])
    if not kind.is_floating_point and value in (0.5, float("-inf")):
        if name == "where":
            assert torch.where(mask, x, value).dtype is default
        return
    made = CHOICES[name](x, mask, value)
    keeps, filled = (mask, ~mask) if name == "where" else (~mask, mask)
    assert facts(made) == facts(torch.where(keeps, x, torch.full_like(x, value)))
    if kind.is_floating_point:
        x.requires_grad_()
        CHOICES[name](x, mask, value).sum().backward()
        assert x.grad.tolist() == (~filled).expand(2, 3).to(kind).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: torch.where(x, x, 0.0), "boolean tensor"),
        (lambda x: torch.where(x > 0, [1.0], 0.0), "other"),
        (lambda x: x.masked_fill(x, 0.0), "boolean masks"),
        (lambda x: torch.masked_fill(3, x > 0, 0.0), "must be Tensor"),
        (lambda x: torch.where(x > 0, x[:2].reshape(2), 0.0), "broadcast"),
    ],
)
def test_choices_that_are_none(call, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        call(torch.rand(3))


def test_a_kernel_that_is_missing_is_no_matter_of_dtypes():
    """The status that asks for it reaches Python, also from operations that promote nothing."""
    for name in ("mul", "matmul"):
        op = BY_NAME[name]
        x = torch.ones(2, 2, dtype=torch.float64)
        whole = x.long()
        kernels = dispatch.store.kernels[op.code, :, x.dtype.code]
        kept = kernels.copy()
        kernels[:] = 0
        try:
            assert entries.binary(op.code, x, x) == layout.NEED_KERNEL
            mixed = layout.BAD_DTYPE if name == "matmul" else layout.NEED_KERNEL
            assert entries.binary(op.code, x, whole) == mixed
        finally:
            kernels[:] = kept
