"""Hooks around the steps of optimizers, and around saving and loading their state."""

from __future__ import annotations

from sample_values import leaf

import jitgrad as torch
from jitgrad.utils.hooks import RemovableHandle


def test_hooks_around_steps():
    w, log = leaf(1.0), []
    optimizer = torch.optim.SGD([w], lr=0.1)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: log.append("before"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: log.append("after"))
    (w * 2).backward()
    optimizer.step()
    before.remove()
    optimizer.step()
    assert log == ["before", "after", "after"]
    assert isinstance(before, RemovableHandle)


def test_hooks_around_saving_and_loading():
    w, log = leaf(1.0), []
    optimizer = torch.optim.SGD([w], lr=0.1)
    optimizer.register_state_dict_pre_hook(lambda o: log.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, s: log.append(s.pop("extra")))
    optimizer.register_load_state_dict_post_hook(lambda o: log.append("loaded"))
    optimizer.register_state_dict_post_hook(lambda o, s: s.get("extra"), prepend=True)
    state = optimizer.state_dict()
    assert state["extra"] == 1
    optimizer.load_state_dict(state)
    assert log == ["saving", 1, "loaded"]
    assert "extra" in state


def test_a_state_dict_hook_may_change_what_is_loaded():
    w = leaf(1.0)
    optimizer = torch.optim.SGD([w], lr=0.1)

    def faster(o, state):
        state["param_groups"][0]["lr"] = 0.7

    optimizer.register_load_state_dict_pre_hook(faster)
    optimizer.load_state_dict(torch.optim.SGD([w], lr=0.1).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.7
