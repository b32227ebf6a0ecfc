"""Elementwise operations that read how a floating-point number is written: nextafter, and both parts of frexp."""

from __future__ import annotations

import numpy as np

from . import abi
from .formula import exponent, mantissa, next_after, where
from .table import FLOATS, elementwise

elementwise("nextafter", lambda a, b: next_after(a, b), dtypes=FLOATS, reference=np.nextafter)
elementwise(
    "frexp_mantissa",
    lambda x: mantissa(x),
    # the quotient is a power of two, exactly; what is its own mantissa has a slope of 1
    x=lambda x, y, g: where((y == x) | (y != y), g, g * (y / x)),
    reference=lambda x: np.frexp(x)[0],
    samples={"x": {"low": 0.55, "high": 0.95}},
    grad_name="Frexp",
)
elementwise(
    "frexp_exponent",
    lambda x: exponent(x),
    dtypes=FLOATS,
    result=abi.INT32,
    reference=lambda x: np.frexp(x)[1],
)
