"""What every function of the convolutions begins with: arguments, the convolution's shape, arrays with strides."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import ir

from . import abi, gemm
from .convolution_shape import PLACE
from .gemm_tiles import define
from .host import host
from .nest import spread
from .stage import I64, WORDS, Scope, Vec
from .whole import Whole

AXES = ("depth", "height", "width")


class Shape:
    """A convolution's attribute words, each as a whole number under its name."""

    def __init__(self, whole: Whole, words: ir.Value) -> None:
        self._whole, self._words = whole, words

    def __getattr__(self, name: str) -> Vec:
        if name not in PLACE:
            raise AttributeError(name)
        # read once, at the function's entry, from where every place in it is reached
        with self._whole.b.goto_entry_block():
            at = self._whole.b.inttoptr(self._words, WORDS)
            value = self._whole.number(self._whole.one.word(at, PLACE[name]))
        setattr(self, name, value)
        return value

    def of(self, what: str, axis: str) -> Vec:
        """One axis of the kernel, the stride and so on; `what` is empty for the image's own size."""
        return getattr(self, f"{what}_{axis}" if what else axis)

    @property
    def taps(self) -> Vec:
        """Taps of a kernel."""
        return self.kernel_depth * self.kernel_height * self.kernel_width

    @property
    def positions(self) -> Vec:
        """Positions of a map."""
        return self.out_depth * self.out_height * self.out_width

    @property
    def pixels(self) -> Vec:
        """Pixels of a channel."""
        return self.depth * self.height * self.width


class Source(NamedTuple):
    """An array with any strides, read as (batch, channel, depth, height, width)."""

    address: Vec
    image: Vec
    channel: Vec
    depth: Vec
    height: Vec
    width: Vec


def source(whole: Whole, described: ir.Value) -> Source:
    """Read the description of an array of 3, 4 or 5 dimensions, of which the last are spatial."""
    words = whole.b.inttoptr(described, WORDS)

    def word(field: Vec | int) -> Vec:
        at = field.value if isinstance(field, Vec) else field
        return whole.number(whole.one.word(words, at))

    dims = word(abi.ARRAY_DIMS)
    strides = [word(abi.ARRAY_STRIDES + d) for d in (0, 1)]
    for back in (3, 2, 1):
        d = dims - back
        there = d >= 2
        strides.append(there.select(word(there.select(d, 2) + abi.ARRAY_STRIDES), 0))
    return Source(word(abi.ARRAY_ADDRESS), *strides)


def contiguous(whole: Whole, s: Source, sizes: tuple[Vec, Vec, Vec]) -> Vec:
    """Whether the spatial dimensions lie as one: each element next to the one before it."""
    depth, height, width = sizes
    bits = [
        (s.width == 1) | (width == 1),
        (s.height == width) | (height == 1),
        (s.depth == width * height) | (depth == 1),
    ]
    return bits[0] & bits[1] & bits[2]


class Writer:
    """What the functions below have in common: a function begun, its arguments as whole numbers, its shape."""

    def __init__(self, module: ir.Module, dtype: int, name: str, parameters: str, inline: str = "noinline"):
        self.b, arguments = define(module, name, "words " + parameters, inline)
        self.module, self.dtype, self.item = module, dtype, abi.ITEM_SIZES[dtype]
        self.whole = Whole(self.b)
        self.one = self.whole.one
        self.shape = Shape(self.whole, arguments["words"])
        self.words = arguments["words"]
        self.a = {key: self.whole.number(v) for key, v in arguments.items()}

    def pointer(self, address: Vec) -> ir.Value:
        """An address as a pointer to elements."""
        return self.one.pointer(address.value, self.dtype)

    def at(self, pointer: ir.Value, offset: Vec) -> ir.Value:
        """The place `offset` elements on."""
        return self.one.at(pointer, offset.value)

    def moved(self, address: Vec, elements: Vec) -> Vec:
        """The address `elements` on."""
        return address + elements * self.item

    def call(self, function: ir.Function, *arguments: Vec | ir.Value | int) -> None:
        """Call a function of the module on this convolution."""
        self.b.call(function, [self.words, *(self.whole.number(x).value for x in arguments)])

    def multiply(self, **arguments: Vec | int) -> None:
        """Multiply matrices, or what belongs to a part; arguments go by the names of `gemm.SIGNATURE`."""
        values = {"bias": 0, "part": 0, "parts": 1, **arguments}
        values["flags"] = self.whole.number(values["flags"]) | gemm.PIECE
        gemm.call(self.one, self.dtype, {k: self.whole.number(v).value for k, v in values.items()})

    def end(self) -> ir.Function:
        """Finish the function."""
        self.b.ret_void()
        return self.b.function


def met(w: Writer, axis: str, pixel: Vec, tap: Vec) -> tuple[Vec, Vec]:
    """The position along an axis that a tap connects with a pixel, and whether there is one."""
    whole, g = w.whole, w.shape
    stride = g.of("stride", axis)
    reach = pixel + g.of("pad", axis) - tap * g.of("dilation", axis)
    place = whole.cell(reach)
    fits = whole.cell(1)
    with whole.when(stride != 1):
        # no division by a negative number: the remainder's sign would mislead
        safe = whole.larger(reach, 0)
        place.set((reach < 0).select(reach, safe / stride))
        fits.set((safe - safe / stride * stride == 0).select(whole.number(1), 0))
    position = place.get()
    return position, (fits.get() != 0) & (position >= 0) & (position < g.of("out", axis))


def each(w: Writer, count: Vec, body: Callable[[Scope, ir.Value, ir.Value | None], None]) -> None:
    """Call ``body(scope, i, mask)`` below `count`, in vectors."""
    spread(w.b, host().lanes(w.item), I64(0), count.value, body)
