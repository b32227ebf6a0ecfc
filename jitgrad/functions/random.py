"""Random tensors: uniform, normal and integer numbers, permutations, draws and dropout.

Kernels read the generator's state from memory when they run and move it on, so a compiled step that is
replayed draws fresh numbers each time. Numbers differ from PyTorch's for the same seed; see `Generator`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from .._tensor import Tensor, method, wrap
from ..dispatch import CONTEXT, refuse
from ..dtypes import bool_, check_device, dtype, get_default_dtype, int64, to_dtype
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import INT32, MAX_DIMS, float_bits
from ..kernels.table import Op
from ..store import store
from .creation import sizes_of
from .generator import Generator, default_generator

__all__ = [
    "bernoulli",
    "dropout",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]

UNIFORM, NORMAL, EXPONENTIAL, INTEGERS, BERNOULLI, PERMUTATION, DROPOUT = (
    BY_NAME[name]
    for name in (
        "random_uniform",
        "random_normal",
        "random_exponential",
        "random_integers",
        "random_bernoulli",
        "random_permutation",
        "dropout",
    )
)
OUTPUT_WORDS = 2 + MAX_DIMS
WORD_RANGE = 1 << 64
LARGEST_FLOATS = {4: 1 << 24, 5: 1 << 53}  # integers up to here are exact, by dtype code
LARGEST_INTEGERS = {0: 2, 1: 256, INT32: 1 << 31, 3: (1 << 63) - 1}


@lru_cache(1024)
def _float_words(*values: float) -> array:
    return array("q", [float_bits(v) for v in values])


UNIT_WORDS = _float_words(0.0, 1.0)


def _source(generator: Generator | None) -> Generator:
    if generator is None:
        generator = default_generator
    elif not isinstance(generator, Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    if generator._state is None:
        generator._words()
    return generator


def _draw(
    op: Op, generator: Generator | None, kind: dtype, shape: Sequence[int], words: array, into: int = 0
) -> int:
    """Run a random operation; returns the slot of its result."""
    source = _source(generator)
    described = array("q", (kind.code, len(shape), *shape))
    ids = source._ids.buffer_info()[0]
    place, count = words.buffer_info()
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, kind.code, into, 1, ids, 1, described.buffer_info()[0], place, count
        )
        if slot >= 0:
            return slot
        if not store.mend(slot):
            refuse(op, (source.state_tensor(),), slot, into, None)


def _made(
    op: Op,
    generator: Generator | None,
    kind: dtype,
    shape: tuple[int, ...],
    words: array,
    requires_grad: bool = False,
) -> Tensor:
    for size in shape:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(shape)}")
    if len(shape) > MAX_DIMS:
        raise RuntimeError(f"a tensor has at most {MAX_DIMS} dimensions, got {len(shape)}: {list(shape)}")
    made = wrap(_draw(op, generator, kind, shape, words))
    return made.requires_grad_() if requires_grad else made


def _overwritten(x: Tensor, op: Op, generator: Generator | None, words: array) -> Tensor:
    """Fill a tensor in place."""
    flags = store.slots[x._slot * SLOT_WORDS + S_FLAGS]
    leaf = store.slots[x._slot * SLOT_WORDS + layout.S_ROW] == layout.NO_ROW
    if not flags & layout.CONTIGUOUS or (flags & layout.REQUIRES_GRAD and not leaf):
        # memory with gaps, or a history that must learn that the old values are gone
        return x.copy_(_made(op, generator, x.dtype, tuple(x.shape), words))  # type: ignore[attr-defined]
    x._become(_draw(op, generator, x.dtype, x.shape, words, x._slot))
    return x


def _floating(name: str, value: Any) -> dtype:
    kind = get_default_dtype() if value is None else to_dtype(value, name)
    if not kind.is_floating_point:
        raise RuntimeError(
            f"{name}: expected a floating-point dtype, got {kind.name}; use randint for integers"
        )
    return kind


# new tensors ----------------------------------------------------------------------------------------


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return uniform numbers from [0, 1).

    Parameters
    ----------
    *size : int or one sequence of int
    generator : Generator, optional
        The default generator if left out.
    dtype : dtype, optional
        A floating one.

    Raises
    ------
    RuntimeError
        If a size is negative or the dtype is not a floating one.
    """
    if device is not None:
        check_device(device)
    return _made(
        UNIFORM, generator, _floating("rand", dtype), sizes_of(size, "rand"), UNIT_WORDS, requires_grad
    )


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return normal numbers of mean 0 and deviation 1; see `rand`."""
    if device is not None:
        check_device(device)
    kind = _floating("randn", dtype)
    return _made(NORMAL, generator, kind, sizes_of(size, "randn"), UNIT_WORDS, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return integers from ``low`` up to but not including ``high``.

    Parameters
    ----------
    low : int, default 0
        May be left out: ``randint(high, size)``.
    high : int
    size : sequence of int
    generator : Generator, optional
    dtype : dtype, default int64

    Raises
    ------
    RuntimeError
        If there is no integer in the range.
    """
    if size is None:
        low, high, size = 0, low, high
    if size is None or not hasattr(high, "__index__"):
        raise TypeError("randint(): expected randint(high, size) or randint(low, high, size)")
    if device is not None:
        check_device(device)
    kind = int64 if dtype is None else to_dtype(dtype, "randint")
    words = _range_words("randint", int(low), int(high))
    return _made(INTEGERS, generator, kind, sizes_of((size,), "randint"), words, requires_grad)


def _range_words(name: str, low: int, high: int) -> array:
    if low >= high:
        raise RuntimeError(
            f"{name}: random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    count = (high - low) % WORD_RANGE
    return array("q", (low, count - WORD_RANGE if count >= WORD_RANGE >> 1 else count))


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return the integers from 0 to ``n - 1`` in random order.

    Raises
    ------
    RuntimeError
        If ``n`` is negative or too large for the dtype.
    """
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    if device is not None:
        check_device(device)
    kind = int64 if dtype is None else to_dtype(dtype, "randperm")
    if kind.code not in PERMUTATION.dtypes:
        return randperm(n, generator=generator).to(kind)  # type: ignore[attr-defined]
    if n > LARGEST_FLOATS.get(kind.code, n):
        raise RuntimeError(f"randperm: n is too large for result tensor type {kind.name}: {n}")
    return _made(PERMUTATION, generator, kind, (int(n),), array("q"), requires_grad)


def _like_dtype(input: Tensor, value: Any, name: str) -> dtype:
    return input.dtype if value is None else to_dtype(value, name)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return uniform numbers from [0, 1), in the shape and dtype of ``input``."""
    kind = _floating("rand_like", _like_dtype(input, dtype, "rand_like"))
    return rand(input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return normal numbers in the shape and dtype of ``input``."""
    kind = _floating("randn_like", _like_dtype(input, dtype, "randn_like"))
    return randn(input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return integers from ``low`` (default 0) up to ``high``, in the shape and dtype of ``input``."""
    low, high = (0, low) if high is None else (low, high)
    kind = _like_dtype(input, dtype, "randint_like")
    return randint(
        low, high, input.shape, generator=generator, dtype=kind, device=device, requires_grad=requires_grad
    )


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return normal numbers of the given mean and deviation, which may be tensors.

    Parameters
    ----------
    mean, std : float or Tensor
        Tensors broadcast, and give the shape.
    size : sequence of int
        The shape when both are numbers.

    Raises
    ------
    RuntimeError
        If the deviation is negative.
    """
    if not isinstance(std, Tensor):
        _check_std("normal", std)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError("normal(): two numbers need a size: normal(mean, std, size)")
        kind = _floating("normal", dtype)
        words = _float_words(float(mean), float(std))
        return _made(NORMAL, generator, kind, sizes_of((size,), "normal"), words, requires_grad)
    if isinstance(std, Tensor) and std.numel() and std.min().item() < 0:  # type: ignore[attr-defined]
        raise RuntimeError("normal: expects all elements of std >= 0.0")
    from ..autograd import no_grad

    with no_grad():
        shape = (mean + std).shape
        tensor = mean if isinstance(mean, Tensor) else std
        return randn(shape, generator=generator, dtype=tensor.dtype) * std + mean


def _check_std(name: str, std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"{name}: normal expects std >= 0.0, but found std {std}")


# in place -------------------------------------------------------------------------------------------


@method
def uniform_(
    self: Tensor,
    from_: float = 0.0,
    to: float = 1.0,
    *,
    generator: Generator | None = None,
    **named: float,  # "from" is not a name in Python
) -> Tensor:
    """Fill with uniform numbers from [from, to), in place.

    Raises
    ------
    RuntimeError
        If ``from`` is greater than ``to``, or the dtype is not a floating one.
    """
    from_ = named.pop("from", from_)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument {next(iter(named))!r}")
    _check_floating("uniform_", self)
    if not from_ <= to:
        raise RuntimeError(
            f"uniform_: expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    return _overwritten(self, UNIFORM, generator, _float_words(float(from_), float(to)))


@method
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers, in place.

    Raises
    ------
    RuntimeError
        If the deviation is negative, or the dtype is not a floating one.
    """
    _check_floating("normal_", self)
    _check_std("normal_", std)
    return _overwritten(self, NORMAL, generator, _float_words(float(mean), float(std)))


@method
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate ``lambd``, in place."""
    _check_floating("exponential_", self)
    if not lambd > 0:
        raise RuntimeError(f"exponential_: expects lambda > 0.0, but found lambda={lambd}")
    return _overwritten(self, EXPONENTIAL, generator, _float_words(float(lambd)))


def _check_floating(name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise RuntimeError(f"{name}: not implemented for {x.dtype.name}; expected float32 or float64")


@method
def random_(self: Tensor, *bounds: int, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with random integers, in place: ``random_()``, ``random_(to)`` or ``random_(from, to)``.

    Without bounds the integers are from 0 to the largest that the dtype holds exactly.
    """
    low = named.pop("from", bounds[0] if len(bounds) > 1 else 0)
    high = named.pop("to", bounds[-1] if bounds else None)
    if named or len(bounds) > 2:
        raise TypeError("random_(): expected random_(), random_(to) or random_(from, to)")
    code = store.slots[self._slot * SLOT_WORDS + S_DTYPE]
    if high is None:
        high = LARGEST_FLOATS[code] + 1 if code in LARGEST_FLOATS else LARGEST_INTEGERS[code]
    return _overwritten(self, INTEGERS, generator, _range_words("random_", int(low), int(high)))


@method
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones, each with probability ``p``, and zeros, in place.

    Parameters
    ----------
    p : float or Tensor
        A tensor must broadcast to this one's shape.

    Raises
    ------
    RuntimeError
        If a probability is not between 0 and 1.
    """
    if isinstance(p, Tensor):
        expanded = p.detach().expand(self.shape)  # type: ignore[attr-defined]
        return self.copy_(bernoulli(expanded, generator=generator))  # type: ignore[attr-defined]
    return _overwritten(self, BERNOULLI, generator, array("q", (_threshold("bernoulli_", p),)))


def _threshold(name: str, p: float) -> int:
    """How many of the 2**32 words count as a hit."""
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"{name}: expects p to be in [0, 1], but got p={p}")
    return round(p * (1 << 32))


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Return ones and zeros; ``input`` holds the probability of each one.

    Parameters
    ----------
    input : Tensor
    p : float, optional
        One probability for all; then only the shape and dtype of ``input`` count.

    Raises
    ------
    RuntimeError
        If a probability is not between 0 and 1, or ``input`` is not floating.
    """
    if p is not None:
        words = array("q", (_threshold("bernoulli", p),))
        return _made(BERNOULLI, generator, input.dtype, tuple(input.shape), words)
    _check_floating("bernoulli", input)
    from ..autograd import no_grad

    with no_grad():
        if input.numel() and not bool(((input >= 0) & (input <= 1)).all()):  # type: ignore[operator]
            raise RuntimeError("bernoulli: expects all probabilities to be in [0, 1]")
        return (rand_like(input, generator=generator) < input).to(input.dtype)  # type: ignore[operator]


Tensor.bernoulli = bernoulli  # type: ignore[attr-defined]


# draws and dropout ----------------------------------------------------------------------------------


@method
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Draw indices, each with a probability proportional to its weight.

    Parameters
    ----------
    input : Tensor, shape (n,) or (m, n)
        Weights, not negative, with a positive sum in each row.
    num_samples : int
        Draws a row.
    replacement : bool, default False
        Whether an index may be drawn again.

    Returns
    -------
    Tensor of int64, shape (num_samples,) or (m, num_samples)

    Raises
    ------
    RuntimeError
        If the weights are wrong or too few for so many draws without replacement.
    """
    _check_floating("multinomial", input)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, got {tuple(input.shape)}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}")
    from ..autograd import no_grad

    with no_grad():
        weights = input.detach().double()  # type: ignore[attr-defined]
        _check_weights(weights, num_samples, replacement)
        if replacement:
            return _drawn_again(weights, num_samples, generator)
        # an exponential race: index i arrives at a time of rate w[i], and the first ones win; a weight of
        # zero never arrives
        times = weights.new_empty(weights.shape).exponential_(generator=generator) / weights
        return times.argsort(-1)[..., :num_samples].contiguous()


def _check_weights(weights: Any, num_samples: int, replacement: bool) -> None:
    if not bool(((weights >= 0) & (weights < float("inf"))).all()):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if bool((weights.sum(-1) <= 0).any()) or not weights.shape[-1]:
        raise RuntimeError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement:
        return
    if num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
            f"{num_samples} > {weights.shape[-1]}"
        )
    if bool(((weights > 0).sum(-1) < num_samples).any()):
        raise RuntimeError(
            f"multinomial: invalid multinomial distribution (with replacement=False, not enough non-negative "
            f"category to sample): {num_samples} draws need as many positive weights"
        )


def _drawn_again(weights: Any, num_samples: int, generator: Generator | None) -> Tensor:
    from . import arange, searchsorted

    totals = weights.cumsum(-1)
    places = rand(*weights.shape[:-1], num_samples, generator=generator, dtype=weights.dtype)
    places = places * totals[..., -1:]
    found = searchsorted(totals, places, right=True)
    # a place may round up to the total itself: the last positive weight takes it
    last = (weights > 0).to(int64) * arange(weights.shape[-1])
    return found.minimum(last.amax(-1, keepdim=True))


_dropout_ids = array("q", (0, 0))
_dropout_outputs = array("q", [0] * (2 * OUTPUT_WORDS))
_dropout_outputs[0] = bool_.code
_dropout_shapes = memoryview(_dropout_outputs).cast("B").cast(store.slots.format)  # so that slices agree
_IDS_PLACE, _OUTPUTS_PLACE = _dropout_ids.buffer_info()[0], _dropout_outputs.buffer_info()[0]


@lru_cache(256)
def _dropout_words(p: float) -> array:
    scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return array("q", (_threshold("dropout", p), float_bits(scale)))


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Zero every element with probability ``p`` and divide the others by ``1 - p``.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
    training : bool, default True
        When False the input is returned as it is.
    generator : Generator, optional

    Raises
    ------
    RuntimeError
        If ``p`` is not between 0 and 1, or the input is not floating.
    """
    if not training:
        return input
    words = _dropout_words(p)
    source = _source(generator)
    at = input._slot * SLOT_WORDS
    slots = store.slots
    code = slots[at + S_DTYPE]
    if not slots[at + S_FLAGS] & layout.CONTIGUOUS or code < 4:
        _check_floating("dropout", input)
        input = input.contiguous()  # type: ignore[attr-defined]
        at = input._slot * SLOT_WORDS
    place, count = words.buffer_info()
    while True:
        slots = store.slots
        _dropout_ids[0], _dropout_ids[1] = input._slot, source._ids[0]
        shape = _dropout_shapes
        shape[0], shape[OUTPUT_WORDS] = bool_.code, code
        shape[1] = shape[OUTPUT_WORDS + 1] = dims = slots[at + S_DIMS]
        shape[2 : 2 + dims] = shape[OUTPUT_WORDS + 2 : OUTPUT_WORDS + 2 + dims] = slots[
            at + S_SHAPE : at + S_SHAPE + dims
        ]
        status = entries.apply_arrays(
            CONTEXT, DROPOUT.code, code, 0, 2, _IDS_PLACE, 2, _OUTPUTS_PLACE, place, count
        )
        if status >= 0:
            kept = wrap(status)  # its handle goes with the local name; the tape keeps the mask if it must
            result = wrap(shape[OUTPUT_WORDS])
            del kept
            return result
        if not store.mend(status):
            refuse(DROPOUT, (input,), status, 0, None)
