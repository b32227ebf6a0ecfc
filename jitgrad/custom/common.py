"""What both kinds of declarations share: arguments, constants, and the way into the table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..dispatch import publish
from ..kernels.table import Op

_declared: dict[str, Callable] = {}
_unnamed = itertools.count()


def constants_of(name: str, constant: Any, operands: Sequence[str]) -> set[str]:
    """The operands that have no gradient."""
    if isinstance(constant, bool):
        return set(operands) if constant else set()
    unknown = set(constant) - set(operands)
    if unknown:
        raise ValueError(f"op {name!r}: constant names unknown operands {sorted(unknown)}")
    return set(constant)


def bind(
    name: str, every: Sequence[str], attributes: Mapping[str, Any], args: Sequence[Any], options: dict
) -> list[Any]:
    """Arguments in the order of the parameters; a TypeError when they do not fit."""
    known = dict(zip(every, args, strict=False))
    wrong = [k for k in options if k not in every or k in known]
    missing = [k for k in every if k not in known and k not in options and k not in attributes]
    if len(args) > len(every) or wrong or missing:
        what = (
            f"missing {missing}" if missing else f"unexpected {wrong}" if wrong else f"{len(args)} arguments"
        )
        raise TypeError(f"{name}(): expected ({', '.join(every)}), got {what}")
    known |= options
    return [known[k] if k in known else attributes[k] for k in every]


def finish(
    name: str,
    known: str,
    build: Callable[[str], Op],
    verify: Callable[[], None],
    options: dict[str, Any],
    caller: Callable[[Op], Any],
) -> Callable:
    """Put a declaration into the table, unless it is there already, and make its function.

    `known` is a hash of all that the kernels depend on; empty when there is none.
    """
    before: Any = _declared.get(name)
    if before is not None and known and before.op.identity == f"~{known}":
        return before
    if before is not None and not options["replace"]:
        raise ValueError(
            f"op: {name!r} is declared already, with other code; choose another name, or say "
            "replace=True (what "
            "has been recorded keeps the operation that it was recorded with)"
        )
    if options["check"]:
        verify()
    # several declarations may have no hash; within a process a number tells their kernels apart
    made = build(f"~{known}" if known else f"~unnamed{next(_unnamed)}")
    publish(made)
    function: Any = caller(made)
    function.op = made
    _declared[name] = function
    return function


def documented(function: Any, name: str, forward: Callable) -> Callable:
    """The function with the name and the description of the user's."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = forward.__doc__ or f"``{name}``, an operation declared with `jitgrad.op`."
    function.__wrapped__ = getattr(forward, "py_func", forward)
    return function
