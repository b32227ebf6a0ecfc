"""How tensors print: PyTorch's text."""

from typing import Any


def set_printoptions(**options: Any) -> None:
    """Set how tensors print."""


def tensor_repr(tensor: Any) -> str:
    """The text of a tensor."""
    return f"tensor({tensor.tolist()})"
