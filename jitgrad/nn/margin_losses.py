"""Losses of margins as modules, beyond those in `loss`; the formulas stand with their twins in `functional`."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from collections.abc import Callable

from jitgrad._tensor import Tensor

from . import functional as F
from ._calls import call_with_two
from .distance import PairwiseDistance
from .loss import _Loss, _WeightedLoss


class SoftMarginLoss(_Loss):
    """The logistic loss of scores and signs, `functional.soft_margin_loss`."""

    __call__ = call_with_two

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """The scores of a sample's classes against all others, `functional.multilabel_margin_loss`."""

    __call__ = call_with_two

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The binary cross-entropy of logits, one value a sample, `functional.multilabel_soft_margin_loss`.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
        A weight for each class.
    """

    __call__ = call_with_two

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The score of a sample's class against all others, `functional.multi_margin_loss`.

    Parameters
    ----------
    p : {1, 2}
    margin : float, default 1.0
    weight : Tensor, shape (C,), optional
        A factor for the samples of each class.

    Raises
    ------
    ValueError
        If ``p`` is neither 1 nor 2 or ``weight`` is not one-dimensional.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: only p == 1 and p == 2 are supported, got p={p}")
        if weight is not None and weight.ndim != 1:
            raise ValueError(f"MultiMarginLoss: weight must be one-dimensional, got {tuple(weight.shape)}")
        self.p = p
        self.margin = margin

    __call__ = call_with_two

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Loss):
    """An anchor nearer to one thing than to another, `functional.triplet_margin_with_distance_loss`.

    Parameters
    ----------
    distance_function : callable, default `PairwiseDistance`
        From two tensors to their distances; a module becomes a child.
    margin : float, default 1.0
    swap : bool, default False
        Use the distance of positive and negative where it is the smaller one.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the margin is not positive.
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(
                f"TripletMarginWithDistanceLoss: expected margin to be greater than 0, got {margin}"
            )
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
