"""The command line's own error: one line on standard error, and exit code 2."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

USAGE = 2  # exit code of a command that was asked for something it cannot do
INTERRUPTED = 130  # exit code of a command that Ctrl-C stopped: 128 + SIGINT


class CommandError(Exception):
    """What was asked for cannot be done; the message is one line and names the way out."""


def extra(module: str, package: str, extra_name: str = "demo") -> ModuleType:
    """Import a module that only an optional extra installs.

    Parameters
    ----------
    module : str
        What to import, for example ``"sklearn.datasets"``.
    package : str
        The name to give to the user, for example ``"scikit-learn"``.
    extra_name : str
        The extra that installs it.

    Raises
    ------
    CommandError
        When it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CommandError(
            f'{package} cannot be imported ({error}); install it with: pip install "jitgrad[{extra_name}]"'
        ) from error


def require(module: str, package: str, extra_name: str = "demo") -> None:
    """Like `extra`, but only look whether the module is there, without the time to import it."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise CommandError(
            f'{package} is not installed; install it with: pip install "jitgrad[{extra_name}]"'
        )


def unknown(kind: str, name: str, known: tuple[str, ...]) -> CommandError:
    """The error for a name that is not one of `known`, with the nearest one that is."""
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return CommandError(f"unknown {kind} {name!r}: choose from {', '.join(known)}{hint}")


def unreadable(path: Path, error: Exception, way_out: str = "") -> CommandError:
    """The error for a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CommandError(f"cannot read {str(path)!r} ({reason}){'; ' if way_out else ''}{way_out}")
