"""When nothing is replayed or recorded, whatever function is called."""

from __future__ import annotations

from ..autograd.observe import is_observed
from ..nn._swaps import are_swapped


def must_run_eagerly() -> bool:
    """Whether rows are observed, which a replay does not record, or modules have other parameters than their own."""
    return is_observed() or are_swapped()
