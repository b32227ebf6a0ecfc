"""The gradient of a convolution's weights, with images side by side.

A tile of up to 4 filters by 6 taps stays in registers while all positions of a block of images run; then its
lanes are added up, and blocks one after the other.
"""

from __future__ import annotations

from llvmlite import ir

from .convolution_turn import Lanes, image_sizes, map_sizes
from .gemm_tiles import multiply_add
from .stage import I64, Vec

FILTERS, TAPS = 4, (3, 5, 6)  # tiles: at most so many filters, by so many taps

WALK = "planes lines columns steps x_column x_line x_plane map_plane"
GRADIENT = "walk map image places out"


def _build_gradient_tile(module: ir.Module, dtype: int, filters: int, taps: int) -> ir.Function:
    """``gradient(walk, map, image, places, out)``: a tile of the weights' gradient, for one block, as vectors.

    `places` holds where each tap's products begin in the image, `walk` is the address of WALK.
    """
    w = Lanes(module, dtype, f"gradient{filters}x{taps}", GRADIENT)
    whole, a, one, wide = w.whole, w.a, w.one, w.wide
    walk = {key: w.word(a["walk"], k) for k, key in enumerate(WALK.split())}
    image = w.pointer(a["image"])
    origins = [w.at(image, w.word(a["places"], k)) for k in range(taps)]
    zero = wide.constant(dtype, 0.0)
    per_column = walk["steps"]
    with wide.carried(I64(0), walk["planes"].value, 1, [zero] * (filters * taps)) as (z, s0, c0):
        with wide.carried(I64(0), walk["lines"].value, 1, s0) as (y, s1, c1):
            with wide.carried(I64(0), walk["columns"].value, 1, s1) as (x, s2, c2):
                z_, y_, x_ = (whole.number(i) for i in (z, y, x))
                spot = ((z_ * walk["lines"] + y_) * walk["columns"] + x_) * per_column
                maps = [w.at(w.pointer(a["map"]), spot + walk["map_plane"] * f) for f in range(filters)]
                offset = z_ * walk["x_plane"] + y_ * walk["x_line"] + x_ * walk["x_column"]
                sources = [w.at(o, offset) for o in origins]
                with wide.carried(I64(0), per_column.value, w.lanes, s2) as (i, sums, carry):
                    g = [wide.load(one.at(m, i), dtype) for m in maps]
                    v = [wide.load(one.at(x, i), dtype) for x in sources]
                    carry.next(
                        *(
                            multiply_add(g[f], v[t], sums[f * taps + t])
                            for f in range(filters)
                            for t in range(taps)
                        )
                    )
                c2.next(*carry.final)
            c1.next(*c2.final)
        c0.next(*c1.final)
    out = w.pointer(a["out"])
    for k, total in enumerate(c0.final):
        wide.store(total, one.at(out, k * w.lanes))
    return w.end()


def _build_totals(module: ir.Module, dtype: int) -> ir.Function:
    """``totals(sums, width, filters, taps, out, out_row, add)``: add up the lanes of a tile, `width` taps wide."""
    w = Lanes(module, dtype, "totals", "sums width filters taps out out_row add")
    whole, a = w.whole, w.a
    sums, out = w.pointer(a["sums"]), w.pointer(a["out"])
    with whole.loop(0, a["filters"]) as f, whole.loop(0, a["taps"]) as t:
        vector = w.wide.load(w.at(sums, (f * a["width"] + t) * w.lanes), dtype)
        total = vector.reduce(lambda p, q: p + q)
        place = w.at(out, f * a["out_row"] + t)
        with whole.either(a["add"] != 0) as (more, new):
            with more:
                w.one.store(w.one.load(place, dtype) + total, place)
            with new:
                w.one.store(total, place)
    return w.end()


def build_weights(module: ir.Module, dtype: int, turn: ir.Function) -> ir.Function:
    """``lanes_weights(image described, map described, target, workspace, ready, part, parts)``.

    `ready` has bit 1 when the image side lies in the workspace already, and bit 2 when the map side does.
    """
    tiles = {(f, t): _build_gradient_tile(module, dtype, f, t) for f in range(1, FILTERS + 1) for t in TAPS}
    totals = _build_totals(module, dtype)
    w = Lanes(module, dtype, "lanes_weights", "image map target workspace ready part parts")
    whole, g, a, b = w.whole, w.shape, w.a, w.b
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    walk = _walk(w)
    per_group = whole.ceil_div(filters, FILTERS)
    begin, end = whole.share(per_group * g.groups, a["part"], a["parts"])
    most = TAPS[-1]
    places, sums = w.buffer(most), w.buffer(FILTERS * most * w.lanes, dtype)
    terms = channels * taps
    cuts = whole.ceil_div(terms, most)
    with whole.when(end > begin):
        _turn_both(w, turn)
    with whole.loop(begin, end) as unit:
        q = unit / per_group
        low, high = whole.share(filters, unit - q * per_group, per_group)
        first = q * filters + low
        with whole.loop(0, cuts) as cut:
            t0, t1 = whole.share(terms, cut, cuts)
            width: Vec = whole.number(most)
            for size in reversed(TAPS[:-1]):
                width = (t1 - t0 <= size).select(whole.number(size), width)
            # a tile wider than what is left does the last tap again
            with whole.loop(0, width) as t:
                w.set_word(places, t, _tap_place(w, whole.smaller(t0 + t, t1 - 1)))
            out = w.moved(a["target"], first * terms + t0)
            with whole.loop(0, g.blocks) as block:
                images = w.moved(a["workspace"], (block * g.channels + q * channels) * w.plane)
                maps = w.moved(a["workspace"], g.second + (block * g.filters + first) * w.map_plane)
                arguments = [walk, maps, images, places, sums]
                after = b.append_basic_block("after")
                chosen = (high - low) * (most + 1) + width
                switch = b.switch(chosen.value, after)
                for (f, t), tile in tiles.items():
                    case = b.append_basic_block("case")
                    switch.add_case(I64(f * (most + 1) + t), case)
                    b.position_at_end(case)
                    w.call(tile, *arguments)
                    b.branch(after)
                b.position_at_end(after)
                w.call(totals, sums, width, high - low, t1 - t0, out, terms, block)
    return w.end()


def _turn_both(w: Lanes, turn: ir.Function) -> None:
    """Bring to the workspace what is not there yet."""
    whole, g, a = w.whole, w.shape, w.a
    sizes = image_sizes(w), map_sizes(w)
    with whole.loop(0, g.blocks) as block:
        with whole.when(a["ready"] & 1 == 0):
            to = w.moved(a["workspace"], block * g.channels * w.plane)
            w.call(turn, a["image"], sizes[0], 0, g.channels, 0, g.pixels, block, to)
        with whole.when(a["ready"] & 2 == 0):
            to = w.moved(a["workspace"], g.second + block * g.filters * w.map_plane)
            w.call(turn, a["map"], sizes[1], 0, g.filters, 0, g.positions, block, to)


def _tap_place(w: Lanes, term: Vec) -> Vec:
    """Where the products of a channel and tap begin in the image."""
    g = w.shape
    c = term / g.taps
    tap = term - c * g.taps
    row = tap / g.kernel_width
    kz = row / g.kernel_height
    ky, kx = row - kz * g.kernel_height, tap - row * g.kernel_width
    line = kz * g.dilation_depth * g.padded_height + ky * g.dilation_height
    return c * w.plane + (line * g.padded_width + kx * g.dilation_width) * w.block


def _walk(w: Lanes) -> Vec:
    """The address of WALK: lines in one go when positions lie as close as pixels."""
    g, place = w.shape, w.buffer(len(WALK.split()))
    close = g.stride_width == 1
    values = {
        "planes": g.out_depth,
        "lines": g.out_height,
        "columns": close.select(w.whole.number(1), g.out_width),
        "steps": close.select(g.out_width * w.block, w.block),
        "x_column": g.stride_width * w.block,
        "x_line": g.stride_height * g.padded_width * w.block,
        "x_plane": g.stride_depth * g.padded_height * g.padded_width * w.block,
        "map_plane": w.map_plane,
    }
    for k, key in enumerate(WALK.split()):
        w.set_word(place, k, values[key])
    return place
