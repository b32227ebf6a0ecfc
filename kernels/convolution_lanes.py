"""Convolution with images side by side: a lane of a vector is an image, so every product is of full vectors.

Images are first turned (`convolution_turn`). From then on a convolution needs no masks and no columns. A tile of
up to 8 output channels at one position stays in registers while its taps run. The taps are a list of places: from
image to map all positions share one list, from map to image each pixel has its own, of the taps that exist.
Results are turned back square by square through memory on the stack.

Parts share squares of positions, or filters for gradients of weights (`convolution_gradient`); sums are never cut.
Parts may turn the same images: they write the same numbers.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi
from .convolution_gradient import build_weights
from .convolution_shape import MOST_TAPS
from .convolution_turn import Lanes, build_return, build_turn, image_sizes, map_sizes, positions
from .convolution_writer import met
from .gemm_plan import ROWS_A_BASE
from .gemm_tiles import multiply_add
from .stage import I64, Vec

ROWS = 8  # output channels of a tile
LIST = 512  # places in a list of taps
MANY_CHANNELS = 8  # from so many on, the inner turns of a tile run over channels
VECTORS = (1, 2)  # vectors of images in a block

# tiles of outputs ---------------------------------------------------------------------------------

TILE = "pixels count inner x_step w_step x weight w_row out"
PIXEL_WORDS = 3  # see `_pixel`


def _build_tile(module: ir.Module, dtype: int, rows: int, vectors: int) -> ir.Function:
    """``tile(pixels, count, inner, x_step, w_step, x, weight, w_row, out)``: some channels at some positions.

    `pixels` describes `count` positions. A list holds pairs, places of x and of weights, and `inner` turns are
    made from each, which step by `x_step` and `w_step`. With one vector of images two positions of the same taps
    run side by side: the sums of one alone would wait for one another.
    """
    w = Lanes(module, dtype, f"tile{rows}x{vectors}", TILE)
    whole, a = w.whole, w.a
    if vectors > 1:
        with whole.loop(0, a["count"]) as p:
            _sums_at(w, rows, vectors, [p])
        return w.end()
    with whole.loop(0, a["count"], 2) as p:
        further = whole.smaller(p + 1, a["count"] - 1)
        with whole.either((p < further) & _same_taps(w, p, further)) as (pair, single):
            with pair:
                _sums_at(w, rows, vectors, [p, further])
            with single, whole.loop(p, further + 1) as q:
                _sums_at(w, rows, vectors, [q])
    return w.end()


def _pixel(w: Lanes, p: Vec) -> tuple[Vec, Vec, Vec]:
    """Where a position's taps begin, its list, and how many there are."""
    begin, places, count = (w.word(w.a["pixels"], p * PIXEL_WORDS + k) for k in range(PIXEL_WORDS))
    return begin, places, count


def _same_taps(w: Lanes, p: Vec, q: Vec) -> Vec:
    """Whether two positions have the same taps: lists run over ranges, so their ends tell."""
    (_, a, count), (_, b, other) = _pixel(w, p), _pixel(w, q)
    last = w.whole.larger(count - 1, 0) * 2 + 1
    return (count == other) & (w.word(a, 1) == w.word(b, 1)) & (w.word(a, last) == w.word(b, last))


def _sums_at(w: Lanes, rows: int, vectors: int, positions: list[Vec]) -> None:
    """Write a tile's sums at positions of the same taps."""
    b, whole, a, one, wide, dtype = w.b, w.whole, w.a, w.one, w.wide, w.dtype
    weights = w.pointer(a["weight"])
    bases = [w.at(weights, a["w_row"] * r) for r in range(0, rows, ROWS_A_BASE)]
    steps = (whole.number(0), a["w_row"], a["w_row"] * 2)
    pixels = [_pixel(w, p) for p in positions]
    origins = [w.at(w.pointer(a["x"]), begin) for begin, _, _ in pixels]
    columns = vectors * len(positions)  # sums of a row

    def turn(xs: list[ir.Value], at: Vec, sums: list[Vec]) -> list[Vec]:
        loads = [wide.load(one.at(x, v * w.lanes), dtype) for x in xs for v in range(vectors)]
        places = [at + s for s in steps]
        result = []
        for r in range(rows):
            place = w.at(bases[r // ROWS_A_BASE], places[r % ROWS_A_BASE])
            y = wide.splat(b.load(place), dtype)
            result += [multiply_add(y, x, sums[r * columns + c]) for c, x in enumerate(loads)]
        return result

    start = [wide.constant(dtype, 0.0)] * (rows * columns)
    with wide.carried(I64(0), pixels[0][2].value, 1, start) as (i, sums, carry):
        t = whole.number(i) * 2
        xs = [w.at(o, w.word(places, t)) for o, (_, places, _) in zip(origins, pixels, strict=True)]
        first = w.word(pixels[0][1], t + 1)
        with wide.carried(I64(0), a["inner"].value, 1, sums) as (j, inner_sums, inner):
            k = whole.number(j)
            x_step, w_step = k * a["x_step"], k * a["w_step"]
            inner.next(*turn([w.at(x, x_step) for x in xs], first + w_step, inner_sums))
        carry.next(*inner.final)
    block = vectors * w.lanes
    for n, p in enumerate(positions):
        out = w.at(w.pointer(a["out"]), p * block)
        for r in range(rows):
            for v in range(vectors):
                place = one.at(out, r * w.lanes * block + v * w.lanes)
                wide.store(carry.final[r * columns + n * vectors + v], place)


def _build_tiles(module: ir.Module, dtype: int) -> ir.Function:
    """``tiles(rows, ...)``: the tile of so many rows, for the block's vectors."""
    sizes = [(rows, vectors) for rows in range(1, ROWS + 1) for vectors in VECTORS]
    made = {size: _build_tile(module, dtype, *size) for size in sizes}
    w = Lanes(module, dtype, "tiles", "rows " + TILE)
    a, b = w.a, w.b
    after = b.append_basic_block("after")
    switch = b.switch((a["rows"] * len(VECTORS) + w.shape.vectors - 1).value, after)
    for (rows, vectors), tile in made.items():
        block = b.append_basic_block("case")
        switch.add_case(I64(rows * len(VECTORS) + vectors - 1), block)
        b.position_at_end(block)
        w.call(tile, *(a[key] for key in TILE.split()))
        b.branch(after)
    b.position_at_end(after)
    return w.end()


# image to map, map to image -----------------------------------------------------------------------


class _Turned:
    """The functions that the two directions share."""

    def __init__(self, module: ir.Module, dtype: int) -> None:
        self.module, self.dtype = module, dtype
        self.turn = build_turn(module, dtype)
        self.back = build_return(module, dtype)
        self.tiles = _build_tiles(module, dtype)


def _each_square(w: Lanes, count: Vec):
    """Walk the squares of this part: yields the block, its first square, and the one after the last."""
    whole, a, g = w.whole, w.a, w.shape
    squares = whole.ceil_div(count, w.lanes)
    begin, end = whole.share(squares * g.blocks, a["part"], a["parts"])
    with whole.when(end > begin), whole.loop(begin / squares, (end - 1) / squares + 1) as block:
        first = whole.larger(begin - block * squares, 0)
        last = whole.smaller(end - block * squares, squares)
        yield block, first, last


def _run_tiles(w: Lanes, shared: _Turned, call: dict[str, Vec | int], where: dict[str, Vec]) -> None:
    """All tiles of one group's channels at one square of positions."""
    whole, a = w.whole, w.a
    scratch = w.buffer(ROWS * w.lanes * max(VECTORS) * w.lanes, w.dtype)
    rows = where["rows"]
    cuts = whole.ceil_div(rows, ROWS)
    with whole.loop(0, cuts) as t:
        low, high = whole.share(rows, t, cuts)
        weight = w.moved(call["weight"], call["w_row"] * low)
        values = {**call, "weight": weight, "out": scratch}
        w.call(shared.tiles, high - low, *(values[key] for key in TILE.split()))
        w.call(
            shared.back, scratch, high - low, where["image"], where["begin"], call["count"],
            where["channel"] + low, where["channels"], where["pixels"], a["bias"], a["target"],
        )  # fmt: skip


def _build_down(shared: _Turned) -> ir.Function:
    """``lanes_down(image described, weight, bias, map, workspace, part, parts)``."""
    w = Lanes(shared.module, shared.dtype, "lanes_down", "source weight bias target workspace part parts")
    whole, g, a, lanes = w.whole, w.shape, w.a, w.lanes
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    sizes = image_sizes(w)
    places = w.buffer(LIST * 2)
    inner = _list_taps(w, channels, places)
    listed = inner.pop("listed")
    pixels = w.buffer(lanes * PIXEL_WORDS)
    for block, first, last in _each_square(w, g.positions):
        begin, end = _needed(w, first * lanes, whole.smaller(last * lanes, g.positions))
        turned = w.moved(a["workspace"], block * g.channels * w.plane)
        w.call(shared.turn, a["source"], sizes, 0, g.channels, begin, end, block, turned)
        with whole.loop(first, last) as square:
            start = square * lanes
            count = whole.smaller(g.positions - start, lanes)
            for k, (z, y, x) in positions(w, start, count, (g.out_height, g.out_width)):
                row = z * g.stride_depth * g.padded_height + y * g.stride_height
                place = (row * g.padded_width + x * g.stride_width) * w.block
                w.set_word(pixels, k * PIXEL_WORDS, place)
                w.set_word(pixels, k * PIXEL_WORDS + 1, places)
                w.set_word(pixels, k * PIXEL_WORDS + 2, listed)
            with whole.loop(0, g.groups) as q:
                call = {
                    **inner, "pixels": pixels, "count": count,
                    "x": w.moved(turned, q * channels * w.plane),
                    "weight": w.moved(a["weight"], q * filters * channels * taps),
                    "w_row": channels * taps,
                }  # fmt: skip
                where = {
                    "rows": filters, "image": block * w.block, "begin": start,
                    "channel": q * filters, "channels": g.filters, "pixels": g.positions,
                }  # fmt: skip
                _run_tiles(w, shared, call, where)
    return w.end()


def _list_taps(w: Lanes, channels: Vec, places: Vec) -> dict[str, Vec]:
    """Where the taps of a position lie, and how a tile walks them: by channels or by a line of taps.

    Returns the tile's arguments ``inner``, ``x_step`` and ``w_step``, and the length of the list, ``listed``.
    """
    whole, g = w.whole, w.shape
    along = (channels < MANY_CHANNELS) & (channels * g.taps <= LIST)
    at = whole.cell()
    with (
        whole.loop(0, along.select(channels, 1)) as c,
        whole.loop(0, g.kernel_depth) as kz,
        whole.loop(0, g.kernel_height) as ky,
        whole.loop(0, along.select(whole.number(1), g.kernel_width)) as kx,
    ):
        row = kz * g.dilation_depth * g.padded_height + ky * g.dilation_height
        place = c * w.plane + (row * g.padded_width + kx * g.dilation_width) * w.block
        tap = ((c * g.kernel_depth + kz) * g.kernel_height + ky) * g.kernel_width + kx
        k = at.get()
        w.set_word(places, k * 2, place)
        w.set_word(places, k * 2 + 1, tap)
        at.set(k + 1)
    return {
        "inner": along.select(g.kernel_width, channels),
        "x_step": along.select(g.dilation_width * w.block, w.plane),
        "w_step": along.select(whole.number(1), g.taps),
        "listed": at.get(),
    }


def _needed(w: Lanes, begin: Vec, end: Vec) -> tuple[Vec, Vec]:
    """The pixels that some positions read: whole lines, or everything in three dimensions."""
    whole, g = w.whole, w.shape
    top = begin / g.out_width * g.stride_height - g.pad_height
    bottom = (end - 1) / g.out_width * g.stride_height - g.pad_height
    bottom = bottom + (g.kernel_height - 1) * g.dilation_height + 1
    flat = g.depth * g.out_depth == 1
    low = flat.select(whole.smaller(whole.larger(top, 0), g.height), 0)
    high = whole.smaller(whole.larger(bottom, low), g.height)
    return low * g.width, flat.select(high * g.width, g.pixels)


def _build_up(shared: _Turned) -> ir.Function:
    """``lanes_up(map described, weight, bias, image, workspace, part, parts)``."""
    w = Lanes(shared.module, shared.dtype, "lanes_up", "source weight bias target workspace part parts")
    whole, g, a, lanes = w.whole, w.shape, w.a, w.lanes
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    sizes = map_sizes(w)
    lists = w.buffer(lanes * MOST_TAPS * 2)
    pixels = w.buffer(lanes * PIXEL_WORDS)
    for block, first, last in _each_square(w, g.pixels):
        begin, end = _reached(w, first * lanes, whole.smaller(last * lanes, g.pixels))
        turned = w.moved(a["workspace"], g.second + block * g.filters * w.map_plane)
        w.call(shared.turn, a["source"], sizes, 0, g.filters, begin, end, block, turned)
        with whole.loop(first, last) as square:
            start = square * lanes
            count = whole.smaller(g.pixels - start, lanes)
            for k, pixel in positions(w, start, count, (g.height, g.width)):
                places = lists + k * MOST_TAPS * 2 * abi.WORD
                w.set_word(pixels, k * PIXEL_WORDS, 0)
                w.set_word(pixels, k * PIXEL_WORDS + 1, places)
                w.set_word(pixels, k * PIXEL_WORDS + 2, _list_positions(w, pixel, places))
            with whole.loop(0, g.groups) as q:
                call = {
                    "pixels": pixels, "count": count, "inner": filters, "x_step": w.map_plane,
                    "w_step": channels * taps, "x": w.moved(turned, q * filters * w.map_plane),
                    "weight": w.moved(a["weight"], q * filters * channels * taps), "w_row": taps,
                }  # fmt: skip
                where = {
                    "rows": channels, "image": block * w.block, "begin": start,
                    "channel": q * channels, "channels": g.channels, "pixels": g.pixels,
                }  # fmt: skip
                _run_tiles(w, shared, call, where)
    return w.end()


def _list_positions(w: Lanes, pixel: tuple[Vec, Vec, Vec], places: Vec) -> Vec:
    """The positions that a pixel belongs to, each with its tap; returns how many there are."""
    whole, g = w.whole, w.shape
    z, y, x = pixel
    count, tap = whole.cell(), whole.cell()
    with whole.loop(0, g.kernel_depth) as kz:
        oz, z_there = met(w, "depth", z, kz)
        with whole.loop(0, g.kernel_height) as ky:
            oy, y_there = met(w, "height", y, ky)
            line = (oz * g.out_height + oy) * g.out_width
            with whole.either(z_there & y_there) as (there, absent):
                with there, whole.loop(0, g.kernel_width) as kx:
                    ox, x_there = met(w, "width", x, kx)
                    n = count.get()
                    w.set_word(places, n * 2, (line + ox) * w.block)
                    w.set_word(places, n * 2 + 1, tap.get() + kx)
                    count.set(x_there.select(n + 1, n))
                with absent:
                    pass
            tap.add(g.kernel_width)
    return count.get()


def _reached(w: Lanes, begin: Vec, end: Vec) -> tuple[Vec, Vec]:
    """The positions that some pixels belong to: whole lines, or everything in three dimensions.

    The first and last pixels bring with them what belongs to no pixel: the weights' gradient reads that, too.
    """
    whole, g = w.whole, w.shape
    reach = (g.kernel_height - 1) * g.dilation_height
    top = whole.larger(begin / g.width + g.pad_height - reach, 0) / g.stride_height
    bottom = ((end - 1) / g.width + g.pad_height) / g.stride_height + 1
    flat = g.depth * g.out_depth == 1
    low = (flat & (begin > 0)).select(whole.smaller(top, g.out_height), 0)
    high = whole.smaller(whole.larger(bottom, low), g.out_height)
    everything = (end == g.pixels) | ~flat
    return low * g.out_width, everything.select(g.positions, high * g.out_width)


def build_functions(module: ir.Module, dtype: int) -> dict[str, ir.Function]:
    """The functions ``down``, ``up`` and ``weights`` of a module."""
    shared = _Turned(module, dtype)
    return {
        "down": _build_down(shared),
        "up": _build_up(shared),
        "weights": build_weights(module, dtype, shared.turn),
    }
