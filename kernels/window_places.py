"""Where windows lie that a few random numbers place: what pooling at random places reads, as indices.

The operand is contiguous, (lines, numbers of a line); a result is (lines, windows, elements of a window): the place of
each element in the flattened sizes of a line. Attribute words: the numbers of a line, then for each of three dimensions
its size, the size of windows, how many there are, and which number of the line places them. The last window ends where
the dimension does, and the others begin after so many steps, rounded down (Graham, arXiv:1412.6071, as in PyTorch).
"""

from __future__ import annotations

import numpy as np

from . import abi
from .table import array_op, loops

DIMS, DIM_WORDS = 3, 4


def reference_places(samples: np.ndarray, words: tuple[int, ...]) -> np.ndarray:
    """The same, window by window."""
    lines, table = samples.reshape(-1, words[0]), np.reshape(words[1:], (DIMS, DIM_WORDS))
    counts, windows = table[:, 2], table[:, 1]
    found = np.empty((len(lines), counts.prod(), windows.prod()), np.int64)
    for i, line in enumerate(lines):
        for j, at in enumerate(np.ndindex(*counts)):
            starts = []
            for (size, window, count, number), k in zip(table, at, strict=True):
                step = (size - window) / (count - 1) if count > 1 else 0.0
                u = line[number]
                starts.append(size - window if k == count - 1 else int((k + u) * step) - int(u * step))
            for e, inside in enumerate(np.ndindex(*windows)):
                found[i, j, e] = np.ravel_multi_index(np.add(starts, inside), table[:, 0])
    return found


array_op(
    "window_places",
    ("samples",),
    loops("window_places_loops", "places"),
    result=abi.INT64,
    reference=reference_places,
)
