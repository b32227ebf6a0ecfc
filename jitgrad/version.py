"""``torch.version`` for scripts that print what they run on: there is no CUDA and no HIP."""

from __future__ import annotations

from . import __version__

__all__ = ["__version__", "cuda", "debug", "hip"]

cuda: str | None = None
hip: str | None = None
debug = False
