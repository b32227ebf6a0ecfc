"""One record that adds up sums which were made in pieces, which only programs have.

Its words, after the header: number of pieces beside the target, bytes from a piece to the next, number of targets,
and for each target its address, its number of elements, and the address of its first piece. A target holds a
piece itself, the first; the others are added in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import abi, compiler
from .abi import HEADER_WORDS, plain_record
from .nest import SHARE_GRAIN, compute_lanes, share, whole_first
from .stage import I64, Scope, new_kernel, new_module

TOGETHER = 4  # vectors side by side: a sum waits for the one before
PIECES, PITCH, COUNT, FIRST = range(HEADER_WORDS, HEADER_WORDS + 4)
TARGET, NUMEL, PIECE, WIDTH = range(4)  # words of one target


def record(dtype: int, pieces: int, pitch: int, targets: Sequence[tuple[int, int, int]]) -> list[int]:
    """A record for targets given as (address, elements, address of the first piece)."""
    words = [word for target in targets for word in target]
    return plain_record(address(dtype), [pieces, pitch, len(targets), *words])


def address(dtype: int) -> int:
    """Address of the kernel, compiled on first use."""
    symbol = f"program.sums.{abi.DTYPE_NAMES[dtype]}"
    return compiler.native(symbol, lambda: build(symbol, dtype), light=True)


def build(symbol: str, dtype: int) -> ir.Module:
    """The kernel of a dtype."""
    module = new_module(symbol)
    b, place, part, parts = new_kernel(module, symbol)
    one = Scope(b, 1, outer=True)
    pieces, pitch = one.word(place, PIECES), one.word(place, PITCH)
    with one.loop(I64(0), one.word(place, COUNT)) as k:
        at = b.add(b.mul(k, I64(WIDTH)), I64(FIRST))
        address_, numel, piece = (one.word(place, b.add(at, I64(f))) for f in (TARGET, NUMEL, PIECE))
        target = one.pointer(address_, dtype)

        def total(scope: Scope, i: ir.Value, mask: ir.Value | None, target=target, piece=piece) -> None:
            here = scope.at(target, i)
            with scope.carried(I64(0), pieces, 1, [scope.load(here, dtype, mask)]) as (p, (so_far,), carry):
                other = one.pointer(b.add(piece, b.mul(p, pitch)), dtype)
                carry.next(so_far + scope.load(scope.at(other, i), dtype, mask))
            scope.store(carry.final[0], here, mask)

        begin, end = share(one, numel, part, parts, SHARE_GRAIN)
        whole_first(b, compute_lanes([dtype]), begin, end, total, together=TOGETHER)
    b.ret_void()
    return module
