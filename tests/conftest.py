"""What all tests run under, and the fixtures that several files use."""

import gc

import pytest

from jitgrad.kernels import gemm
from jitgrad.program.rewrites import strip_sizes


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Leave what collecting the tests has made out of later collections of garbage, which some tests ask for."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def many_strips(monkeypatch):
    """Chains are cut as finely as their operations allow."""
    for name, value in {
        "MIN_BYTES": 1,
        "MOST_BYTES": 256,
        "SUM_SHARE": 0,
        "SUMS_SHARE": 1,
        "GRAIN": 1,
        "LARGE": 99,
        "MIN_ROWS": gemm.FEW + 1,
    }.items():
        monkeypatch.setattr(strip_sizes, name, value)
