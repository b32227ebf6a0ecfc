"""Batch normalisation, by the batch's statistics or by given ones, and group normalisation.

Forward sums twice: the first sum gives the mean, the second the squares of what is left, which is exact also
where the mean is large beside the deviation; and what the first sum had lost by rounding shows there as a sum that
is not zero, and is put right. Sums go segment by segment in one order, whatever the number of threads: units are
shared out (see `channel_walk`), and channels for the gradients of a group normalisation's weights.

With d = x - mean, r = 1 / sqrt(var + eps), h = g w and n elements in a unit:
gx = r (h - sum(h) / n - d r r sum(h d) / n), gw = sum(g d) r, gb = sum(g).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from llvmlite import ir

from . import abi, norm_vjps
from .channel_walk import Along, Geometry, Unit, by_cotangent
from .nest import share
from .operands import array_kernel
from .rows_walk import Long, everywhere
from .stage import I64, Scope
from .table import array_op, elementwise


def build_forward(grouped: bool, symbol: str, dtype: int) -> ir.Module:
    """``y = (x - mean) r w + b``; arrays x, w, b, y, mean, var: those two one a unit, the variance biased."""
    module, arrays, part, parts = array_kernel(symbol)
    geometry = Geometry(arrays, dtype, (part, parts))
    x, y, means, variances = (geometry.pointer(k) for k in (0, 3, 4, 5))

    def body(unit: Unit) -> None:
        read = unit.reader(x)
        nth = unit.scope.splat(geometry.one_nth.value, dtype)
        guess = unit.totals(lambda j: [read(j)], 1)[0] * nth

        def left(j):
            element = read(j)
            return [
                lambda i, mask: element(i, mask) - guess,
                lambda i, mask: _square(element(i, mask) - guess),
            ]

        rest, squares = unit.totals(left, 2)
        shift = rest * nth
        mean, variance = guess + shift, squares * nth - shift * shift
        unit.store(mean, means)
        unit.store(variance, variances)
        _write(unit, read, mean, variance, y)

    geometry.each(body, side_by_side=not grouped)
    arrays.b.ret_void()
    return module


def _square(x):
    return x * x


def _write(unit: Unit, read, mean, variance, target: ir.Value) -> None:
    scale = unit.reciprocal_root(variance + unit.geometry.epsilon)

    def result(j):
        element, weight, level = read(j), unit.parameters(1, 1.0, j), unit.parameters(2, 0.0, j)
        return lambda i, mask: (element(i, mask) - mean) * (weight(i, mask) * scale) + level(i, mask)

    unit.write(result, target)


def build_backward(grouped: bool, symbol: str, dtype: int) -> ir.Module:
    """Arrays x, w, b, y, mean, var, g, -, -, gx, gw, gb."""
    module, arrays, part, parts = array_kernel(symbol)
    geometry = Geometry(arrays, dtype, (part, parts))
    b = arrays.b

    def write(near: bool) -> None:
        if not grouped:
            geometry.each(partial(_channel_gradients, near=near), near)
            return
        with b.if_then(arrays.present(9)):
            geometry.each(partial(_group_gradients, near=near), near, False)
        with b.if_then(b.or_(arrays.present(10), arrays.present(11))):
            _weights_of_groups(geometry, near)

    by_cotangent(arrays, write)
    b.ret_void()
    return module


def _sums(unit: Unit, g, mean):
    """The sums of g, or what ``g(j)`` reads, and of g d."""
    read = unit.reader(unit.geometry.pointer(0))

    def terms(j):
        cotangent, value = g(j), read(j)
        return [cotangent, lambda i, mask: cotangent(i, mask) * (value(i, mask) - mean)]

    return unit.totals(terms, 2)


def _operand_gradient(unit: Unit, g, mean, scale, level, slope) -> None:
    """Store ``scale (g - level - d slope)`` as the gradient of x."""
    read = unit.reader(unit.geometry.pointer(0))

    def result(j):
        cotangent, value = g(j), read(j)
        return lambda i, mask: (cotangent(i, mask) - level - (value(i, mask) - mean) * slope) * scale

    unit.write(result, unit.geometry.pointer(9))


def _channel_gradients(unit: Unit, near: bool) -> None:
    """All three gradients of one channel of a batch normalisation."""
    geometry, b = unit.geometry, unit.b
    g = unit.cotangent(6, near)
    mean, variance = (unit.load(geometry.pointer(k)) for k in (4, 5))
    scale = unit.reciprocal_root(variance + geometry.epsilon)
    total, along = _sums(unit, g, mean)
    for k, value in ((10, along * scale), (11, total)):
        with b.if_then(geometry.arrays.present(k)):
            unit.store(value, geometry.pointer(k))
    with b.if_then(geometry.arrays.present(9)):
        nth = unit.scope.splat(geometry.one_nth.value, geometry.dtype)
        factor = scale * unit.parameter(1, 1.0, I64(0))
        _operand_gradient(unit, g, mean, factor, total * nth, along * scale * scale * nth)


def _group_gradients(unit: Unit, near: bool) -> None:
    """The gradient of x in one unit of a group normalisation."""
    geometry = unit.geometry
    plain = unit.cotangent(6, near)

    def g(j):
        cotangent, weight = plain(j), unit.parameters(1, 1.0, j)
        return lambda i, mask: cotangent(i, mask) * weight(i, mask)

    mean, variance = (unit.load(geometry.pointer(k)) for k in (4, 5))
    scale = unit.reciprocal_root(variance + geometry.epsilon)
    total, along = _sums(unit, g, mean)
    nth = unit.scope.splat(geometry.one_nth.value, geometry.dtype)
    _operand_gradient(unit, g, mean, scale, total * nth, along * scale * scale * nth)


def _weights_of_groups(geometry: Geometry, near: bool) -> None:
    """Gradients of weight and bias of a group normalisation: sums over the samples, channel by channel."""
    b, one, arrays = geometry.b, geometry.one, geometry.arrays
    scope = Scope(b, geometry.lanes if near else 1)
    groups, each = geometry.modulus, geometry.unit_channels
    channels = b.mul(groups, each)
    samples = b.udiv(geometry.units, b.select(b.icmp_signed("==", groups, I64(0)), I64(1), groups))
    begin, end = share(one, channels, *geometry.share_of, 1)
    with one.loop(begin, end) as channel:
        line = _Channel(geometry, scope, channel, channels, b.udiv(channel, each))

        def terms(n, line=line):
            line.sample(n)
            mean, variance = (line.load(geometry.pointer(k)) for k in (4, 5))
            scale = line.reciprocal_root(variance + geometry.epsilon)
            cotangent, value = line.cotangent(6, near)(I64(0)), line.reader(geometry.pointer(0))(I64(0))
            return [lambda i, mask: cotangent(i, mask) * (value(i, mask) - mean) * scale, cotangent]

        sums = line.over(samples, terms, 2)
        for k, total in zip((10, 11), sums, strict=True):
            with b.if_then(arrays.present(k)):
                line.store_of(channel, total, geometry.pointer(k))


class _Channel(Along):
    """The segments of one channel in all samples."""

    def __init__(self, geometry: Geometry, scope: Scope, channel, channels, group) -> None:
        super().__init__(geometry, scope, I64(0))
        self._channel, self._channels, self._group = channel, channels, group

    def sample(self, n: ir.Value) -> None:
        """Go to a sample."""
        b, g = self.b, self.geometry
        self.number = b.add(b.mul(n, g.modulus), self._group)
        self._start = b.mul(b.add(b.mul(n, self._channels), self._channel), g.span)

    def over(self, samples: ir.Value, terms, count: int):
        """Sums over the samples of what ``terms(n)`` gives, in every lane."""
        line = Long(self.scope, self.geometry.span, self.dtype)
        with self.scope.carried(I64(0), samples, 1, line.zeros(count)) as (n, before, carry):
            carry.next(*line.lane_totals(terms(n), before))
        return [everywhere(v) for v in carry.final]

    def store_of(self, place: ir.Value, value, pointer: ir.Value) -> None:
        """Set a channel's number."""
        self.number = place
        self.store(value, pointer)


# given statistics -----------------------------------------------------------------------------------


def build_given(symbol: str, dtype: int) -> ir.Module:
    """``y = (x - mean) / sqrt(var + eps) w + b``; arrays x, w, b, mean, var, y."""
    module, arrays, part, parts = array_kernel(symbol)
    geometry = Geometry(arrays, dtype, (part, parts))
    x, means, variances, y = (geometry.pointer(k) for k in (0, 3, 4, 5))

    def body(unit: Unit) -> None:
        _write(unit, unit.reader(x), unit.load(means), unit.load(variances), y)

    geometry.each(body)
    arrays.b.ret_void()
    return module


def build_given_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = g w r``, gw, gb; arrays x, w, b, mean, var, y, g, gx, gw, gb, -, -."""
    module, arrays, part, parts = array_kernel(symbol)
    geometry = Geometry(arrays, dtype, (part, parts))
    b = arrays.b

    def operand(unit: Unit, near: bool) -> None:
        g = unit.cotangent(6, near)
        scale = unit.reciprocal_root(unit.load(geometry.pointer(4)) + geometry.epsilon)
        factor = scale * unit.parameter(1, 1.0, I64(0))

        def result(j):
            cotangent = g(j)
            return lambda i, mask: cotangent(i, mask) * factor

        unit.write(result, geometry.pointer(7))

    def weights(unit: Unit, near: bool) -> None:
        g = unit.cotangent(6, near)
        mean, variance = (unit.load(geometry.pointer(k)) for k in (3, 4))
        scale = unit.reciprocal_root(variance + geometry.epsilon)
        total, along = _sums(unit, g, mean)
        for k, value in ((8, along * scale), (9, total)):
            with b.if_then(arrays.present(k)):
                unit.store(value, geometry.pointer(k))

    def write(near: bool) -> None:
        with b.if_then(arrays.present(7)):
            geometry.each(partial(operand, near=near), near)
        with b.if_then(b.or_(arrays.present(8), arrays.present(9))):
            geometry.each(partial(weights, near=near), near)

    by_cotangent(arrays, write)
    b.ret_void()
    return module


# declarations ---------------------------------------------------------------------------------------


def _by_channel(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def reference_given(x, weight, bias, mean, var, eps: float) -> np.ndarray:
    """NumPy's normalisation of channels by given statistics."""
    weight, bias, mean, var = (_by_channel(v, x) for v in (weight, bias, mean, var))
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def reference_batch_norm(x, weight, bias, eps: float) -> np.ndarray:
    """NumPy's normalisation of channels by their own statistics."""
    axes = (0, *range(2, x.ndim))
    return reference_given(x, weight, bias, x.mean(axes), x.var(axes), eps)


def reference_group_norm(x, groups: int, weight, bias, eps: float) -> np.ndarray:
    """NumPy's normalisation of groups of channels."""
    rows = x.reshape(x.shape[0], groups, -1)
    normal = (rows - rows.mean(2, keepdims=True)) / np.sqrt(rows.var(2, keepdims=True) + eps)
    return normal.reshape(x.shape) * _by_channel(weight, x) + _by_channel(bias, x)


_GRADIENTS = {
    "x": ("x", "weight", "y1", "y2"),
    "weight": ("x", "y1", "y2"),
    "bias": ("x", "y1", "y2"),
}

array_op(
    "batch_norm",
    ("x", "weight", "bias"),
    partial(build_forward, False),
    backward=partial(build_backward, False),
    gradients=_GRADIENTS,
    outputs=3,
    vjp=norm_vjps.BATCH,
    reference=reference_batch_norm,
    grad_name="NativeBatchNorm",
)
array_op(
    "group_norm",
    ("x", "weight", "bias"),
    partial(build_forward, True),
    backward=partial(build_backward, True),
    gradients=_GRADIENTS,
    outputs=3,
    vjp=norm_vjps.GROUP,
    reference=reference_group_norm,
    grad_name="NativeGroupNorm",
)
array_op(
    "batch_norm_given",
    ("x", "weight", "bias", "mean", "var"),
    build_given,
    backward=build_given_backward,
    gradients={"x": ("weight", "var"), "weight": ("x", "mean", "var"), "bias": ("x", "mean", "var")},
    vjp=norm_vjps.GIVEN,
    reference=reference_given,
    grad_name="NativeBatchNorm",
)
elementwise(
    "one_more",
    lambda x: x + 1,
    dtypes=(abi.INT64,),
    reference=lambda x: x + 1,
)
elementwise(
    "running_average",
    lambda average, value, keep, take: average * keep + value * take,
    attributes=("keep", "take"),
    reference=lambda average, value, keep, take: average * keep + value * take,
)
