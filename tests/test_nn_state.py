"""Saving, loading and copying modules."""

import copy
import io
import pickle

import numpy as np
import pytest
from nn_models import Net, assert_unchanged, snapshot

import jitgrad as jg
from jitgrad import nn

NET_KEYS = ["scale", "mean", "first.weight", "first.bias", "second.weight", "again.weight"]


def test_state_dict_keys_values_and_sharing():
    net = Net()
    state = net.state_dict()
    assert list(state) == NET_KEYS
    assert not any(v.requires_grad for v in state.values())
    with jg.no_grad():
        net.scale.fill_(7.0)
    assert (state["scale"].numpy() == 7).all()
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert next(iter(net.state_dict(prefix="net."))) == "net.scale"
    target = {"other": 1}
    assert net.state_dict(destination=target) is target and len(target) == 7


def test_loading_copies_into_the_same_parameters():
    net, other = Net(), Net()
    identities = [id(p) for p in net.parameters()]
    result = net.load_state_dict(other.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert [id(p) for p in net.parameters()] == identities
    assert_unchanged(net, snapshot(other))
    with jg.no_grad():
        other.scale.fill_(3.0)
    assert (net.scale.detach().numpy() == 1).all()


def test_loading_converts_the_dtype():
    net = nn.Linear(2, 1)
    state = {name: value.double() + 1 for name, value in net.state_dict().items()}
    net.load_state_dict(state)
    assert net.weight.dtype == jg.float32
    np.testing.assert_allclose(net.weight.detach().numpy(), state["weight"].numpy(), rtol=1e-6)


def test_loading_with_assign_takes_the_tensors():
    net = nn.Linear(2, 1)
    state = {name: value.double() for name, value in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype == jg.float64
    assert isinstance(net.weight, nn.Parameter) and net.weight.requires_grad
    with jg.no_grad():
        state["bias"].fill_(5.0)
    assert net.bias.item() == 5.0


def test_loading_reports_every_problem_at_once_and_changes_nothing():
    net = Net()
    state = dict(net.state_dict())
    state["scale"] = jg.ones(5)
    state["first.weight"] = "weights"
    del state["first.bias"], state["mean"]
    state["x"], state["y.z"] = jg.ones(1), jg.ones(1)
    before = snapshot(net)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    lines = str(error.value).split("\n\t")
    assert lines[0] == "Error(s) in loading state_dict for Net:"
    assert lines[1].strip() == 'Missing key(s) in state_dict: "mean", "first.bias".'
    assert lines[2].strip() == 'Unexpected key(s) in state_dict: "x", "y.z".'
    assert "size mismatch for scale" in lines[3] and "[5]" in lines[3] and "[4]" in lines[3]
    assert "first.weight" in lines[4] and "str" in lines[4]
    assert len(lines) == 5
    assert_unchanged(net, before)


def test_loading_not_strictly():
    net = nn.Linear(2, 1)
    result = net.load_state_dict({"weight": jg.ones(1, 2), "x": jg.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["x"]
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['x'])"
    assert (net.weight.detach().numpy() == 1).all()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        net.load_state_dict({"weight": jg.ones(2, 2), "bias": jg.ones(1) * 9}, strict=False)
    assert net.bias.item() != 9


def test_loading_something_else():
    with pytest.raises(TypeError, match="load_state_dict: expected a mapping"):
        nn.Linear(1, 1).load_state_dict([1, 2])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_independent_and_keeps_its_sharing(clone):
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    net.tied = net[0]
    other = clone(net)
    assert_unchanged(other, snapshot(net))
    assert other.tied is other[0]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in other.parameters())
    with jg.no_grad():
        other[0].weight.fill_(9.0)
    assert not (net[0].weight.detach().numpy() == 9).any()
    del other.tied
    assert hasattr(net, "tied")


def test_a_shallow_copy_shares_values_but_not_names():
    net = nn.Linear(2, 2)
    other = copy.copy(net)
    assert other.weight is net.weight
    del other.bias
    other.extra = nn.Parameter(jg.ones(1))
    assert list(net.state_dict()) == ["weight", "bias"]
    assert list(other.state_dict()) == ["weight", "extra"]


class Counted(nn.Module):
    """A module whose second version counts calls, and that can load what the first one has saved."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", jg.tensor(0))
        self.told = []

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        self.told.append(local_metadata.get("version"))
        if local_metadata.get("version", 1) < 2:
            state_dict.setdefault(prefix + "calls", jg.tensor(5))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def test_a_state_tells_the_version_of_each_class_also_from_a_file():
    net = nn.Sequential(nn.Linear(1, 1), Counted(), nn.BatchNorm1d(1))
    state = net.state_dict()
    assert state._metadata == {
        "": {"version": 1},
        "0": {"version": 1},
        "1": {"version": 2},
        "2": {"version": 2},
    }
    file = io.BytesIO()
    jg.save(state, file)
    file.seek(0)
    assert list(net.state_dict(prefix="net.")._metadata) == ["net", "net.0", "net.1", "net.2"]
    net.load_state_dict(jg.load(file))
    assert net[1].told == [2] and state._metadata["1"] == {"version": 2}


def test_a_module_can_mend_a_state_of_an_older_version_or_of_none():
    net = nn.Sequential(Counted())
    net.load_state_dict({})
    assert net[0].told == [None] and net[0].calls.item() == 5


def test_hooks_are_told_the_version_and_may_add_to_it():
    net, told = nn.Sequential(Counted()), []
    net[0]._register_state_dict_hook(lambda m, state, prefix, metadata: metadata.update(kind="new"))
    net[0]._register_load_state_dict_pre_hook(lambda state, prefix, metadata, *rest: told.append(metadata))
    net.load_state_dict(net.state_dict())
    assert told == [{"version": 2, "kind": "new"}]
