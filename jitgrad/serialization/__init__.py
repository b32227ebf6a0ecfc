"""Weights that come and go: PyTorch's ``.pt`` files and ``safetensors``.

Files are read by an unpickler of our own (`unpickler`), which knows tensors and plain containers and nothing else,
so loading a file never runs code from it.
"""

from .checkpoint import load, save
from .safetensors import load_file, save_file
from .trusted import MAP_LOCATION, add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals

__all__ = ["MAP_LOCATION", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "load_file",
           "safe_globals", "save", "save_file"]  # fmt: skip
