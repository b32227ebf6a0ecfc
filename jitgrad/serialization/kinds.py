"""The element types of stored tensors: PyTorch's names for them, and the dtypes they become.

Types that jitgrad does not compute in become the next wider one that holds all their values: ``float16`` and
``bfloat16`` become ``float32``, ``int8``, ``int16`` and ``uint16`` become ``int32``, ``uint32`` becomes ``int64``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dtypes import bool_, dtype, float32, float64, int32, int64, uint8

BFLOAT16_SHIFT = 16  # a bfloat16 is the upper half of a float32


@dataclass(frozen=True)
class Kind:
    """A type of stored elements.

    Attributes
    ----------
    name : str
        PyTorch's name of the dtype.
    storage : str or None
        PyTorch's name of a storage of such elements, where there is one.
    safetensors : str or None
        What a safetensors file calls it.
    stored : numpy.dtype
        The elements as they lie in a file written on this machine.
    dtype : dtype
        What they become.
    """

    name: str
    storage: str | None
    safetensors: str | None
    stored: np.dtype
    dtype: dtype

    @property
    def itemsize(self) -> int:
        """Bytes of a stored element."""
        return self.stored.itemsize

    def decode(self, data: bytes, swapped: bool) -> np.ndarray:
        """The stored elements as an array of `dtype`; `swapped` when their bytes are in the other order."""
        stored = np.frombuffer(data, self.stored.newbyteorder() if swapped else self.stored)
        if self.name == "bool":
            return stored != 0
        if self.name == "bfloat16":
            return (stored.astype(np.uint32) << BFLOAT16_SHIFT).view(np.float32)
        return stored.astype(self.dtype.numpy, copy=False)


KINDS = tuple(
    Kind(name, storage, safetensors, np.dtype(stored), kind)
    for name, storage, safetensors, stored, kind in (
        ("bool", "BoolStorage", "BOOL", np.uint8, bool_),
        ("uint8", "ByteStorage", "U8", np.uint8, uint8),
        ("int32", "IntStorage", "I32", np.int32, int32),
        ("int64", "LongStorage", "I64", np.int64, int64),
        ("float32", "FloatStorage", "F32", np.float32, float32),
        ("float64", "DoubleStorage", "F64", np.float64, float64),
        ("float16", "HalfStorage", "F16", np.float16, float32),
        ("bfloat16", "BFloat16Storage", "BF16", np.uint16, float32),
        ("int8", "CharStorage", "I8", np.int8, int32),
        ("int16", "ShortStorage", "I16", np.int16, int32),
        ("uint16", None, "U16", np.uint16, int32),
        ("uint32", None, "U32", np.uint32, int64),
    )
)
BY_NAME = {kind.name: kind for kind in KINDS}
BY_SAFETENSORS = {kind.safetensors: kind for kind in KINDS}


def kind_of(target: dtype) -> Kind:
    """The kind that stores a dtype of ours as it is."""
    return BY_NAME[target.name]
