"""The table of optimizers' rules: each is declared once, as operations are in `kernels.table`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import abi, compiler

UPDATES: dict[str, Update] = {}


@dataclass(frozen=True)
class Update:
    """An optimizer's rule: states it keeps, hyper-parameters it reads, and the function of both."""

    name: str
    state: tuple[str, ...]
    hyper: tuple[str, ...]
    rule: Callable


def update(*, state: Sequence[str], hyper: Sequence[str], name: str = "") -> Callable:
    """Declare an optimizer's update rule; see `kernels.updates` for the form of the function."""

    def declare(rule: Callable) -> Callable:
        entry = Update(name or rule.__name__, tuple(state), tuple(hyper), rule)
        UPDATES[entry.name] = entry
        return rule

    return declare


def compile_update(name: str, dtype: int) -> int:
    """The address of an optimizer rule's kernel for parameters of `dtype`."""
    from .loops import build_update

    rule = UPDATES[name]
    symbol = f"update.{name}.{abi.DTYPE_NAMES[dtype]}"
    return compiler.native(symbol, lambda: build_update(symbol, rule, dtype), light=True)
