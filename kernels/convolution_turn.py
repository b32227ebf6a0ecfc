"""Images from (batch, channel, pixels) to (block, channel, pixels, images of the block), and results back.

Squares of pixels and images are transposed in registers. The image side of a convolution gets its border of zeros.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi
from .convolution_writer import Source, Writer, contiguous, source
from .host import host
from .stage import I64, MASK, WORDS, Scope, Vec
from .turned import transpose


class Lanes(Writer):
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
        return self.whole.number(self.b.ptrtoint(self.one.cells(self.one.type(dtype), count), I64))

    def word(self, address: Vec, index: Vec | int) -> Vec:
        """A whole number in memory."""
        words = self.b.inttoptr(address.value, WORDS)
        return self.whole.number(self.one.word(words, self.whole.number(index).value))

    def set_word(self, address: Vec, index: Vec | int, value: Vec | int) -> None:
        """Write a whole number."""
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


def build_turn(module: ir.Module, dtype: int) -> ir.Function:
    """``turn(source described, sizes, channels, first, last, begin, end, block, to)``: one block, side by side.

    `sizes` is the address of SIZES: of a channel, of the border before it, and with its border. Channels
    ``first .. last`` and pixels ``begin .. end`` are written, and all of the border.
    """
    w = Lanes(module, dtype, "turn", "source sizes first last begin end block to")
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
                    _turn_square(w, start, s.image, left, begin, count, out, table)
                with anywhere, whole.loop(0, count) as k:
                    place = w.at(w.pointer(start), w.word(origins, k))
                    x = w.wide.gather(place, s.image.value, dtype, w.mask(left))
                    w.wide.store(x, w.at(out, w.word(table, k)))
    _clear_border(w, z, pixels)
    return w.end()


def _turn_square(
    w: Lanes, start: Vec, step: Vec, left: Vec, begin: Vec, count: Vec, out: ir.Value, table: Vec
) -> None:
    """Write `count` pixels, which lie one behind the other, of as many images as a vector has lanes.

    `step` is from one image to the next; `left` of them are there.
    """
    whole = w.whole
    inside = w.mask(count)
    rows = []
    for k in range(w.lanes):
        there = left > k
        mask = w.b.and_(inside, w.wide.splat(there.value, MASK).value)
        # where no memory is, a load takes hundreds of cycles, though its mask is empty
        place = w.at(w.pointer(start), there.select(step * k, 0) + begin)
        rows.append(w.wide.load(place, w.dtype, mask))
    columns = transpose(rows)
    with whole.either(count == w.lanes) as (full, some):
        with full:
            for k, column in enumerate(columns):
                w.wide.store(column, w.at(out, w.word(table, k)))
        with some:
            for k, column in enumerate(columns):
                with whole.when(count > k):
                    w.wide.store(column, w.at(out, w.word(table, k)))


def _pixel_table(w: Lanes, z: dict[str, Vec], begin: Vec, table: Vec, origins: Vec, s: Source) -> None:
    """Where the next pixels go, and where they come from when they lie anywhere."""
    whole = w.whole
    size = z["height"], z["width"]
    for k, (p, y, x) in positions(w, begin, whole.number(w.lanes), size):
        row = (p + z["pad_depth"]) * z["full_height"] + y + z["pad_height"]
        w.set_word(table, k, (row * z["full_width"] + x + z["pad_width"]) * w.block)
        w.set_word(origins, k, p * s.depth + y * s.height + x * s.width)


def _clear_border(w: Lanes, z: dict[str, Vec], pixels: Vec) -> None:
    """Zeros around the pixels of a block's channels."""
    whole, a = w.whole, w.a
    zero = w.wide.constant(w.dtype, 0.0)
    target = w.pointer(a["to"])
    inner = z["depth"] * z["height"] * z["width"]
    with (
        whole.when(pixels != inner),
        whole.loop(a["first"], a["last"]) as c,
        whole.loop(0, z["full_depth"]) as d,
        whole.loop(0, z["full_height"]) as h,
    ):
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


def build_return(module: ir.Module, dtype: int) -> ir.Function:
    """``back(scratch, rows, image, begin, count, channel, channels, pixels, bias, to)``: a square of results.

    The scratch holds for each of `rows` channels a square of positions, each with a block of images.
    """
    w = Lanes(module, dtype, "back", "scratch rows image begin count channel channels pixels bias to")
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


def _term(w: Lanes, bias: Vec, channel: Vec) -> Vec:
    """One channel's bias; 0 without any."""
    cell = w.one.variable(w.one.type(w.dtype))
    w.b.store(w.one.constant(w.dtype, 0.0).value, cell)
    with w.whole.when(bias != 0):
        w.b.store(w.one.load(w.at(w.pointer(bias), channel), w.dtype).value, cell)
    return Vec(w.one, w.b.load(cell), w.dtype)


def positions(w: Lanes, start: Vec, count: Vec, size: tuple[Vec, Vec]):
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


def image_sizes(w: Lanes) -> Vec:
    """The address of SIZES for the image side."""
    g, place = w.shape, w.buffer(len(SIZES.split()))
    values = [g.depth, g.height, g.width, g.pad_depth, g.pad_height, g.pad_width]
    values += [g.padded_depth, g.padded_height, g.padded_width]
    for k, v in enumerate(values):
        w.set_word(place, k, v)
    return place


def map_sizes(w: Lanes) -> Vec:
    """The address of SIZES for the map side."""
    g, place = w.shape, w.buffer(len(SIZES.split()))
    size = [g.out_depth, g.out_height, g.out_width]
    for k, v in enumerate([*size, 0, 0, 0, *size]):
        w.set_word(place, k, v)
    return place
