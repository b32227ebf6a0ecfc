"""``torch.distributed`` for scripts that ask whether there are other processes: there are none."""

from __future__ import annotations

__all__ = ["is_available", "is_initialized"]


def is_available() -> bool:
    """False: jitgrad trains in one process, as PyTorch does where it was built without the others."""
    return False


def is_initialized() -> bool:
    """False."""
    return False
