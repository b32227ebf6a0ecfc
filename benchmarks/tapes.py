"""Section: 10,000 scalar operations, as nanoseconds an operation, in a chain and in a tree.

The chain is mul, add and relu in turn; the tree adds up products of one number, pair by pair. "record" runs forward
and keeps what the way back needs, "backward" walks back; "replay" is both again without recording anew, where a
library can do that. CasADi records symbols; its replay runs them in its virtual machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cells import Cell
from children import interpreter, run, tell

SECTION = "tapes"
TURNS, LEAVES = 3333, 5000
OPERATIONS = 9999  # of both
ROUNDS = 5
LIBRARIES = ("jitgrad", "torch", "autograd", "micrograd", "casadi")
Function = Callable[[Any, Callable[[Any], Any]], Any]  # of the number and relu


def cells(plan: Any) -> Iterator[Cell | str]:
    """Nanoseconds an operation in every library."""
    for library in LIBRARIES:
        if library == "casadi" or plan.wants(library):
            found, reason = run("tapes.py", library, python=interpreter(library, plan.python))
            yield from found
            if reason:
                yield f"{library}: {reason}"


def chain(x: Any, relu: Callable[[Any], Any]) -> Any:
    """Operations that each wait for the one before."""
    y = x
    for _ in range(TURNS):
        y = relu(y * 0.9 + 0.1)
    return y


def tree(x: Any, relu: Callable[[Any], Any]) -> Any:
    """Operations that wait for a few others only."""
    level = [x * (1e-4 * k) for k in range(LEAVES)]
    while len(level) > 1:
        left = level[-1:] if len(level) % 2 else []
        level = [a + b for a, b in zip(level[::2], level[1::2], strict=False)] + left
    return level[0]


SHAPES: dict[str, Function] = {"chain": chain, "tree": tree}


# a child --------------------------------------------------------------------------------------------


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    library = arguments[0]
    prepare = {"micrograd": _micrograd, "casadi": _casadi, "autograd": _autograd}.get(library, _front)
    for shape, function in SHAPES.items():
        rounds = prepare(library, function)
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS + 1):
            for case, seconds in rounds():
                times.setdefault(case, []).append(1e9 * seconds / OPERATIONS)
        for case, values in times.items():
            yield Cell(SECTION, f"{shape}: {case}, an operation", library, "ns", values[1:])


Rounds = Callable[[], Iterator[tuple[str, float]]]


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begun


def _front(library: str, function: Function) -> Rounds:
    import importlib

    torch = importlib.import_module(library)
    torch.set_num_threads(1)
    x = torch.tensor(0.5, requires_grad=True)

    def forward() -> Any:
        return function(x, torch.relu)

    def step() -> Any:
        x.grad = None
        y = forward()
        y.backward()
        return y.detach()

    compiled = torch.compile(step, fullgraph=True) if library == "jitgrad" else None

    def rounds() -> Iterator[tuple[str, float]]:
        x.grad = None
        y, seconds = _timed(forward)
        yield "record", seconds
        yield "backward", _timed(y.backward)[1]
        if compiled is not None:
            yield "replay", _timed(compiled)[1]

    return rounds


def _autograd(library: str, function: Function) -> Rounds:
    import autograd.numpy as anp
    from autograd.core import make_vjp

    def rounds() -> Iterator[tuple[str, float]]:
        (back, _), seconds = _timed(lambda: make_vjp(lambda x: function(x, lambda v: anp.maximum(v, 0)), 0.5))
        yield "record", seconds
        yield "backward", _timed(lambda: back(1.0))[1]

    return rounds


def _micrograd(library: str, function: Function) -> Rounds:
    from micrograd.engine import Value
    from tape_peers import deep

    def rounds() -> Iterator[tuple[str, float]]:
        y, seconds = _timed(lambda: function(Value(0.5), Value.relu))
        yield "record", seconds
        yield "backward", deep(lambda: _timed(y.backward)[1])  # it sorts its graph by recursion

    return rounds


def _casadi(library: str, function: Function) -> Rounds:
    import casadi

    def build() -> Any:
        x = casadi.SX.sym("x")
        y = function(x, lambda v: casadi.fmax(v, 0))
        return casadi.Function("both", [x], [y, casadi.gradient(y, x)])

    def rounds() -> Iterator[tuple[str, float]]:
        both, seconds = _timed(build)
        yield "record", seconds
        yield "replay", _timed(lambda: both(0.5))[1]

    return rounds


if __name__ == "__main__":
    tell(measured)
