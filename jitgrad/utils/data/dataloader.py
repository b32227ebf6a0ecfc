"""The loader: batches of a data set, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ...user_frames import warn
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, batch_count, check_batch_size

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset")


class DataLoader:
    """Iterates over a data set in batches.

    Data in memory, a `TensorDataset` or a `Subset` of one, is cut into batches with one operation a tensor:
    when shuffled or a subset, each batch is gathered into a new tensor; in order, a batch is a *view* of the
    data. Writing into such a batch would change the data set, so it is an error when the next batch is asked
    for; write into a copy (``xb = xb.clone()``).

    Parameters
    ----------
    dataset : Dataset or sequence
        What to read.
    batch_size : int or None
        Items in a batch; None gives single items.
    shuffle : bool, optional
        A new random order each time.
    sampler : iterable of int, optional
        The order, in place of `shuffle`.
    batch_sampler : iterable of list of int, optional
        The indices of each batch, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
    num_workers : int
        Worker processes do not exist here: anything but 0 gives a warning and is otherwise ignored, so that
        a script written for PyTorch runs.
    collate_fn : callable, optional
        Makes a batch of a list of items, by default `default_collate`.
    pin_memory : bool
        Memory for a GPU: True gives a warning and is otherwise ignored.
    drop_last : bool
        Leave out a last batch that is smaller.
    timeout, worker_init_fn, multiprocessing_context, prefetch_factor, persistent_workers, \
pin_memory_device, in_order
        For PyTorch's sake: they concern workers and are ignored.
    generator : Generator, optional
        Where the random order comes from.

    Raises
    ------
    ValueError
        If options exclude each other or are out of range.
    TypeError
        If `dataset` cannot be read.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, pin_memory)
        _check_workers_only(num_workers, prefetch_factor, persistent_workers)
        if not hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset):
            raise TypeError(
                f"DataLoader: the dataset must define __getitem__, got {type(dataset).__name__}; "
                "give x and y as TensorDataset(x, y)"
            )
        self._made = False
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler "
                "options, since it has its own order"
            )
        _check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size = None
        self.dataset: Any = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self._own_order = sampler is None and batch_sampler is None
        self._shuffle = bool(shuffle)
        self.sampler = self._make_sampler() if sampler is None and not self._iterable else sampler
        if batch_sampler is None and batch_size is not None and not self._iterable:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            batched = batch_size is not None or batch_sampler is not None
            collate_fn = default_collate if batched else default_convert
        self.collate_fn = collate_fn
        self._made = True

    def __setattr__(self, name: str, value: Any) -> None:
        # the samplers were made from these; a change of one alone would be half a change
        if name in _FIXED and self.__dict__.get("_made"):
            raise ValueError(
                f"{name} attribute should not be set after DataLoader is initialized; make a new one"
            )
        super().__setattr__(name, value)

    def _make_sampler(self) -> Any:
        if self._shuffle and len(self.dataset) > 0:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def __len__(self) -> int:
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return batch_count(n, self.batch_size, self.drop_last)
        order = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._iterable:
            return self._iterate()
        if self._own_order and self.collate_fn is default_collate and self.batch_size is not None:
            found = _in_memory(self.dataset)
            if found is not None:
                return self._slice(*found)
        return self._fetch()

    # the general case -----------------------------------------------------------------------------

    def _fetch(self) -> Iterator[Any]:
        dataset, collate = self.dataset, self.collate_fn
        if self.batch_sampler is None:
            for index in self.sampler:  # type: ignore[union-attr]
                yield collate(dataset[index])
            return
        many = getattr(dataset, "__getitems__", None)
        for indices in self.batch_sampler:
            yield collate(many(indices) if many is not None else [dataset[i] for i in indices])

    def _iterate(self) -> Iterator[Any]:
        collate, size = self.collate_fn, self.batch_size
        batch: list[Any] = []
        for item in self.dataset:
            if size is None:
                yield collate(item)
                continue
            batch.append(item)
            if len(batch) == size:
                yield collate(batch)
                batch = []
        if batch and not self.drop_last:
            yield collate(batch)

    # data in memory -------------------------------------------------------------------------------

    def _slice(self, tensors: tuple[Tensor, ...], rows: Any) -> Iterator[list[Tensor]]:
        n = tensors[0].shape[0] if rows is None else len(rows)
        if self._shuffle:
            order = T.randperm(n, generator=self.generator)
            return self._gathered(tensors, order if rows is None else T.as_tensor(rows)[order], n)
        if rows is None or _is_range(rows):
            return self._views(tensors, 0 if rows is None or n == 0 else int(rows[0]), n)
        return self._gathered(tensors, T.as_tensor(rows), n)

    def _ends(self, n: int) -> tuple[int, int]:
        size: int = self.batch_size  # type: ignore[assignment]
        return size, n - n % size if self.drop_last else n

    def _gathered(self, tensors: tuple[Tensor, ...], order: Tensor, n: int) -> Iterator[list[Tensor]]:
        size, end = self._ends(n)
        for start in range(0, end, size):
            index = order.narrow(0, start, min(size, end - start))
            yield [t[index] for t in tensors]

    def _views(self, tensors: tuple[Tensor, ...], first: int, n: int) -> Iterator[list[Tensor]]:
        size, end = self._ends(n)
        versions = [t._version for t in tensors]
        for start in range(0, end, size):
            length = min(size, end - start)
            yield [t.narrow(0, first + start, length) for t in tensors]
            if [t._version for t in tensors] != versions:
                raise RuntimeError(
                    "DataLoader: the data set was changed in place while it was read. Batches in order are "
                    "views of the data; to write into one, copy it first: xb = xb.clone()"
                )


def _check_order(
    batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    """ValueError for options that exclude each other, or a size that is out of range."""
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
            )
    elif batch_size is not None:
        check_batch_size(batch_size)
    elif drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )


def _check_workers(num_workers: Any, timeout: float, pin_memory: bool) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to load in this process, got "
            f"{num_workers}"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, got {timeout}")
    if num_workers > 0:
        warn(
            f"DataLoader: num_workers={num_workers} is ignored, batches are made in this process; "
            "use num_workers=0"
        )
    if pin_memory:
        warn("DataLoader: pin_memory=True is ignored, there is no GPU; use pin_memory=False")


def _check_workers_only(num_workers: int, prefetch_factor: int | None, persistent_workers: bool) -> None:
    """Check options that ask for workers."""
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            f"prefetch_factor option needs num_workers > 0, got prefetch_factor={prefetch_factor}; use None"
        )
    if num_workers == 0 and persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")


def get_worker_info() -> None:
    """None: there are no workers, batches are made in this process."""


def _in_memory(dataset: Dataset[Any]) -> tuple[tuple[Tensor, ...], Any] | None:
    """The tensors of a data set that can be sliced whole, and the rows of them (None for all)."""
    chain = []
    while type(dataset) is Subset:
        chain.append(dataset.indices)
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    n = len(dataset)
    rows = None
    for indices in reversed(chain):
        chosen = np.asarray(indices, dtype=np.int64) if len(indices) else np.empty(0, np.int64)
        length = n if rows is None else len(rows)
        if chosen.ndim != 1 or (chosen.size and not -length <= chosen.min() <= chosen.max() < length):
            return None  # let the items raise their own error
        chosen = np.where(chosen < 0, chosen + length, chosen)
        rows = chosen if rows is None else rows[chosen]
    return dataset.tensors, rows


def _is_range(rows: Any) -> bool:
    return len(rows) == 0 or bool((np.diff(rows) == 1).all())
