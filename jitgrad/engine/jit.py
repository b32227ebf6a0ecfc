"""How the engine's functions are compiled: `jit` for helpers, `entry` for those that Python calls too."""

from ..kernels.lean import jit


def entry(function):
    """Compile a function whose first argument is the context and whose others are numbers or handles."""
    dispatcher = jit(function)
    dispatcher.called_from_python = True
    return dispatcher


__all__ = ["entry", "jit"]
