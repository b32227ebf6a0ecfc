"""Convolution as a matrix product, image by image: for few images, and for kernels with very many taps.

The *columns* of an image are a matrix with a row for each channel and tap and a column for each position of the
map: what that tap sees there. Then a map is ``weights @ columns``, the gradient of the weights
``map @ columns.T``, and an image's gradient ``weights.T @ map``, whose columns are summed where they came from,
pixel by pixel. A kernel of one tap that steps by one needs no copy: the image is its own matrix of columns.

Parts cut a map by rows of positions or by filters, and gradients by channels; sums are never cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import abi
from .convolution_gather import LIST, build_collect, build_gather
from .convolution_writer import AXES, Source, Writer, contiguous, each, source
from .gemm_tiles import ACCUMULATE
from .host import host
from .stage import I64, WORDS, Scope, Vec

FEW_POSITIONS = 64  # maps of fewer positions are cut by filters
FEWEST_ROWS = 8  # fewer rows of a product are not cut off
POSITION_MAJOR = 16  # up to so many positions an image's gradient is made with positions as rows


# columns ------------------------------------------------------------------------------------------


def _build_columns(module: ir.Module, dtype: int) -> ir.Function:
    """``columns(image, sc, sz, sy, sx, first, last, row0, row1, to, tap_step, position_step)``.

    The columns of some channels, for some rows of the map; one of the steps is 1.
    """
    w = Writer(module, dtype, "columns", "image sc sz sy sx first last row0 row1 to tap_step position_step")
    whole, g, a = w.whole, w.shape, w.a
    image, to = w.pointer(a["image"]), w.pointer(a["to"])
    plane, line = a["row0"] / g.out_height, a["row0"] - a["row0"] / g.out_height * g.out_height
    step = g.stride_width * a["sx"]
    row_step = g.out_width * a["position_step"]
    out = whole.cell(a["first"] * g.taps * a["tap_step"] + a["row0"] * row_step)
    with (
        whole.loop(a["first"], a["last"]) as c,
        whole.loop(0, g.kernel_depth) as kz,
        whole.loop(0, g.kernel_height) as ky,
        whole.loop(0, g.kernel_width) as kx,
    ):
        before = g.pad_width - kx * g.dilation_width
        x0 = whole.larger(whole.ceil_div(whole.larger(before, 0), g.stride_width), 0)
        reach = g.width - 1 + before
        x1 = whole.smaller((reach < 0).select(0, reach / g.stride_width + 1), g.out_width)
        iz, iy = whole.cell(), whole.cell()
        y_start = ky * g.dilation_height - g.pad_height
        iz.set(plane * g.stride_depth + kz * g.dilation_depth - g.pad_depth)
        iy.set(line * g.stride_height + y_start)
        y_end = g.out_height * g.stride_height + y_start
        place = whole.cell(out.get())
        start = c * a["sc"] - before * a["sx"]
        form = (a["position_step"] == 1).select((step == 1).select(whole.number(0), 1), 2)
        for number, copy in enumerate((_copy_row, _gather_row, _spread_row)):
            with whole.when(form == number), whole.loop(a["row0"], a["row1"]):
                z, y = iz.get(), iy.get()
                inside = (z >= 0) & (z < g.depth) & (y >= 0) & (y < g.height)
                row = w.at(image, start + z * a["sz"] + y * a["sy"])
                span = inside.select(x0, 0), inside.select(x1, 0), g.out_width
                copy(w, row, w.at(to, place.get()), span, step)
                place.add(row_step)
                iy.set(y + g.stride_height)
                with whole.when(iy.get() == y_end):
                    iy.set(y_start)
                    iz.set(z + g.stride_depth)
        out.add(a["tap_step"])
    return w.end()


def _gather_row(w: Writer, row: ir.Value, target: ir.Value, span: tuple[Vec, Vec, Vec], step: Vec) -> None:
    """Write ``row[i * step]`` for low <= i < high and zeros elsewhere below `width`."""
    _copy_row(w, row, target, span, step, near=False)


def _spread_row(w: Writer, row: ir.Value, target: ir.Value, span: tuple[Vec, Vec, Vec], step: Vec) -> None:
    """The same, with the results apart."""
    low, high, width = span
    with w.whole.loop(0, width) as i:
        there = (i >= low) & (i < high)
        x = w.one.load(w.at(row, i * step), w.dtype, there.value)
        w.one.store(x, w.at(target, i * w.a["position_step"]))


def _copy_row(
    w: Writer, row: ir.Value, target: ir.Value, span: tuple[Vec, Vec, Vec], step: Vec, near: bool = True
) -> None:
    """Write ``row[i]`` for low <= i < high and zeros elsewhere below `width`."""
    low, high, width = (v.value for v in span)
    b = w.b
    lanes = host().lanes(w.item) if host().vector_bytes >= 32 else 1
    s = Scope(b, lanes)
    if lanes == 1:
        with s.loop(I64(0), width) as i:
            there = b.and_(b.icmp_signed(">=", i, low), b.icmp_signed("<", i, high))
            place = s.at(row, i if near else b.mul(i, step.value))
            s.store(s.load(place, w.dtype, there), s.at(target, i))
        return
    with s.loop(I64(0), width, lanes) as i:
        whole = s.tail_mask(b.sub(width, i))
        below, from_ = s.tail_mask(b.sub(high, i)), s.tail_mask(_not_negative(b, b.sub(low, i)))
        there = b.and_(below, b.not_(from_))
        if near:
            x = s.load(s.at(row, i), w.dtype, there)
        else:
            x = s.gather(s.at(row, b.mul(i, step.value)), step.value, w.dtype, there)
        s.store(x, s.at(target, i), whole)


def _not_negative(b: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return b.select(b.icmp_signed("<", x, I64(0)), I64(0), x)


# image to map -------------------------------------------------------------------------------------


def _plain(w: Writer) -> Vec:
    """Whether the image is its own matrix of columns, when it lies well: one tap, steps of one, no border."""
    g, bit = w.shape, None
    for axis in AXES:
        one = (g.of("kernel", axis) == 1) & (g.of("stride", axis) == 1) & (g.of("pad", axis) == 0)
        same = one & (g.of("", axis) == g.of("out", axis))
        bit = same if bit is None else bit & same
    return bit


def _copied(w: Writer, s: Source) -> Vec:
    """Whether columns have to be made."""
    g = w.shape
    return ~(_plain(w) & contiguous(w.whole, s, (g.depth, g.height, g.width))) | (g.turned != 0)


def build_down(module: ir.Module, dtype: int, columns: ir.Function) -> ir.Function:
    """``down(image described, weight, bias, map, workspace, part, parts)``: from the image to the map."""
    w = Writer(module, dtype, "down", "source weight bias target workspace part parts")
    whole, g, a = w.whole, w.shape, w.a
    s = source(whole, a["source"].value)
    copied = _copied(w, s)
    positions, taps = g.positions, g.taps
    channels, filters = g.channels / g.groups, g.filters / g.groups
    rows = g.out_depth * g.out_height
    by_rows = (g.kept == 0) | (positions >= FEW_POSITIONS)
    everything = whole.number(0), whole.number(1)
    row_share = [by_rows.select(x, y) for x, y in zip((a["part"], a["parts"]), everything, strict=True)]
    row0, row1 = whole.share(rows, *row_share)
    rest = [by_rows.select(y, x) for x, y in zip((a["part"], a["parts"]), everything, strict=True)]
    f0, f1 = _cut(w, filters, rest)
    first, width = row0 * g.out_width, (row1 - row0) * g.out_width
    with (
        whole.when((f1 > f0) & (width > 0)),
        whole.loop(0, g.batch) as n,
        whole.loop(0, g.groups) as q,
    ):
        image = w.moved(s.address, n * s.image + q * channels * s.channel)
        kept = (g.kept != 0).select(n * g.channels * taps * positions, 0)
        to = w.moved(a["workspace"], kept + q * channels * taps * positions)
        with whole.when(copied):
            steps = _steps(w, channels)
            w.call(columns, image, s.channel, s.depth, s.height, s.width, 0, channels, row0, row1, to, *steps)
        matrix, pitch = copied.select(to, image), copied.select(positions, s.channel)
        filter_ = q * filters + f0
        out = w.moved(a["target"], (n * g.filters + filter_) * positions + first)
        rows, terms = f1 - f0, channels * taps
        weight = w.moved(a["weight"], filter_ * terms)
        bias = (a["bias"] == 0).select(0, w.moved(a["bias"], filter_))
        with whole.either(g.turned != 0) as (few, many):
            with few:
                # as dot products the weights are read as they lie, and once
                scratch = w.moved(a["workspace"], g.second + (n * g.groups + q) * filters * positions + f0)
                w.multiply(
                    M=positions, N=rows, K=terms, A=to, rsA=terms, csA=1, B=weight, rsB=1, csB=terms,
                    C=scratch, rsC=filters, csC=1, bias=bias, flags=0,
                )  # fmt: skip
                with whole.loop(0, rows) as f, whole.loop(0, positions) as p:
                    x = w.one.load(w.at(w.pointer(scratch), p * filters + f), dtype)
                    w.one.store(x, w.at(w.pointer(out), f * positions + p))
            with many:
                with whole.when(bias != 0):
                    _fill(w, out, positions, rows, width, bias)
                w.multiply(
                    M=rows, N=width, K=terms, A=weight, rsA=terms, csA=1,
                    B=w.moved(matrix, first), rsB=pitch, csB=1, C=out, rsC=positions, csC=1,
                    flags=(bias != 0).select(whole.number(ACCUMULATE), 0),
                )  # fmt: skip
    return w.end()


def _steps(w: Writer, channels: Vec) -> tuple[Vec, Vec]:
    """How far taps and positions lie apart in the columns of a group."""
    g = w.shape
    turned = g.turned != 0
    return turned.select(w.whole.number(1), g.positions), turned.select(channels * g.taps, 1)


def _cut(w: Writer, total: Vec, share_of: Sequence[Vec]) -> tuple[Vec, Vec]:
    """The range of rows of a product for one part: none of so few that they would be summed in another order."""
    whole, (part, parts) = w.whole, share_of
    cuts = whole.larger(whole.smaller(parts, total / FEWEST_ROWS), 1)
    low, high = whole.share(total, whole.smaller(part, cuts), cuts)
    return low, (part < cuts).select(high, low)


def _fill(w: Writer, out: Vec, pitch: Vec, rows: Vec, width: Vec, bias: Vec) -> None:
    """Write one number of `bias` into each row."""
    target, terms = w.pointer(out), w.pointer(bias)
    with w.whole.loop(0, rows) as r:
        row = w.at(target, r * pitch)
        term = w.one.load(w.at(terms, r), w.dtype)
        each(
            w,
            width,
            lambda s, i, mask, row=row, term=term: s.store(s.splat(term.value, w.dtype), s.at(row, i), mask),
        )


# map to image -------------------------------------------------------------------------------------


def build_up(module: ir.Module, dtype: int, gather: ir.Function) -> ir.Function:
    """``up(map described, weight, bias, image, workspace, part, parts)``: from the map to the image."""
    collect = build_collect(module, dtype)
    w = Writer(module, dtype, "up", "source weight bias target workspace part parts")
    whole, g, a = w.whole, w.shape, w.a
    s = source(whole, a["source"].value)
    positions, taps = g.positions, g.taps
    channels, filters = g.channels / g.groups, g.filters / g.groups
    c0, c1 = _cut(w, channels, (a["part"], a["parts"]))
    across = positions <= POSITION_MAJOR
    rows, scratch = (c1 - c0) * taps, w.moved(a["workspace"], g.second)
    near = contiguous(whole, s, (g.out_depth, g.out_height, g.out_width))
    plain = _plain(w) & (a["bias"] == 0)
    with whole.when(c1 > c0), whole.loop(0, g.batch) as n, whole.loop(0, g.groups) as q:
        map_ = w.moved(s.address, n * s.image + q * filters * s.channel)
        weight = w.moved(a["weight"], q * filters * channels * taps + c0 * taps)
        columns = w.moved(scratch, across.select(c0 * taps, c0 * taps * positions))
        out = w.moved(a["target"], (n * g.channels + q * channels + c0) * g.pixels)
        pitch = across.select(channels * taps, positions)
        with whole.either(near) as (one, several):
            with one, whole.either(across & ~plain) as (by_position, by_tap):
                with by_position:
                    w.multiply(
                        M=positions, N=rows, K=filters, A=map_, rsA=1, csA=s.channel,
                        B=weight, rsB=channels * taps, csB=1, C=columns, rsC=pitch, csC=1, flags=0,
                    )  # fmt: skip
                with by_tap:
                    w.multiply(
                        M=rows, N=positions, K=filters, A=weight, rsA=1, csA=channels * taps,
                        B=map_, rsB=s.channel, csB=1, C=plain.select(out, columns), rsC=positions, csC=1,
                        flags=0,
                    )  # fmt: skip
            with several:
                _up_by_lines(w, s, map_, weight, plain.select(out, columns), (across & ~plain, pitch, rows))
        with whole.when(~plain):
            bias = (a["bias"] == 0).select(0, w.moved(a["bias"], q * channels + c0))
            step = [across.select(x, y) for x, y in ((whole.number(1), positions), (pitch, whole.number(1)))]
            beside = across & (taps <= LIST)
            with whole.either(beside) as (by_channel, by_row):
                with by_channel:
                    w.call(collect, columns, pitch, c1 - c0, bias, out)
                with by_row:
                    w.call(gather, columns, *step, c1 - c0, bias, out)
    return w.end()


def _up_by_lines(
    w: Writer, s: Source, map_: Vec, weight: Vec, columns: Vec, how: tuple[Vec, Vec, Vec]
) -> None:
    """The product when the map lies anywhere: line by line of positions."""
    whole, g = w.whole, w.shape
    across, pitch, rows = how
    channels, filters = g.channels / g.groups, g.filters / g.groups
    with whole.loop(0, g.out_depth) as z, whole.loop(0, g.out_height) as y:
        line = (z * g.out_height + y) * g.out_width
        common = {
            "K": filters,
            "A": w.moved(map_, z * s.depth + y * s.height),
            "B": weight,
        }
        # a product of one line always has the filters along k, and its C is strided when taps are rows
        w.multiply(
            M=g.out_width, N=rows, rsA=s.width, csA=s.channel, rsB=channels * g.taps, csB=1,
            C=w.moved(columns, across.select(line * pitch, line)),
            rsC=across.select(pitch, 1), csC=across.select(1, g.positions), flags=0, **common,
        )  # fmt: skip


# weights ------------------------------------------------------------------------------------------


def build_weights(module: ir.Module, dtype: int, columns: ir.Function) -> ir.Function:
    """``weights(image described, map described, target, workspace, ready, part, parts)``: the weights' gradient.

    With bit 1 of `ready` the workspace holds the columns already (when they are kept).
    """
    w = Writer(module, dtype, "weights", "image map target workspace ready part parts")
    whole, g, a = w.whole, w.shape, w.a
    s, t = source(whole, a["image"].value), source(whole, a["map"].value)
    positions, taps = g.positions, g.taps
    channels, filters = g.channels / g.groups, g.filters / g.groups
    c0, c1 = whole.share(channels, a["part"], a["parts"])
    copied = _copied(w, s)
    ready = (a["ready"] & 1 != 0) & (g.kept != 0)
    near = contiguous(whole, t, (g.out_depth, g.out_height, g.out_width))
    with whole.when(c1 > c0), whole.loop(0, g.groups) as q:
        out = w.moved(a["target"], (q * filters * channels + c0) * taps)
        with whole.when((g.batch == 0) | (positions == 0)):
            w.multiply(
                M=filters, N=(c1 - c0) * taps, K=0, A=0, rsA=1, csA=1, B=0, rsB=1, csB=1,
                C=out, rsC=channels * taps, csC=1, flags=0,
            )  # fmt: skip
        with whole.when(positions > 0), whole.loop(0, g.batch) as n:
            image = w.moved(s.address, n * s.image + q * channels * s.channel)
            kept = (g.kept != 0).select(n * g.channels * taps * positions, 0)
            to = w.moved(a["workspace"], kept + q * channels * taps * positions)
            with whole.when(copied & ~ready):
                rows = g.out_depth * g.out_height
                steps = _steps(w, channels)
                w.call(columns, image, s.channel, s.depth, s.height, s.width, c0, c1, 0, rows, to, *steps)
            matrix, pitch = copied.select(to, image), copied.select(positions, s.channel)
            map_ = w.moved(t.address, n * t.image + q * filters * t.channel)
            sizes = {"M": filters, "N": (c1 - c0) * taps, "C": out, "rsC": channels * taps, "csC": 1}
            turned = g.turned != 0
            tap_step = turned.select(whole.number(1), pitch)
            position_step = turned.select(channels * taps, 1)
            right = w.moved(matrix, c0 * taps * tap_step)
            with whole.either(near) as (one, several):
                with one:
                    w.multiply(
                        K=positions, A=map_, rsA=t.channel, csA=1, B=right, rsB=position_step, csB=tap_step,
                        flags=(n == 0).select(w.whole.number(0), ACCUMULATE), **sizes,
                    )  # fmt: skip
                with several, whole.loop(0, g.out_depth) as z, whole.loop(0, g.out_height) as y:
                    line = (z * g.out_height + y) * g.out_width
                    begin = (n == 0) & (line == 0)
                    w.multiply(
                        K=g.out_width, A=w.moved(map_, z * t.depth + y * t.height),
                        rsA=t.channel, csA=t.width, B=w.moved(right, line * position_step),
                        rsB=position_step, csB=tap_step,
                        flags=begin.select(w.whole.number(0), ACCUMULATE), **sizes,
                    )  # fmt: skip
    return w.end()


# columns for themselves ---------------------------------------------------------------------------


def _build_unfold(module: ir.Module, dtype: int, columns: ir.Function) -> ir.Function:
    """``unfold(image described, target, part, parts)``: the columns of all images; parts share the channels."""
    w = Writer(module, dtype, "unfold", "source target part parts")
    whole, g, a = w.whole, w.shape, w.a
    s = source(whole, a["source"].value)
    first, last = whole.share(g.channels, a["part"], a["parts"])
    rows = g.out_depth * g.out_height
    with whole.loop(0, g.batch) as n:
        image = w.moved(s.address, n * s.image)
        to = w.moved(a["target"], n * g.channels * g.taps * g.positions)
        w.call(
            columns, image, s.channel, s.depth, s.height, s.width, first, last, 0, rows, to, g.positions, 1
        )
    return w.end()


def _build_fold(module: ir.Module, dtype: int, gather: ir.Function) -> ir.Function:
    """``fold(columns described, target, part, parts)``: images from columns; parts share the channels."""
    w = Writer(module, dtype, "fold", "source target part parts")
    whole, g, a = w.whole, w.shape, w.a
    words = w.b.inttoptr(a["source"].value, WORDS)
    steps = [whole.number(whole.one.word(words, abi.ARRAY_STRIDES + d)) for d in range(3)]
    address = whole.number(whole.one.word(words, abi.ARRAY_ADDRESS))
    first, last = whole.share(g.channels, a["part"], a["parts"])
    with whole.loop(0, g.batch) as n:
        columns = w.moved(address, n * steps[0] + first * g.taps * steps[1])
        out = w.moved(a["target"], (n * g.channels + first) * g.pixels)
        w.call(gather, columns, steps[1], steps[2], last - first, 0, out)
    return w.end()


def build_functions(module: ir.Module, dtype: int) -> dict[str, ir.Function]:
    """The functions ``down``, ``up``, ``weights``, ``unfold`` and ``fold`` of a module."""
    columns, gather = _build_columns(module, dtype), build_gather(module, dtype)
    return {
        "down": build_down(module, dtype, columns),
        "up": build_up(module, dtype, gather),
        "weights": build_weights(module, dtype, columns),
        "unfold": _build_unfold(module, dtype, columns),
        "fold": _build_fold(module, dtype, gather),
    }
