"""Losses that push values apart until there is a margin between them."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions.products import broadcast_shape

from ._reduction import check_reduction, chosen_reduction, reduced
from .linear import pairwise_distance


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the input where the target is 1 and ``max(0, margin - input)`` where it is -1.

    Parameters
    ----------
    input : Tensor
        Distances of pairs.
    target : Tensor, same shape
        1 for pairs that belong together, -1 for others.
    margin : float, default 1.0
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the reduction is unknown.
    """
    require_tensors("hinge_embedding_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    hinge = (margin - input).clamp(min=0)
    zero = T.zeros_like(hinge)
    loss = T.where(target != 1, hinge, zero) + T.where(target != -1, input, zero)
    return reduced(loss, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``log(1 + exp(-target * input))``, reduced; large inputs do not overflow.

    Parameters
    ----------
    input : Tensor
        Scores, of a floating-point dtype, which is the result's.
    target : Tensor, broadcastable to the input's shape
        1 or -1.
    size_average, reduce, reduction
        As for `hinge_embedding_loss`.

    Raises
    ------
    ValueError
        If the reduction is unknown.
    RuntimeError
        If the target does not fit the input, or the input is not floating.
    """
    require_tensors("soft_margin_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if not input.is_floating_point():
        raise RuntimeError(
            f"soft_margin_loss: expected a floating-point input, got {input.dtype}; convert it with .float()"
        )
    sizes, given = tuple(input.shape), tuple(target.shape)
    if sizes != given and broadcast_shape(given, sizes) != sizes:
        raise RuntimeError(
            f"soft_margin_loss: target of shape {given} cannot be broadcast to the input's shape {sizes}"
        )
    return reduced(-T.logsigmoid(target.to(input.dtype) * input), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, margin - target * (input1 - input2))``, reduced.

    Parameters
    ----------
    input1, input2 : Tensor
        Scores.
    target : Tensor, as many dimensions
        1 where the first score should be the larger one, -1 for the opposite.
    margin : float, default 0
    size_average, reduce, reduction
        As for `hinge_embedding_loss`.

    Raises
    ------
    ValueError
        If the reduction is unknown.
    RuntimeError
        If the numbers of dimensions differ.
    """
    require_tensors("margin_ranking_loss", input1, input2, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss: all input tensors should have the same number of dimensions, got "
            f"input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)}, "
            f"target {tuple(target.shape)}"
        )
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``1 - cos`` where the target is 1 and ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : Tensor, shape (N, D) or (D,)
    target : Tensor, shape (N,) or ()
        1 for pairs that belong together, -1 for others.
    margin : float, default 0
    size_average, reduce, reduction
        As for `hinge_embedding_loss`.

    Raises
    ------
    ValueError
        If the reduction is unknown.
    RuntimeError
        If the shapes do not fit together.
    """
    require_tensors("cosine_embedding_loss", input1, input2, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if target.ndim > 1:
        raise RuntimeError(f"cosine_embedding_loss: 0D or 1D target tensor expected, got {target.ndim}D")
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"cosine_embedding_loss: {target.ndim}D target tensor expects {target.ndim + 1}D input "
            f"tensors, but found sizes {tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    tiny = 1e-12  # PyTorch's, added to the squared lengths
    lengths = ((input1 * input1).sum(-1) + tiny) * ((input2 * input2).sum(-1) + tiny)
    cosine = (input1 * input2).sum(-1) / T.sqrt(lengths)
    zero = T.zeros_like(cosine)
    loss = T.where(target == 1, 1 - cosine, zero)
    loss = loss + T.where(target == -1, (cosine - margin).clamp(min=0), zero)
    return reduced(loss, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, margin + |anchor - positive| - |anchor - negative|)``, reduced.

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (N, D) or (D,)
    margin : float, default 1.0
    p : float, default 2
        Which norm measures the distance.
    eps : float, default 1e-6
        Added to the differences; see `pairwise_distance`.
    swap : bool, default False
        Use ``|positive - negative|`` where it is the smaller distance (Balntas et al., 2016).
    size_average, reduce, reduction
        As for `hinge_embedding_loss`.

    Raises
    ------
    ValueError
        If the reduction is unknown or the margin is not positive.
    RuntimeError
        If the numbers of dimensions differ.
    """
    require_tensors("triplet_margin_loss", anchor, positive, negative)
    reduction = chosen_reduction(size_average, reduce, reduction)
    return _triplet(
        "triplet_margin_loss",
        (anchor, positive, negative),
        lambda x, y: pairwise_distance(x, y, p, eps),
        margin,
        swap,
        reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, margin + d(anchor, positive) - d(anchor, negative))`` for any distance, reduced.

    Parameters
    ----------
    anchor, positive, negative : Tensor, same number of dimensions
    distance_function : callable, default `pairwise_distance`
        From two tensors to their distances.
    margin : float, default 1.0
    swap : bool, default False
        Use ``d(positive, negative)`` where it is the smaller distance (Balntas et al., 2016).
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the reduction is unknown or the margin is not positive.
    RuntimeError
        If the numbers of dimensions differ.
    """
    name = "triplet_margin_with_distance_loss"
    require_tensors(name, anchor, positive, negative)
    check_reduction(reduction)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(name, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplet(
    name: str,
    tensors: tuple[Tensor, Tensor, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    """The loss of an anchor, a positive and a negative by any distance."""
    anchor, positive, negative = tensors
    if margin <= 0:
        raise ValueError(f"{name}: margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"{name}: anchor, positive and negative are expected to have the same number of dimensions, "
            f"got {anchor.ndim}, {positive.ndim} and {negative.ndim}"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = T.minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp(min=0), reduction)
