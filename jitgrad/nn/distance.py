"""Distances between vectors."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from jitgrad._tensor import Tensor

from .functional import cosine_similarity, pairwise_distance
from .module import Module


class CosineSimilarity(Module):
    """Return the cosine of the angle between two tensors along a dimension.

    Parameters
    ----------
    dim : int, default 1
    eps : float, default 1e-8
        The smallest length to divide by.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """Return the p-norm of ``x1 - x2 + eps`` along the last dimension.

    Parameters
    ----------
    p : float, default 2.0
    eps : float, default 1e-6
    keepdim : bool, default False
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
