"""Convolution and transposed convolution: one operation each, with one kernel forward and one back.

Both are made of the same three functions, in other roles: from an image to a map, from a map to an image, and the
gradient of the weights from an image and a map. Each of them exists in two forms: `convolution_lanes`
puts images side by side in vectors, `convolution_columns` multiplies matrices image by image. Python chooses by
shape (`convolution_shape.layout`).

Output 1 is a workspace. The forward kernel leaves in it what the backward kernel would otherwise make again, and
the backward kernel uses a region of it that the forward kernel never writes.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, compiler, convolution_columns, convolution_lanes, convolution_vjps, gemm
from .batch import Batch
from .convolution_shape import PLACE, images_together, narrowed, workspace_of
from .convolution_writer import Writer, contiguous, source
from .host import host
from .operands import Arrays, array_kernel
from .stage import I64, VOID, Scope, Vec, new_module
from .table import array_op

NAMES = {abi.FLOAT32: "jg_convolution_f32", abi.FLOAT64: "jg_convolution_f64"}
DOWN, UP, WEIGHTS, SUMS, UNFOLD, FOLD = range(6)
SIGNATURE = "what words source other weight bias target workspace ready part parts"
CHAINS = 4  # sums side by side


def provide(dtype: int) -> None:
    """Make the convolutions of `dtype` callable from kernels."""
    gemm.provide(dtype)
    compiler.symbol(NAMES[dtype], lambda: build(dtype))


def build(dtype: int) -> ir.Module:
    """The module with everything that convolutions do.

    ``jg_convolution(what, words, source, other, weight, bias, target, workspace, ready, part, parts)``: `source`
    and `other` are addresses of descriptions of arrays, `words` is that of the attributes, the others are those of
    elements. DOWN and UP go from the source to the target; WEIGHTS reads an image and a map (`other`); SUMS adds
    up the source's channels; UNFOLD and FOLD go from images to columns and back.
    """
    module = new_module(NAMES[dtype])
    functions = convolution_columns.build_functions(module, dtype)
    lanes = convolution_lanes.build_functions(module, dtype)
    sums = _build_sums(module, dtype)
    names = SIGNATURE.split()
    entry = ir.Function(module, ir.FunctionType(VOID, [I64] * len(names)), NAMES[dtype])
    b = ir.IRBuilder(entry.append_basic_block("entry"))
    a = dict(zip(names, entry.args, strict=True))
    after = b.append_basic_block("after")
    switch = b.switch(a["what"], after)
    cases = {
        DOWN: (functions["down"], "words source weight bias target workspace part parts"),
        UP: (functions["up"], "words source weight bias target workspace part parts"),
        WEIGHTS: (functions["weights"], "words source other target workspace ready part parts"),
        SUMS: (sums, "words source target part parts"),
        UNFOLD: (functions["unfold"], "words source target part parts"),
        FOLD: (functions["fold"], "words source target part parts"),
    }
    for what, (function, parameters) in cases.items():
        block = b.append_basic_block("case")
        switch.add_case(I64(what), block)
        b.position_at_end(block)
        arguments = [a[key] for key in parameters.split()]
        form = {DOWN: "down", UP: "up", WEIGHTS: "weights"}.get(what)
        if form is None:
            b.call(function, arguments)
        else:
            words = b.inttoptr(a["words"], I64.as_pointer())
            beside = b.load(b.gep(words, [I64(PLACE["lanes"])]))
            with b.if_else(b.icmp_signed("!=", beside, I64(0))) as (side_by_side, one_by_one):
                with side_by_side:
                    b.call(lanes[form], arguments)
                with one_by_one:
                    b.call(function, arguments)
        b.branch(after)
    b.position_at_end(after)
    b.ret_void()
    return module


def _build_sums(module: ir.Module, dtype: int) -> ir.Function:
    """``sums(described, target, part, parts)``: the sum of each channel, plane by plane in float64."""
    w = Writer(module, dtype, "sums", "source target part parts")
    whole, a, b = w.whole, w.a, w.b
    s = source(whole, a["source"].value)
    sizes = _sizes(w, a["source"])
    batch, channels, depth, height, width = sizes
    flat = contiguous(whole, s, (depth, height, width))
    planes = flat.select(1, depth * height)
    count = flat.select(depth * height * width, width)
    step = flat.select(1, s.width)  # a stride along a side of length one says nothing
    first, last = whole.share(channels, a["part"], a["parts"])
    wide = Scope(b, host().lanes(w.item))
    zero = wide.constant(dtype, 0.0)
    turn = wide.lanes * CHAINS
    steps = b.and_(count.value, I64(-turn))
    near = (step == 1) | (count == 1)
    steps = b.select(near.value, steps, I64(0))
    with whole.loop(first, last) as c:
        total = whole.one.variable(whole.one.type(abi.FLOAT64))
        b.store(whole.one.constant(abi.FLOAT64, 0.0).value, total)
        with whole.loop(0, batch) as n, whole.loop(0, planes) as line:
            z = line / height
            place = n * s.image + c * s.channel + z * s.depth + (line - z * height) * s.height
            row = w.at(w.pointer(s.address), place)
            with wide.carried(I64(0), steps, turn, [zero] * CHAINS) as (i, sums, carry):
                places = [b.add(i, I64(k * wide.lanes)) for k in range(CHAINS)]
                carry.next(
                    *(x + wide.load(wide.at(row, p), dtype) for x, p in zip(sums, places, strict=True))
                )
            x, y, u, v = carry.final
            part = ((x + y) + (u + v)).reduce(lambda p, q: p + q)
            with whole.one.carried(steps, count.value, 1, [part]) as (i, (before,), carry):
                carry.next(before + whole.one.load(w.at(row, whole.number(i) * step), dtype))
            sum_ = Vec(whole.one, b.load(total), abi.FLOAT64) + carry.final[0].to(abi.FLOAT64)
            b.store(sum_.value, total)
        result = Vec(whole.one, b.load(total), abi.FLOAT64).to(dtype)
        whole.one.store(result, w.at(w.pointer(a["target"]), c))
    return w.end()


def _sizes(w: Writer, described: Vec) -> list[Vec]:
    """Sizes of a described array as (batch, channel, depth, height, width)."""
    whole = w.whole
    words = w.b.inttoptr(described.value, I64.as_pointer())

    def word(field: Vec) -> Vec:
        return whole.number(whole.one.word(words, field.value))

    dims = word(whole.number(abi.ARRAY_DIMS))
    sizes = [word(whole.number(abi.ARRAY_SHAPE + d)) for d in (0, 1)]
    for back in (3, 2, 1):
        d = dims - back
        there = d >= 2
        sizes.append(there.select(word(there.select(d, 2) + abi.ARRAY_SHAPE), 1))
    return sizes


# the kernels --------------------------------------------------------------------------------------


class _Kernel:
    """A kernel that only calls the functions above."""

    def __init__(self, symbol: str, dtype: int) -> None:
        self.module, self.arrays, part, parts = array_kernel(symbol)
        self.b, self.dtype = self.arrays.b, dtype
        self.fixed = {"words": self._address_of(self._attributes()), "part": part, "parts": parts}

    def _attributes(self) -> ir.Value:
        return self.arrays.scope.word(self.arrays.record, abi.R_ATTRS)

    def _address_of(self, word: ir.Value | int) -> ir.Value:
        at = I64(word) if isinstance(word, int) else word
        return self.b.add(self.b.ptrtoint(self.arrays.record, I64), self.b.mul(at, I64(abi.WORD)))

    def described(self, k: int) -> ir.Value:
        """The address of the description of array `k`."""
        return self._address_of(abi.A_ARRAYS + k * abi.ARRAY_WORDS)

    def call(self, what: int, **values: ir.Value | int) -> None:
        """Call one of the functions; what is not given is 0."""
        given = {"what": I64(what), **self.fixed, **values}
        arguments = [given.get(key, I64(0)) for key in SIGNATURE.split()]
        arguments = [I64(x) if isinstance(x, int) else x for x in arguments]
        self.arrays.scope.call(NAMES[self.dtype], VOID, arguments)

    def end(self) -> ir.Module:
        self.b.ret_void()
        return self.module


def _forward(what: int):
    def build_forward(symbol: str, dtype: int) -> ir.Module:
        """``y``; arrays x, w, bias, y, workspace."""
        k = _Kernel(symbol, dtype)
        arrays: Arrays = k.arrays
        k.call(
            what, source=k.described(0), weight=arrays.address(1), bias=arrays.address(2),
            target=arrays.address(3), workspace=arrays.address(4),
        )  # fmt: skip
        return k.end()

    return build_forward


def _backward(forward: int):
    def build_backward(symbol: str, dtype: int) -> ir.Module:
        """Gradients; arrays x, w, bias, y, workspace, g, g of the workspace, gx, gw, gbias."""
        k = _Kernel(symbol, dtype)
        arrays, down = k.arrays, forward == DOWN
        workspace = arrays.address(4)
        with k.b.if_then(arrays.present(5)):
            with k.b.if_then(arrays.present(7)):
                k.call(
                    UP if down else DOWN, source=k.described(5), weight=arrays.address(1),
                    target=arrays.address(7), workspace=workspace,
                )  # fmt: skip
            with k.b.if_then(arrays.present(8)):
                image, map_ = (0, 5) if down else (5, 0)
                # the cotangent lies in the workspace when this part has made the gradient of x from all of it
                alone = k.b.icmp_signed("==", k.fixed["parts"], I64(1))
                both = k.b.and_(alone, arrays.present(7))
                ready = k.b.select(both, I64(3), I64(1 if down else 2))
                k.call(
                    WEIGHTS, source=k.described(image), other=k.described(map_), target=arrays.address(8),
                    workspace=workspace, ready=ready,
                )  # fmt: skip
            with k.b.if_then(arrays.present(9)):
                k.call(SUMS, source=k.described(5), target=arrays.address(9))
        return k.end()

    return build_backward


_FORMULAS = {
    DOWN: (convolution_vjps.convolution_x, convolution_vjps.convolution_w),
    UP: (convolution_vjps.transposed_x, convolution_vjps.transposed_w),
}
for _name, _what in (("convolution", DOWN), ("convolution_transpose", UP)):
    array_op(
        _name,
        ("x", "w", "bias"),
        _forward(_what),
        backward=_backward(_what),
        gradients={"x": ("w", "y1"), "w": ("x", "y1"), "bias": ()},
        vjp={"x": _FORMULAS[_what][0], "w": _FORMULAS[_what][1], "bias": convolution_vjps.convolution_bias},
        outputs=2,
        requires=(provide,),
        grad_name="Convolution",
        batch=Batch(
            {"x": 0, "y": 0},
            ("w", "bias"),
            workspace="y1",
            attributes=narrowed,
            needs=workspace_of,
            grain=images_together,
        ),
    )


def _straight(what: int):
    def build_straight(symbol: str, dtype: int) -> ir.Module:
        """``y``; arrays x, y."""
        k = _Kernel(symbol, dtype)
        k.call(what, source=k.described(0), target=k.arrays.address(1))
        return k.end()

    return build_straight


def _reversed(what: int):
    def build_reversed(symbol: str, dtype: int) -> ir.Module:
        """``gx``; arrays x, y, g, gx."""
        k = _Kernel(symbol, dtype)
        with k.b.if_then(k.arrays.present(2)):
            k.call(what, source=k.described(2), target=k.arrays.address(3))
        return k.end()

    return build_reversed


def _unfolded(ops, g, x_shape, words):
    return ops.run_op("fold", (g,), (g, x_shape), words)[0]


def _folded(ops, g, x_shape, words):
    return ops.run_op("unfold", (g,), (g, x_shape), words)[0]


for _name, _what, _back in (("unfold", UNFOLD, FOLD), ("fold", FOLD, UNFOLD)):
    array_op(
        _name,
        ("x",),
        _straight(_what),
        backward=_reversed(_back),
        gradients={"x": ()},
        vjp={"x": _unfolded if _what == UNFOLD else _folded},
        requires=(provide,),
        grad_name="Im2Col" if _what == UNFOLD else "Col2Im",
    )
