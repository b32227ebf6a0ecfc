"""Samplers: the order in which a data set is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from jitgrad import functions as T

Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """Base of samplers: a subclass defines ``__iter__`` over indices and, if it can, ``__len__``."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ...

    Parameters
    ----------
    data_source : sized
        The data set.
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order.

    Parameters
    ----------
    data_source : sized
        The data set.
    replacement : bool
        Draw every index independently, so that some come twice.
    num_samples : int, optional
        How many to draw, by default the length of the data set; beyond it a new order begins.
    generator : Generator, optional
        Where the random numbers come from.

    Raises
    ------
    TypeError, ValueError
        If `replacement` is not a bool or `num_samples` not a positive integer.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={self.num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """How many indices are drawn."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        return islice(self._draw(), self.num_samples)

    def _draw(self) -> Iterator[int]:
        n = len(self.data_source)
        while True:
            if self.replacement:
                yield from T.randint(0, n, (self.num_samples,), generator=self.generator).tolist()
            else:
                yield from T.randperm(n, generator=self.generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order.

    Parameters
    ----------
    indices : sequence of int
        The indices.
    generator : Generator, optional
        Where the random numbers come from.
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in T.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with given weights.

    Parameters
    ----------
    weights : sequence of float
        A weight for each index, not negative; the sum need not be 1.
    num_samples : int
        How many to draw.
    replacement : bool
        Whether an index can come twice.
    generator : Generator, optional
        Where the random numbers come from.

    Raises
    ------
    ValueError
        If `num_samples` is not a positive integer, if the weights are not a row of finite numbers >= 0 with
        a positive sum, or if too few are positive to draw without replacement.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = T.as_tensor(weights, dtype=T.float64)
        values = self.weights.numpy(force=True)
        if values.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {values.shape}")
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
            raise ValueError("weights should be finite and not negative, with a positive sum")
        if not replacement and num_samples > np.count_nonzero(values):
            raise ValueError(
                f"cannot draw {num_samples} indices without replacement from "
                f"{np.count_nonzero(values)} positive weights"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        weights = self.weights.numpy(force=True)
        draw = self._independent if self.replacement else self._distinct
        return iter(draw(weights).tolist())

    def _independent(self, weights: Any) -> Any:
        """Where a uniform number falls among the cumulative weights."""
        ends = np.cumsum(weights)
        points = self._uniform(self.num_samples) * ends[-1]
        # the product may round up to the very end; never go beyond the last positive weight
        return np.minimum(np.searchsorted(ends, points, side="right"), np.flatnonzero(weights)[-1])

    def _distinct(self, weights: Any) -> Any:
        """The first arrivals of exponential clocks with these rates (Efraimidis, Spirakis 2006)."""
        with np.errstate(divide="ignore"):
            arrivals = -np.log1p(-self._uniform(len(weights))) / weights
        # of a clock that never rings 0 / 0 may have been taken
        arrivals[weights == 0] = np.inf
        return np.argsort(arrivals, kind="stable")[: self.num_samples]

    def _uniform(self, n: int) -> Any:
        return T.rand(n, dtype=T.float64, generator=self.generator).numpy()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices from another sampler.

    Parameters
    ----------
    sampler : iterable of int
        The other sampler.
    batch_size : int
        Length of the lists.
    drop_last : bool
        Leave out a last list that is shorter.

    Raises
    ------
    ValueError
        If `batch_size` is not a positive integer or `drop_last` not a bool.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        check_batch_size(batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        return batch_count(len(self.sampler), self.batch_size, self.drop_last)  # type: ignore[arg-type]


def check_batch_size(batch_size: Any) -> None:
    """Raise ValueError if `batch_size` is not a positive integer."""
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
        raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")


def batch_count(n: int, batch_size: int, drop_last: bool) -> int:
    """The number of batches of `n` items."""
    return n // batch_size if drop_last else -(-n // batch_size)
