"""Linear and bilinear maps, dropout, and the distances that losses are made of."""

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor, wrap
from jitgrad.autograd import no_grad
from jitgrad.functions._call import require_tensors
from jitgrad.functions._launch import run
from jitgrad.functions._numpy_names import takes_axis
from jitgrad.functions._out import write_out
from jitgrad.functions.geometry import norm_of_rows
from jitgrad.kernels import BY_NAME

_PAIRS = BY_NAME["pair_distances"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features) or (in_features,)
    bias : Tensor, shape (out_features,), optional
    """
    return T.linear(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``y[k] = input1 @ weight[k] @ input2 + bias[k]``.

    Parameters
    ----------
    input1 : Tensor, shape (..., in1_features)
    input2 : Tensor, shape (..., in2_features)
    weight : Tensor, shape (out_features, in1_features, in2_features)
    bias : Tensor, shape (out_features,), optional

    Returns
    -------
    Tensor, shape (..., out_features)

    Raises
    ------
    RuntimeError
        If the shapes do not fit together.
    """
    require_tensors("bilinear", input1, input2, weight, optional=bias)
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear: input batch dimensions differ: {tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    if weight.ndim != 3:
        raise RuntimeError(
            f"bilinear: expected a weight of shape (out_features, in1_features, in2_features), got "
            f"{tuple(weight.shape)}"
        )
    outputs, in1, in2 = weight.shape
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(f"bilinear: expected a bias of shape ({outputs},), got {tuple(bias.shape)}")
    for position, given, expected in ((1, input1, in1), (2, input2, in2)):
        if given.shape[-1] != expected:
            raise RuntimeError(
                f"bilinear: input{position} size does not match weight size: got "
                f"{given.shape[-1]} but expected {expected}"
            )
    batch = tuple(input1.shape[:-1])
    rows = math.prod(batch)  # -1 would not say, where there are no elements
    first = input1.reshape(rows, in1)
    second = input2.reshape(rows, 1, in2)
    # (B, in1) @ (in1, out * in2): the large product first, and as a single matrix product
    folded = first @ weight.permute(1, 0, 2).reshape(in1, outputs * in2)
    result = (folded.reshape(rows, outputs, in2) * second).sum(-1).reshape(*batch, outputs)
    return result if bias is None else result + bias


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero every element with probability ``p`` and divide the others by ``1 - p``.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
    training : bool, default True
        When False the input is returned as it is.
    inplace : bool, default False
        Write the result into ``input``.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    if inplace:
        require_tensors("dropout", input)
        return input.copy_(T.dropout(input.clone(), p, True))
    return T.dropout(input, p, True)


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Return ``input`` divided by its p-norm along ``dim``, or by ``eps`` if that is larger."""
    require_tensors("normalize", input)
    length = input.norm(p, dim, keepdim=True).clamp(min=eps)
    if out is not None:
        return write_out("normalize", input / length, out)
    return input / length


@takes_axis
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return ``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`` along ``dim``, broadcasting.

    Notes
    -----
    As in PyTorch, the gradient takes a length for the vector's own also where ``eps`` is put in its place.
    """
    require_tensors("cosine_similarity", x1, x2)
    if x1.dtype != x2.dtype:
        common = T.result_type(x1, x2)
        x1, x2 = x1.to(common), x2.to(common)
    if x1.shape != x2.shape:
        x1, x2 = T.broadcast_tensors(x1, x2)  # ``dim`` is one of the common shape
    return (_direction(x1, dim, eps) * _direction(x2, dim, eps)).sum(dim)


def _direction(x: Tensor, dim: int, eps: float) -> Tensor:
    length = x.norm(2.0, dim, keepdim=True)
    if length.requires_grad:
        length = length.clone()  # the gradient of the norm reads what it was
    with no_grad():
        length.clamp_(min=eps)
    return x / length


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the p-norm of ``x1 - x2 + eps`` along the last dimension, broadcasting."""
    require_tensors("pairwise_distance", x1, x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of the difference of every two rows.

    Parameters
    ----------
    input : Tensor, shape (N, M)
    p : float, default 2
        Which norm, from 0 (the number of elements that differ) to inf (the greatest difference).

    Returns
    -------
    Tensor, shape (N * (N - 1) / 2,)
        The distances of rows 0 and 1, 0 and 2, ..., 1 and 2, and so on.

    Raises
    ------
    RuntimeError
        If the input has not two dimensions or is not floating, or ``p`` is negative or nan.

    Notes
    -----
    The gradient of rows that are equal is 0. Elements that share the greatest difference share its gradient,
    as in `torch.norm`, where PyTorch's ``pdist`` gives each of them all of it.
    """
    require_tensors("pdist", input)
    if input.ndim != 2:
        raise RuntimeError(f"pdist: expected a 2D tensor, got {input.ndim}D of shape {tuple(input.shape)}")
    if not input.is_floating_point():
        raise RuntimeError(f"pdist: expected a floating-point tensor, got {input.dtype}; use .float()")
    if not p >= 0:
        raise RuntimeError(f"pdist: expected a p that is not negative, got {p}")
    if p == 2:
        rows = input.size(0)
        dense = input.contiguous()  # type: ignore[attr-defined]
        return wrap(run(_PAIRS, (dense,), input.dtype, (rows * (rows - 1) // 2,), ()))
    return distances_of_pairs(input, p)


def distances_of_pairs(input: Tensor, p: float = 2) -> Tensor:
    """`pdist` made of differences, which have gradients of any order."""
    rows = len(input)
    pairs = T.triu_indices(rows, rows, 1)
    chosen = input.index_select(0, pairs.reshape(-1)).reshape(2, pairs.shape[1], input.shape[1])
    return norm_of_rows(chosen[0] - chosen[1], p)
