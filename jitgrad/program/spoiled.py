"""What ends a recording that no replay could stand for."""

from __future__ import annotations


class Spoiled(Exception):
    """Why a recording cannot become a program; `place` is the user's line, or None.

    `lasting` says that the next recording will fare no better.
    """

    def __init__(self, reason: str, place: str | None = None, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.place, self.lasting = reason, place, lasting
