"""Bad input: the exception class that PyTorch raises, a message that says what came, and nothing changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F
from jitgrad.utils.data import DataLoader, TensorDataset

A, B = (3, 4), (5, 2)


def leaf(*shape):
    return torch.ones(*shape, requires_grad=True)


def backward_twice():
    loss = (leaf(3) * 2).exp().sum()
    loss.backward()
    loss.backward()


def stale_value():
    x = leaf(3)
    y = x.exp()
    z = y * 2
    y.add_(1)
    z.sum().backward()
    y.sum().backward()


def stale_saved_output():
    y = leaf(3).exp()
    with torch.no_grad():
        y.mul_(2)
    y.sum().backward()


def write_into_recorded_view():
    y = leaf(3, 3) * 1
    y[0].mul_(2)


def use_stale_view():
    y = leaf(3, 3) * 1
    row = y[0]
    y.mul_(2)
    row.sum().backward()


def wrong_state_dict():
    nn.Linear(2, 3).load_state_dict({"weight": torch.zeros(3, 3), "bais": torch.zeros(3)})


def inference_then_record():
    with torch.inference_mode():
        x = torch.ones(3)
    x.requires_grad_()


CASES = {
    # shapes
    "add shapes": (
        lambda: torch.ones(A) + torch.ones(B),
        RuntimeError,
        r"add.*must match.*\(3, 4\) and \(5, 2\)",
    ),
    "mul shapes": (lambda: torch.ones(3) * torch.ones(4), RuntimeError, r"mul.*3.*4"),
    "where shapes": (
        lambda: torch.where(torch.ones(2) > 0, torch.ones(3), torch.ones(4)),
        RuntimeError,
        "where",
    ),
    "in-place shape": (lambda: torch.ones(3).add_(torch.ones(2, 3)), RuntimeError, "add.*shape"),
    "matmul inner": (
        lambda: torch.ones(32, 10) @ torch.ones(12, 10),
        RuntimeError,
        r"\(32, 10\) @ \(12, 10\)",
    ),
    "mm of vectors": (lambda: torch.mm(torch.ones(3), torch.ones(3, 2)), RuntimeError, "mm"),
    "bmm batches": (lambda: torch.bmm(torch.ones(2, 3, 4), torch.ones(3, 4, 5)), RuntimeError, "bmm"),
    "dot sizes": (lambda: torch.dot(torch.ones(3), torch.ones(4)), RuntimeError, "dot"),
    "linear": (
        lambda: F.linear(torch.ones(2, 3), torch.ones(5, 4)),
        RuntimeError,
        r"linear.*\(2, 3\).*\(5, 4\)",
    ),
    "layer input": (lambda: nn.Linear(4, 2)(torch.ones(3, 5)), RuntimeError, r"\(3, 5\)"),
    "reshape": (lambda: torch.ones(6).reshape(4, 2), RuntimeError, r"reshape.*\[4, 2\].*6|reshape.*6"),
    "reshape two unknown": (lambda: torch.ones(6).reshape(-1, -1), RuntimeError, "only one"),
    "view of transposed": (lambda: torch.ones(3, 4).t().view(12), RuntimeError, "view"),
    "expand": (lambda: torch.ones(3).expand(2, 4), RuntimeError, "expand"),
    "cat shapes": (lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 4)]), RuntimeError, "cat"),
    "cat of nothing": (lambda: torch.cat([]), (RuntimeError, ValueError), "cat"),
    "stack shapes": (lambda: torch.stack([torch.ones(2), torch.ones(3)]), RuntimeError, "stack"),
    "permute": (lambda: torch.ones(2, 3).permute(0, 0), RuntimeError, "permute"),
    "einsum": (lambda: torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(4, 5)), RuntimeError, "einsum"),
    "too many dims": (lambda: torch.ones(*[1] * 9), (RuntimeError, ValueError), "8"),
    "negative size": (lambda: torch.zeros(2, -1), RuntimeError, "-1"),
    # dims and indices
    "sum dim": (lambda: torch.ones(2, 3).sum(dim=2), IndexError, r"out of range.*\[-2, 1\].*2"),
    "softmax dim": (lambda: torch.softmax(torch.ones(2), 1), IndexError, "out of range"),
    "transpose dim": (lambda: torch.ones(2, 3).transpose(0, 5), IndexError, "5"),
    "unsqueeze dim": (lambda: torch.ones(2).unsqueeze(3), IndexError, "3"),
    "repeated dim": (lambda: torch.ones(2, 3).sum(dim=(0, 0)), RuntimeError, "dim 0"),
    "int index": (lambda: torch.ones(5)[7], IndexError, "7.*5"),
    "too many indices": (lambda: torch.ones(5)[0, 0], IndexError, "too many indices"),
    "index a number": (lambda: torch.tensor(1.0)[0], IndexError, "0-dim"),
    "negative step": (lambda: torch.ones(5)[::-1], ValueError, "step"),
    "index tensor": (lambda: torch.ones(5)[torch.tensor([0, 9])], IndexError, "9.*5"),
    "float index": (lambda: torch.ones(5)[torch.tensor([0.5])], IndexError, "indices"),
    "mask shape": (lambda: torch.ones(5)[torch.tensor([True, False])], IndexError, "mask"),
    "gather index": (
        lambda: torch.ones(2, 2).gather(1, torch.tensor([[3]])),
        (IndexError, RuntimeError),
        "3",
    ),
    "index_select": (
        lambda: torch.ones(3).index_select(0, torch.tensor([4])),
        (IndexError, RuntimeError),
        "4",
    ),
    "max of nothing": (lambda: torch.ones(0).max(), (RuntimeError, IndexError), "max"),
    "topk": (lambda: torch.ones(3).topk(5), RuntimeError, "k"),
    # dtypes
    "requires_grad of ints": (
        lambda: torch.ones(3, dtype=torch.int64).requires_grad_(),
        RuntimeError,
        "floating",
    ),
    "made of ints with grad": (lambda: torch.tensor([1, 2], requires_grad=True), RuntimeError, "floating"),
    "int in-place div": (lambda: torch.ones(3, dtype=torch.int64).div_(2), RuntimeError, "can't be cast"),
    "int in-place float add": (
        lambda: torch.ones(3, dtype=torch.int64).add_(0.5),
        RuntimeError,
        "can't be cast",
    ),
    "bool minus": (lambda: torch.tensor([True]) - torch.tensor([True]), RuntimeError, "bool"),
    "mean of ints": (lambda: torch.ones(3, dtype=torch.int64).mean(), RuntimeError, "mean"),
    "shift of floats": (lambda: torch.ones(3) << 1, RuntimeError, "shift"),
    "integer division by zero": (lambda: torch.ones(3, dtype=torch.int64) // 0, RuntimeError, "ZeroDivision"),
    "dtype name": (lambda: torch.zeros(3, dtype="float16"), TypeError, "float16"),
    "strings": (lambda: torch.tensor(["a"]), (TypeError, ValueError), "tensor|str"),
    "ragged": (lambda: torch.tensor([[1, 2], [3]]), ValueError, "length"),
    "complex array": (lambda: torch.from_numpy(np.zeros(3, complex)), TypeError, "complex"),
    "not an array": (lambda: torch.from_numpy([1, 2]), TypeError, "ndarray|list"),
    "not a tensor": (lambda: torch.exp("x"), TypeError, "exp.*Tensor.*str"),
    # values
    "item of many": (lambda: torch.ones(3).item(), RuntimeError, "3 elements"),
    "bool of many": (lambda: bool(torch.ones(3)), RuntimeError, "ambiguous"),
    "len of a number": (lambda: len(torch.tensor(1.0)), TypeError, "0-d"),
    "iterate a number": (lambda: list(torch.tensor(1.0)), TypeError, "0-d"),
    "index by a float tensor": (lambda: [1, 2][torch.tensor(1.0)], TypeError, "integer"),
    "numpy with grad": (lambda: leaf(3).numpy(), RuntimeError, "detach"),
    "unknown method": (lambda: torch.ones(3).frobnicate(), AttributeError, "frobnicate"),
    # devices
    "cuda tensor": (lambda: torch.zeros(3, device="cuda"), RuntimeError, "cuda.*CPU"),
    "to cuda": (lambda: torch.zeros(3).to("cuda:0"), RuntimeError, "cuda"),
    "cuda device": (lambda: torch.device("mps"), RuntimeError, "mps"),
    # autograd
    "backward of many": (lambda: (leaf(3) * 2).backward(), RuntimeError, r"scalar outputs.*\(3,\)"),
    "backward without grad": (lambda: torch.ones(()).backward(), RuntimeError, "does not require grad"),
    "backward twice": (backward_twice, RuntimeError, "second time"),
    "backward gradient shape": (lambda: (leaf(3) * 2).backward(torch.ones(4)), RuntimeError, "shape"),
    "backward gradient type": (lambda: (leaf(3) * 2).backward([1, 1, 1]), TypeError, "gradients"),
    "leaf in place": (lambda: leaf(3).add_(1), RuntimeError, "leaf Variable"),
    "leaf setitem": (lambda: leaf(3).__setitem__(0, 1.0), RuntimeError, "leaf"),
    "stale saved output": (
        stale_saved_output,
        RuntimeError,
        r"inplace operation.*version 1; expected version 0",
    ),
    "write into a recorded view": (write_into_recorded_view, RuntimeError, "view"),
    "stale view": (use_stale_view, RuntimeError, "view"),
    "requires_grad off": (lambda: (leaf(3) * 2).requires_grad_(False), RuntimeError, "leaf"),
    "grad shape": (lambda: setattr(leaf(3), "grad", torch.ones(4)), RuntimeError, "shape"),
    "grad type": (lambda: setattr(leaf(3), "grad", 1.0), TypeError, "Tensor"),
    "copy of a result": (lambda: copy.deepcopy(leaf(3) * 2), RuntimeError, "leaves"),
    "unused input": (lambda: torch.autograd.grad(leaf(3).sum(), leaf(3)), RuntimeError, "not have been used"),
    "grad of constants": (
        lambda: torch.autograd.grad(leaf(3).sum(), torch.ones(3)),
        RuntimeError,
        "require grad",
    ),
    "inference then record": (inference_then_record, RuntimeError, "inference"),
    "default dtype": (lambda: torch.set_default_dtype(torch.int64), TypeError, "float"),
    "threads": (lambda: torch.set_num_threads(0), RuntimeError, "positive"),
    # modules, losses, optimizers, data
    "state dict": (
        wrong_state_dict,
        RuntimeError,
        "(?s)Missing.*bias.*Unexpected.*bais.*size mismatch.*weight",
    ),
    "parameter type": (lambda: nn.Module().register_parameter("p", 3), TypeError, "Parameter"),
    "sequential type": (lambda: nn.Sequential(3), TypeError, "Module"),
    "dropout p": (lambda: nn.Dropout(1.5), ValueError, "1.5"),
    "reduction": (lambda: F.mse_loss(torch.ones(3), torch.ones(3), reduction="avg"), ValueError, "avg"),
    "target out of range": (
        lambda: F.cross_entropy(torch.ones(2, 3), torch.tensor([0, 3])),
        IndexError,
        "Target 3",
    ),
    "target dtype": (
        lambda: F.cross_entropy(torch.ones(2, 3), torch.ones(2)),
        (RuntimeError, ValueError),
        "target|dtype|int64",
    ),
    "target batch": (lambda: F.cross_entropy(torch.ones(2, 3), torch.tensor([0])), ValueError, "batch"),
    "bce range": (
        lambda: F.binary_cross_entropy(torch.ones(3) * 2, torch.ones(3)),
        RuntimeError,
        "between 0 and 1",
    ),
    "learning rate": (lambda: torch.optim.SGD([leaf(3)], lr=-1.0), ValueError, "learning rate.*-1"),
    "betas": (lambda: torch.optim.Adam([leaf(3)], betas=(1.0, 0.9)), ValueError, "beta"),
    "momentum": (lambda: torch.optim.SGD([leaf(3)], lr=0.1, momentum=-1), ValueError, "momentum"),
    "nesterov": (lambda: torch.optim.SGD([leaf(3)], lr=0.1, nesterov=True), ValueError, "momentum"),
    "no parameters": (lambda: torch.optim.Adam([]), ValueError, "empty"),
    "parameters that are results": (lambda: torch.optim.Adam([leaf(3) * 2]), ValueError, "leaf"),
    "parameters that are not tensors": (lambda: torch.optim.Adam([1.0]), TypeError, "float"),
    "batch size": (lambda: DataLoader(TensorDataset(torch.ones(3)), batch_size=0), ValueError, "batch_size"),
    "dataset sizes": (
        lambda: TensorDataset(torch.ones(3), torch.ones(4)),
        (AssertionError, ValueError),
        "[Ss]ize",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_with_a_clear_message(name):
    call, kind, message = CASES[name]
    with pytest.raises(kind, match=message):
        call()


def test_there_are_enough_cases():
    assert len(CASES) >= 60


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.add_(torch.ones(2)),
        lambda x: x.mul_(torch.ones(4, 3)),
        lambda x: x.copy_(torch.ones(5)),
        lambda x: x.__setitem__(slice(0, 2), torch.ones(3)),
        lambda x: x.__setitem__(9, 1.0),
        lambda x: x.index_put_((torch.tensor([0, 9]),), torch.tensor(5.0)),
        lambda x: x.scatter_(0, torch.tensor([9]), 1.0),
    ],
)
def test_a_refused_write_changes_nothing(call):
    x = torch.arange(3.0)
    version = x._version
    with pytest.raises((RuntimeError, IndexError)):
        call(x)
    assert x.tolist() == [0.0, 1.0, 2.0]
    assert x._version == version


def test_a_refused_backward_changes_no_gradient():
    w, v = leaf(3), leaf(3)
    early = v * 2  # walked last, after the row that refuses
    y = w.exp()
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        (y.sum() + early.sum()).backward()
    assert w.grad is None and v.grad is None
