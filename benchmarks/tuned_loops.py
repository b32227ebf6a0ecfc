"""W2 and W3 tuned by hand on the kernels' own building blocks: the floor that a compiled step is measured against.

Each training loop is one native function, written with the staged vectors and the matrix multiply of
`jitgrad.kernels`. Sizes are constants in it, arrays lie where they suit the processor, and nothing is looked up:
no records, no program. All parameters are one flat array with one pass of Adam; weights are (inputs, outputs), so
that the first and largest product needs no transposed copy; the loss and its gradient are one pass with the rows
of a batch on the lanes of a vector.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from workloads import NETWORKS, RATES, Network, numbers

from jitgrad.kernels import compiler, gemm
from jitgrad.kernels.abi import FLOAT32, FLOAT64, INT32
from jitgrad.kernels.formula import exp, log, maximum, sqrt, tanh, where
from jitgrad.kernels.host import host
from jitgrad.kernels.loops import flat_body
from jitgrad.kernels.nest import compute_lanes, spread
from jitgrad.kernels.stage import I64, MASK, Scope, Vec, new_kernel, new_module

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
ALIGNMENT = 16  # floats in a cache line
STEPS, MEMORY, POWERS = range(3)  # words of the record: how many steps, the arrays, beta1**t and beta2**t


class Layer(NamedTuple):
    """Where a layer's arrays begin, in floats."""

    inputs: int
    outputs: int
    w: int  # (inputs, outputs), and the bias behind it
    h: int  # what comes out of the layer, (batch, outputs)
    gh: int  # the gradient of that

    @property
    def bias(self) -> int:
        return self.w + self.inputs * self.outputs


class Plan:
    """Where everything lies in one block of floats."""

    def __init__(self, network: Network) -> None:
        self.size = 0
        batch = network.batch
        self.x = self._take(batch * network.sizes[0])
        self.y = self._take(batch * network.sizes[-1])
        self.loss = self._take(1)
        self.parameters = network.parameters
        self.p, self.g, self.m, self.v = (self._take(self.parameters) for _ in range(4))
        self.layers, at = [], self.p
        for inputs, outputs in pairwise(network.sizes):
            h, gh = self._take(batch * outputs), self._take(batch * outputs)
            self.layers.append(Layer(inputs, outputs, at, h, gh))
            at += inputs * outputs + outputs

    def _take(self, floats: int) -> int:
        start = self.size
        self.size += -(-floats // ALIGNMENT) * ALIGNMENT
        return start

    def gradient(self, parameter: int) -> int:
        """Where the gradient of a parameter is."""
        return parameter - self.p + self.g


class Writer:
    """Writes the parts of a step for a batch of fixed size."""

    def __init__(self, b: ir.IRBuilder, memory: ir.Value, plan: Plan, batch: int) -> None:
        self.b, self.memory, self.plan, self.batch = b, memory, plan, batch
        self.one = Scope(b, 1, outer=True)
        self.lanes = compute_lanes([FLOAT32])

    def address(self, at: int) -> ir.Value:
        return self.b.add(self.memory, I64(4 * at))

    def pointer(self, at: int, dtype: int = FLOAT32) -> ir.Value:
        return self.one.pointer(self.address(at), dtype)

    def multiply(
        self, sizes, a: tuple[int, int, int], b: tuple[int, int, int], c: int, bias: int = -1
    ) -> None:
        """``c = a @ b``: sizes m, n, k; a and b are (place, row stride, column stride)."""
        m, n, k = sizes
        bias_at = self.address(bias) if bias >= 0 else I64(0)
        values = [I64(m), I64(n), I64(k), self.address(a[0]), I64(a[1]), I64(a[2])]
        values += [self.address(b[0]), I64(b[1]), I64(b[2]), self.address(c), I64(n), I64(1), bias_at]
        values += [I64(0), I64(0), I64(1)]
        gemm.call(self.one, FLOAT32, dict(zip(gemm.SIGNATURE.split(), values, strict=True)))

    def flat(self, formula: Callable[..., Vec], count: int, out: int, *operands: int) -> None:
        """``out = formula(*operands)`` on contiguous arrays."""
        pointers = [self.pointer(at) for at in (out, *operands)]
        dtypes = [FLOAT32] * len(pointers)
        flat_body(self.b, pointers, dtypes, formula, 1, self.lanes, I64(0), I64(count))

    def column_sums(self, source: int, columns: int, out: int) -> None:
        """``out = source.sum(0)``, two rows side by side."""

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            top, zero = scope.at(self.pointer(source), i), scope.constant(FLOAT32, 0.0)

            def row(k: ir.Value) -> Vec:
                return scope.load(scope.at(top, self.b.mul(k, I64(columns))), FLOAT32, mask)

            with scope.carried(I64(0), I64(self.batch), 2, [zero, zero]) as (k, (even, odd), carry):
                carry.next(even + row(k), odd + row(self.b.add(k, I64(1))))
            scope.store(carry.final[0] + carry.final[1], scope.at(self.pointer(out), i), mask)

        spread(self.b, self.lanes, I64(0), I64(columns), body)

    def add_to(self, cell: ir.Value, value: Vec) -> None:
        self.b.store(self.b.fadd(self.b.load(cell), value.reduce(Vec.__add__).value), cell)

    def squared_error(self, layer: Layer) -> None:
        """The mean squared error and its gradient."""
        count = self.batch * layer.outputs
        total = self.one.variable(ir.FloatType())
        self.b.store(ir.FloatType()(0.0), total)

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            x, y = (scope.load(scope.at(self.pointer(at), i), FLOAT32, mask) for at in (layer.h, self.plan.y))
            scope.store((x - y) * (2 / count), scope.at(self.pointer(layer.gh), i), mask)
            self.add_to(total, (x - y) * (x - y))

        spread(self.b, self.lanes, I64(0), I64(count), body)
        self._keep_mean(total, count)

    def cross_entropy(self, layer: Layer) -> None:
        """The mean cross-entropy and its gradient, a row on every lane."""
        classes, stride = layer.outputs, I64(layer.outputs)
        total = self.one.variable(ir.FloatType())
        self.b.store(ir.FloatType()(0.0), total)

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            all_lanes = ir.Constant(scope.type(MASK), [1] * scope.lanes if scope.lanes > 1 else 1)
            chosen = mask if mask is not None else all_lanes
            first = self.b.mul(i, stride)
            target = scope.load(scope.at(self.pointer(self.plan.y, INT32), i), INT32, mask)
            h, gh = (scope.at(self.pointer(at), first) for at in (layer.h, layer.gh))
            logits = [scope.gather(scope.at(h, c), stride, FLOAT32, chosen) for c in range(classes)]
            top = logits[0]
            for x in logits[1:]:
                top = maximum(top, x)
            powers = [exp(x - top) for x in logits]
            whole, at_target = powers[0], logits[0]
            for c in range(1, classes):
                whole, at_target = whole + powers[c], where(target == c, logits[c], at_target)
            factor = (1 / self.batch) / whole
            for c, power in enumerate(powers):
                correct = where(target == c, scope.constant(FLOAT32, 1 / self.batch), 0.0)
                scope.scatter(power * factor - correct, scope.at(gh, c), stride, chosen)
            loss = log(whole) + top - at_target
            self.add_to(total, loss if mask is None else where(Vec(scope, mask, MASK), loss, 0.0))

        spread(self.b, self.lanes, I64(0), I64(self.batch), body)
        self._keep_mean(total, self.batch)

    def _keep_mean(self, total: ir.Value, count: int) -> None:
        mean = self.b.fmul(self.b.load(total), ir.FloatType()(1 / count))
        self.b.store(mean, self.pointer(self.plan.loss))

    def adam(self, powers: ir.Value) -> None:
        """Adam on all parameters; `powers` points at beta1 and beta2 to the power of the step, counted on here."""
        numbers_of_step = []
        for k, beta in enumerate((BETA1, BETA2)):
            place = self.one.at(powers, k)
            power = self.one.load(place, FLOAT64) * beta
            self.one.store(power, place)
            numbers_of_step.append(power)
        rate = (RATES["Adam"] / (1.0 - numbers_of_step[0])).to(FLOAT32)
        unbias = (1.0 / sqrt(1.0 - numbers_of_step[1])).to(FLOAT32)

        def each(p: Vec, g: Vec, m: Vec, v: Vec) -> tuple[Vec, Vec, Vec]:
            m = m + (1 - BETA1) * (g - m)
            v = BETA2 * v + (1 - BETA2) * g * g
            return p - rate * m / (sqrt(v) * unbias + EPSILON), m, v

        plan = self.plan
        pointers = [self.pointer(at) for at in (plan.p, plan.m, plan.v, plan.p, plan.g, plan.m, plan.v)]
        flat_body(self.b, pointers, [FLOAT32] * 7, each, 3, self.lanes, I64(0), I64(plan.parameters))


def _forward(w: Writer, network: Network) -> None:
    source, last = w.plan.x, w.plan.layers[-1]
    for layer in w.plan.layers:
        a, b = (source, layer.inputs, 1), (layer.w, layer.outputs, 1)
        w.multiply((w.batch, layer.outputs, layer.inputs), a, b, layer.h, layer.bias)
        if layer is not last:
            formula = tanh if network.activation == "tanh" else _relu
            w.flat(formula, w.batch * layer.outputs, layer.h, layer.h)
        source = layer.h


def _relu(x: Vec) -> Vec:
    return maximum(x, x.like(0.0))


def _backward(w: Writer, network: Network) -> None:
    layers, plan = w.plan.layers, w.plan
    for k in range(len(layers) - 1, -1, -1):
        layer = layers[k]
        source = layers[k - 1].h if k else plan.x
        g = (layer.gh, layer.outputs, 1)
        sizes = (layer.inputs, layer.outputs, w.batch)
        w.multiply(sizes, (source, 1, layer.inputs), g, plan.gradient(layer.w))
        w.column_sums(layer.gh, layer.outputs, plan.gradient(layer.bias))
        if k:
            before = layers[k - 1]
            transposed = (layer.w, 1, layer.outputs)
            w.multiply((w.batch, layer.inputs, layer.outputs), g, transposed, before.gh)
            formula = _tanh_gradient if network.activation == "tanh" else _relu_gradient
            w.flat(formula, w.batch * before.outputs, before.gh, before.h, before.gh)


def _tanh_gradient(y: Vec, g: Vec) -> Vec:
    return g * (1 - y * y)


def _relu_gradient(y: Vec, g: Vec) -> Vec:
    return where(y > 0, g, 0.0)


def _build(symbol: str, network: Network, plan: Plan) -> ir.Module:
    module = new_module(symbol)
    b, record, _part, _parts = new_kernel(module, symbol)
    one = Scope(b, 1, outer=True)
    w = Writer(b, one.word(record, MEMORY), plan, network.batch)
    powers = one.pointer(one.word(record, POWERS), FLOAT64)
    with one.loop(I64(0), one.word(record, STEPS)):
        _forward(w, network)
        (w.squared_error if network.loss == "mse" else w.cross_entropy)(plan.layers[-1])
        _backward(w, network)
        w.adam(powers)
    b.ret_void()
    return module


def version() -> str:
    """What the loops are made of."""
    import jitgrad

    return f"kernels of jitgrad {jitgrad.__version__}, vectors of {host().vector_bytes} bytes"


def loop(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps in one call and gives the last loss."""
    network, given = NETWORKS[name], numbers(name)
    plan = Plan(network)
    gemm.provide(FLOAT32)
    # the kernels' cache knows their files: this one is no part of them and carries its own content in the name
    edition = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    symbol = f"tuned.{edition}.{name}"
    address = compiler.native(symbol, lambda: _build(symbol, network, plan))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

    room = np.zeros(plan.size + ALIGNMENT, np.float32)
    skip = -(room.ctypes.data // 4) % ALIGNMENT
    memory = room[skip : skip + plan.size]
    memory[plan.x : plan.x + given.x.size] = given.x.ravel()
    target = memory[plan.y : plan.y + given.y.size]
    if network.loss == "cross_entropy":
        target.view(np.int32)[:] = given.y
    else:
        target[:] = given.y.ravel()
    values = np.concatenate([a.ravel() for weight, bias in given.layers for a in (weight.T, bias)])
    memory[plan.p : plan.p + values.size] = values
    powers = np.ones(2)
    record = np.array([0, memory.ctypes.data, powers.ctypes.data], np.int64)

    def advance(n: int) -> float:
        record[STEPS] = n
        run(record.ctypes.data, 0, 1)
        return float(memory[plan.loss])

    return advance
