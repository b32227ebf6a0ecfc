"""Section: training steps when the width, the depth, the batch, or the number of threads grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cells import Cell
from steps import timed
from workloads import SCALING

KINDS = ("jitgrad", "jitgrad-loop", "torch", "jax", "jax-scan", "numpy")
SHORT = ("width-8", "width-128", "batch-8", "batch-512")


def cells(plan: Any) -> Iterator[Cell | str]:
    """Seconds a step of every network of `SCALING`."""
    chosen = plan._replace(peers=[p for p in plan.peers if p.kind in KINDS])
    yield from timed(chosen, list(SHORT if plan.short else SCALING), "scaling")
