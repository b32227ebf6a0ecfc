"""The command line: ``jitgrad train``, ``doctor``, ``warmup``, ``cache`` and ``bench``.

Each command lives in a module of its own, which is imported when the command runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .errors import INTERRUPTED, USAGE, CommandError
from .parser import build_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit code: 0 done, 1 the command found something wrong, 2 it was asked for what it cannot do,
        130 interrupted.
    """
    name = "jitgrad"
    try:
        options = build_parser().parse_args(argv)
        name = f"jitgrad {options.command}"
        return options.run(options)
    except CommandError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `jitgrad doctor | head`: the reader has what it wanted
        sys.stderr.close()
        return 0
