"""Bad calls, each on the same few tensors, written for any library with PyTorch's front.

A case is a function of the library and the tensors, the class of the exception, and what its message says
(for jitgrad; PyTorch's own texts differ).
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def world(t: Any) -> SimpleNamespace:
    """The tensors that bad calls are tried on."""
    torch = t
    w = SimpleNamespace()
    w.x = torch.tensor([1.0, 2.0, 3.0])
    w.m = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]])
    w.i = torch.tensor([1, 2, 3])
    w.b = torch.tensor([True, False, True])
    w.s = torch.tensor(2.5)
    w.empty = torch.zeros((0, 3))
    w.leaf = torch.tensor([0.5, 1.5, 2.5], requires_grad=True)
    w.weight = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    w.y = w.leaf * 2  # keeps nothing of the leaf
    w.e = w.y.exp()  # keeps its result
    w.loss = (w.e * w.e).sum()
    w.done = (w.leaf * w.leaf).sum()
    w.done.backward()
    w.linear = torch.nn.Linear(3, 2)
    return w


def kept_value_overwritten(t: Any, w: SimpleNamespace) -> None:
    y = w.leaf.exp()
    y.detach().add_(1)
    y.sum().backward()


def overwritten_operand(t: Any, w: SimpleNamespace) -> None:
    h = w.leaf + 0
    y = h.sin()
    h.add_(1)
    y.sum().backward()


def wrong_gradient_count(t: Any, w: SimpleNamespace) -> None:
    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g

    Two.apply(w.leaf, w.x).sum().backward()


def wrong_gradient_shape(t: Any, w: SimpleNamespace) -> None:
    class Bad(t.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a + 1

        @staticmethod
        def backward(ctx, g):
            return g.sum().reshape(1, 1)

    Bad.apply(w.leaf).sum().backward()


def unused_argument(t: Any, w: SimpleNamespace) -> None:
    t.autograd.grad((w.leaf * 2).sum(), [w.weight])


Case = tuple[Callable[[Any, SimpleNamespace], Any], type[Exception], str]

CASES: dict[str, Case] = {
    # shapes
    "add": (lambda t, w: w.x + w.m, RuntimeError, r"add: .*\(3,\) and \(3, 4\)"),
    "sub": (lambda t, w: w.x - t.ones(2), RuntimeError, "sub: .*must match"),
    "pow": (lambda t, w: w.x ** t.ones(2), RuntimeError, "pow: .*must match"),
    "eq": (lambda t, w: w.x == t.ones(2), RuntimeError, "eq: .*must match"),
    "maximum": (lambda t, w: t.maximum(w.x, t.ones(2)), RuntimeError, "maximum: .*must match"),
    "where": (lambda t, w: t.where(w.b, w.x, t.ones(2)), RuntimeError, "where: .*must match"),
    "addcmul": (lambda t, w: t.addcmul(w.x, t.ones(2), w.x), RuntimeError, "addcmul: .*must match"),
    "lerp": (lambda t, w: t.lerp(w.x, t.ones(2), 0.5), RuntimeError, "lerp: .*must match"),
    "matmul": (lambda t, w: w.m @ w.m, RuntimeError, r"matmul: .*\(3, 4\) @ \(3, 4\)"),
    "matmul of a number": (lambda t, w: w.m @ w.s, RuntimeError, "matmul"),
    "mm of vectors": (lambda t, w: t.mm(w.x, w.m), RuntimeError, "mm"),
    "mv": (lambda t, w: t.mv(w.m, w.x), RuntimeError, "mv"),
    "bmm": (lambda t, w: t.bmm(w.m, w.m), RuntimeError, "bmm"),
    "dot": (lambda t, w: t.dot(w.x, t.ones(4)), RuntimeError, "dot"),
    "linear layer": (lambda t, w: w.linear(w.m), RuntimeError, r"linear: .*\(3, 4\).*\(2, 3\)"),
    "reshape": (lambda t, w: w.m.reshape(5, 2), RuntimeError, r"reshape: .*\[5, 2\].*12"),
    "reshape of unknowns": (lambda t, w: w.m.reshape(-1, -1), RuntimeError, "only one"),
    "view of a transposed": (lambda t, w: w.m.t().view(12), RuntimeError, "view"),
    "expand": (lambda t, w: w.x.expand(4, 2), RuntimeError, "expand"),
    "cat": (lambda t, w: t.cat([w.m, t.ones(2, 3)]), RuntimeError, "cat"),
    "stack": (lambda t, w: t.stack([w.x, w.m]), RuntimeError, "stack"),
    "permute": (lambda t, w: w.m.permute(0, 0), RuntimeError, "permute"),
    "einsum": (lambda t, w: t.einsum("ij,jk->ik", w.m, w.m), RuntimeError, "einsum"),
    "negative size": (lambda t, w: t.zeros(2, -1), RuntimeError, "-1"),
    "masked_fill": (lambda t, w: w.m.masked_fill(w.b, 0.0), RuntimeError, "masked_fill: .*must match"),
    # writes that do not fit
    "add_": (lambda t, w: w.x.add_(w.m), RuntimeError, "add"),
    "add_ wider": (lambda t, w: w.x.add_(t.ones(2, 3)), RuntimeError, "doesn't match the broadcast shape"),
    "mul_ of ints": (lambda t, w: w.i.mul_(0.5), RuntimeError, "can't be cast"),
    "div_ of ints": (lambda t, w: w.i.div_(2), RuntimeError, "can't be cast"),
    "copy_": (lambda t, w: w.x.copy_(t.ones(5)), RuntimeError, "^copy_: The size"),
    "setitem shape": (lambda t, w: w.m.__setitem__(0, t.ones(3)), RuntimeError, "shape|match|expand"),
    "setitem index": (lambda t, w: w.x.__setitem__(7, 1.0), IndexError, "7"),
    "leaf add_": (lambda t, w: w.leaf.add_(1), RuntimeError, "leaf Variable that requires grad"),
    "leaf zero_": (lambda t, w: w.leaf.zero_(), RuntimeError, "leaf Variable that requires grad"),
    "leaf setitem": (lambda t, w: w.leaf.__setitem__(0, 1.0), RuntimeError, "leaf Variable|view of a leaf"),
    "leaf copy_": (lambda t, w: w.leaf.copy_(w.x), RuntimeError, "leaf Variable that requires grad"),
    "view of a leaf": (lambda t, w: w.leaf[0].mul_(2), RuntimeError, "view of"),
    # dims and indices
    "sum dim": (lambda t, w: w.m.sum(dim=2), IndexError, r"\[-2, 1\].*2"),
    "sum same dim": (lambda t, w: w.m.sum(dim=(0, 0)), RuntimeError, "dim 0"),
    "softmax dim": (lambda t, w: t.softmax(w.x, 1), IndexError, "out of range"),
    "cumsum dim": (lambda t, w: w.x.cumsum(3), IndexError, "3"),
    "transpose dim": (lambda t, w: w.m.transpose(0, 2), IndexError, "2"),
    "unsqueeze dim": (lambda t, w: w.x.unsqueeze(4), IndexError, "4"),
    "narrow": (lambda t, w: w.x.narrow(0, 2, 5), RuntimeError, "narrow"),
    "select": (lambda t, w: w.m.select(0, 9), IndexError, "9"),
    "int index": (lambda t, w: w.x[3], IndexError, "3"),
    "negative index": (lambda t, w: w.x[-4], IndexError, "-4"),
    "too many indices": (lambda t, w: w.x[0, 0], IndexError, "too many"),
    "index of a number": (lambda t, w: w.s[0], IndexError, "0-dim"),
    "negative step": (lambda t, w: w.x[::-1], ValueError, "step"),
    "tensor index": (lambda t, w: w.x[t.tensor([0, 5])], IndexError, "5"),
    "mask shape": (lambda t, w: w.m[w.b[:2]], IndexError, "mask"),
    "index shapes": (lambda t, w: w.m[t.tensor([0, 1]), t.tensor([0, 1, 2])], IndexError, "broadcast"),
    "gather dims": (lambda t, w: w.m.gather(0, w.i), RuntimeError, "gather"),
    "max of nothing": (lambda t, w: t.zeros(0).max(), RuntimeError, "max"),
    "argmax of nothing": (lambda t, w: t.zeros(0).argmax(), IndexError, "argmax"),
    "topk": (lambda t, w: w.x.topk(5), RuntimeError, "k"),
    "split": (lambda t, w: w.x.split([1, 1]), RuntimeError, "split"),
    # dtypes
    "ints that require grad": (lambda t, w: w.i.requires_grad_(), RuntimeError, "floating point"),
    "made of ints with grad": (
        lambda t, w: t.tensor([1], requires_grad=True),
        RuntimeError,
        "floating point",
    ),
    "bools subtracted": (lambda t, w: w.b - w.b, RuntimeError, "bool"),
    "bool negated": (lambda t, w: -w.b, RuntimeError, "bool"),
    "mean of ints": (lambda t, w: w.i.mean(), RuntimeError, "mean"),
    "bits of floats": (lambda t, w: w.x & w.x, (RuntimeError, NotImplementedError), "bitwise_and"),
    "negative power of ints": (lambda t, w: w.i**-1, RuntimeError, "negative integer powers"),
    "dot of two dtypes": (lambda t, w: t.dot(w.x, w.x.double()), RuntimeError, "dot"),
    "matmul of two dtypes": (lambda t, w: w.m @ w.m.t().double(), RuntimeError, "dtype|float64|double"),
    "default dtype": (lambda t, w: t.set_default_dtype(t.int64), TypeError, "float"),
    "flushing by a number": (lambda t, w: t.set_flush_denormal(1), RuntimeError, "a bool.* int"),
    "strings": (lambda t, w: t.tensor(["a"]), (TypeError, ValueError), "str"),
    "ragged lists": (lambda t, w: t.tensor([[1, 2], [3]]), ValueError, "length"),
    # values
    "item of many": (lambda t, w: w.x.item(), RuntimeError, "3 elements"),
    "float of many": (lambda t, w: float(w.x), ValueError, "only one element tensors"),
    "int of many": (lambda t, w: int(w.x), ValueError, "only one element tensors"),
    "bool of many": (lambda t, w: bool(w.x), RuntimeError, "ambiguous"),
    "bool of none": (lambda t, w: bool(w.empty), RuntimeError, "ambiguous"),
    "len of a number": (lambda t, w: len(w.s), TypeError, "0-d"),
    "iteration over a number": (lambda t, w: iter(w.s), TypeError, "0-d"),
    "index by a float": (lambda t, w: range(9)[w.s], TypeError, "integer"),
    "numpy with grad": (lambda t, w: w.leaf.numpy(), RuntimeError, r"detach\(\)"),
    "unknown attribute": (lambda t, w: w.x.shpae, AttributeError, "shpae"),
    "operand of no kind": (lambda t, w: w.x + "1", TypeError, "str"),
    # devices
    "no such device": (lambda t, w: w.x.to("gpu"), RuntimeError, "gpu"),
    # walking back
    "backward of many": (lambda t, w: w.e.backward(), RuntimeError, "implicitly created only for scalar"),
    "backward of a constant": (lambda t, w: w.s.backward(), RuntimeError, "does not require grad"),
    "backward twice": (lambda t, w: w.done.backward(), RuntimeError, "a second time"),
    "seed shape": (lambda t, w: w.e.backward(t.ones(2)), RuntimeError, "Mismatch in shape"),
    "seed type": (lambda t, w: w.e.backward(1.0), TypeError, "Tensors or None"),
    "number of seeds": (
        lambda t, w: t.autograd.backward([w.loss, w.loss], [t.ones(())]),
        RuntimeError,
        "2 tensors and 1 gradients",
    ),
    "grad of a constant": (lambda t, w: t.autograd.grad(w.loss, w.x), RuntimeError, "not require grad"),
    "grad of what was not used": (unused_argument, RuntimeError, "not have been used"),
    "kept value overwritten": (kept_value_overwritten, RuntimeError, "ExpBackward0.*version 1"),
    "operand overwritten": (overwritten_operand, RuntimeError, "SinBackward0.*version 1"),
    "number of gradients": (wrong_gradient_count, RuntimeError, "expected 2, got 1"),
    "shape of a gradient": (wrong_gradient_shape, RuntimeError, "invalid gradient at index 0"),
    "requires_grad off": (lambda t, w: w.y.requires_grad_(False), RuntimeError, "leaf"),
    "retain_grad of a constant": (lambda t, w: w.x.retain_grad(), RuntimeError, "requires_grad=False"),
    "grad of another shape": (lambda t, w: setattr(w.leaf, "grad", t.ones(2)), RuntimeError, "shape"),
    "grad of another dtype": (
        lambda t, w: setattr(w.leaf, "grad", w.x.double()),
        RuntimeError,
        "float64",
    ),
    "grad that is a number": (lambda t, w: setattr(w.leaf, "grad", 1.0), TypeError, "Tensor"),
    # modules and optimizers
    "state without a key": (
        lambda t, w: w.linear.load_state_dict({"weight": t.ones(2, 3)}),
        RuntimeError,
        "Missing.*bias",
    ),
    "state of another shape": (
        lambda t, w: w.linear.load_state_dict({"weight": t.ones(3, 2), "bias": t.ones(2)}),
        RuntimeError,
        "size mismatch.*weight",
    ),
    "parameter of no kind": (
        lambda t, w: w.linear.register_parameter("p", w.x),
        TypeError,
        "Parameter",
    ),
    "parameter by a used name": (
        lambda t, w: w.linear.register_parameter("forward", None),
        KeyError,
        "forward",
    ),
    "a plain tensor for a parameter": (lambda t, w: setattr(w.linear, "weight", w.x), TypeError, "weight"),
    "learning rate": (lambda t, w: t.optim.SGD([w.leaf], lr=-1), ValueError, "learning rate"),
    "no parameters": (lambda t, w: t.optim.SGD([], lr=0.1), ValueError, "empty"),
    "a result as a parameter": (lambda t, w: t.optim.SGD([w.y], lr=0.1), ValueError, "leaf"),
    "betas": (lambda t, w: t.optim.Adam([w.leaf], betas=(0.9, 1.0)), ValueError, "beta"),
    "nesterov": (
        lambda t, w: t.optim.SGD([w.leaf], lr=0.1, nesterov=True),
        ValueError,
        "momentum",
    ),
    "cross entropy target": (
        lambda t, w: t.nn.functional.cross_entropy(w.m, t.tensor([0, 1])),
        ValueError,
        "batch",
    ),
    # arguments that say what cannot be
    "threshold of a bool": (
        lambda t, w: t.nn.functional.threshold(w.b, 0.0, 1.0),
        NotImplementedError,
        "threshold: .*bool",
    ),
    "threshold of ints by nan": (
        lambda t, w: t.nn.functional.threshold(w.i, 0.0, float("nan")),
        RuntimeError,
        "threshold: nan is no integer",
    ),
    "hardtanh of a bool": (lambda t, w: t.nn.functional.hardtanh(w.b), RuntimeError, "hardtanh: Bool"),
    "hardtanh of bytes": (
        lambda t, w: t.nn.functional.hardtanh(w.i.to(t.uint8)),
        RuntimeError,
        "hardtanh: .*below 0",
    ),
    "multi_dot of one": (lambda t, w: t.linalg.multi_dot([w.m]), RuntimeError, "multi_dot: .*at least 2"),
    "unfold of a number": (lambda t, w: w.s.unfold(0, 2, 1), RuntimeError, "unfold: .*size is 2"),
    "unfold by no step": (lambda t, w: w.s.unfold(0, 1, 0), RuntimeError, "unfold: .*step 0"),
    "eigh of triangle 1": (lambda t, w: t.linalg.eigh(t.eye(2), 1), TypeError, "UPLO"),
    "vector_norm of an order of matrices": (
        lambda t, w: t.linalg.vector_norm(w.x, "nuc"),
        TypeError,
        "vector_norm: .*'nuc'",
    ),
    "matrix_norm of another dim": (
        lambda t, w: t.linalg.matrix_norm(w.m, 1, dim=(0, 5)),
        IndexError,
        "matrix_norm: .*got 5",
    ),
    "matrix_norm of three dims": (
        lambda t, w: t.linalg.matrix_norm(w.m, 1, dim=(0, 1, 2)),
        RuntimeError,
        "matrix_norm: .*pair",
    ),
    "grad of nothing": (lambda t, w: t.autograd.grad(None, w.leaf), TypeError, "grad: .*outputs.*NoneType"),
    "grad by nothing": (lambda t, w: t.autograd.grad(w.loss, None), TypeError, "grad: .*inputs.*NoneType"),
    "grad by a list of nothing": (
        lambda t, w: t.autograd.grad(w.loss, [None]),
        RuntimeError,
        "grad: .*inputs.*NoneType",
    ),
    "vmap of no samples at a time": (
        lambda t, w: t.func.vmap(t.sin, chunk_size=0)(w.x),
        ValueError,
        "chunk_size .*got 0",
    ),
    "jacrev of no rows at a time": (
        lambda t, w: t.func.jacrev(t.sin, chunk_size=0)(w.x),
        ValueError,
        "chunk_size.* 0",
    ),
    "cdist mode": (lambda t, w: t.cdist(w.m, w.m, compute_mode="mm"), ValueError, "compute_mode .*'mm'"),
    "bilinear bias": (
        lambda t, w: t.nn.functional.bilinear(w.m, w.m, t.ones(2, 4, 4), w.s.reshape(1)),
        RuntimeError,
        r"bilinear: .*bias of shape \(2,\), got \(1,\)",
    ),
    "repeat_interleave to another size": (
        lambda t, w: t.repeat_interleave(w.x, 2, output_size=5),
        RuntimeError,
        "repeat_interleave: .*6, got 5",
    ),
    "repeat_interleave by counts to another size": (
        lambda t, w: t.repeat_interleave(w.x, w.i, output_size=7),
        RuntimeError,
        "repeat_interleave: .*6, got 7",
    ),
    "searchsorted by too short a sorter": (
        lambda t, w: t.searchsorted(w.x, w.x, sorter=t.tensor([0, 1])),
        RuntimeError,
        r"sorter .*\(3,\), got \(2,\)",
    ),
    "cov by negative counts": (
        lambda t, w: t.cov(w.x, fweights=t.tensor([1, -1, 1])),
        RuntimeError,
        "fweights cannot be negative",
    ),
    "cov by counts that are not whole": (
        lambda t, w: t.cov(w.x, fweights=w.x),
        RuntimeError,
        "fweights .*integral",
    ),
    "cov by too few weights": (
        lambda t, w: t.cov(w.x, aweights=t.ones(2)),
        RuntimeError,
        r"aweights .*\(3,\), got \(2,\)",
    ),
    "a tensor for a dtype": (lambda t, w: t.tensor([1], dtype=w.m), TypeError, "tensor: .*dtype"),
    "a number for a mask": (
        lambda t, w: t.nn.MultiheadAttention(4, 2)(w.m, w.m, w.m, attn_mask=-7),
        TypeError,
        "must be Tensor, not int",
    ),
    "a mask of too few keys": (
        lambda t, w: t.nn.MultiheadAttention(4, 2, batch_first=True)(
            *[w.m.reshape(1, 3, 4)] * 3, key_padding_mask=t.zeros(1, 2, dtype=t.bool)
        ),
        AssertionError,
        r"key_padding_mask .*\(1, 3\).*\(1, 2\)",
    ),
    "class out of range": (
        lambda t, w: t.nn.functional.cross_entropy(w.m, t.tensor([0, 1, 4])),
        IndexError,
        "4",
    ),
}
