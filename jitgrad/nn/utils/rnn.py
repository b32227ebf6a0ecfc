"""Batches of sequences of different lengths: padded to one length, or packed without padding.

Packed data lies step by step: the first elements of all sequences, the longest sequence first, then the second
elements of those that have one, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import float32, float64, int32, int64, uint8
from jitgrad.functions._call import require_tensors
from jitgrad.told import numbers_in


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences of different lengths without padding; `pack_padded_sequence` and `pack_sequence` make them.

    Attributes
    ----------
    data : Tensor, shape (elements of all sequences, ...)
    batch_sizes : Tensor of int64, shape (steps,)
        How many sequences have each step.
    sorted_indices, unsorted_indices : Tensor of int64, shape (batch,), or None
        The order of the sequences in `data`, and the way back to the order in which they were given.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        """Pack ready parts; `data` may also be the pair of data and sizes."""
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    # the sizes and the way back as numbers, where known: who reads tensors cannot be replayed
    _counts: np.ndarray | None = None
    _ranks: np.ndarray | None = None

    def counts(self) -> np.ndarray:
        """How many sequences have each step, as numbers."""
        if self._counts is None:
            self._counts = _lengths_of(self.batch_sizes)
        return self._counts

    def ranks(self) -> np.ndarray:
        """The place of each sequence, in the order in which they were given, among the sorted ones."""
        if self._ranks is None:
            if self.unsorted_indices is None:
                self._ranks = np.arange(self.counts()[0])
            else:
                self._ranks = _lengths_of(self.unsorted_indices)
        return self._ranks

    def _told(self) -> tuple:
        """What a compiled step depends on besides the tensors: these numbers, as far as they are known."""
        return tuple(None if x is None else x.tobytes() for x in (self._counts, self._ranks))

    def with_data(self, data: Tensor) -> PackedSequence:
        """The same packing of other data."""
        other = type(self)(data, *self[1:])
        other._counts, other._ranks = self._counts, self._ranks
        return other

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Convert the data as ``Tensor.to`` does."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self.with_data(data)

    def cpu(self) -> PackedSequence:
        """Return this: there is only the CPU."""
        return self

    def double(self) -> PackedSequence:
        """Convert the data to float64."""
        return self.to(float64)

    def float(self) -> PackedSequence:
        """Convert the data to float32."""
        return self.to(float32)

    def long(self) -> PackedSequence:
        """Convert the data to int64."""
        return self.to(int64)

    def int(self) -> PackedSequence:
        """Convert the data to int32."""
        return self.to(int32)

    def byte(self) -> PackedSequence:
        """Convert the data to uint8."""
        return self.to(uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a GPU: never."""
        return False

    def is_pinned(self) -> bool:
        """Whether the data lies in pinned memory: never."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Return the permutation that undoes another; None for None."""
    return None if permutation is None else T.argsort(permutation)  # type: ignore[attr-defined]


def _lengths_of(lengths: Any) -> np.ndarray:
    values = numbers_in(lengths, "lengths") if isinstance(lengths, Tensor) else [int(n) for n in lengths]
    return np.array(values, np.int64).reshape(-1)


def _counts(lengths: np.ndarray) -> np.ndarray:
    """How many of the sequences have each step."""
    return (lengths[None, :] > np.arange(lengths.max(initial=0))[:, None]).sum(1)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack sequences that are padded to one length.

    Parameters
    ----------
    input : Tensor, shape (steps, batch, ...), or (batch, steps, ...) with `batch_first`
    lengths : Tensor or sequence of int, shape (batch,)
    batch_first : bool, default False
    enforce_sorted : bool, default True
        Whether the sequences are already in the order of their lengths, the longest first.

    Raises
    ------
    RuntimeError
        If lengths do not fit the input, are not sorted though they should be, or are not positive.
    """
    require_tensors("pack_padded_sequence", input)
    if input.ndim < 2:
        raise RuntimeError(
            f"pack_padded_sequence: expected an input of 2 or more dimensions, got {tuple(input.shape)}"
        )
    steps, batch = (input.shape[1], input.shape[0]) if batch_first else (input.shape[0], input.shape[1])
    sizes = _lengths_of(lengths)
    if input.numel() == 0:
        raise RuntimeError(f"pack_padded_sequence: Cannot pack empty tensors, got {tuple(input.shape)}")
    if len(sizes) != batch:
        raise RuntimeError(
            f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={batch})"
        )
    if (sizes <= 0).any():
        raise RuntimeError(
            "pack_padded_sequence: Length of all samples has to be greater than 0, but found an element in "
            f"'lengths' that is <= 0: {sizes.tolist()}"
        )
    if sizes.max() > steps:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must not exceed the input's {steps} steps, got {sizes.tolist()}"
        )
    order = None
    ranks = np.arange(batch)
    if not enforce_sorted:
        ranks = np.argsort(-sizes, kind="stable")
        order = T.tensor(ranks)
    elif (np.diff(sizes) > 0).any():
        raise RuntimeError(
            "pack_padded_sequence: `lengths` array must be sorted in decreasing order when `enforce_sorted` is "
            f"True, got {sizes.tolist()}. You can pass `enforce_sorted=False` to this function, or sort the "
            "sequences"
        )
    counts = _counts(sizes)
    places = np.concatenate([_place(t, ranks[:n], steps, batch, batch_first) for t, n in enumerate(counts)])
    rows = input.reshape(-1, *input.shape[2:])  # type: ignore[attr-defined]
    data = T.index_select(rows, 0, T.tensor(places))  # type: ignore[attr-defined]
    packed = PackedSequence(data, T.tensor(counts), order, None)
    packed._counts, packed._ranks = counts, np.argsort(ranks)
    return packed


def _place(t: int, sequences: np.ndarray, steps: int, batch: int, batch_first: bool) -> np.ndarray:
    """The rows of a step of some sequences in a padded batch."""
    return sequences * steps + t if batch_first else t * batch + sequences


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Pad packed sequences to one length: the inverse of `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool, default False
    padding_value : float, default 0.0
    total_length : int, optional
        Pad to this length; by default to that of the longest sequence.

    Returns
    -------
    Tensor, shape (steps, batch, ...), or (batch, steps, ...) with `batch_first`
    Tensor of int64, shape (batch,)
        The lengths.

    Raises
    ------
    ValueError
        If `total_length` is less than that of the longest sequence.
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(
            f"pad_packed_sequence: expected a PackedSequence, got {type(sequence).__name__}; "
            "make one with pack_padded_sequence"
        )
    counts, ranks = sequence.counts(), sequence.ranks()
    steps, batch = len(counts), int(counts[0])
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "pad_packed_sequence: Expected total_length to be at least the length of the longest sequence "
                f"in input, but got total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    starts = np.cumsum(counts) - counts
    padding = int(counts.sum())  # number of the row of padding, behind all others
    rows = np.full((steps, batch), padding)
    for t, n in enumerate(counts):
        rows[t] = np.where(ranks < n, starts[t] + ranks, padding)
    lengths = (counts[:, None] > ranks).sum(0)
    padded = _gathered([sequence.data], rows.T if batch_first else rows, padding_value)
    return padded, T.tensor(lengths)


def _gathered(parts: Sequence[Tensor], rows: np.ndarray, padding_value: float) -> Tensor:
    """Rows of tensors one behind the other, in any arrangement; the last number is that of padding."""
    first = parts[0]
    padding = T.full((1, *first.shape[1:]), padding_value, dtype=first.dtype)
    flat = T.index_select(T.cat([*parts, padding], 0), 0, T.tensor(np.ascontiguousarray(rows).reshape(-1)))  # type: ignore[attr-defined]
    return flat.reshape(*rows.shape, *first.shape[1:])


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Make one tensor of sequences of different lengths.

    Parameters
    ----------
    sequences : iterable of Tensor, shapes (length, ...)
    batch_first : bool, default False
    padding_value : float, default 0.0
    padding_side : {'right', 'left'}

    Returns
    -------
    Tensor, shape (steps, batch, ...), or (batch, steps, ...) with `batch_first`

    Raises
    ------
    RuntimeError
        If there are no sequences, or their other dimensions differ.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    parts = list(sequences)
    require_tensors("pad_sequence", *parts)
    if not parts:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"pad_sequence: Expected padding_side to be one of left or right, but got {padding_side}."
        )
    shapes = [tuple(p.shape) for p in parts]
    if () in shapes or any(s[1:] != shapes[0][1:] for s in shapes):
        raise RuntimeError(
            "pad_sequence: The size of tensors must match except in dimension 0, which sequences need, got "
            f"{', '.join(map(str, shapes))}"
        )
    lengths = np.array([s[0] for s in shapes])
    steps, starts, padding = lengths.max(), np.cumsum(lengths) - lengths, lengths.sum()
    numbers = np.arange(steps)[:, None] - (steps - lengths if padding_side == "left" else 0)
    rows = np.where((numbers >= 0) & (numbers < lengths), starts + numbers, padding)
    return _gathered(parts, rows.T if batch_first else rows, padding_value)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """Cut a padded batch into its sequences: the inverse of `pad_sequence`.

    Raises
    ------
    ValueError
        If there is not one length for each sequence.
    """
    require_tensors("unpad_sequence", padded_sequences)
    sizes = _lengths_of(lengths)
    batch = padded_sequences.shape[0 if batch_first else 1]
    if len(sizes) != batch:
        raise ValueError(f"unpad_sequence: expected a length for each of {batch} sequences, got {len(sizes)}")
    if batch_first:
        return [padded_sequences[k, : int(n)] for k, n in enumerate(sizes)]
    return [padded_sequences[: int(n), k] for k, n in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences; see `pad_sequence` and `pack_padded_sequence`."""
    parts = list(sequences)
    padded = pad_sequence(parts)
    return pack_padded_sequence(padded, [p.shape[0] for p in parts], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Return the sequences of a `PackedSequence` as a list."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
