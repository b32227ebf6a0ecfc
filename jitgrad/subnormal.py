"""Whether numbers too small to be normal count as zero: a choice of each thread."""

from __future__ import annotations

import sys
from typing import Any

from .store import store

SMALLEST = sys.float_info.min  # of the normal numbers


def flushes() -> bool:
    """Whether this thread takes subnormal numbers for zero."""
    return SMALLEST * 0.5 == 0.0


def set_flush_denormal(mode: bool) -> bool:
    """Let this thread take subnormal numbers for zero: arithmetic on them takes x86 a hundred cycles or more.

    Results and operands below the smallest normal number (about 1.2e-38 in float32, 2.2e-308 in float64) become
    zero, in eager operations and in compiled calls, whose result does not depend on `set_num_threads` either.
    Memory keeps what stands there: only arithmetic and the conversion to another dtype (`item()` of float32, too)
    see zero.

    The processor has one switch for all arithmetic of a thread. So this also changes what NumPy, PyTorch and
    Python's own floats do in the same thread, and PyTorch's function changes what jitgrad does. Other threads that
    are running are not changed; a `threading.Thread` started later begins, on Linux, with the mode of the thread
    that starts it. Where that matters elsewhere, call this in the thread itself.

    Parameters
    ----------
    mode : bool
        Whether to flush; threads begin without.

    Returns
    -------
    bool
        Whether the machine can. Where it cannot (it is not x86), nothing has changed.

    Raises
    ------
    RuntimeError
        `mode` is not a bool.
    """
    from .kernels.host import host  # which needs the compiler

    if not isinstance(mode, bool):
        raise RuntimeError(f"set_flush_denormal: expected a bool (True to flush), got {type(mode).__name__}")
    if not host().x86:
        return False
    from .kernels.subnormal import flush

    recording: Any = store.recording_here
    if recording is not None:
        recording.spoil("calls set_flush_denormal")
    if flush(mode) is not mode:
        store.structure_changed()  # compiled calls look whether they were recorded in this mode
    return True
