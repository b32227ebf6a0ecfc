"""Convolution with images side by side: a lane of a vector is an image, so every product is of full vectors.

Images are first brought from (batch, channel, pixels) to (block, channel, pixels, images of the block), by transposing
squares in registers. The image side gets its border of zeros there; the map side has none. From then on a convolution
needs no masks and no columns:

- A tile of up to 8 output channels at one position stays in registers while its taps run. The taps are a list of places;
  from image to map all positions share one list, from map to image each pixel has its own, of the taps that exist.
- A tile of the weights' gradient, up to 4 filters by 6 taps, stays in registers while all positions run; then its
  lanes are added up, and blocks of images one after the other.

Results are turned back square by square through memory on the stack. Parts share squares of positions, or
filters for gradients of weights; sums are never cut. Parts may turn the same images: they write the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import abi
from .convolution_columns import Source, Writer, contiguous, met, source
from .convolution_shape import MOST_TAPS
from .gemm_plan import ROWS_A_BASE
from .gemm_tiles import broadcast, multiply_add
from .gemm_transposed import shuffle
from .host import host
from .stage import I64, MASK, WORDS, Scope, Vec

ROWS = 8  # output channels of a tile
LIST = 512  # places in a list of taps
MANY_CHANNELS = 8  # from so many on, the inner turns of a tile run over channels
FILTERS, TAPS = 4, (3, 5, 6)  # tiles of the weights' gradient: at most so many filters, by so many taps
VECTORS = (1, 2)  # vectors of images in a block


def transpose(rows: Sequence[Vec]) -> list[Vec]:
    """The transposed square of as many vectors as they have lanes."""
    rows, lanes, half = list(rows), len(rows), 1
    while half < lanes:
        low = [k if not k & half else lanes + k - half for k in range(lanes)]
        high = [k + half if not k & half else lanes + k for k in range(lanes)]
        after = list(rows)
        for k in range(lanes):
            if not k & half:
                after[k] = shuffle(rows[k], rows[k + half], low)
                after[k + half] = shuffle(rows[k], rows[k + half], high)
        rows, half = after, 2 * half
    return rows


class _Lanes(Writer):
    """A function on images side by side."""

    def __init__(self, module: ir.Module, dtype: int, name: str, parameters: str) -> None:
        super().__init__(module, dtype, name, parameters)
        self.lanes = host().lanes(self.item)
        self.wide = Scope(self.b, self.lanes)

    @property
    def block(self) -> Vec:
        """Images in a block."""
        return self.shape.vectors * self.lanes

    def buffer(self, count: int, dtype: int = abi.INT64) -> Vec:
        """The address of memory on the stack."""
        with self.b.goto_entry_block():
            kind = ir.ArrayType(self.one.type(dtype), count)
            place = self.b.alloca(kind)
            place.align = 64
            return self.whole.number(self.b.ptrtoint(place, I64))

    def word(self, address: Vec, index: Vec | int) -> Vec:
        words = self.b.inttoptr(address.value, WORDS)
        return self.whole.number(self.one.word(words, self.whole.number(index).value))

    def set_word(self, address: Vec, index: Vec | int, value: Vec | int) -> None:
        words = self.b.inttoptr(address.value, WORDS)
        place = self.b.gep(words, [self.whole.number(index).value])
        self.b.store(self.whole.number(value).value, place)

    def mask(self, left: Vec) -> ir.Value:
        """The lanes below a number that may be negative."""
        return self.wide.tail_mask(left.value)

    @property
    def plane(self) -> Vec:
        """Elements of one channel of a block on the image side."""
        g = self.shape
        return g.padded_depth * g.padded_height * g.padded_width * self.block

    @property
    def map_plane(self) -> Vec:
        """Elements of one channel of a block on the map side."""
        return self.shape.positions * self.block


# turning ------------------------------------------------------------------------------------------

SIZES = "depth height width pad_depth pad_height pad_width full_depth full_height full_width"


def _build_turn(module: ir.Module, dtype: int) -> ir.Function:
    """``turn(source described, sizes, channels, first, last, begin, end, block, to)``: one block, side by side.

    `sizes` is the address of SIZES: of a channel, of the border before it, and with its border. Channels
    ``first .. last`` and pixels ``begin .. end`` are written, and all of the border.
    """
    w = _Lanes(module, dtype, "turn", "source sizes first last begin end block to")
    whole, a, lanes = w.whole, w.a, w.lanes
    s = source(whole, a["source"].value)
    z = {key: w.word(a["sizes"], k) for k, key in enumerate(SIZES.split())}
    size = (z["depth"], z["height"], z["width"])
    pixels = z["full_depth"] * z["full_height"] * z["full_width"]
    near = contiguous(whole, s, size)
    first_image = a["block"] * w.block
    table, origins = w.buffer(lanes), w.buffer(lanes)
    target = w.pointer(a["to"])
    begin_square = a["begin"] / lanes
    with whole.loop(begin_square, whole.ceil_div(a["end"], lanes)) as square:
        begin = square * lanes
        _pixel_table(w, z, begin, table, origins, s)
        count = whole.smaller(a["end"] - begin, lanes)
        with whole.loop(a["first"], a["last"]) as c, whole.loop(0, w.shape.vectors) as v:
            image = first_image + v * lanes
            start = w.moved(s.address, image * s.image + c * s.channel)
            out = w.at(target, c * pixels * w.block + v * lanes)
            left = w.shape.batch - image
            with whole.either(near) as (straight, anywhere):
                with straight:
                    inside = w.mask(count)
                    rows = []
                    for k in range(lanes):
                        there = (left > k).select(whole.number(1), 0) != 0
                        mask = w.b.and_(inside, w.wide.splat(there.value, MASK).value)
                        place = w.at(w.pointer(start), s.image * k + begin)
                        rows.append(w.wide.load(place, dtype, mask))
                    columns = transpose(rows)
                    with whole.either(count == lanes) as (full, some):
                        with full:
                            for k, column in enumerate(columns):
                                w.wide.store(column, w.at(out, w.word(table, k)))
                        with some:
                            for k, column in enumerate(columns):
                                with whole.when(count > k):
                                    w.wide.store(column, w.at(out, w.word(table, k)))
                with anywhere, whole.loop(0, count) as k:
                    place = w.at(w.pointer(start), w.word(origins, k))
                    x = w.wide.gather(place, s.image.value, dtype, w.mask(left))
                    w.wide.store(x, w.at(out, w.word(table, k)))
    _clear_border(w, z, pixels)
    return w.end()


def _pixel_table(w: _Lanes, z: dict[str, Vec], begin: Vec, table: Vec, origins: Vec, s: Source) -> None:
    """Where the next pixels go, and where they come from when they lie anywhere."""
    whole = w.whole
    size = z["height"], z["width"]
    for k, (p, y, x) in _positions(w, begin, whole.number(w.lanes), size):
        row = (p + z["pad_depth"]) * z["full_height"] + y + z["pad_height"]
        w.set_word(table, k, (row * z["full_width"] + x + z["pad_width"]) * w.block)
        w.set_word(origins, k, p * s.depth + y * s.height + x * s.width)


def _clear_border(w: _Lanes, z: dict[str, Vec], pixels: Vec) -> None:
    """Zeros around the pixels of a block's channels."""
    whole, a = w.whole, w.a
    zero = w.wide.constant(w.dtype, 0.0)
    target = w.pointer(a["to"])
    inner = z["depth"] * z["height"] * z["width"]
    with whole.when(pixels != inner), whole.loop(a["first"], a["last"]) as c:
        with whole.loop(0, z["full_depth"]) as d, whole.loop(0, z["full_height"]) as h:
            row = ((c * z["full_depth"] + d) * z["full_height"] + h) * z["full_width"] * w.block
            y, p = h - z["pad_height"], d - z["pad_depth"]
            inside = (p >= 0) & (p < z["depth"]) & (y >= 0) & (y < z["height"])
            width = z["full_width"]
            spans = (
                (whole.number(0), inside.select(z["pad_width"], width)),
                (inside.select(z["pad_width"] + z["width"], width), width),
            )
            for start, stop in spans:
                with whole.loop(start * w.block, stop * w.block, w.lanes) as i:
                    w.wide.store(zero, w.at(target, row + i))


def _build_return(module: ir.Module, dtype: int) -> ir.Function:
    """``back(scratch, rows, image, begin, count, channel, channels, pixels, bias, to)``: a square of results.

    The scratch holds for each of `rows` channels a square of positions, each with a block of images.
    """
    w = _Lanes(module, dtype, "back", "scratch rows image begin count channel channels pixels bias to")
    whole, a, lanes = w.whole, w.a, w.lanes
    scratch, target = w.pointer(a["scratch"]), w.pointer(a["to"])
    inside = w.mask(a["count"])
    with whole.loop(0, a["rows"]) as r, whole.loop(0, w.shape.vectors) as v:
        image = a["image"] + v * lanes
        left = whole.smaller(w.shape.batch - image, lanes)
        start = w.at(scratch, r * lanes * w.block + v * lanes)
        columns = [w.wide.load(w.at(start, w.block * k), dtype) for k in range(lanes)]
        term = _term(w, a["bias"], a["channel"] + r)
        rows = [x + w.wide.splat(term.value, dtype) for x in transpose(columns)]
        place = (image * a["channels"] + a["channel"] + r) * a["pixels"] + a["begin"]
        step = a["channels"] * a["pixels"]
        with whole.either((left == lanes) & (a["count"] == lanes)) as (full, some):
            with full:
                for k, row in enumerate(rows):
                    w.wide.store(row, w.at(target, place + step * k))
            with some:
                for k, row in enumerate(rows):
                    with whole.when(left > k):
                        w.wide.store(row, w.at(target, place + step * k), inside)
    return w.end()


def _term(w: _Lanes, bias: Vec, channel: Vec) -> Vec:
    """One channel's bias; 0 without any."""
    cell = w.one.variable(w.one.type(w.dtype))
    w.b.store(w.one.constant(w.dtype, 0.0).value, cell)
    with w.whole.when(bias != 0):
        w.b.store(w.one.load(w.at(w.pointer(bias), channel), w.dtype).value, cell)
    return Vec(w.one, w.b.load(cell), w.dtype)


# tiles of outputs ---------------------------------------------------------------------------------

TILE = "pixels count inner x_step w_step x weight w_row out"
PIXEL_WORDS = 3  # of each position: where its taps begin, its list, how many there are


def _build_tile(module: ir.Module, dtype: int, rows: int, vectors: int) -> ir.Function:
    """``tile(pixels, count, inner, x_step, w_step, x, weight, w_row, out)``: some channels at some positions.

    `pixels` describes `count` positions. A list holds pairs, places of x and of weights, and `inner` turns are made
    from each, which step by `x_step` and `w_step`.
    """
    w = _Lanes(module, dtype, f"tile{rows}x{vectors}", TILE)
    b, whole, a, one, wide = w.b, w.whole, w.a, w.one, w.wide
    weights = w.pointer(a["weight"])
    bases = [w.at(weights, a["w_row"] * r) for r in range(0, rows, ROWS_A_BASE)]
    steps = (whole.number(0), a["w_row"], a["w_row"] * 2)
    block = vectors * w.lanes
    zero = wide.constant(dtype, 0.0)

    def turn(x: ir.Value, at: Vec, sums: list[Vec]) -> list[Vec]:
        loads = [wide.load(one.at(x, v * w.lanes), dtype) for v in range(vectors)]
        places = [at + s for s in steps]
        result = []
        for r in range(rows):
            place = w.at(bases[r // ROWS_A_BASE], places[r % ROWS_A_BASE])
            y = broadcast(wide, b.load(place), dtype)
            result += [multiply_add(y, loads[v], sums[r * vectors + v]) for v in range(vectors)]
        return result

    with whole.loop(0, a["count"]) as p:
        origin = w.at(w.pointer(a["x"]), w.word(a["pixels"], p * PIXEL_WORDS))
        places, count = (w.word(a["pixels"], p * PIXEL_WORDS + k) for k in (1, 2))
        with wide.carried(I64(0), count.value, 1, [zero] * (rows * vectors)) as (i, sums, carry):
            t = whole.number(i) * 2
            x, start = w.at(origin, w.word(places, t)), w.word(places, t + 1)
            with wide.carried(I64(0), a["inner"].value, 1, sums) as (j, inner_sums, inner):
                k = whole.number(j)
                inner.next(*turn(w.at(x, k * a["x_step"]), start + k * a["w_step"], inner_sums))
            carry.next(*inner.final)
        out = w.at(w.pointer(a["out"]), p * block)
        for r in range(rows):
            for v in range(vectors):
                place = one.at(out, r * w.lanes * block + v * w.lanes)
                wide.store(carry.final[r * vectors + v], place)
    return w.end()


def _build_tiles(module: ir.Module, dtype: int) -> ir.Function:
    """``tiles(rows, ...)``: the tile of so many rows, for the block's vectors."""
    sizes = [(rows, vectors) for rows in range(1, ROWS + 1) for vectors in VECTORS]
    made = {size: _build_tile(module, dtype, *size) for size in sizes}
    w = _Lanes(module, dtype, "tiles", "rows " + TILE)
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
        self.turn = _build_turn(module, dtype)
        self.back = _build_return(module, dtype)
        self.tiles = _build_tiles(module, dtype)


def _image_sizes(w: _Lanes) -> Vec:
    """The address of SIZES for the image side."""
    g, place = w.shape, w.buffer(len(SIZES.split()))
    values = [g.depth, g.height, g.width, g.pad_depth, g.pad_height, g.pad_width]
    values += [g.padded_depth, g.padded_height, g.padded_width]
    for k, v in enumerate(values):
        w.set_word(place, k, v)
    return place


def _map_sizes(w: _Lanes) -> Vec:
    """The address of SIZES for the map side."""
    g, place = w.shape, w.buffer(len(SIZES.split()))
    size = [g.out_depth, g.out_height, g.out_width]
    for k, v in enumerate([*size, 0, 0, 0, *size]):
        w.set_word(place, k, v)
    return place


def _each_square(w: _Lanes, count: Vec):
    """This part's squares: yields the block, the first square, and the one after the last, block by block."""
    whole, a, g = w.whole, w.a, w.shape
    squares = whole.ceil_div(count, w.lanes)
    begin, end = whole.share(squares * g.blocks, a["part"], a["parts"])
    with whole.when(end > begin), whole.loop(begin / squares, (end - 1) / squares + 1) as block:
        first = whole.larger(begin - block * squares, 0)
        last = whole.smaller(end - block * squares, squares)
        yield block, first, last


def _run_tiles(w: _Lanes, shared: _Turned, call: dict[str, Vec | int], where: dict[str, Vec]) -> None:
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
    w = _Lanes(shared.module, shared.dtype, "lanes_down", "source weight bias target workspace part parts")
    whole, g, a, lanes = w.whole, w.shape, w.a, w.lanes
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    sizes = _image_sizes(w)
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
            for k, (z, y, x) in _positions(w, start, count, (g.out_height, g.out_width)):
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


def _positions(w: _Lanes, start: Vec, count: Vec, size: tuple[Vec, Vec]):
    """Walk `count` places of a channel: yields their number, and depth, height and width."""
    whole, (height, width) = w.whole, size
    row = start / width
    plane = whole.cell(row / height)
    line, column = whole.cell(row - plane.get() * height), whole.cell(start - row * width)
    with whole.loop(0, count) as k:
        z, y, x = plane.get(), line.get(), column.get()
        yield k, (z, y, x)
        over = x + 1 == width
        column.set(over.select(0, x + 1))
        last = over & (y + 1 == height)
        line.set(last.select(0, over.select(y + 1, y)))
        plane.set(last.select(z + 1, z))


def _list_taps(w: _Lanes, channels: Vec, places: Vec) -> dict[str, Vec]:
    """Where the taps of a position lie, and how a tile walks them: its inner turns run over channels or a line of taps.

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


def _needed(w: _Lanes, begin: Vec, end: Vec) -> tuple[Vec, Vec]:
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
    w = _Lanes(shared.module, shared.dtype, "lanes_up", "source weight bias target workspace part parts")
    whole, g, a, lanes = w.whole, w.shape, w.a, w.lanes
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    sizes = _map_sizes(w)
    lists = w.buffer(lanes * MOST_TAPS * 2)
    pixels = w.buffer(lanes * PIXEL_WORDS)
    for block, first, last in _each_square(w, g.pixels):
        begin, end = _reached(w, first * lanes, whole.smaller(last * lanes, g.pixels))
        turned = w.moved(a["workspace"], g.second + block * g.filters * w.map_plane)
        w.call(shared.turn, a["source"], sizes, 0, g.filters, begin, end, block, turned)
        with whole.loop(first, last) as square:
            start = square * lanes
            count = whole.smaller(g.pixels - start, lanes)
            for k, pixel in _positions(w, start, count, (g.height, g.width)):
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


def _list_positions(w: _Lanes, pixel: tuple[Vec, Vec, Vec], places: Vec) -> Vec:
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


def _reached(w: _Lanes, begin: Vec, end: Vec) -> tuple[Vec, Vec]:
    """The positions that some pixels belong to: whole lines, or everything in three dimensions.

    The first and last pixels bring with them what belongs to no pixel: the gradient of the weights reads that, too.
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


# the weights' gradient ----------------------------------------------------------------------------

WALK = "planes lines columns steps x_column x_line x_plane map_plane"
GRADIENT = "walk map image places out"


def _build_gradient_tile(module: ir.Module, dtype: int, filters: int, taps: int) -> ir.Function:
    """``gradient(walk, map, image, places, out)``: a tile of the weights' gradient, for one block, as vectors.

    `places` holds where each tap's products begin in the image, `walk` is the address of WALK.
    """
    w = _Lanes(module, dtype, f"gradient{filters}x{taps}", GRADIENT)
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
    """``totals(sums, width, filters, taps, out, out_row, add)``: add up the lanes of a tile that is `width` wide."""
    w = _Lanes(module, dtype, "totals", "sums width filters taps out out_row add")
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


def _build_weights(shared: _Turned) -> ir.Function:
    """``lanes_weights(image described, map described, target, workspace, ready, part, parts)``.

    `ready` has bit 1 when the image side lies in the workspace already, and bit 2 when the map side does.
    """
    module, dtype = shared.module, shared.dtype
    tiles = {(f, t): _build_gradient_tile(module, dtype, f, t) for f in range(1, FILTERS + 1) for t in TAPS}
    totals = _build_totals(module, dtype)
    w = _Lanes(module, dtype, "lanes_weights", "image map target workspace ready part parts")
    whole, g, a, b = w.whole, w.shape, w.a, w.b
    taps, channels, filters = g.taps, g.channels / g.groups, g.filters / g.groups
    image_sizes, map_sizes = _image_sizes(w), _map_sizes(w)
    walk = _walk(w)
    per_group = whole.ceil_div(filters, FILTERS)
    begin, end = whole.share(per_group * g.groups, a["part"], a["parts"])
    most = TAPS[-1]
    places, sums = w.buffer(most), w.buffer(FILTERS * most * w.lanes, dtype)
    terms = channels * taps
    cuts = whole.ceil_div(terms, most)
    with whole.when(end > begin):
        _turn_both(w, shared, (image_sizes, map_sizes))
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


def _turn_both(w: _Lanes, shared: _Turned, sizes: tuple[Vec, Vec]) -> None:
    """Bring to the workspace what is not there yet."""
    whole, g, a = w.whole, w.shape, w.a
    with whole.loop(0, g.blocks) as block:
        with whole.when(a["ready"] & 1 == 0):
            to = w.moved(a["workspace"], block * g.channels * w.plane)
            w.call(shared.turn, a["image"], sizes[0], 0, g.channels, 0, g.pixels, block, to)
        with whole.when(a["ready"] & 2 == 0):
            to = w.moved(a["workspace"], g.second + block * g.filters * w.map_plane)
            w.call(shared.turn, a["map"], sizes[1], 0, g.filters, 0, g.positions, block, to)


def _tap_place(w: _Lanes, term: Vec) -> Vec:
    """Where the products of a channel and tap begin in the image."""
    g = w.shape
    c = term / g.taps
    tap = term - c * g.taps
    row = tap / g.kernel_width
    kz = row / g.kernel_height
    ky, kx = row - kz * g.kernel_height, tap - row * g.kernel_width
    line = kz * g.dilation_depth * g.padded_height + ky * g.dilation_height
    return c * w.plane + (line * g.padded_width + kx * g.dilation_width) * w.block


def _walk(w: _Lanes) -> Vec:
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


def build_functions(module: ir.Module, dtype: int) -> dict[str, ir.Function]:
    """The functions ``down``, ``up`` and ``weights`` of a module."""
    shared = _Turned(module, dtype)
    return {"down": _build_down(shared), "up": _build_up(shared), "weights": _build_weights(shared)}
