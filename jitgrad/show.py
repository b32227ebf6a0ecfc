"""`show_tape`: the rows behind a tensor as a table."""

from __future__ import annotations

from typing import Any


def show_tape(tensor: Any) -> None:
    """Print the rows behind a tensor."""
