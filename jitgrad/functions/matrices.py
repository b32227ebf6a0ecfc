"""Matrix products by the numbers of dimensions they take: mm, bmm, mv, dot, outer, and sums with them."""

from __future__ import annotations

from typing import Any, NoReturn

from .._tensor import Tensor, method
from ._call import require_tensors
from ._dims import dims_of, shape_of
from ._older_calls import older_product
from ._out import write_out
from .arithmetic_in_place import in_place_of
from .contractions import tensordot
from .products import broadcast_shape, matmul, refuse_dot, same_dtype

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "dot",
    "ger",
    "inner",
    "mm",
    "mv",
    "outer",
    "vdot",
]


def _refuse_dims(name: str, expected: str, *operands: Tensor) -> NoReturn:
    got = " and ".join(str(tuple(x.shape)) for x in operands)
    raise RuntimeError(f"{name}: {expected}, but got {got}; matmul takes other numbers of dimensions")


@method
def mm(input: Tensor, mat2: Tensor, out: Any = None) -> Tensor:
    """Return the product of two matrices; see `matmul`."""
    require_tensors("mm", input, mat2)
    if dims_of(input) != 2 or dims_of(mat2) != 2:
        _refuse_dims("mm", "self must be a matrix and mat2 must be a matrix", input, mat2)
    made = matmul(input, mat2)
    return made if out is None else write_out("mm", made, out, same_dtype=True)


@method
def bmm(input: Tensor, mat2: Tensor, out: Any = None) -> Tensor:
    """Return the products of two batches of matrices, (b, m, k) and (b, k, n); see `matmul`."""
    require_tensors("bmm", input, mat2)
    left, right = shape_of(input), shape_of(mat2)
    if len(left) != 3 or len(right) != 3:
        _refuse_dims("bmm", "batch1 must be a 3D tensor and batch2 must be a 3D tensor", input, mat2)
    if right[:2] != (left[0], left[2]):
        raise RuntimeError(
            f"bmm: Expected size for first two dimensions of batch2 tensor to be: [{left[0]}, {left[2]}] but "
            f"got: {list(right[:2])}; operands are {left} and {right}"
        )
    made = matmul(input, mat2)
    return made if out is None else write_out("bmm", made, out, same_dtype=True)


@method
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix and a vector; see `matmul`."""
    require_tensors("mv", input, vec)
    left, right = shape_of(input), shape_of(vec)
    if len(left) != 2 or len(right) != 1:
        _refuse_dims("mv", "expected a matrix and a vector", input, vec)
    if left[1] != right[0]:
        raise RuntimeError(
            f"mv: size mismatch, got mat {left}, vec {right}; the matrix must have "
            "as many columns as the vector has elements"
        )
    return matmul(input, vec)


@method
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Return the sum of the products of two vectors' elements.

    Raises
    ------
    RuntimeError
        If an operand is no vector, or their sizes or dtypes differ.
    """
    same_dtype("dot", input, tensor)
    left, right = shape_of(input), shape_of(tensor)
    if len(left) != 1 or len(right) != 1:
        got = f"1D tensors expected, but got {len(left)}D and {len(right)}D tensors"
        _refuse_dims("dot", got, input, tensor)
    if left != right:
        refuse_dot(input, tensor)
    return (input * tensor).sum()


vdot = method(dot)
setattr(Tensor, "vdot", dot)  # noqa: B010 - the same function under PyTorch's second name


@method
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the sums of products along the last dimension of both: (..., k) and (---, k) to (..., ---)."""
    require_tensors("inner", input, other)
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner: the last sizes must match, got {tuple(input.shape)} and {tuple(other.shape)}"
        )
    if other.ndim <= 2:
        return input @ (other.mT if other.ndim == 2 else other)
    return tensordot(input, other, dims=([-1], [-1]))


@method
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return all products of an element of one vector and one of the other: (m,) and (n,) to (m, n)."""
    require_tensors("outer", input, vec2)
    if input.ndim != 1 or vec2.ndim != 1:
        _refuse_dims("outer", "expected two vectors (1-D tensors)", input, vec2)
    return input.unsqueeze(1) * vec2


ger = outer
setattr(Tensor, "ger", outer)  # noqa: B010


def _scaled_sum(input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    """``beta * input + alpha * product``; with beta 0 the input's values are not read, as in PyTorch."""
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product if input.shape == product.shape else product + input.new_zeros(())
    return (input if beta == 1 else input * beta) + product


def _check_fits(name: str, input: Tensor, product: Tensor) -> None:
    own, shape = shape_of(input), shape_of(product)
    if own != shape and broadcast_shape(own, shape) != shape:
        raise RuntimeError(
            f"{name}: the expanded size of the tensor must match: input {own} cannot be "
            f"expanded to the product's shape {shape}"
        )


def _added(name: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    same_dtype(name, input, product)
    _check_fits(name, input, product)
    return _scaled_sum(input, product, beta, alpha)


@method
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)`` for matrices.

    Parameters
    ----------
    input : Tensor
        Broadcasts to (m, n).
    mat1 : Tensor, shape (m, k)
    mat2 : Tensor, shape (k, n)
    beta, alpha : float, default 1
        Where `beta` is 0, `input` is not read.

    Raises
    ------
    RuntimeError
        If the shapes do not fit.
    """
    if older:
        return older_product(addmm, input, mat1, mat2, *older, beta=beta, alpha=alpha)
    require_tensors("addmm", input, mat1, mat2)
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


@method
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *older: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)`` for a matrix and a vector."""
    if older:
        return older_product(addmv, input, mat, vec, *older, beta=beta, alpha=alpha)
    require_tensors("addmv", input, mat, vec)
    return _added("addmv", input, mv(mat, vec), beta, alpha)


@method
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *older: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * outer(vec1, vec2)``."""
    if older:
        return older_product(addr, input, vec1, vec2, *older, beta=beta, alpha=alpha)
    require_tensors("addr", input, vec1, vec2)
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


@method
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * (batch1 @ batch2)`` for batches of matrices."""
    if older:
        return older_product(baddbmm, input, batch1, batch2, *older, beta=beta, alpha=alpha)
    require_tensors("baddbmm", input, batch1, batch2)
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@method
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *older: Any, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * (batch1 @ batch2).sum(0)``."""
    if older:
        return older_product(addbmm, input, batch1, batch2, *older, beta=beta, alpha=alpha)
    require_tensors("addbmm", input, batch1, batch2)
    return _added("addbmm", input, bmm(batch1, batch2).sum(0), beta, alpha)


for _function in (addmm, addmv, addr, baddbmm, addbmm):
    setattr(Tensor, _function.__name__ + "_", in_place_of(_function))
