"""Section: a chain of 10,000 scalar operations (mul, add, relu in turn), as nanoseconds an operation.

"record" runs forward and keeps what the way back needs, "backward" walks back; "replay" is both again without
recording anew, where a library can do that.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cells import Cell
from children import run, tell

SECTION = "tapes"
TURNS, OPERATIONS = 3333, 9999
ROUNDS = 5
LIBRARIES = ("jitgrad", "torch", "micrograd", "casadi")
DEEP = 1 << 29  # bytes of stack: micrograd sorts its graph by recursion


def cells(plan: Any) -> Iterator[Cell | str]:
    """Nanoseconds an operation in every library."""
    for library in LIBRARIES:
        if library == "casadi" or plan.wants(library):
            found, reason = run("tapes.py", library)
            yield from found
            if reason:
                yield f"{library}: {reason}"


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    library = arguments[0]
    rounds = {"micrograd": _micrograd, "casadi": _casadi}.get(library, _front)(library)
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS + 1):
        for case, seconds in rounds():
            times.setdefault(case, []).append(1e9 * seconds / OPERATIONS)
    for case, values in times.items():
        yield Cell(SECTION, f"{case}, an operation", library, "ns", values[1:])


Rounds = Callable[[], Iterator[tuple[str, float]]]


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begun


def _chain(x: Any) -> Any:
    y = x
    for _ in range(TURNS):
        y = (y * 0.9 + 0.1).relu()
    return y


def _front(library: str) -> Rounds:
    import importlib

    torch = importlib.import_module(library)
    torch.set_num_threads(1)
    x = torch.tensor(0.5, requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = _chain(x)
        y.backward()
        return y.detach()

    compiled = torch.compile(step, fullgraph=True) if library == "jitgrad" else None

    def rounds() -> Iterator[tuple[str, float]]:
        x.grad = None
        y, seconds = _timed(lambda: _chain(x))
        yield "record", seconds
        yield "backward", _timed(y.backward)[1]
        if compiled is not None:
            yield "replay", _timed(compiled)[1]

    return rounds


def _micrograd(library: str) -> Rounds:
    from micrograd.engine import Value

    sys.setrecursionlimit(1_000_000)
    threading.stack_size(DEEP)

    def rounds() -> Iterator[tuple[str, float]]:
        y, seconds = _timed(lambda: _chain(Value(0.5)))
        yield "record", seconds
        took: list[float] = []
        thread = threading.Thread(target=lambda: took.append(_timed(y.backward)[1]))
        thread.start()
        thread.join()
        yield "backward", took[0]

    return rounds


def _casadi(library: str) -> Rounds:
    import casadi

    def build() -> Any:
        x = y = casadi.SX.sym("x")
        for _ in range(TURNS):
            y = casadi.fmax(y * 0.9 + 0.1, 0)
        return casadi.Function("both", [x], [y, casadi.gradient(y, x)])

    made: list[Any] = []

    def rounds() -> Iterator[tuple[str, float]]:
        function, seconds = _timed(build)
        made.append(function)
        yield "record", seconds
        yield "replay", _timed(lambda: made[-1](0.5))[1]

    return rounds


if __name__ == "__main__":
    tell(measured)
