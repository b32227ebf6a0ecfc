"""Calls that no program can be made for: the function runs eagerly, and the user is told of it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..user_frames import warn
from ..ways_out import CLONE
from .spoiled import Spoiled

MAX_ATTEMPTS = 3  # recordings in a row that leave tensors behind before the function runs eagerly for good


class Refusals:
    """What has been refused of one function.

    Parameters
    ----------
    function : callable
        Whose name messages say.
    fullgraph : bool
        Whether what is refused is an error.

    Attributes
    ----------
    eager : bool
        Whether the function runs eagerly for good.
    quiet : bool
        Whether the user is not warned.
    """

    def __init__(self, function: Callable[..., Any], fullgraph: bool) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        self.fullgraph = fullgraph
        self.eager = self.quiet = False
        self._attempts = 0
        self._told = False  # that some arguments cannot be replayed

    def kept(self) -> None:
        """Hear that a recording has become a program."""
        self._attempts = 0

    def refuse_arguments(self, reason: str) -> None:
        """No program can be recorded for the arguments of this call.

        Raises
        ------
        RuntimeError
            If that is an error.
        """
        message = f"compile: {self.name} {reason}, which a replay cannot do ({CLONE})"
        if self.fullgraph:
            raise RuntimeError(message)
        if not self._told:
            self._told = True
            self._warn(f"{message}; it runs eagerly for such tensors")

    def refuse_recording(self, reason: Spoiled, in_a_row: bool) -> None:
        """A recording cannot be used; `in_a_row` says that nothing was replayed since the one before.

        Raises
        ------
        RuntimeError
            If that is an error.
        """
        self._attempts = self._attempts + 1 if in_a_row else 1
        if not reason.lasting and self._attempts < MAX_ATTEMPTS and not self.fullgraph:
            return
        place = f" at {reason.place}" if reason.place else ""
        message = f"compile: {self.name} {reason.reason}{place}, which a replay cannot do ({reason.way_out})"
        if self.fullgraph:
            raise RuntimeError(f"{message}; without fullgraph=True it runs eagerly")
        self.eager = True
        self._warn(f"{message}; it runs eagerly from now on")

    def _warn(self, message: str) -> None:
        """Tell the user, at the line that called the function."""
        if not self.quiet:
            warn(message, RuntimeWarning)
