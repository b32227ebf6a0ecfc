"""What a rewrite may need to know of a program besides its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..rows import View

ALIGNMENT = 64


class Facts(NamedTuple):
    """The memory of a program.

    Attributes
    ----------
    outside : callable
        The storage that an address lies in when it is not the program's own, or 0.
    kept : tuple of (int, int)
        First byte and one past the last byte of the program's own memory that is read after a replay: results
        and gradients of leaves.
    extra : list
        Memory that rewrites have added.
    """

    outside: Callable[[int], int]
    kept: tuple[tuple[int, int], ...]
    extra: list[np.ndarray]

    def new_block(self, size: int) -> int:
        """The address of more memory for the program."""
        block = np.zeros(size + ALIGNMENT, np.uint8)
        self.extra.append(block)
        return -(-block.ctypes.data // ALIGNMENT) * ALIGNMENT

    def is_kept(self, view: View) -> bool:
        """Whether what is written there matters after the replay."""
        if self.outside(view.address):
            return True
        return any(view.begin < end and begin < view.end for begin, end in self.kept)
