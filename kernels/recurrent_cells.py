"""What recurrent layers compute at one step, for a few vectors of hidden units of one sequence.

`Lane` reaches the values by name; ``gates`` holds the sums of the gates before a step, and the gates after it.
Formulas and the order of the gates are PyTorch's.

A sigmoid is a long chain of instructions, each of which waits for the one before, so several chains must be under
way at once: a `Bundle` holds vectors whose instructions are written side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

from . import abi
from .math_core import FORMATS, at_least, at_most, fma, power_of_two
from .math_estimates import inverses
from .math_exp import EXP, LN2, LOG2_E
from .stage import I64, Scope, Vec

# beyond these the functions are constant, but for what no sum of float32 or float64 numbers near one shows
SIGMOID_RANGE = {abi.FLOAT32: 87.0, abi.FLOAT64: 700.0}
TANH_RANGE = {abi.FLOAT32: 9.5, abi.FLOAT64: 19.5}


class Bundle:
    """Vectors that go the same way side by side."""

    def __init__(self, vectors: Sequence[Vec]) -> None:
        self.vectors = list(vectors)

    def __add__(self, other: Bundle) -> Bundle:
        return together(lambda a, b: a + b, self, other)

    def __sub__(self, other: Bundle) -> Bundle:
        return together(lambda a, b: a - b, self, other)

    def __rsub__(self, number: float) -> Bundle:
        return together(lambda a: number - a, self)

    def __mul__(self, other: Bundle) -> Bundle:
        return together(lambda a, b: a * b, self, other)


def together(function: Callable[..., Vec], *bundles: Bundle) -> Bundle:
    """Call a function on the vectors of bundles in turn."""
    return Bundle([function(*vectors) for vectors in zip(*(x.vectors for x in bundles), strict=True)])


def multiply_add(a: Bundle, b: Bundle, c: Bundle) -> Bundle:
    """``a * b + c``."""
    return together(fma, a, b, c)


def _exponentials(xs: list[Vec]) -> tuple[list[Vec], list[Vec]]:
    """For each `x`, ``e**r - 1`` and ``2**n``, whose product with one more than the first is ``e**x``."""
    high, low = LN2[xs[0].dtype]
    magic, coefficients = FORMATS[xs[0].dtype].magic, EXP[xs[0].dtype]
    ns = [fma(x, LOG2_E, magic) for x in xs]
    ns = [n - magic for n in ns]
    rs = [fma(n, -high, x) for n, x in zip(ns, xs, strict=True)]
    rs = [fma(n, -low, r) for n, r in zip(ns, rs, strict=True)]
    sums = [fma(r, coefficients[-1], coefficients[-2]) for r in rs]
    for c in reversed(coefficients[:-2]):
        sums = [fma(s, r, c) for s, r in zip(sums, rs, strict=True)]
    squares = [r * r for r in rs]
    return [fma(*v) for v in zip(sums, squares, rs, strict=True)], [power_of_two(n) for n in ns]


def activated(sigmoids: Sequence[Bundle], tangents: Sequence[Bundle] = ()) -> list[Bundle]:
    """The sigmoids of some bundles, and then the hyperbolic tangents of others, all side by side.

    ``1 / (1 + e**-x)`` has an error of at most 2.5 ulp (2.4 in float64) from -87 (-700) on, and
    ``(e**2x - 1) / (e**2x + 1)``, accurate also where it is small, one of at most 3.0 ulp (3.2); found on 2**22
    random arguments of each of several sizes.
    """
    curves = [v for x in sigmoids for v in x.vectors]
    lines = [v for x in tangents for v in x.vectors]
    dtype = (curves or lines)[0].dtype
    limits = [SIGMOID_RANGE[dtype]] * len(curves) + [2 * TANH_RANGE[dtype]] * len(lines)
    xs = [-v for v in curves] + [v + v for v in lines]
    xs = [at_most(x, limit) for x, limit in zip(xs, limits, strict=True)]
    xs = [at_least(x, -limit) for x, limit in zip(xs, limits, strict=True)]
    rests, powers = _exponentials(xs)
    count = len(curves)
    starts = powers[:count] + [p - 1 for p in powers[count:]]
    grown = [fma(*v) for v in zip(rests, powers, starts, strict=True)]
    inverse = inverses([g + (1 if k < count else 2) for k, g in enumerate(grown)])
    values = inverse[:count] + [g * i for g, i in zip(grown[count:], inverse[count:], strict=True)]
    width = len((*sigmoids, *tangents)[0].vectors)
    return [Bundle(values[k : k + width]) for k in range(0, len(values), width)]


class Lane:
    """Some vectors of hidden units of one row.

    Parameters
    ----------
    pointers : mapping
        For each name, where the row's values begin.
    width : ir.Value
        Hidden units: gates lie so far from one another.
    i : ir.Value
        The first unit.
    masks : sequence
        The mask of each vector, or None.
    """

    def __init__(
        self,
        scope: Scope,
        dtype: int,
        pointers: Mapping[str, ir.Value],
        width: ir.Value,
        i: ir.Value,
        masks: Sequence[ir.Value | None],
    ) -> None:
        self.scope, self.dtype, self.masks = scope, dtype, masks
        self._pointers, self._width, self._i = pointers, width, i

    def _places(self, name: str, gate: int) -> list[ir.Value]:
        b, s = self.scope.b, self.scope
        at = self._i if gate == 0 else b.add(self._i, b.mul(self._width, I64(gate)))
        first = s.at(self._pointers[name], at)
        return [s.at(first, k * s.lanes) for k in range(len(self.masks))]

    def load(self, name: str, gate: int = 0) -> Bundle:
        """The values of a name."""
        places = zip(self._places(name, gate), self.masks, strict=True)
        return Bundle([self.scope.load(place, self.dtype, mask) for place, mask in places])

    def store(self, name: str, value: Bundle, gate: int = 0) -> None:
        """Write the values of a name."""
        for place, v, mask in zip(self._places(name, gate), value.vectors, self.masks, strict=True):
            self.scope.store(v, place, mask)

    def zeros(self) -> Bundle:
        """A bundle of zeros."""
        return Bundle([self.scope.constant(self.dtype, 0.0)] * len(self.masks))


def lstm(lane: Lane) -> Bundle:
    """``c' = f c + i g``, ``h' = o tanh(c')``; keeps gates, both cells' parts and returns h'."""
    sums = [lane.load("gates", k) for k in range(4)]
    i, f, o, g = activated([sums[0], sums[1], sums[3]], [sums[2]])
    for k, gate in enumerate((i, f, g, o)):
        lane.store("gates", gate, k)
    cell = multiply_add(f, lane.load("cell"), i * g)
    lane.store("next_cell", cell)
    (t,) = activated([], [cell])
    lane.store("tanh", t)
    return o * t


def lstm_back(lane: Lane, dh: Bundle) -> None:
    """The cotangents of the gates before their functions, and of the cell of the step before."""
    i, f, g, o = (lane.load("gates", k) for k in range(4))
    t, dc = lane.load("tanh"), lane.load("step_cell")
    dc = multiply_add(dh * o, 1 - t * t, dc)
    lane.store("d_gates", dc * g * (i * (1 - i)), 0)
    lane.store("d_gates", dc * lane.load("cell") * (f * (1 - f)), 1)
    lane.store("d_gates", dc * i * (1 - g * g), 2)
    lane.store("d_gates", dh * t * (o * (1 - o)), 3)
    lane.store("step_cell", dc * f)


def gru(lane: Lane) -> Bundle:
    """``n = tanh(input + r hidden)``, ``h' = (1 - z) n + z h``."""
    r, z = activated([lane.load("gates", k) for k in (0, 1)])
    inner = lane.load("cell")
    (n,) = activated([], [multiply_add(r, inner, lane.load("gates", 2))])
    for k, gate in enumerate((r, z, n)):
        lane.store("gates", gate, k)
    return multiply_add(z, lane.load("hidden") - n, n)


def gru_back(lane: Lane, dh: Bundle) -> None:
    """The cotangents of the gates, of the products with the hidden weights, and of h by the straight way."""
    r, z, n = (lane.load("gates", k) for k in range(3))
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * lane.load("cell") * (r * (1 - r))
    dz = dh * (lane.load("hidden") - n) * (z * (1 - z))
    for k, (outer, inner) in enumerate(((dr, dr), (dz, dz), (dn, dn * r))):
        lane.store("d_gates", outer, k)
        lane.store("d_hidden", inner, k)
    lane.store("step_hidden", dh * z)


def rnn_tanh(lane: Lane) -> Bundle:
    """``h' = tanh(input + hidden)``."""
    (h,) = activated([], [lane.load("gates")])
    lane.store("gates", h)
    return h


def rnn_tanh_back(lane: Lane, dh: Bundle) -> None:
    """The cotangent before tanh."""
    h = lane.load("gates")
    lane.store("d_gates", dh * (1 - h * h))


def rnn_relu(lane: Lane) -> Bundle:
    """``h' = max(input + hidden, 0)``."""
    h = together(lambda x: at_least(x, 0.0), lane.load("gates"))
    lane.store("gates", h)
    return h


def rnn_relu_back(lane: Lane, dh: Bundle) -> None:
    """The cotangent before the maximum: 0 where that is 0."""
    h = lane.load("gates")
    lane.store("d_gates", together(lambda y, g: (y <= 0).select(g.like(0), g), h, dh))


STEPS = {"lstm": lstm, "gru": gru, "rnn_tanh": rnn_tanh, "rnn_relu": rnn_relu}
STEPS_BACK = {"lstm": lstm_back, "gru": gru_back, "rnn_tanh": rnn_tanh_back, "rnn_relu": rnn_relu_back}
