"""Running random operations: the generator they draw from, and the words that say what they draw.

Kernels read the generator's state from memory when they run and move it on, so a compiled step that is
replayed draws fresh numbers each time. Numbers differ from PyTorch's for the same seed; see `Generator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from .._tensor import Tensor, wrap
from ..dtypes import dtype, get_default_dtype, to_dtype
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_FLAGS, SLOT_WORDS
from ..kernels.abi import MAX_DIMS, float_bits
from ..kernels.arguments import UNFIT
from ..kernels.table import Op
from ..refusals import refuse
from ..store import store
from ._call import is_floating
from ._dims import shape_of
from .generator import Generator, default_generator

WORD_RANGE = 1 << 64


def source_of(generator: Generator | None) -> Generator:
    """The generator to draw from, with its state in memory."""
    if generator is None:
        generator = default_generator
    elif not isinstance(generator, Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    if generator._state is None:
        generator._words()
    return generator


def state_of(generator: Generator | None) -> Tensor:
    """The state of the generator to draw from, as the tensor that random kernels take as an operand."""
    if generator is None:
        state = default_generator._state
        if state is not None:
            return state
    return source_of(generator).state_tensor()


def draw(
    op: Op,
    generator: Generator | None,
    kind: dtype,
    shape: Sequence[int],
    words: Sequence[int],
    into: int = 0,
) -> int:
    """Run a random operation; returns the slot of its result."""
    state, code = state_of(generator), kind.code
    slot = entries.listed(op.code, code, code, into, (state,), shape, words)
    while slot < 0:
        if slot == UNFIT or not store.mend(slot):
            refuse(op, (state,), slot, into)
        slot = entries.listed(op.code, code, code, into, (state,), shape, words)
    return slot


def make_random(
    op: Op,
    generator: Generator | None,
    kind: dtype,
    shape: tuple[int, ...],
    words: Sequence[int],
    requires_grad: bool = False,
) -> Tensor:
    """A new tensor that a random operation fills."""
    drawn = entries.drawn(op.code, kind.code, state_of(generator), words, shape)
    if type(drawn) is not int:
        return drawn.requires_grad_() if requires_grad else drawn
    for size in shape:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(shape)}")
    if len(shape) > MAX_DIMS:
        raise RuntimeError(f"a tensor has at most {MAX_DIMS} dimensions, got {len(shape)}: {list(shape)}")
    made = wrap(draw(op, generator, kind, shape, words))
    return made.requires_grad_() if requires_grad else made


@contextmanager
def undrawn_if_refused(generator: Generator | None) -> Iterator[None]:
    """For draws that are written into a tensor: when that is refused, the generator stands where it stood before."""
    state = state_of(generator)
    before = state.clone()  # type: ignore[attr-defined]
    try:
        yield
    except Exception:
        state.copy_(before)  # type: ignore[attr-defined]
        raise


def overwrite(x: Tensor, op: Op, generator: Generator | None, words: Sequence[int]) -> Tensor:
    """Fill a tensor in place."""
    status = entries.redrawn(op.code, x, state_of(generator), words)
    if status >= 0:
        if status != x._slot:
            x._become(status)
        return x
    flags = store.slots[x._slot * SLOT_WORDS + S_FLAGS]
    leaf = store.slots[x._slot * SLOT_WORDS + layout.S_ROW] == layout.NO_ROW
    if not flags & layout.CONTIGUOUS or (flags & layout.REQUIRES_GRAD and not leaf):
        # memory with gaps, or a history that must learn that the old values are gone
        with undrawn_if_refused(generator):
            return x.copy_(make_random(op, generator, x.dtype, tuple(x.shape), words))  # type: ignore[attr-defined]
    x._become(draw(op, generator, x.dtype, shape_of(x), words, x._slot))
    return x


def floating_dtype(name: str, value: Any) -> dtype:
    """The dtype given, or the default one; others than floating dtypes are refused."""
    kind = get_default_dtype() if value is None else to_dtype(value, name)
    if not kind.is_floating_point:
        raise RuntimeError(
            f"{name}: expected a floating-point dtype, got {kind.name}; use randint for integers"
        )
    return kind


# what is drawn, in words of a call's record ---------------------------------------------------------------


@lru_cache(1024)
def float_words(*values: float) -> tuple[int, ...]:
    """Attribute words for floats."""
    return tuple(map(float_bits, values))


def range_words(name: str, low: int, high: int) -> tuple[int, int]:
    """Attribute words for integers from `low` up to but not including `high`."""
    if low >= high:
        raise RuntimeError(
            f"{name}: random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    count = (high - low) % WORD_RANGE
    return low, count - WORD_RANGE if count >= WORD_RANGE >> 1 else count


def threshold_of(name: str, p: float) -> int:
    """How many of the 2**32 words count as a hit."""
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"{name}: expects p to be in [0, 1], but got p={p}")
    return round(p * (1 << 32))


# refusals -----------------------------------------------------------------------------------------------


def check_std(name: str, std: float) -> None:
    """Refuse a negative deviation, and nan."""
    if not std >= 0:
        raise RuntimeError(f"{name}: normal expects std >= 0.0, but found std {std}")


def check_floating(name: str, x: Tensor) -> None:
    """Refuse tensors of integers and bools."""
    if not is_floating(x):
        raise RuntimeError(f"{name}: not implemented for {x.dtype.name}; expected float32 or float64")
