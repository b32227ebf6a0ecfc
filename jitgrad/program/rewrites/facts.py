"""What a rewrite may need to know of a program besides its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..rows import View


class Facts(NamedTuple):
    """Memory that outlives a replay.

    Attributes
    ----------
    outside : callable
        The storage that an address lies in when it is not the program's own, or 0.
    kept : tuple of (int, int)
        First byte and one past the last byte of the program's own memory that is read after a replay: results
        and gradients of leaves.
    """

    outside: Callable[[int], int]
    kept: tuple[tuple[int, int], ...]

    def is_kept(self, view: View) -> bool:
        """Whether what is written there matters after the replay."""
        if self.outside(view.address):
            return True
        return any(view.begin < end and begin < view.end for begin, end in self.kept)
