"""What it takes two cores to hand cache lines to one another: ``python benchmarks/exchange.py``.

Two threads go through rounds together, as the threads of a program go through a training step: each reads weights,
they meet, and each updates its own half. When a thread has read the other's half, too, every line of it must be taken
back before it can be written. The difference is what an update waits for, whatever its arithmetic.
"""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
from numba import njit

from jitgrad.engine.atomics import load_acquire, nanoseconds, pause, store_release

LINE = 16  # float32 numbers of 64 bytes
LINES = 205  # of each half: so many have the weights of W3
ROUNDS = 20_000
APART = 16  # words between what two threads write to


@njit(nogil=True)
def meet(words, me, number):
    """Wait for the other thread."""
    store_release(words, APART * me, number)
    while load_acquire(words, APART * (1 - me)) < number:
        pause()


@njit(nogil=True)
def rounds(me, shares, words, halves, times, sink):
    """The rounds of one thread; with `shares` it reads both halves. Nanoseconds of each update go into `times`."""
    mine, other = halves[me], halves[1 - me]
    for k in range(len(times)):
        total = np.float32(0)
        for i in range(0, len(mine), LINE):
            total += mine[i]
            if shares:
                total += other[i]
        sink[me * APART] = total
        meet(words, me, 2 * k + 1)
        start = nanoseconds()
        for i in range(len(mine)):
            mine[i] = mine[i] * np.float32(0.5) + np.float32(1)
        times[k] = nanoseconds() - start
        meet(words, me, 2 * k + 2)


def update(shares: bool) -> float:
    """Nanoseconds of an update, in the middle of all rounds, by the slower thread."""
    words, halves = np.zeros(2 * APART, np.int64), np.ones((2, LINES * LINE), np.float32)
    times, sink = np.zeros((2, ROUNDS), np.int64), np.zeros(2 * APART, np.float32)
    work = partial(rounds, shares=shares, words=words.ctypes.data, halves=halves, sink=sink)
    threads = [threading.Thread(target=work, kwargs={"me": k, "times": times[k]}) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return float(np.median(times, axis=1).max())


if __name__ == "__main__":
    for shares in (False, True):  # compiled once, for both
        update(shares)
    alone, shared = (min(update(shares) for _ in range(5)) for shares in (False, True))
    line = (shared - alone) / LINES
    print(f"{LINES} lines updated in {alone / 1e3:.2f} us when nobody else has read them")
    print(f"in {shared / 1e3:.2f} us when the other thread has, {line:.1f} ns a line more")
