"""Devices other than the CPU can be named, as scripts do in defaults and comparisons, but not used."""

from __future__ import annotations

import pickle

import pytest

import jitgrad as torch
from jitgrad import nn


def test_any_device_can_be_named():
    place = torch.device("cuda:1")
    assert (place.type, place.index, str(place)) == ("cuda", 1, "cuda:1")
    assert repr(place) == "device(type='cuda', index=1)"
    assert place == torch.device("cuda", 1) == torch.device(place) and hash(place) == hash(
        torch.device("cuda:1")
    )
    assert torch.device("cuda") not in (place, torch.device("cpu"))
    assert torch.device(type="mps").index is None
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize("text", ["", "nope", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2"])
def test_what_is_no_name_of_a_device_is_refused(text):
    with pytest.raises(RuntimeError, match="device"):
        torch.device(text)


def test_an_index_is_given_once():
    with pytest.raises(RuntimeError, match="invalid device string: 'cuda:1'"):
        torch.device("cuda:1", 2)
    with pytest.raises(RuntimeError, match="not available"):
        torch.device(0)


CUDA = torch.device("cuda")
USES = {
    "zeros": lambda: torch.zeros(2, device=CUDA),
    "tensor": lambda: torch.tensor([1.0], device=CUDA),
    "from a list": lambda: torch.as_tensor([1.0], device=CUDA),
    "like": lambda: torch.rand_like(torch.ones(1), device=CUDA),
    "to": lambda: torch.ones(1).to(CUDA),
    "to by name": lambda: torch.ones(1).to(device=CUDA),
    "to with a dtype": lambda: torch.ones(1).to(CUDA, torch.float64),
    "module": lambda: nn.Linear(1, 1).to(CUDA),
    "layer": lambda: nn.Linear(1, 1, device=CUDA),
    "default": lambda: torch.set_default_device(CUDA),
    "generator": lambda: torch.Generator(CUDA),
    "random numbers": lambda: torch.randn(2, device=CUDA),
    "random order": lambda: torch.randperm(2, device=CUDA),
}


@pytest.mark.parametrize("name", USES)
def test_a_device_that_is_not_there_is_refused_where_it_is_used(name):
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        USES[name]()


def test_a_tensor_stays_where_it_is_on_any_cpu():
    x = torch.ones(1)
    for place in ("cpu", "cpu:0", torch.device("cpu"), torch.device("cpu", 0)):
        assert x.to(place) is x
    assert torch.zeros(1, device=torch.device("cpu")).device == x.device
