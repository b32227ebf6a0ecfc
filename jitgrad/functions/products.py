"""Matrix products: one kernel for matrices and batches of them, views for everything else."""

from __future__ import annotations

from typing import Any, NoReturn

from .._tensor import Tensor, method, wrap
from ..dispatch import call, complete
from ..dtypes import float64
from ..engine import layout
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..refusals import refuse_contraction
from ..store import store
from ._call import dtype_code, is_floating, require_tensors
from ._dims import shape_of
from ._out import write_out

__all__ = ["linear", "matmul"]

LINEAR, MATMUL = BY_NAME["linear"], BY_NAME["matmul"]
LINEAR_CODE, MATMUL_CODE = LINEAR.code, MATMUL.code
# a kernel that is not compiled yet is missed before shapes are looked at
UNSURE = (layout.BAD_SHAPE, layout.NEED_KERNEL)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features) or (in_features,)
    bias : Tensor, shape (out_features,), optional

    Returns
    -------
    Tensor, shape (..., out_features)

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit.
    """
    try:
        if bias is None:
            made = entries.binary(LINEAR_CODE, input, weight)
        else:
            made = entries.ternary(LINEAR_CODE, input, weight, bias)
    except TypeError:
        require_tensors("linear", input, weight, optional=bias)
        raise
    return _linear_slowly(input, weight, bias, made) if type(made) is int else made


def _linear_slowly(input: Tensor, weight: Tensor, bias: Tensor | None, status: int) -> Tensor:
    same_dtype("linear", input, weight, bias)
    if not input.is_floating_point():
        product = linear(input.to(float64), weight.to(float64), None if bias is None else bias.to(float64))
        return product.to(input.dtype)
    if status == layout.NEED_KERNEL:  # of the layer, or of the copy that puts rows in order
        store.mend(status)
        return linear(input, weight, bias)
    if status in UNSURE:
        if weight.ndim == 1:
            return _plus_bias(matmul(input, weight), bias)
        if bias is not None and weight.ndim == 2 and tuple(bias.shape) != tuple(weight.shape[:1]):
            return _plus_bias(linear(input, weight), bias)
    return wrap(complete(LINEAR, (input, weight, bias), None, 0, status))


def _plus_bias(product: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias of any shape that broadcasts to the product's, as PyTorch does."""
    if bias is None:
        return product
    total = product + bias
    if total.numel() != product.numel():
        raise RuntimeError(
            f"linear: expected a bias that can be expanded to the shape of the product {tuple(product.shape)}, "
            f"got {tuple(bias.shape)}"
        )
    return total.reshape(product.shape)


@method
def matmul(input: Tensor, other: Tensor, out: Any = None) -> Tensor:
    """Return the matrix product, batched over leading dimensions that broadcast.

    Parameters
    ----------
    input, other : Tensor
        Vectors, matrices, or batches of matrices, (..., m, k) and (..., k, n). A vector on the left counts as
        a row, one on the right as a column, and that dimension is dropped from the result.
    out : Tensor, optional
        Takes the product and is returned.

    Raises
    ------
    RuntimeError
        If an operand has no dimension, or the sizes or dtypes do not fit.
    """
    if out is not None:
        return write_out("matmul", matmul(input, other), out, same_dtype=True)
    try:
        made = entries.binary(MATMUL_CODE, input, other)
    except TypeError:
        require_tensors("matmul", input, other)
        raise
    return _matmul_slowly(input, other) if type(made) is int else made


def _matmul_slowly(a: Tensor, b: Tensor) -> Tensor:
    same_dtype("matmul", a, b)
    if not is_floating(a):
        return matmul(a.to(float64), b.to(float64)).to(a.dtype)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise RuntimeError(
            "matmul: both arguments to matmul need to be at least 1D, but they are "
            f"{len(left)}D and {len(right)}D"
        )
    if len(left) == 1 or len(right) == 1:
        return _vector_product(a, b, left, right)
    if left[:-2] != right[:-2]:
        a, b = _with_one_batch(a, b)
    return wrap(call(MATMUL, (a, b)))


def _vector_product(a: Tensor, b: Tensor, left: tuple[int, ...], right: tuple[int, ...]) -> Tensor:
    """A product of operands with shapes `left` and `right`, of which one at least is a vector."""
    if left[-1] != right[-1 if len(right) == 1 else -2]:
        if len(left) == len(right) == 1:
            refuse_dot(a, b)
        refuse_contraction(MATMUL, [left, right])
    if len(left) == len(right) == 1:
        return (a * b).sum()
    if len(right) == 1:
        # the matrix takes the weight's place: a linear layer of one row needs no view
        return linear(b, a) if len(left) == 2 else linear(a, b.unsqueeze(0)).squeeze(-1)
    return linear(a, b.transpose(0, 1)) if len(right) == 2 else matmul(a.unsqueeze(0), b).squeeze(-2)


def _with_one_batch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The operands with batch dimensions expanded to each other."""
    if a.shape[-1] != b.shape[-2]:
        refuse_contraction(MATMUL, [tuple(a.shape), tuple(b.shape)])
    left, right = tuple(a.shape[:-2]), tuple(b.shape[:-2])
    batch = broadcast_shape(left, right)
    if batch is None:
        raise RuntimeError(
            f"matmul: batch sizes do not broadcast: {tuple(a.shape)} @ {tuple(b.shape)}; sizes before "
            "the last two must be equal or 1, counted from the back"
        )
    # missing leading dimensions are the kernel's own business; only sizes of one are expanded
    own_left, own_right = batch[len(batch) - len(left) :], batch[len(batch) - len(right) :]
    if left != own_left:
        a = a.expand(*own_left, *a.shape[-2:])
    if right != own_right:
        b = b.expand(*own_right, *b.shape[-2:])
    return a, b


def broadcast_shape(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape to which two shapes broadcast; None when they do not."""
    dims = max(len(left), len(right))
    left, right = (1,) * (dims - len(left)) + left, (1,) * (dims - len(right)) + right
    if any(m != n and 1 not in (m, n) for m, n in zip(left, right, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(left, right, strict=True))


def refuse_dot(a: Tensor, b: Tensor) -> NoReturn:
    """Two vectors differ in size."""
    m, n = a.shape[0], b.shape[0]
    raise RuntimeError(
        f"dot: inconsistent tensor size, expected tensor [{m}] and src [{n}] to have the same number of "
        f"elements, but got {m} and {n} elements respectively"
    )


def same_dtype(name: str, *operands: Tensor | None) -> None:
    """Refuse what is no tensor (or None, for nothing), and several dtypes: products do not promote."""
    tensors = [x for x in operands if x is not None]
    try:
        codes = [dtype_code(x) for x in tensors]
    except AttributeError:
        require_tensors(name, *tensors)
        raise
    if codes.count(codes[0]) == len(codes):
        return
    for x in tensors[1:]:
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"{name}: expected m1 and m2 to have the same dtype, but got: {tensors[0].dtype.name} != "
                f"{x.dtype.name}; convert one of them, for example with .to({tensors[0].dtype})"
            )


def _as_matmul(other: Any) -> Tensor | None:
    if isinstance(other, Tensor):
        return other
    import numpy as np

    if isinstance(other, np.ndarray):
        from .from_data import from_numpy

        return from_numpy(other)
    return None


def _matmul_operator(self: Tensor, other: Any) -> Any:
    value = _as_matmul(other)
    return NotImplemented if value is None else matmul(self, value)


def _reflected_matmul(self: Tensor, other: Any) -> Any:
    value = _as_matmul(other)
    return NotImplemented if value is None else matmul(value, self)


Tensor.__matmul__ = _matmul_operator  # type: ignore[attr-defined]
Tensor.__rmatmul__ = _reflected_matmul  # type: ignore[attr-defined]
