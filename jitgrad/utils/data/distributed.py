"""The sampler of scripts that may share a data set among processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

from jitgrad import functions as T

from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every ``num_replicas``-th index, from ``rank`` on, of an order that changes with each epoch.

    jitgrad trains in one process, so by default that is the whole order; with other numbers it is the share that one
    of several would read.

    Parameters
    ----------
    dataset : sized
        The data set.
    num_replicas : int, default 1
        Among how many it is shared.
    rank : int, default 0
        Whose share this is.
    shuffle : bool, default True
        Draw an order from `seed` and the epoch; all shares are of the same order.
    seed : int, default 0
        Of the order.
    drop_last : bool, default False
        Leave out what cannot be shared evenly, where else the first indices come once more.

    Raises
    ------
    ValueError
        If ``rank`` is not from 0 to ``num_replicas - 1``.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.num_replicas = 1 if num_replicas is None else num_replicas
        self.rank = 0 if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(
                f"DistributedSampler: Invalid rank {self.rank}, rank should be in the interval "
                f"[0, {self.num_replicas - 1}]"
            )
        self.dataset, self.shuffle, self.seed, self.drop_last, self.epoch = (
            dataset,
            shuffle,
            seed,
            drop_last,
            0,
        )
        shares = len(dataset) / self.num_replicas
        self.num_samples = math.floor(shares) if drop_last else math.ceil(shares)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        order = list(range(count))
        if self.shuffle:
            order = T.randperm(count, generator=T.Generator().manual_seed(self.seed + self.epoch)).tolist()
        while order and len(order) < self.total_size:
            order += order[: self.total_size - len(order)]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: call it before each epoch, or every one reads the same."""
        self.epoch = epoch
