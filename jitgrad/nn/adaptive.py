"""An adaptive softmax for many classes of which few are frequent."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.store import store

from . import functional as F
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module


class ASMoutput(NamedTuple):
    """The logarithms of the targets' probabilities, and the mean of their negatives."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Logarithms of class probabilities where rare classes stand in clusters with smaller layers.

    Parameters
    ----------
    in_features : int
    n_classes : int
        Ordered by frequency, the most frequent one first.
    cutoffs : sequence of int
        Where clusters begin, increasing. Classes before the first one are in the head.
    div_value : float, default 4.0
        Each cluster's layer is so many times smaller than the one before.
    head_bias : bool, default False
        Whether the head has a bias.

    Raises
    ------
    ValueError
        If the cutoffs are not increasing whole numbers between 0 and ``n_classes``.

    Notes
    -----
    It is from Grave, Joulin, Cissé, Grangier and Jégou (2017), Efficient softmax approximation for GPUs. Every
    cluster looks at every row, so that a step can be compiled; the targets' values are only looked at while none is
    being recorded.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of length larger than 0"
            )
        ordered = all(
            int(a) == a and int(b) == b and a < b
            for a, b in zip([0, *cutoffs], [*cutoffs, n_classes], strict=True)
        )
        if not ordered:
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of unique, positive integers sorted in an "
                f"increasing order, where each value is between 1 and n_classes-1, got {cutoffs} of {n_classes}"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs, self.div_value, self.head_bias = [*cutoffs, n_classes], div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        kind = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **kind)
        self.tail = ModuleList()
        for k in range(self.n_clusters):
            hidden = int(in_features // div_value ** (k + 1))
            classes = self.cutoffs[k + 1] - self.cutoffs[k]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **kind),
                    Linear(hidden, classes, bias=False, **kind),
                )
            )

    def reset_parameters(self) -> None:
        """Initialise all layers anew."""
        self.head.reset_parameters()
        for layer in self.tail.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        rows, wanted = (input_, target_) if target_.ndim else (input_.unsqueeze(0), target_.unsqueeze(0))
        self._check(input_, target_, rows, wanted)
        head = F.log_softmax(self.head(rows), 1)
        found = head.gather(1, wanted.clamp(0, self.shortlist_size - 1).unsqueeze(1)).squeeze(1)
        for k, cluster in enumerate(self.tail):
            low, high = self.cutoffs[k], self.cutoffs[k + 1]
            place = (wanted - low).clamp(0, high - low - 1).unsqueeze(1)
            inner = F.log_softmax(cluster(rows), 1).gather(1, place).squeeze(1)
            found = T.where(
                (wanted >= low) & (wanted < high), inner + head[:, self.shortlist_size + k], found
            )
        output = found if target_.ndim else found.squeeze(0)
        return ASMoutput(output, -found.mean())

    def _check(self, input: Tensor, target: Tensor, rows: Tensor, wanted: Tensor) -> None:
        name = "AdaptiveLogSoftmaxWithLoss"
        if target.ndim > 1:
            raise RuntimeError(f"{name}: 0D or 1D target tensor expected, multi-target not supported")
        if rows.ndim != 2 or rows.shape[0] != wanted.shape[0]:
            raise RuntimeError(
                f"{name}: Input and target should have the same size in the batch dimension, got "
                f"{tuple(input.shape)} and {tuple(target.shape)}"
            )
        if store.recording is None and bool(((wanted < 0) | (wanted >= self.n_classes)).any()):
            raise RuntimeError(
                f"{name}: Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{wanted.min().item()}, {wanted.max().item()}] were found."
            )

    def log_prob(self, input: Tensor) -> Tensor:
        """The logarithms of the probabilities of all classes, shape (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for k, cluster in enumerate(self.tail):
            place = self.shortlist_size + k
            parts.append(F.log_softmax(cluster(input), 1) + head[:, place : place + 1])
        return T.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, shape (N,)."""
        return self.log_prob(input).argmax(1)
