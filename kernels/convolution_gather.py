"""An image from its columns: every pixel is the sum of what its taps hold."""

from __future__ import annotations

from llvmlite import ir

from .convolution_writer import AXES, Writer, each, met
from .host import host
from .nest import spread
from .stage import I64, WORDS, Scope, Vec

LIST = 1024  # places in a list on the stack


def build_gather(module: ir.Module, dtype: int) -> ir.Function:
    """``gather(columns, tap_step, position_step, channels, bias, image)``: sum columns where they came from.

    Element (channel, tap, position) of the columns lies at ``(channel * taps + tap) * tap_step + position *
    position_step``. Each pixel is the sum over its taps, in their order, and its channel's bias.
    """
    w = Writer(module, dtype, "gather", "columns tap_step position_step channels bias image")
    whole, g, a = w.whole, w.shape, w.a
    image, source_ = w.pointer(a["image"]), w.pointer(a["columns"])
    taps = g.taps
    with whole.loop(0, a["channels"]) as c:
        plane = w.at(image, c * g.pixels)
        start = whole.one.variable(whole.one.type(dtype))
        whole.b.store(whole.one.constant(dtype, 0.0).value, start)
        with whole.when(a["bias"] != 0):
            whole.b.store(whole.one.load(w.at(w.pointer(a["bias"]), c), dtype).value, start)
        term = Vec(whole.one, whole.b.load(start), dtype)

        def fill(s: Scope, i: ir.Value, mask: ir.Value | None, plane=plane, term=term) -> None:
            s.store(s.splat(term.value, dtype), s.at(plane, i), mask)

        each(w, g.pixels, fill)
        tap = whole.cell(c * taps * a["tap_step"])
        with (
            whole.loop(0, g.kernel_depth) as kz,
            whole.loop(0, g.kernel_height) as ky,
            whole.loop(0, g.kernel_width) as kx,
        ):
            ranges = [_valid(w, axis, k) for axis, k in zip(AXES, (kz, ky, kx), strict=True)]
            (z0, z1, zs), (y0, y1, ys), (x0, x1, xs) = ranges
            with whole.loop(z0, z1) as oz, whole.loop(y0, y1) as oy:
                line = tap.get() + (oz * g.out_height + oy) * g.out_width * a["position_step"]
                z, y = oz * g.stride_depth + zs, oy * g.stride_height + ys
                row = w.at(plane, (z * g.height + y) * g.width + xs)
                _add_row(w, w.at(source_, line), row, (x0, x1), (a["position_step"], g.stride_width))
            tap.add(a["tap_step"])
    return w.end()


def build_collect(module: ir.Module, dtype: int) -> ir.Function:
    """``collect(columns, pitch, channels, bias, image)``: `gather` for few positions, `pitch` apart.

    Vectors run across channels, and each pixel has a list of the places that it is the sum of.
    """
    w = Writer(module, dtype, "collect", "columns pitch channels bias image")
    whole, g, a, b = w.whole, w.shape, w.a, w.b
    with b.goto_entry_block():
        room = whole.one.variable(ir.ArrayType(I64, LIST))
    places = b.bitcast(room, WORDS)
    image, columns = w.pointer(a["image"]), w.pointer(a["columns"])
    taps = g.taps
    with whole.loop(0, g.depth) as z, whole.loop(0, g.height) as y, whole.loop(0, g.width) as x:
        count, tap = whole.cell(), whole.cell()
        with (
            whole.loop(0, g.kernel_depth) as kz,
            whole.loop(0, g.kernel_height) as ky,
            whole.loop(0, g.kernel_width) as kx,
        ):
            axes = zip(AXES, (z, y, x), (kz, ky, kx), strict=True)
            (oz, z_there), (oy, y_there), (ox, x_there) = (met(w, *axis) for axis in axes)
            position = (oz * g.out_height + oy) * g.out_width + ox
            n = count.get()
            b.store((position * a["pitch"] + tap.get()).value, b.gep(places, [n.value]))
            count.set((z_there & y_there & x_there).select(n + 1, n))
            tap.add(1)
        pixel = w.at(image, (z * g.height + y) * g.width + x)

        def body(s: Scope, c: ir.Value, mask: ir.Value | None, pixel=pixel, count=count) -> None:
            mask = s.tail_mask(I64(s.lanes)) if mask is None and s.lanes > 1 else mask
            total = _biases(w, s, a["bias"], c, mask)
            block = w.whole.number(c) * taps
            with s.carried(I64(0), count.get().value, 1, [total]) as (i, (before,), carry):
                place = whole.number(b.load(b.gep(places, [i]))) + block
                carry.next(before + s.gather(w.at(columns, place), taps.value, dtype, mask))
            s.scatter(carry.final[0], w.at(pixel, whole.number(c) * g.pixels), g.pixels.value, mask)

        each(w, a["channels"], body)
    return w.end()


def _biases(w: Writer, s: Scope, bias: Vec, channel: ir.Value, mask: ir.Value | None) -> Vec:
    """The biases of some channels, or zeros."""
    cell = s.variable(s.type(w.dtype))
    w.b.store(s.constant(w.dtype, 0.0).value, cell)
    with w.whole.when(bias != 0):
        w.b.store(s.load(s.at(w.pointer(bias), channel), w.dtype, mask).value, cell)
    return Vec(s, w.b.load(cell), w.dtype)


def _valid(w: Writer, axis: str, k: Vec) -> tuple[Vec, Vec, Vec]:
    """The range of positions along an axis that a tap connects with pixels, and the pixel of position 0."""
    whole, g = w.whole, w.shape
    stride = g.of("stride", axis)
    shift = k * g.of("dilation", axis) - g.of("pad", axis)
    low = whole.ceil_div(whole.larger(-shift, 0), stride)
    reach = g.of("", axis) - 1 - shift
    high = whole.smaller((reach < 0).select(0, reach / stride + 1), g.of("out", axis))
    return low, high, shift


def _add_row(w: Writer, line: ir.Value, row: ir.Value, span: tuple[Vec, Vec], steps: tuple[Vec, Vec]) -> None:
    """``row[i * step] += line[i * own step]``."""
    b, whole = w.b, w.whole
    near = (steps[0] == 1) & (steps[1] == 1)
    low, high = span
    with whole.either(near) as (unit, far):
        with unit:

            def add(s: Scope, i: ir.Value, mask: ir.Value | None) -> None:
                place = s.at(row, i)
                s.store(s.load(place, w.dtype, mask) + s.load(s.at(line, i), w.dtype, mask), place, mask)

            spread(b, host().lanes(w.item), low.value, high.value, add)
        with far, whole.loop(low, high) as i:
            place, s = w.at(row, i * steps[1]), w.one
            s.store(s.load(place, w.dtype) + s.load(w.at(line, i * steps[0]), w.dtype), place)
