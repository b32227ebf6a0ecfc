"""Weights that come and go: PyTorch's ``.pt`` files and ``safetensors``.

Files are read by an unpickler of our own (`unpickler`), which knows tensors and plain containers and nothing else,
so loading a file never runs code from it.
"""

from .checkpoint import load, save
from .safetensors import load_file, save_file

__all__ = ["load", "load_file", "save", "save_file"]
