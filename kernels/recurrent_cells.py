"""What recurrent layers compute at one step, for a vector of hidden units of one sequence.

`Lane` reaches the values by name; ``gates`` holds the products of the state with the hidden weights (and their
bias) before a step, and the gates after it. Formulas and the order of the gates are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import ir

from . import abi
from .math_core import at_least, at_most, fma, power_of_two
from .math_estimates import ratio
from .math_exp import exp_minus_one, reduce_exponent
from .math_hyperbolic import exp_bounded
from .stage import Scope, Vec
from .vector_math import maximum

# beyond these the functions are constant, but for what no sum of float32 or float64 numbers near one shows
SIGMOID_RANGE = {abi.FLOAT32: 87.0, abi.FLOAT64: 700.0}
TANH_RANGE = {abi.FLOAT32: 9.5, abi.FLOAT64: 19.5}


def sigmoid(x: Vec) -> Vec:
    """``1 / (1 + e**-x)``; largest errors 2.1 and 2.0 ulp, from -87 and -700 on."""
    limit = SIGMOID_RANGE[x.dtype]
    return ratio(x.like(1), exp_bounded(at_least(at_most(-x, limit), -limit)) + 1)


def tanh(x: Vec) -> Vec:
    """``(e**2x - 1) / (e**2x + 1)``, accurate also where it is small; largest errors 2.4 and 2.5 ulp."""
    limit = TANH_RANGE[x.dtype]
    x = at_least(at_most(x, limit), -limit)
    n, r = reduce_exponent(x + x)
    power = power_of_two(n)
    grown = fma(exp_minus_one(r), power, power - 1)
    return ratio(grown, grown + 2)


class Lane:
    """A vector of hidden units of one row.

    Parameters
    ----------
    pointers : mapping
        For each name, where the row's values begin.
    width : ir.Value
        Hidden units: gates lie so far from one another.
    """

    def __init__(
        self,
        scope: Scope,
        dtype: int,
        pointers: Mapping[str, ir.Value],
        width: ir.Value,
        i: ir.Value,
        mask: ir.Value | None,
    ) -> None:
        self.scope, self.dtype, self.mask = scope, dtype, mask
        self._pointers, self._width, self._i = pointers, width, i

    def _place(self, name: str, gate: int) -> ir.Value:
        b, i = self.scope.b, self._i
        at = i if gate == 0 else b.add(i, b.mul(self._width, ir.IntType(64)(gate)))
        return self.scope.at(self._pointers[name], at)

    def load(self, name: str, gate: int = 0) -> Vec:
        """The values of a name."""
        return self.scope.load(self._place(name, gate), self.dtype, self.mask)

    def store(self, name: str, value: Vec, gate: int = 0) -> None:
        """Write the values of a name."""
        self.scope.store(value, self._place(name, gate), self.mask)


def lstm(lane: Lane) -> Vec:
    """``c' = f c + i g``, ``h' = o tanh(c')``; keeps gates, both cells' parts and returns h'."""
    sums = [lane.load("input", k) + lane.load("gates", k) for k in range(4)]
    i, f, o = (sigmoid(sums[k]) for k in (0, 1, 3))
    g = tanh(sums[2])
    for k, gate in enumerate((i, f, g, o)):
        lane.store("gates", gate, k)
    cell = fma(f, lane.load("cell"), i * g)
    lane.store("next_cell", cell)
    t = tanh(cell)
    lane.store("tanh", t)
    return o * t


def lstm_back(lane: Lane, dh: Vec) -> None:
    """The cotangents of the gates before their functions, and of the cell of the step before."""
    i, f, g, o = (lane.load("gates", k) for k in range(4))
    t, dc = lane.load("tanh"), lane.load("step_cell")
    dc = fma(dh * o, 1 - t * t, dc)
    lane.store("d_gates", dc * g * (i * (1 - i)), 0)
    lane.store("d_gates", dc * lane.load("cell") * (f * (1 - f)), 1)
    lane.store("d_gates", dc * i * (1 - g * g), 2)
    lane.store("d_gates", dh * t * (o * (1 - o)), 3)
    lane.store("step_cell", dc * f)


def gru(lane: Lane) -> Vec:
    """``n = tanh(input + r hidden)``, ``h' = (1 - z) n + z h``."""
    r, z = (sigmoid(lane.load("input", k) + lane.load("gates", k)) for k in (0, 1))
    inner = lane.load("gates", 2)
    n = tanh(fma(r, inner, lane.load("input", 2)))
    lane.store("cell", inner)
    for k, gate in enumerate((r, z, n)):
        lane.store("gates", gate, k)
    return fma(z, lane.load("hidden") - n, n)


def gru_back(lane: Lane, dh: Vec) -> None:
    """The cotangents of the gates, of the products with the hidden weights, and of h by the straight way."""
    r, z, n = (lane.load("gates", k) for k in range(3))
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * lane.load("cell") * (r * (1 - r))
    dz = dh * (lane.load("hidden") - n) * (z * (1 - z))
    for k, (outer, inner) in enumerate(((dr, dr), (dz, dz), (dn, dn * r))):
        lane.store("d_gates", outer, k)
        lane.store("d_hidden", inner, k)
    lane.store("step_hidden", dh * z)


def rnn_tanh(lane: Lane) -> Vec:
    """``h' = tanh(input + hidden)``."""
    h = tanh(lane.load("input") + lane.load("gates"))
    lane.store("gates", h)
    return h


def rnn_tanh_back(lane: Lane, dh: Vec) -> None:
    """The cotangent before tanh."""
    h = lane.load("gates")
    lane.store("d_gates", dh * (1 - h * h))


def rnn_relu(lane: Lane) -> Vec:
    """``h' = max(input + hidden, 0)``."""
    h = maximum(lane.load("input") + lane.load("gates"), 0.0)
    lane.store("gates", h)
    return h


def rnn_relu_back(lane: Lane, dh: Vec) -> None:
    """The cotangent before the maximum: 0 where that is 0."""
    lane.store("d_gates", (lane.load("gates") <= 0).select(dh.like(0), dh))


STEPS = {"lstm": lstm, "gru": gru, "rnn_tanh": rnn_tanh, "rnn_relu": rnn_relu}
STEPS_BACK = {"lstm": lstm_back, "gru": gru_back, "rnn_tanh": rnn_tanh_back, "rnn_relu": rnn_relu_back}
