"""How the losses' element values become one number."""

from __future__ import annotations

from jitgrad._tensor import Tensor
from jitgrad.user_frames import warn

REDUCTIONS = ("mean", "sum", "none")


def legacy_reduction(size_average: bool | None, reduce: bool | None) -> str:
    """Translate PyTorch's two old flags, with its warning."""
    if reduce is not None and not reduce:
        reduction = "none"
    else:
        reduction = "mean" if size_average is None or size_average else "sum"
    warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
        UserWarning,
    )
    return reduction


def chosen_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return the reduction to use.

    Raises
    ------
    ValueError
        If it is none of the known ones.
    """
    if size_average is not None or reduce is not None:
        return legacy_reduction(size_average, reduce)
    check_reduction(reduction)
    return reduction


def check_reduction(reduction: str) -> None:
    """Raise ValueError for an unknown reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{reduction} is not a valid value for reduction; take one of {', '.join(REDUCTIONS)}"
        )


def in_dtype_of(x: Tensor, loss: Tensor) -> Tensor:
    """A loss in another tensor's dtype, if that has floats; some of PyTorch's losses are computed in place there."""
    dtype = x.dtype
    return loss if loss.dtype is dtype or not dtype.is_floating_point else loss.to(dtype)


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Apply a reduction that has been checked."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def reduced_with_weight(loss: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Weigh every element and reduce; the mean is then a weighted mean."""
    if weight is None:
        return reduced(loss, reduction)
    loss = loss * weight
    return loss.sum() / weight.sum() if reduction == "mean" else reduced(loss, reduction)
