"""Connectionist temporal classification: the loss of sequences whose labels are not aligned with their steps.

Formulas: Graves et al., Connectionist Temporal Classification, 2006. As in PyTorch, the gradient is that of
probabilities that are softmaxes of something: through `log_softmax` it is exact.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from . import abi
from .table import FLOATS, LABELS, array_op, loops

STORE_ROWS = 3  # of the store, beside one a step: sums of what is behind two steps, and the loss

_loops = partial(loops, "ctc_loops")


def reference_ctc(
    log_probs: np.ndarray, targets: np.ndarray, lengths: np.ndarray, blank: int = 0
) -> np.ndarray:
    """The loss of each sequence; `lengths` holds steps, labels and where labels begin in `targets`."""
    losses = []
    for n, (steps, count, start) in enumerate(lengths.T):
        labels = targets[start : start + count]
        places = np.full(2 * count + 1, blank)
        places[1::2] = labels
        ways = np.zeros(len(places))
        ways[0] = 1.0
        for t in range(steps):
            before = ways if t else np.eye(1, len(places))[0] + np.eye(1, len(places), 1)[0]
            ways = before.copy()
            if t:
                ways[1:] += before[:-1]
                jumps = np.zeros(len(places), bool)
                jumps[2:] = (places[2:] != blank) & (places[2:] != places[:-2])
                ways[jumps] += before[np.flatnonzero(jumps) - 2]
            ways = ways * np.exp(log_probs[t, n, places])
        with np.errstate(divide="ignore"):
            losses.append(-np.log(ways[-2:].sum()))
    return np.array(losses)


array_op(
    "ctc_loss",
    ("log_probs", "targets", "lengths"),
    _loops("ctc"),
    backward=_loops("ctc_backward"),
    gradients={"log_probs": ("log_probs", "targets", "lengths", "y1")},
    operand_dtypes={"targets": abi.INT64, "lengths": abi.INT64},
    dtypes=FLOATS,
    outputs=2,
    reference=reference_ctc,
    reports=LABELS,
)
