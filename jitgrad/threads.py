"""How many threads may share the work of one kernel."""

from __future__ import annotations

import os


class _Setting:
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(count: int) -> None:
    """Let kernels be shared among `count` threads; results do not depend on it, bit for bit."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: expected an int, got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads: expects a positive integer, got {count}")
    _Setting.threads = count


def get_num_threads() -> int:
    """The number of threads that may share a kernel."""
    return _Setting.threads
