"""Data sets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import floor, isclose
from typing import Any, Generic, TypeVar

from jitgrad import functions as T
from jitgrad._tensor import Tensor

Item = TypeVar("Item", covariant=True)


class Dataset(Generic[Item]):
    """A data set that is read by index: a subclass defines ``__getitem__`` and, as a rule, ``__len__``.

    A subclass may also define ``__getitems__(indices)``, which returns the list of items of a batch.
    """

    def __getitem__(self, index: Any) -> Item:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Item]):
    """A data set that is read in its own order: a subclass defines ``__iter__``."""

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors whose rows belong together: item i is ``(a[i], b[i], ...)``.

    Parameters
    ----------
    *tensors : Tensor
        Tensors with the same size in dimension 0.

    Raises
    ------
    AssertionError
        If the sizes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        sizes = [t.shape[0] for t in tensors]
        if any(n != sizes[0] for n in sizes):
            raise AssertionError(
                f"Size mismatch between tensors: TensorDataset got dimension 0 of sizes {sizes}"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class ConcatDataset(Dataset[Any]):
    """Data sets one behind the other.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one, each with a length.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        for i, d in enumerate(self.datasets):
            if isinstance(d, IterableDataset):
                raise AssertionError(
                    f"ConcatDataset does not support IterableDataset (datasets[{i}]); use ChainDataset"
                )
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if not -n <= index < n:
            # going through the items ends with an IndexError; below the first item PyTorch has a ValueError
            error = IndexError if index >= n else ValueError
            raise error(f"ConcatDataset: index {index} is out of range for length {n}")
        index %= n
        k = bisect_right(self.cumulative_sizes, index)
        return self.datasets[k][index - (self.cumulative_sizes[k - 1] if k else 0)]


class StackDataset(Dataset[Any]):
    """Data sets side by side: item i has item i of each.

    Parameters
    ----------
    *args : Dataset
        Data sets of one length, whose items are given as tuples.
    **kwargs : Dataset
        The same, given as dicts; one of the two.

    Raises
    ------
    ValueError
        If there are none, both are given, or the lengths differ.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if bool(args) == bool(kwargs):
            given = "both positional and named ones" if args else "none"
            raise ValueError(f"StackDataset: expected data sets by position or by name, got {given}")
        self.datasets: Any = args or kwargs
        lengths = [len(d) for d in args or kwargs.values()]  # type: ignore[arg-type]
        if any(n != lengths[0] for n in lengths):
            raise ValueError(f"Size mismatch between datasets: StackDataset got lengths {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple(d[index] for d in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        if isinstance(self.datasets, dict):
            columns = [_items(d, indices) for d in self.datasets.values()]
            return [dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)]
        return list(zip(*(_items(d, indices) for d in self.datasets), strict=True))

    def __len__(self) -> int:
        return self._length


class ChainDataset(IterableDataset[Any]):
    """Iterable data sets one after the other.

    Parameters
    ----------
    datasets : iterable of IterableDataset
        The data sets.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        for i, d in enumerate(self.datasets):
            if not isinstance(d, IterableDataset):
                raise AssertionError(
                    f"ChainDataset only supports IterableDataset, datasets[{i}] is a {type(d).__name__}"
                )

    def __iter__(self) -> Iterator[Any]:
        for d in self.datasets:
            yield from d  # type: ignore[misc]

    def __len__(self) -> int:
        return sum(len(d) for d in self.datasets)  # type: ignore[arg-type]


class Subset(Dataset[Item]):
    """The items of a data set at given indices.

    Parameters
    ----------
    dataset : Dataset
        The whole.
    indices : sequence of int
        The indices; any sequence or one-dimensional tensor of integers.
    """

    def __init__(self, dataset: Dataset[Item], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Item:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Item]:
        return _items(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def _items(dataset: Dataset[Any], indices: list[int]) -> list[Any]:
    """Items of a data set, which may give them at once."""
    many = getattr(dataset, "__getitems__", None)
    return many(indices) if many is not None else [dataset[i] for i in indices]


def random_split(
    dataset: Dataset[Item], lengths: Sequence[int | float], generator: Any = None
) -> list[Subset[Item]]:
    """Split a data set at random into parts without overlap.

    Parameters
    ----------
    dataset : Dataset
        The whole.
    lengths : sequence of int or float
        The lengths of the parts, with the length of `dataset` as their sum; or fractions with the sum 1,
        whose remainder after rounding down goes to the first parts, one item each.
    generator : Generator, optional
        Where the random permutation comes from.

    Returns
    -------
    list of Subset
        The parts.

    Raises
    ------
    ValueError
        If the sum is wrong or a fraction is outside [0, 1].
    """
    n = len(dataset)  # type: ignore[arg-type]
    if isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _from_fractions(lengths, n)
    if sum(lengths) != n:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"({list(lengths)} for {n} items)"
        )
    order = T.randperm(n, generator=generator).tolist()
    ends = list(accumulate(int(k) for k in lengths))
    return [Subset(dataset, order[end - int(k) : end]) for end, k in zip(ends, lengths, strict=True)]


def _from_fractions(fractions: Sequence[float], n: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
    lengths = [floor(n * f) for f in fractions]
    for i in range(n - sum(lengths)):
        lengths[i % len(lengths)] += 1
    return lengths
