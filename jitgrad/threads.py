"""How many threads may share the work of a program, or of a large operation."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path

from .store import store

MOST = 1024


class Setting:
    """How many threads programs may have."""

    threads: int | None = None  # None: as many as there are cores
    changed: Callable[[], None] | None = None  # told when the number changes


def set_num_threads(count: int) -> None:
    """Let programs and large operations be shared among `count` threads; results do not depend on it, bit for bit.

    At most as many threads are at work as there are processors. Set it before programs are recorded: one that cuts
    its batch into strips shares them among as many threads as were set when it was rewritten, or two.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads: expected an int, got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads: expects a positive integer, got {count}")
    Setting.threads = min(count, MOST)
    if Setting.changed is not None:
        Setting.changed()


def get_num_threads() -> int:
    """The number of threads that may share such work: by default the cores that this process may use."""
    if store.recording is not None:
        store.recording.spoil("reads how many threads there may be (get_num_threads)")
    return thread_count()


def thread_count() -> int:
    """`get_num_threads` for the library's own use, on which no result depends."""
    return _cores() if Setting.threads is None else Setting.threads


def set_num_interop_threads(count: int) -> None:
    """Accept how many operations may run beside one another in PyTorch; here one does, shared among the threads.

    Raises
    ------
    RuntimeError
        If that is no positive integer.
    """
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RuntimeError(f"set_num_interop_threads: expects a positive integer, got {count!r}")


def get_num_interop_threads() -> int:
    """1: operations run one after the other; see `set_num_threads` for those that share each of them."""
    return 1


@functools.cache
def _cores() -> int:
    """Physical cores within the process's affinity and its control group's share of processor time."""
    cores = len({_siblings(cpu) for cpu in _allowed()})
    return max(1, min(cores, math.ceil(min(_quotas(), default=cores)), MOST))


@functools.cache
def processors() -> int:
    """The processors that this process may use; a core may be several."""
    return len(_allowed())


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _siblings(cpu: int, root: str = "/sys/devices/system/cpu") -> str:
    """The processors of one core, as the system names them; the processor itself where it does not tell."""
    return _text(Path(root) / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu)


def _quotas(groups: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> list[float]:
    """The processors' time that the control groups around this process grant, in processors."""
    found = []
    for line in _text(Path(groups)).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = Path(root) / "cpu" if controllers else Path(root)
        inner = Path(group.lstrip("/"))
        found += [_quota(mount / folder) for folder in (inner, *inner.parents)]
    return [q for q in found if q > 0]


def _quota(folder: Path) -> float:
    """The limit of one control group in processors; 0 for none."""
    words = _text(folder / "cpu.max").split() or [
        _text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
    ]
    try:
        quota, period = (int(w) for w in words)
        return max(quota / period, 0.0)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
