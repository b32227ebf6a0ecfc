"""``torch.__config__`` for scripts that print or search what PyTorch was built with: jitgrad, Numba and NumPy."""

from __future__ import annotations

import platform

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Return the versions of what computes here, a line each."""
    import llvmlite
    import numba
    import numpy

    from . import __version__

    return (
        f"jitgrad {__version__} on {platform.machine()}, CPU only, with USE_MKL=OFF, USE_CUDA=OFF:\n"
        f"  - Python {platform.python_version()}\n"
        f"  - Numba {numba.__version__}, llvmlite {llvmlite.__version__}\n"
        f"  - NumPy {numpy.__version__}\n"
    )


def parallel_info() -> str:
    """Return how many threads share the work."""
    import os

    from . import get_num_threads

    return f"jitgrad parallel info:\n\ttorch.get_num_threads() : {get_num_threads()}\n\tCPUs : {os.cpu_count()}\n"
