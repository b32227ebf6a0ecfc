"""What numbers a dtype can hold: ``finfo`` and ``iinfo``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .dtypes import AbsentDtype, dtype, get_default_dtype

# IEEE 754's half precision, Google's bfloat16, and the 8-bit formats of the Open Compute Project and of AMD (nuz):
# bits after the point, exponent of the smallest normal number, greatest number
_FORMATS: dict[str, tuple] = {
    "float16": (10, -14, 65504.0),
    "bfloat16": (7, -126, (2 - 2.0**-7) * 2.0**127),
    "float8_e4m3fn": (3, -6, 448.0),
    "float8_e5m2": (2, -14, 57344.0),
    "float8_e4m3fnuz": (3, -7, 240.0),
    "float8_e5m2fnuz": (2, -15, 57344.0),
    "float8_e8m0fnu": (0, -127, 2.0**127, False),
}
_INTEGERS = ("int8", "int16", "uint16", "uint32", "uint64")


class finfo:
    """The limits of a floating dtype, as Python numbers.

    Parameters
    ----------
    type : dtype, optional
        The default dtype if not given. Those that only PyTorch has may be asked for, too.

    Attributes
    ----------
    bits : int
    eps : float
        The step from 1 to the next larger number.
    min, max : float
    tiny, smallest_normal : float
        The smallest positive number with full precision.
    resolution : float
        The decimal step that is always told apart.
    dtype : str
    """

    def __init__(self, type: Any = None) -> None:
        kind: Any = get_default_dtype() if type is None else type
        if isinstance(kind, AbsentDtype) and kind.name in _FORMATS:
            self._set(kind, *_FORMATS[kind.name])
            return
        kind = _checked("finfo", kind, floating=True)
        found: Any = np.finfo(kind.numpy)
        self.bits, self.dtype = found.bits, kind.name
        self.eps, self.resolution = float(found.eps), float(found.resolution)
        self.min, self.max = float(found.min), float(found.max)
        self.tiny = self.smallest_normal = float(found.smallest_normal)

    def _set(self, kind: AbsentDtype, digits: int, least: int, greatest: float, signed: bool = True) -> None:
        """The limits of a format by its bits after the point, its smallest exponent and its greatest number."""
        self.bits, self.dtype = 8 * kind.itemsize, kind.name
        self.eps, self.tiny = 2.0**-digits, 2.0**least
        self.smallest_normal = self.tiny
        # as NumPy has it: as many decimal digits as any number keeps
        self.resolution = 10.0 ** -math.floor(digits * math.log10(2))
        self.max = greatest
        self.min = -greatest if signed else self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer dtype, as Python numbers.

    Parameters
    ----------
    type : dtype
        Of integers. Those that only PyTorch has may be asked for, too.

    Attributes
    ----------
    bits, min, max : int
    dtype : str
    """

    def __init__(self, type: Any) -> None:
        absent = isinstance(type, AbsentDtype) and type.name in _INTEGERS
        kind = type if absent else _checked("iinfo", type, floating=False)
        found: Any = np.iinfo(kind.name if absent else kind.numpy)
        self.bits, self.min, self.max, self.dtype = found.bits, int(found.min), int(found.max), kind.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _checked(name: str, kind: Any, floating: bool) -> dtype:
    wanted = "a floating dtype (float32, float64)" if floating else "an integer dtype (int32, int64, uint8)"
    if not isinstance(kind, dtype) or kind.numpy.kind not in ("f" if floating else "iu"):
        raise TypeError(f"{name}: expected {wanted}, got {kind!r}")
    return kind
