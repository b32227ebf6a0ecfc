"""``torch.onnx`` for models that ask whether they are being exported: nothing here exports."""

from __future__ import annotations

__all__ = ["is_in_onnx_export"]


def is_in_onnx_export() -> bool:
    """False: what runs is the model itself."""
    return False
