"""``torch.layout`` and ``torch.memory_format``: how elements may lie, and how scripts wish they did.

All tensors are strided. Formats are wishes: results of elementwise operations lie as their first operand does, all
others in row-major order.
"""

from __future__ import annotations

import enum

__all__ = ["layout", "memory_format"]


class _Named(enum.Enum):
    """Values that show the names by which scripts know them."""

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    __str__ = __repr__


class layout(_Named):
    """What tensors are stored as. Those of jitgrad are `strided`; the others can be named and compared with."""

    strided = enum.auto()
    sparse_coo = enum.auto()
    sparse_csr = enum.auto()
    sparse_csc = enum.auto()
    sparse_bsr = enum.auto()
    sparse_bsc = enum.auto()
    jagged = enum.auto()


class memory_format(_Named):
    """The order of elements that a script wishes for."""

    contiguous_format = enum.auto()
    preserve_format = enum.auto()
    channels_last = enum.auto()
    channels_last_3d = enum.auto()
