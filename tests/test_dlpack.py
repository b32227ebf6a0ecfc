"""Memory shared with other libraries by DLPack: NumPy's, PyTorch's, and objects that speak the protocol only."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.utils.dlpack import DLDeviceType, from_dlpack, to_dlpack

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]


class Other:
    """An array of another library: only the protocol, of which it knows the older form if `old`."""

    def __init__(self, values, old=False, device=1):
        self.values, self.old, self.device = values, old, device

    def __dlpack__(self, **options):
        return self.values.__dlpack__() if self.old else self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


SOURCES = {
    "array": lambda x: x,
    "object": Other,
    "object of before": lambda x: Other(x, old=True),
    "capsule": lambda x: x.__dlpack__(),
    "new capsule": lambda x: x.__dlpack__(max_version=(1, 0)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SOURCES)
def test_tensors_share_memory_with_their_source(name, dtype):
    source = np.arange(12).reshape(3, 4).astype(dtype)
    made = torch.from_dlpack(SOURCES[name](source))
    assert made.dtype is getattr(torch, dtype) and tuple(made.shape) == (3, 4) and made.is_leaf
    source[1, 2] = 0
    np.testing.assert_array_equal(made.numpy(), source)
    made[2, 3] = 1
    np.testing.assert_array_equal(made.numpy(), source)


@pytest.mark.parametrize(
    "part",
    [np.s_[:, 1:3], np.s_[::2], np.s_[:0], np.s_[1, 2], np.s_[:, None]],
    ids=["columns", "every other row", "nothing", "a number", "a new dimension"],
)
def test_parts_are_shared_as_they_lie(part):
    whole = np.arange(12.0).reshape(3, 4)
    made = torch.from_dlpack(Other(whole[part]) if whole[part].ndim else whole[1:2, 2].reshape(()))
    np.testing.assert_array_equal(made.numpy(), whole[part])
    whole += 1
    np.testing.assert_array_equal(made.numpy(), whole[part])


def test_memory_lives_as_long_as_it_is_shown():
    made = torch.from_dlpack(Other(np.full(1000, 3.0)))
    gc.collect()
    np.full(1000, 4.0)
    assert made.sum().item() == 3000


def test_tensors_give_their_memory_and_take_their_own():
    x = torch.arange(6.0).reshape(2, 3).t()
    for shown in (torch.from_dlpack(x), from_dlpack(to_dlpack(x)), from_dlpack(Other(x))):
        shown[0, 1] = 9.0
        assert x[0, 1].item() == 9.0 and shown.stride() == x.stride()
        x[0, 1] = 3.0
    assert np.shares_memory(np.from_dlpack(x), x.numpy())
    assert x.__dlpack_device__() == (DLDeviceType.kDLCPU, 0)


def test_copies_where_they_are_asked_for_or_needed():
    source, x = np.ones(3), torch.ones(3)
    for made in (torch.from_dlpack(source, copy=True), torch.from_dlpack(x, copy=True)):
        made[0] = 2.0
    assert source[0] == 1 and x[0].item() == 1
    half = np.ones(3, np.float16)
    assert torch.from_dlpack(half, device="cpu").dtype is torch.float32
    with pytest.raises(BufferError, match="no float16, and copy=False"):
        torch.from_dlpack(half, copy=False)


def taken():
    capsule = np.ones(2).__dlpack__()
    torch.from_dlpack(capsule)
    return capsule


REFUSED = {
    "no protocol": (lambda: 3, RuntimeError, "expected a capsule or an object"),
    "used capsule": (taken, RuntimeError, "consumed only once"),
    "history": (lambda: torch.ones(2, requires_grad=True), BufferError, r"Use tensor\.detach"),
    "another device": (
        lambda: Other(np.ones(2), device=2),
        BufferError,
        r"memory of the CPU \(1\), got .* type 2",
    ),
    "complex": (lambda: np.ones(2, np.complex64), TypeError, "can't convert"),
    "negative stride": (lambda: np.ones(3)[::-1], ValueError, "from_dlpack: .*negative"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shared_is_refused(name):
    make, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        torch.from_dlpack(make())


def test_history_does_not_leave():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(BufferError, match=r"Use tensor\.detach"):
        np.from_dlpack(x)
    with pytest.raises(TypeError, match="to_dlpack: expected a Tensor, got list"):
        to_dlpack([1.0])
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        torch.from_dlpack(np.ones(2), device="cuda")


def test_exchange_with_pytorch():
    theirs = pytest.importorskip("torch")
    y = theirs.arange(6.0).reshape(2, 3).t()
    ours = torch.from_dlpack(y)
    back = theirs.from_dlpack(ours)
    ours[1, 1] = 50.0
    assert y[1, 1].item() == back[1, 1].item() == 50.0
    assert ours.stride() == y.stride() == back.stride()
    capsule = theirs.utils.dlpack.to_dlpack(y)
    assert torch.from_dlpack(capsule)[1, 1].item() == 50.0
    with pytest.raises(BufferError):
        torch.from_dlpack(theirs.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match="from_dlpack: NumPy, which reads the memory, cannot"):
        torch.from_dlpack(theirs.ones(2, dtype=theirs.bfloat16))


def test_compiled_steps_take_shared_memory():
    source = np.ones((2, 3), np.float32)
    x, w = torch.from_dlpack(Other(source)), torch.full((3,), 2.0, requires_grad=True)

    @torch.compile(fullgraph=True)
    def step(x):
        w.grad = None
        loss = (torch.from_dlpack(x) * w).sum()
        loss.backward()
        return loss

    found = []
    for k in range(4):
        source[:] = k
        found.append((step(x).item(), w.grad.tolist()))
    assert found == [(12.0 * k, [2.0 * k] * 3) for k in range(4)]
    assert len(step.programs) == 1
