"""Limits of dtypes, also of those that tensors cannot have: ``finfo``, ``iinfo``, sizes."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch


@pytest.mark.parametrize(("kind", "like"), [(torch.float32, np.float32), (torch.float64, np.float64)])
def test_limits_of_floating_numbers(kind, like):
    found, expected = torch.finfo(kind), np.finfo(like)
    for name in ("eps", "min", "max", "tiny", "smallest_normal", "resolution", "bits"):
        assert getattr(found, name) == getattr(expected, name)
    assert torch.finfo().dtype == "float32" and "eps=" in repr(found)


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.uint8])
def test_limits_of_integers(kind):
    found, expected = torch.iinfo(kind), np.iinfo(kind.name)
    assert (found.min, found.max, found.bits) == (expected.min, expected.max, expected.bits)
    assert kind.name in repr(found)


@pytest.mark.parametrize(("limits", "kind"), [(torch.finfo, torch.int64), (torch.iinfo, torch.float32)])
def test_limits_of_other_dtypes_are_refused(limits, kind):
    with pytest.raises(TypeError, match="expected a"):
        limits(kind)


# (bits after the point, exponent of the smallest normal number, the greatest number) of IEEE 754 and its kin
ABSENT_FLOATS = {
    "float16": (10, -14, 65504.0), "bfloat16": (7, -126, 255 * 2.0**120), "float8_e4m3fn": (3, -6, 448.0),
    "float8_e5m2": (2, -14, 57344.0), "float8_e4m3fnuz": (3, -7, 240.0),
}  # fmt: skip
SIZES = {
    "complex64": 8,
    "complex128": 16,
    "float16": 2,
    "float8_e5m2": 1,
    "int8": 1,
    "qint32": 4,
    "uint64": 8,
}


@pytest.mark.parametrize("name", ABSENT_FLOATS)
def test_limits_of_floating_dtypes_that_tensors_cannot_have(name):
    found, (digits, least, greatest) = torch.finfo(getattr(torch, name)), ABSENT_FLOATS[name]
    assert (found.eps, found.tiny, found.smallest_normal) == (2.0**-digits, 2.0**least, 2.0**least)
    assert (found.min, found.max, found.dtype) == (-greatest, greatest, name)
    if name == "float16":
        assert (found.resolution, found.bits) == (0.001, 16)


def test_dtypes_that_tensors_cannot_have_tell_what_they_are():
    for name, size in SIZES.items():
        kind = getattr(torch, name)
        assert (kind.itemsize, repr(kind)) == (size, f"torch.{name}")
        assert kind.is_floating_point is name.startswith("float") and kind.is_complex is name.startswith(
            "complex"
        )
        with pytest.raises(TypeError, match=name):
            torch.zeros(2, dtype=kind)
    assert (torch.iinfo(torch.int8).min, torch.iinfo(torch.uint64).max) == (-128, 2**64 - 1)
