"""Modules that save and load state in their own way: extra state, and the methods behind a state_dict."""

from __future__ import annotations

import io

import pytest

import jitgrad as torch
from jitgrad import nn


class Counting(nn.Module):
    """A module with a Python number that is saved."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.count = 0

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


class Renaming(nn.Module):
    """A module whose parameter had another name once."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        if prefix + "old" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "old")
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Own(nn.Module):
    """A module that reads and writes everything itself."""

    table = None

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "table"] = torch.tensor([1, 2])

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        if prefix + "table" not in state_dict:
            missing.append(prefix + "table")
        elif state_dict[prefix + "table"].numel() > 2:
            errors.append("too long a table")
        else:
            self.table = state_dict[prefix + "table"]


def test_extra_state_is_saved_and_loaded():
    model = nn.Sequential(Counting(), nn.Linear(2, 2))
    model[0].count = 7
    state = model.state_dict()
    assert list(state) == ["0.weight", "0._extra_state", "1.weight", "1.bias"]
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = nn.Sequential(Counting(), nn.Linear(2, 2))
    assert repr(other.load_state_dict(torch.load(file))) == "<All keys matched successfully>"
    assert other[0].count == 7


def test_extra_state_that_is_missing_or_not_asked_for_is_told():
    assert Counting().load_state_dict({"weight": torch.ones(2)}, strict=False).missing_keys == [
        "_extra_state"
    ]
    found = Renaming().load_state_dict({"weight": torch.ones(2), "_extra_state": 3}, strict=False)
    assert found.unexpected_keys == ["_extra_state"]


def test_nothing_is_taken_when_something_is_wrong():
    module = Counting()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        module.load_state_dict({"weight": torch.zeros(3), "_extra_state": {"count": 9}})
    assert module.count == 0


def test_a_module_may_rename_keys_and_the_given_state_stays_as_it_was():
    state = {"0.old": torch.zeros(2), "1.weight": torch.zeros(2)}
    model = nn.Sequential(Renaming(), Renaming())
    model.load_state_dict(state)
    assert model[0].weight.tolist() == model[1].weight.tolist() == [0.0, 0.0]
    assert list(state) == ["0.old", "1.weight"]


def test_a_module_may_save_and_load_by_itself():
    model = nn.Sequential(Own(), nn.Linear(1, 1))
    state = model.state_dict()
    assert list(state) == ["0.table", "1.weight", "1.bias"]
    model.load_state_dict(state)
    assert model[0].table.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\.table"'):
        model.load_state_dict({k: v for k, v in state.items() if k[0] == "1"})
    with pytest.raises(RuntimeError, match="too long a table"):
        model.load_state_dict(state | {"0.table": torch.zeros(3)})
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"1\.other"'):
        model.load_state_dict(state | {"1.other": torch.zeros(3)})


def test_half_of_a_pair_and_a_call_from_outside_are_refused():
    class Half(nn.Module):
        def get_extra_state(self):
            return 1

    with pytest.raises(RuntimeError, match="define both"):
        nn.Module().set_extra_state(1)
    with pytest.raises(RuntimeError, match="define both"):
        nn.Module().get_extra_state()
    assert Half().state_dict() == {"_extra_state": 1}
    with pytest.raises(RuntimeError, match="call load_state_dict"):
        nn.Linear(1, 1)._load_from_state_dict({}, "", {}, True, [], [], [])
