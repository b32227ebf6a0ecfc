"""For all tests."""

import gc

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Leave what collecting the tests has made out of later collections of garbage, which some tests ask for."""
    gc.collect()
    gc.freeze()
