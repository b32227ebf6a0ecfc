"""What numbers a dtype can hold: ``finfo`` and ``iinfo``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dtypes import dtype, get_default_dtype


class finfo:
    """The limits of a floating dtype, as Python numbers.

    Parameters
    ----------
    type : dtype, optional
        float32 or float64; the default dtype if not given.

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
        kind = _checked("finfo", get_default_dtype() if type is None else type, floating=True)
        found: Any = np.finfo(kind.numpy)
        self.bits, self.dtype = found.bits, kind.name
        self.eps, self.resolution = float(found.eps), float(found.resolution)
        self.min, self.max = float(found.min), float(found.max)
        self.tiny = self.smallest_normal = float(found.smallest_normal)

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
        int32, int64 or uint8.

    Attributes
    ----------
    bits, min, max : int
    dtype : str
    """

    def __init__(self, type: Any) -> None:
        kind = _checked("iinfo", type, floating=False)
        found: Any = np.iinfo(kind.numpy)
        self.bits, self.min, self.max, self.dtype = found.bits, int(found.min), int(found.max), kind.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def _checked(name: str, kind: Any, floating: bool) -> dtype:
    wanted = "a floating dtype (float32, float64)" if floating else "an integer dtype (int32, int64, uint8)"
    if not isinstance(kind, dtype) or kind.numpy.kind not in ("f" if floating else "iu"):
        raise TypeError(f"{name}: expected {wanted}, got {kind!r}")
    return kind
