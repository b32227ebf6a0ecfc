"""Losses of margins between classes: declared here, their loops are in `kernels.class_margin_loops`.

Operands are contiguous: scores of shape (N, C), and the class of each sample, or its classes up to the first -1. The
second result is the slope of each sample's loss for each score, which is all that the way back reads. Attribute words:
where a target that is no class is reported and as what, then for "multi_margin" the exponent and the margin.
"""

from __future__ import annotations

from functools import partial

from . import abi, vjps
from .table import VALUES, array_op, loops

_loops = partial(loops, "class_margin_loops")

array_op(
    "multi_margin",
    ("x", "target"),
    _loops("multi_margin"),
    backward=_loops("slopes_back"),
    gradients={"x": ("x", "target", "y1")},  # the first two for `vjp` alone
    vjp={"x": vjps.multi_margin_x},
    operand_dtypes={"target": abi.INT64},
    outputs=2,
    reports=VALUES,
)
array_op(
    "multilabel_margin",
    ("x", "target"),
    _loops("multilabel_margin"),
    backward=_loops("slopes_back"),
    gradients={"x": ("y1",)},
    vjp={"x": vjps.multilabel_margin_x},
    operand_dtypes={"target": abi.INT64},
    outputs=2,
    reports=VALUES,
)
