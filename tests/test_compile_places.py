"""Compiled functions that ask how an argument lies in memory, which guards do not look at."""

from __future__ import annotations

import pytest
from compile_cases import bits

import jitgrad as torch

ASKED = {
    "stride": lambda a: a.stride(),
    "stride of one dimension": lambda a: a.stride(0),
    "stride of a view": lambda a: a.unsqueeze(0).stride(-2),
    "storage_offset": lambda a: a.storage_offset(),
    "data_ptr": lambda a: a.data_ptr() % 4096,
    "is_inference": lambda a: a.is_inference(),
}


def rows(x):
    """One row of three elements, lying in other ways, twice each."""
    with torch.inference_mode():
        apart = torch.arange(4.0, 7.0).view(1, 3)
    ways = [x.view(4, 6)[:1, :3], x.view(2, 12)[:1, :3], x[3:6].view(1, 3), apart]
    return [way for way in ways for _ in range(3)]


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("name", ASKED)
def test_what_is_said_of_an_argument_is_said_anew(name, shares):
    ask, x = ASKED[name], torch.arange(24.0)
    other = x if shares else x.clone()

    def function(a):
        return a * 2 + other.sum(), ask(a)

    step = torch.compile(function)
    for row in rows(x):
        assert bits(step(row)) == bits(function(row))


def test_a_stride_of_several_elements_is_guarded():
    x = torch.arange(24.0).view(4, 6)
    step = torch.compile(lambda a: a * a.stride(0) + a.stride()[1], fullgraph=True)
    for _ in range(3):
        for a in (x, x[:, :3], x.view(6, 4)[:4, :3]):
            assert bits(step(a)) == bits(a * a.stride(0) + 1)
    assert len(step.programs) == 3


def test_a_place_within_memory_is_found_anew():
    """A place is counted from where the memory begins, which an argument need not do."""
    x = torch.arange(12.0)

    def function(a):
        return a.as_strided((2,), (1,), 4) * 2

    with pytest.warns(RuntimeWarning, match=r"lies in memory \(storage_offset\)"):
        step = torch.compile(function)
        for k in (3, 3, 3, 4, 2):
            assert bits(step(x[k : k + 6])) == bits(x[4:6] * 2)
    counted_from_itself = torch.compile(lambda a: a.as_strided((2,), (2,)) * 2, fullgraph=True)
    for k in (3, 3, 3, 4, 2):
        assert bits(counted_from_itself(x[k : k + 6])) == bits(x[k : k + 3 : 2] * 2)


def test_a_tensor_of_inference_is_not_written_to_outside_in_a_replay():
    step = torch.compile(lambda a: a.add_(1).sum())
    with torch.inference_mode():
        inferred = torch.ones(3)
    for _ in range(3):
        step(torch.ones(3))
        with pytest.raises(RuntimeError, match=r"(?i)inference"):
            step(inferred)
    assert bits(inferred) == bits(torch.ones(3))
