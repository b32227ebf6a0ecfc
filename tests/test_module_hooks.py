"""Hooks of modules: when they run, what they may change, how they are removed, and what programs know of them."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, outputs_step
from nn_models import OwnCall, Twice

import jitgrad as torch
from jitgrad import nn


def layers():
    return {
        "Linear": nn.Linear(3, 3),
        "ReLU": nn.ReLU(),
        "Sequential": nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
        "of the user": Twice(),
        "with its own call": OwnCall(3, 3),
    }


@pytest.mark.parametrize("name", layers())
def test_hooks_run_around_forward_and_in_order(name):
    module, log = layers()[name], []
    x = torch.randn(2, 3)
    before = module(x).detach().numpy().copy()
    handles = [
        module.register_forward_hook(lambda m, args, y: log.append(("after", m is module, len(args), y))),
        module.register_forward_pre_hook(lambda m, args: log.append(("before", m is module, len(args)))),
        module.register_forward_pre_hook(lambda m, args: log.append(("first", m is module)), prepend=True),
        module.register_forward_hook(lambda m, args, y: log.append(("early",)), prepend=True),
    ]
    y = module(x)
    assert [entry[0] for entry in log] == ["first", "before", "early", "after"]
    assert log[0][1]
    assert log[1][1:] == (True, 1)
    assert log[3][3] is y
    np.testing.assert_array_equal(y.detach().numpy(), before)
    for handle in handles:
        handle.remove()
        handle.remove()
    log.clear()
    module(x)
    assert log == []


def test_hooks_inside_a_sequential_run():
    model, log = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    model(torch.randn(1, 2))
    model[1].register_forward_hook(lambda m, args, y: log.append(type(m).__name__))
    model(torch.randn(1, 2))
    assert log == ["ReLU"]


def test_hooks_belong_to_one_instance():
    first, second, log = nn.Tanh(), nn.Tanh(), []
    first.register_forward_hook(lambda *_: log.append(1))
    second(torch.ones(2))
    assert log == []
    assert type(first) is nn.Tanh


def test_hooks_replace_arguments_and_results():
    module = Twice()
    x = torch.ones(2)
    with module.register_forward_pre_hook(lambda m, args: args[0] + 1):
        assert module(x).tolist() == [4.0, 4.0]
        with module.register_forward_hook(lambda m, args, y: y * 10):
            assert module(x).tolist() == [40.0, 40.0]
    with module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"factor": 5.0}), with_kwargs=True):
        assert module(x).tolist() == [5.0, 5.0]
    seen = []
    with module.register_forward_hook(lambda m, a, k, y: seen.append(k), with_kwargs=True):
        module(x, factor=3.0)
    assert seen == [{"factor": 3.0}]
    assert module(x).tolist() == [2.0, 2.0]


def test_wrong_hooks_are_refused():
    module = Twice()
    with pytest.raises(TypeError, match="callable"):
        module.register_forward_hook(3)
    with (
        module.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True),
        pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"),
    ):
        module(torch.ones(1))


def test_a_hook_that_always_runs_sees_failures():
    module, log = nn.Linear(3, 3), []
    module.register_forward_hook(lambda m, args, y: log.append(y), always_call=True)
    module.register_forward_hook(lambda m, args, y: log.append("other"))
    with pytest.raises(RuntimeError):
        module(torch.ones(2, 4))
    assert log == [None]


def test_a_copied_module_takes_its_hooks_along():
    module, log = nn.Linear(2, 2), []
    module.register_forward_hook(lambda m, args, y: log.append(m))
    twin = copy.deepcopy(module)
    twin(torch.ones(1, 2))
    assert log == [twin]


# gradients ------------------------------------------------------------------------------------------


def test_backward_hooks_see_and_change_gradients():
    module, log = nn.Linear(2, 2, bias=False), []
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    weight = module.weight.detach().numpy()

    def hook(m, grad_input, grad_output):
        log.append((m is module, grad_input[0].numpy().copy(), grad_output[0].numpy().copy()))
        return (grad_input[0] * 10,)

    def doubled(m, grad_output):
        return (grad_output[0] * 2,)

    with module.register_full_backward_hook(hook), module.register_full_backward_pre_hook(doubled):
        module(x).sum().backward()
    own, gx, gy = log[0]
    assert own
    np.testing.assert_array_equal(gy, np.full((1, 2), 2.0))
    np.testing.assert_allclose(gx, gy @ weight, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), 10 * gx, rtol=1e-6)
    np.testing.assert_allclose(module.weight.grad.numpy(), gy.T @ x.detach().numpy(), rtol=1e-6)


def test_backward_hooks_by_their_older_name_see_the_gradients_of_inputs_and_warn():
    module, log = nn.Tanh(), []
    x = torch.tensor([0.5, -1.0], requires_grad=True)

    def hook(m, grad_input, grad_output):
        log.append((grad_input[0].tolist(), grad_output[0].tolist()))
        return (grad_input[0] * 3,)

    with pytest.warns(FutureWarning, match=r"register_backward_hook: .* call that by name"):
        handle = module.register_backward_hook(hook)
    module(x).sum().backward()
    slope = 1 - np.tanh([0.5, -1.0]) ** 2
    ((gx, gy),) = log
    assert gy == [1.0, 1.0]
    np.testing.assert_allclose(gx, slope, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), 3 * slope, rtol=1e-6)
    handle.remove()
    module(x).sum().backward()
    assert len(log) == 1


def test_backward_hooks_of_several_inputs_and_outputs():
    class Swap(nn.Module):
        def forward(self, x, y, number):
            return y * number, x * 3.0

    module, log = Swap(), []
    module.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    x, y = torch.ones(2, requires_grad=True), torch.ones(2)
    _, second = module(x, y, 2.0)
    (second * 5.0).sum().backward()
    ((gx, gy, gn), (g0, g1)) = log[0]
    assert gx.tolist() == [15.0, 15.0]
    assert gy is None
    assert gn is None
    assert g0 is None
    assert g1.tolist() == [5.0, 5.0]
    assert x.grad.tolist() == [15.0, 15.0]


def test_backward_hooks_without_inputs_that_ask_for_gradients():
    module, log = nn.Linear(2, 1), []
    module.register_full_backward_hook(lambda m, gi, go: log.append((gi, go[0].tolist())))
    module(torch.ones(1, 2)).sum().backward()
    assert log == [((None,), [[1.0]])]


def test_a_backward_hook_must_return_as_many_gradients():
    module = nn.Linear(2, 1)
    module.register_full_backward_hook(lambda m, gi, go: (None, None))
    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        module(torch.ones(1, 2, requires_grad=True)).sum().backward()


# state ----------------------------------------------------------------------------------------------


def test_state_dict_hooks():
    model, log = nn.Sequential(nn.Linear(2, 2)), []
    model[0].register_state_dict_pre_hook(lambda m, prefix, keep: log.append((prefix, keep)))

    def rename(m, state, prefix, metadata):
        state[prefix + "W"] = state.pop(prefix + "weight")

    def back(m, state, prefix, metadata, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "W")

    handles = [
        model[0].register_state_dict_post_hook(rename),
        model[0].register_load_state_dict_pre_hook(back),
        model.register_load_state_dict_post_hook(lambda m, keys: log.append(keys.missing_keys)),
    ]
    state = model.state_dict()
    assert sorted(state) == ["0.W", "0.bias"]
    other = nn.Sequential(nn.Linear(2, 2))
    expected = model[0].weight.detach().numpy().copy()
    with torch.no_grad():
        model[0].weight.zero_()
    state["0.W"] = torch.tensor(expected)
    model.load_state_dict(state)
    assert sorted(state) == ["0.W", "0.bias"]
    assert log == [("0.", False), []]
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), expected)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state)
    for handle in handles:
        handle.remove()
    assert sorted(model.state_dict()) == ["0.bias", "0.weight"]


def test_a_load_hook_may_add_errors():
    layer = nn.Linear(2, 2)
    layer.register_load_state_dict_pre_hook(
        lambda m, s, p, d, strict, missing, unexpected, errors: errors.append("no!")
    )
    before = layer.weight.detach().numpy().copy()
    with pytest.raises(RuntimeError, match="no!"):
        layer.load_state_dict(nn.Linear(2, 2).state_dict())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), before)


# compiled -------------------------------------------------------------------------------------------


def scene():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model[1].register_forward_hook(lambda m, args, y: y * 2.0)
    model[2].register_forward_pre_hook(lambda m, args: (args[0] + 0.5,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    return Scene(outputs_step(model, optimizer, lambda y: (y**2).mean()), batches((5, 3)), model, optimizer)


def test_compiled_steps_with_hooks_equal_eager_ones():
    assert_same(scene)


def test_a_change_of_hooks_is_noticed():
    handles = []

    def between(scene, k):
        if k == 3:
            handles.append(scene.owners[0][1].register_forward_hook(lambda m, args, y: y * 3.0))
        if k == 6:
            handles.pop().remove()

    assert_same(scene, "ccccccccc", between=between, programs=4)


def test_a_number_that_a_hook_reads_is_noticed():
    class Number:
        value = 2.0

    def build():
        made, number = scene(), Number()
        made.owners[0][0].register_forward_hook(lambda m, args, y: y * number.value)
        made.number = number
        return made

    def between(scene, k):
        if k == 3:
            scene.number.value = 5.0

    assert_same(build, "cccccc", between=between, programs=3)


def test_backward_hooks_in_a_compiled_step():
    def build():
        made = scene()
        made.owners[0][2].register_full_backward_hook(lambda m, gi, go: (gi[0] * 0.5,))
        return made

    assert_same(build)


# the dictionaries -----------------------------------------------------------------------------------


def popped(module):
    module._forward_hooks.popitem()


def replaced(module):
    module._forward_hooks = OrderedDict()


REMOVALS = {
    "clear": lambda module: module._forward_hooks.clear(),
    "del": lambda module: module._forward_hooks.__delitem__(next(iter(module._forward_hooks))),
    "popitem": popped,
    "another dict": replaced,
}


@pytest.mark.parametrize("name", REMOVALS)
def test_hooks_taken_from_their_dictionary_run_no_more(name):
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    plain = layer(x)
    handle = layer.register_forward_hook(lambda m, args, y: y * 2)
    assert len(layer._forward_hooks) == 1 and torch.equal(layer(x), plain * 2)
    REMOVALS[name](layer)
    handle.remove()  # too late, and no error
    assert not layer._forward_hooks and torch.equal(layer(x), plain)


def test_the_dictionaries_show_the_functions_and_take_others():
    layer, x = nn.ReLU(), torch.ones(1)
    pre = lambda m, args: (args[0] + 1,)  # noqa: E731
    layer._forward_pre_hooks[7] = pre
    assert dict(layer._forward_pre_hooks) == {7: pre} and "OrderedDict" in repr(layer._forward_pre_hooks)
    assert layer(x).item() == 2.0 and not nn.ReLU()._forward_pre_hooks
    with pytest.raises(KeyError):
        del layer._forward_pre_hooks[8]
    layer._backward_hooks.clear()
    layer._backward_pre_hooks.clear()


def test_a_program_notices_hooks_taken_from_their_dictionary():
    def between(scene, k):
        if k == 3:
            scene.owners[0][1]._forward_hooks.clear()

    assert_same(scene, "cccccc", between=between, programs=2)
