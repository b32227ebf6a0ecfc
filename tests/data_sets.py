"""Small data sets, and what tests read of loaders."""

from __future__ import annotations

import numpy as np

import jitgrad as jg
from jitgrad.utils.data import (
    Dataset,
    IterableDataset,
    TensorDataset,
)


def pairs(n=10):
    """Row i of the first tensor is (i, -i), of the second i."""
    i = np.arange(n)
    return TensorDataset(jg.tensor(np.stack([i, -i], 1).astype("float32")), jg.tensor(i.astype("int64")))


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i * i

    def __len__(self):
        return self.n


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


def generator(seed=0):
    return jg.Generator().manual_seed(seed)


def labels(loader):
    return [y.tolist() for _, y in loader]


def flat(lists):
    return [x for part in lists for x in part]
