"""Bad calls raise what PyTorch raises, when it is installed to compare with."""

import warnings

import pytest
from error_cases import CASES, world

import jitgrad

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", CASES)
def test_exception_class_is_pytorch_s(name):
    call, _, _ = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        w = world(torch)
        with pytest.raises(Exception) as theirs:
            call(torch, w)
    w = world(jitgrad)
    with pytest.raises(Exception) as ours:
        call(jitgrad, w)
    assert type(ours.value) in (theirs.type, *theirs.type.__bases__)
