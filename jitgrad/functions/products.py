"""Matrix products: one kernel for matrices and batches of them, views for everything else."""

from __future__ import annotations

from typing import Any, NoReturn

from .._tensor import Tensor, method, wrap
from ..dispatch import CONTEXT, call, complete, refuse_contraction
from ..dtypes import float64
from ..engine import layout
from ..engine.entry import entries
from ..kernels import BY_NAME

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "chain_matmul",
    "dot",
    "inner",
    "kron",
    "linear",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "vdot",
]

LINEAR, MATMUL = BY_NAME["linear"], BY_NAME["matmul"]
LINEAR_CODE, MATMUL_CODE = LINEAR.code, MATMUL.code
# a kernel that is not compiled yet is missed before shapes are looked at
UNSURE = (layout.BAD_SHAPE, layout.NEED_KERNEL)

_new = Tensor.__new__


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
        slot = entries.apply(
            CONTEXT, LINEAR_CODE, 0, input._slot, weight._slot, 0 if bias is None else bias._slot, 0, 0, 0
        )
    except AttributeError:
        same_dtype("linear", input, weight, bias)
        raise
    if slot < 0:
        return _linear_slowly(input, weight, bias, slot)
    result = _new(Tensor)
    result._slot = slot
    return result


def _linear_slowly(input: Tensor, weight: Tensor, bias: Tensor | None, status: int) -> Tensor:
    same_dtype("linear", input, weight, bias)
    if not input.is_floating_point():
        product = linear(input.to(float64), weight.to(float64), None if bias is None else bias.to(float64))
        return product.to(input.dtype)
    if weight.ndim == 1 and status in UNSURE:
        product = matmul(input, weight)
        return product if bias is None else product + bias
    if bias is not None and bias.ndim != 1 and weight.ndim == 2 and status in UNSURE:
        return linear(input, weight) + bias  # PyTorch lets such a bias broadcast
    return wrap(complete(LINEAR, (input, weight, bias), None, 0, status))


@method
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product, batched over leading dimensions that broadcast.

    Parameters
    ----------
    input, other : Tensor
        Vectors, matrices, or batches of matrices, (..., m, k) and (..., k, n). A vector on the left counts as
        a row, one on the right as a column, and that dimension is dropped from the result.

    Raises
    ------
    RuntimeError
        If an operand has no dimension, or the sizes or dtypes do not fit.
    """
    try:
        slot = entries.apply(CONTEXT, MATMUL_CODE, 0, input._slot, other._slot, 0, 0, 0, 0)
    except AttributeError:
        same_dtype("matmul", input, other)
        raise
    if slot < 0:
        return _matmul_slowly(input, other)
    result = _new(Tensor)
    result._slot = slot
    return result


def _matmul_slowly(a: Tensor, b: Tensor) -> Tensor:
    same_dtype("matmul", a, b)
    if not a.is_floating_point():
        return matmul(a.to(float64), b.to(float64)).to(a.dtype)
    if not a.ndim or not b.ndim:
        raise RuntimeError(
            f"matmul: both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D"
        )
    if a.ndim == 1 or b.ndim == 1:
        return _vector_product(a, b)
    if a.shape[:-2] != b.shape[:-2]:
        a, b = _with_one_batch(a, b)
    return wrap(call(MATMUL, (a, b)))


def _vector_product(a: Tensor, b: Tensor) -> Tensor:
    if a.shape[-1] != b.shape[-1 if b.ndim == 1 else -2]:
        if a.ndim == b.ndim == 1:
            _refuse_dot(a, b)
        refuse_contraction(MATMUL, [tuple(a.shape), tuple(b.shape)])
    if a.ndim == 1 and b.ndim == 1:
        return (a * b).sum()
    if b.ndim == 1:
        # the matrix takes the weight's place: a linear layer of one row needs no view
        return linear(b, a) if a.ndim == 2 else linear(a, b.unsqueeze(0)).squeeze(-1)
    return linear(a, b.transpose(0, 1)) if b.ndim == 2 else matmul(a.unsqueeze(0), b).squeeze(-2)


def _with_one_batch(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The operands with batch dimensions expanded to each other."""
    if a.shape[-1] != b.shape[-2]:
        refuse_contraction(MATMUL, [tuple(a.shape), tuple(b.shape)])
    left, right = tuple(a.shape[:-2]), tuple(b.shape[:-2])
    batch = _broadcast(left, right)
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


def _broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    dims = max(len(left), len(right))
    left, right = (1,) * (dims - len(left)) + left, (1,) * (dims - len(right)) + right
    if any(m != n and 1 not in (m, n) for m, n in zip(left, right, strict=True)):
        return None
    return tuple(n if m == 1 else m for m, n in zip(left, right, strict=True))


def same_dtype(name: str, *operands: Any) -> None:
    """Refuse what is no tensor, and tensors of several dtypes: products do not promote."""
    tensors = [x for x in operands if x is not None]
    for position, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): argument {position + 1} must be Tensor, not {type(x).__name__}")
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
        from .creation import from_numpy

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


def _refuse_dims(name: str, expected: str, *operands: Tensor) -> NoReturn:
    got = " and ".join(str(tuple(x.shape)) for x in operands)
    raise RuntimeError(f"{name}: {expected}, but got {got}; matmul takes other numbers of dimensions")


@method
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the product of two matrices; see `matmul`."""
    if input.ndim != 2 or mat2.ndim != 2:
        _refuse_dims("mm", "self must be a matrix and mat2 must be a matrix", input, mat2)
    return matmul(input, mat2)


@method
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Return the products of two batches of matrices, (b, m, k) and (b, k, n); see `matmul`."""
    if input.ndim != 3 or mat2.ndim != 3:
        _refuse_dims("bmm", "batch1 must be a 3D tensor and batch2 must be a 3D tensor", input, mat2)
    batch, _rows, depth = input.shape
    if tuple(mat2.shape[:2]) != (batch, depth):
        raise RuntimeError(
            f"bmm: Expected size for first two dimensions of batch2 tensor to be: [{batch}, {depth}] but "
            f"got: [{mat2.shape[0]}, {mat2.shape[1]}]; operands are {tuple(input.shape)} and "
            f"{tuple(mat2.shape)}"
        )
    return matmul(input, mat2)


@method
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Return the product of a matrix and a vector; see `matmul`."""
    if input.ndim != 2 or vec.ndim != 1:
        _refuse_dims("mv", "expected a matrix and a vector", input, vec)
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(
            f"mv: size mismatch, got mat {tuple(input.shape)}, vec {tuple(vec.shape)}; the matrix must have "
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
    if input.ndim != 1 or tensor.ndim != 1:
        got = f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors"
        _refuse_dims("dot", got, input, tensor)
    if input.shape != tensor.shape:
        _refuse_dot(input, tensor)
    return (input * tensor).sum()


def _refuse_dot(a: Tensor, b: Tensor) -> NoReturn:
    m, n = a.shape[0], b.shape[0]
    raise RuntimeError(
        f"dot: inconsistent tensor size, expected tensor [{m}] and src [{n}] to have the same number of "
        f"elements, but got {m} and {n} elements respectively"
    )


vdot = method(dot)
setattr(Tensor, "vdot", dot)  # noqa: B010 - the same function under PyTorch's second name


@method
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Return the sums of products along the last dimension of both: (..., k) and (---, k) to (..., ---)."""
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner: the last sizes must match, got {tuple(input.shape)} and {tuple(other.shape)}"
        )
    return tensordot(input, other, dims=([-1], [-1]))


@method
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Return all products of an element of one vector and one of the other: (m,) and (n,) to (m, n)."""
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
    if _broadcast(tuple(input.shape), tuple(product.shape)) != tuple(product.shape):
        raise RuntimeError(
            f"{name}: the expanded size of the tensor must match: input {tuple(input.shape)} cannot be "
            f"expanded to the product's shape {tuple(product.shape)}"
        )


def _added(name: str, input: Tensor, product: Tensor, beta: float, alpha: float) -> Tensor:
    same_dtype(name, input, product)
    _check_fits(name, input, product)
    return _scaled_sum(input, product, beta, alpha)


@method
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)`` for matrices."""
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


@method
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)`` for a matrix and a vector."""
    return _added("addmv", input, mv(mat, vec), beta, alpha)


@method
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * outer(vec1, vec2)``."""
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


@method
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (batch1 @ batch2)`` for batches of matrices."""
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@method
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return ``beta * input + alpha * (batch1 @ batch2).sum(0)``."""
    return _added("addbmm", input, bmm(batch1, batch2).sum(0), beta, alpha)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the sums of products over pairs of dimensions.

    Parameters
    ----------
    a, b : Tensor
    dims : int or pair of sequences of int
        The last `dims` dimensions of `a` with the first of `b`; or which of `a` and which of `b`.

    Raises
    ------
    RuntimeError
        If two paired dimensions differ in size, or their numbers differ.
    """
    first, second = _paired_dims(a, b, dims)
    for i, j in zip(first, second, strict=True):
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(
                f"tensordot: contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} "
                f"and second has size {b.shape[j]} in dim {j}"
            )
    rest_a = [d for d in range(a.ndim) if d not in first]
    rest_b = [d for d in range(b.ndim) if d not in second]
    shape_a, shape_b = [a.shape[d] for d in rest_a], [b.shape[d] for d in rest_b]
    depth = 1
    for i in first:
        depth *= a.shape[i]
    rows, columns = _product(shape_a), _product(shape_b)
    left = a.permute(*rest_a, *first).reshape(rows, depth)
    right = b.permute(*second, *rest_b).reshape(depth, columns)
    return matmul(left, right).reshape(shape_a + shape_b)


def _product(sizes: list[int]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


def _paired_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot: expects dims >= 0 and at most {min(a.ndim, b.ndim)}, but got dims={dims}"
            )
        return list(range(a.ndim - dims, a.ndim)), list(range(dims))
    first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError(
            f"tensordot: both dimension lists should have same length, got {first} and {second}"
        )
    from .losses import checked_dim

    first = [checked_dim("tensordot", a, d) for d in first]
    return first, [checked_dim("tensordot", b, d) for d in second]


@method
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times all of `other`, block by block."""
    dims = max(input.ndim, other.ndim)
    left = (1,) * (dims - input.ndim) + tuple(input.shape)
    right = (1,) * (dims - other.ndim) + tuple(other.shape)
    spread = [n for m in left for n in (m, 1)]
    blocks = [n for m in right for n in (1, m)]
    product = input.reshape(spread) * other.reshape(blocks)
    return product.reshape([m * n for m, n in zip(left, right, strict=True)])


def chain_matmul(*matrices: Tensor) -> Tensor:
    """Return the product of a chain of matrices, multiplied in the order that takes the fewest operations.

    The order is found by dynamic programming (Cormen et al., Introduction to Algorithms, 15.2).
    """
    if not matrices:
        raise RuntimeError("chain_matmul: Expecting at least one matrix, got none")
    for x in matrices:
        if x.ndim != 2:
            _refuse_dims("chain_matmul", "every tensor must be a matrix", x)
    sizes = [matrices[0].shape[0], *(x.shape[1] for x in matrices)]
    count = len(matrices)
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(count)}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return matrices[i]
        k = best[i, j][1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, count - 1)
