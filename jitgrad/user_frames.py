"""Where in the user's own code a call of this package was made: what warnings and reports name."""

from __future__ import annotations

import os
import sys
import warnings

_PACKAGE = os.path.dirname(__file__) + os.sep


def user_line() -> str | None:
    """File and line of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def user_level() -> int:
    """The `stacklevel` with which a warning of the caller's points at the innermost frame outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def called_as(operation: str) -> str:
    """The public function that the user's code has called, or the operation's own name where it is none.

    Users know `mse_loss`, but not that it calls `squared_error`.
    """
    frame, called = sys._getframe(1), operation
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        name, package = frame.f_code.co_qualname, sys.modules[frame.f_globals["__package__"]]
        if callable(vars(package).get(name)):
            called = name
        frame = frame.f_back
    return called


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of what the user's code does, at its line, through however many functions of ours it came here."""
    warnings.warn(message, category, stacklevel=user_level())
