"""Values between Python's objects and tensors: numbers, nested lists, and arrays' memory, of every dtype and layout."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.dtypes import DTYPES
from jitgrad.engine.entry import entries
from jitgrad.kernels.arguments import UNFIT

BASE = np.arange(-12, 12).reshape(2, 3, 4)
LAYOUTS = {
    "as it is": lambda x: x,
    "turned": lambda x: x.transpose(2, 0, 1),
    "a column": lambda x: x[:, 1, 2],
    "every other": lambda x: x[..., ::2],
    "repeated": lambda x: np.broadcast_to(x[:, :1], (2, 3, 4)).copy(),
    "sizes of 1": lambda x: x[:1, :, :1].transpose(1, 0, 2),
    "one element": lambda x: x[0, 0, 0:1],
    "no dimensions": lambda x: np.array(x[1, 2, 3]),
    "none": lambda x: x[:, :0],
    "none of many": lambda x: x[:, :, 4:],
}


@pytest.mark.parametrize("kind", DTYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_go_there_and_back(kind, layout):
    values = LAYOUTS[layout]((BASE > 0 if kind.code == 0 else BASE).astype(kind.numpy))
    shared, copied = torch.from_numpy(values), torch.tensor(values)
    for made in (shared, copied):
        assert made.dtype is kind
        assert made.tolist() == values.tolist()
        assert repr(made.tolist()) == repr(values.tolist())  # of Python's own types
        np.testing.assert_array_equal(made.numpy(), values)
        if values.size == 1:
            assert made.item() == values.item()
            assert type(made.item()) is type(values.item())
    assert shared.stride() == tuple(s // values.itemsize for s in values.strides)
    assert copied.is_contiguous()
    if values.size:
        assert shared.data_ptr() == values.ctypes.data
        before = values.tolist()
        values[...] = 0
        assert shared.tolist() == values.tolist()
        assert copied.tolist() == before


def test_numbers_that_only_their_dtype_holds_come_out_whole():
    for value, kind in ((2**63 - 1, torch.int64), (-(2**63), torch.int64), (-(2**31), torch.int32)):
        assert torch.tensor(value, dtype=kind).item() == value
    for value in (float("inf"), -0.0, 5e-324):
        assert repr(torch.tensor([value], dtype=torch.float64).tolist()) == repr([value])


@pytest.mark.parametrize("refused", [np.zeros((1,) * 9), [1.0], 3, None], ids=["9-D", "list", "int", "None"])
def test_the_engine_refuses_what_shows_no_memory_it_can_use(refused):
    strides = getattr(refused, "strides", ())
    assert entries.copied(5, refused) == UNFIT
    assert entries.lent(5, strides, refused) == UNFIT


def test_the_engine_copies_rows_only():
    """What lies in another order is put in order before."""
    assert entries.copied(5, np.zeros((2, 3)).T) == UNFIT
    assert torch.tensor(np.arange(6.0).reshape(2, 3).T).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_lists_survive_the_garbage_collector_at_work():
    """Making lists may end the lives of other tensors, whose finalizers use the engine, too."""
    x = torch.arange(3000).reshape(1000, 3)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(3):
            ring = [torch.zeros(3)]
            ring.append(ring)
            del ring
            assert x.tolist() == np.arange(3000).reshape(1000, 3).tolist()
    finally:
        gc.set_threshold(*before)


def test_memory_lent_is_given_back():
    values = np.zeros(3)
    exports = [torch.from_numpy(values) for _ in range(3)]
    del exports
    values.resize(6, refcheck=False)  # an error while a buffer is held
    assert values.shape == (6,)


class Spoiled:
    """An object whose memory is asked for in vain."""

    def __buffer__(self, flags):
        raise BufferError("no")


def test_an_object_that_refuses_leaves_no_error_behind():
    assert entries.copied(5, Spoiled()) == UNFIT
    assert torch.tensor(1.0).item() == 1.0


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: x.t(),
        lambda x: x[1:, ::2],
        lambda x: x[0].expand(2, 4),
        lambda x: x[:0],
        lambda x: x[0, 0],
        lambda x: x.transpose(0, 1)[:0],
    ],
    ids=["whole", "transposed", "part", "repeated", "nothing", "number", "nothing, transposed"],
)
def test_an_array_shows_the_memory_that_it_keeps(make):
    x = torch.arange(12.0).reshape(3, 4)
    view = make(x)
    array, expected = view.numpy(), np.array(view.tolist(), np.float32).reshape(tuple(view.shape))
    assert array.shape == tuple(view.shape) and array.dtype == np.float32 and array.flags.writeable
    x.mul_(2)
    np.testing.assert_array_equal(array, 2 * expected)
    del x, view
    kept = [torch.zeros(3, 4) for _ in range(20)]  # would take the memory, were it free
    np.testing.assert_array_equal(array, 2 * expected)
    assert len(kept) == 20


def test_items_cannot_be_deleted():
    x = torch.ones(3)
    with pytest.raises(TypeError, match="does not support deleting items"):
        del x[0]
    assert x.shape == (3,)
