"""What ends a recording that no replay could stand for."""

from __future__ import annotations


class Spoiled(Exception):
    """Why a recording cannot become a program, and what the user can do (`ways_out`).

    `place` is the user's line, or None; `lasting` says that the next recording will fare no better.
    """

    def __init__(self, reason: str, way_out: str, place: str | None = None, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.way_out, self.place, self.lasting = reason, way_out, place, lasting
