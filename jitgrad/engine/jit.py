"""How the engine's functions are compiled: `jit` for helpers, the others for those that Python calls, too."""

from ..kernels.lean import jit
from .layout import RECORDS_NOTHING, RECORDS_ONE, RECORDS_SEVERAL


def entry(function, records=RECORDS_NOTHING):
    """Compile a function whose first argument is the context and whose others are numbers or handles."""
    dispatcher = jit(function)
    dispatcher.records = records
    return dispatcher


def recorder(function):
    """An `entry` that records one row at most, and returns the slot or the handle of its first output."""
    return entry(function, RECORDS_ONE)


def composer(function):
    """An `entry` that may record several rows or return several slots; it gives Python UNFIT if it cannot.

    While rows are observed it is not called: Python does the same step by step.
    """
    return entry(function, RECORDS_SEVERAL)


__all__ = ["composer", "entry", "jit", "recorder"]
