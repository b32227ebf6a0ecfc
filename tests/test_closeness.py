"""``testing.assert_close``: what passes, what fails, and what it says."""

from __future__ import annotations

import pytest

import jitgrad as torch

CLOSE = [
    (1.0, 1.0 + 1e-7),
    (torch.ones(2), torch.ones(2) + 1e-6),
    ([torch.ones(1), 2.0], [torch.ones(1), 2.0]),
    ({"a": torch.arange(3)}, {"a": torch.arange(3)}),
    (torch.ones(0), torch.ones(0)),
    (torch.tensor([True]), torch.tensor([True])),
]


@pytest.mark.parametrize(("a", "b"), CLOSE)
def test_close_values_pass(a, b):
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.ones(2), torch.tensor([1.0, 1.1]), r"Mismatched elements: 1 / 2 \(50.0%\)[\s\S]*index \(1,\)"),
        (1.0, 1.1, "Scalars are not close"),
        (torch.ones(2), torch.ones(3), "shape"),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), "dtype"),
        ([1.0], [1.0, 2.0], "length"),
        ({"a": 1.0}, {"b": 1.0}, "keys"),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 3.0]}, r"item \[1\][\s\S]*item \['a'\]"),
        (torch.tensor(2**60), torch.tensor(2**60 + 1), "Scalars"),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), "Mismatched"),
        (torch.tensor([True, False]), torch.tensor([True, True]), "Mismatched"),
    ],
)
def test_other_values_fail(a, b, message):
    with pytest.raises(AssertionError, match=message):
        torch.testing.assert_close(a, b)


def test_tolerances_of_a_comparison():
    close = torch.testing.assert_close
    close(1.0, 1.05, rtol=0.1, atol=0)
    close(torch.ones(1), torch.ones(1, dtype=torch.float64), check_dtype=False)
    close(torch.tensor([float("nan")]), torch.tensor([float("nan")]), equal_nan=True)
    with pytest.raises(ValueError, match="or neither"):
        close(1.0, 1.0, rtol=0.1)
    with pytest.raises(AssertionError, match="stride"):
        close(torch.ones(2, 2).t(), torch.ones(2, 2), check_stride=True)
    with pytest.raises(AssertionError, match="mine"):
        close(1.0, 2.0, msg="mine")
