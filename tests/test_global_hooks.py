"""Hooks of all modules: around every call, and when members are registered; without any, calls are the plain ones."""

from __future__ import annotations

import contextlib
import functools
import importlib

import pytest
from compile_cases import Scene, assert_same, batches
from nn_models import OwnCall, Twice

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

CALLS = [
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
]
REGISTRATIONS = [
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
]


class Kind(nn.Linear):
    """A layer that inherits its call."""


PLAIN = (nn.Module, nn.Tanh, nn.MSELoss, nn.Sequential)


@pytest.fixture(autouse=True)
def plain_calls_afterwards():
    """Classes of which no instance has got a hook must have their own calls again."""
    before = [(vars(kind).get("__call__"), kind._one_input) for kind in PLAIN]
    yield
    assert [(vars(kind).get("__call__"), kind._one_input) for kind in PLAIN] == before


def model(nn=nn, torch=torch):
    made = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    with torch.no_grad():
        for k, p in enumerate(made.parameters()):
            p.fill_(0.1 * (k + 1))
    return made


def run_all(torch, remove_early=False):
    """Run a model with one hook of every kind, of all modules and of its own; say who was called in which order."""
    home = importlib.import_module(f"{torch.__name__}.nn.modules.module")
    log, net = [], model(torch.nn, torch)

    def note(kind):
        def hook(module, *given):
            found = [
                [None if g is None else round(g.sum().item(), 5) for g in x]
                for x in given
                if type(x) is tuple
            ]
            log.append((kind, type(module).__name__, *found))

        return hook

    handles = [
        home.register_module_full_backward_hook(note("all back")),
        home.register_module_forward_hook(note("all after")),
        home.register_module_forward_pre_hook(note("all before")),
        home.register_module_full_backward_pre_hook(note("all back pre")),
        net[2].register_forward_hook(note("own after")),
        net[2].register_forward_pre_hook(note("own before")),
        net[2].register_full_backward_hook(note("own back")),
        net[2].register_full_backward_pre_hook(note("own back pre")),
    ]
    x = torch.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    for handle in handles:
        handle.remove()
        handle.remove()
    before = len(log)
    net(x).sum().backward()
    assert len(log) == before
    return log


def test_hooks_run_in_pytorchs_order():
    theirs = pytest.importorskip("torch")
    assert run_all(torch) == run_all(theirs)


def test_hooks_of_all_modules_run_before_a_modules_own():
    log = [entry[:2] for entry in run_all(torch)]
    assert log[:2] == [("all before", "Sequential"), ("all before", "Linear")]
    last = [kind for kind, name in log if name == "Linear"]
    assert last[2:6] == ["all before", "own before", "all after", "own after"]
    assert last[6:10] == ["all back pre", "own back pre", "all back", "own back"]


@pytest.mark.parametrize("register", [*CALLS, *REGISTRATIONS])
def test_what_cannot_be_called_is_refused(register):
    with pytest.raises(TypeError, match="callable, got int"):
        register(3)
    nn.Linear(1, 1)(torch.ones(1))


MODULES = {
    "Linear": lambda: nn.Linear(2, 2),
    "of a class that inherits": lambda: Kind(2, 2),
    "with its own call": lambda: OwnCall(2, 2),
    "of the user": Twice,
    "a loss": lambda: functools.partial(nn.MSELoss(), torch.ones(1, 2)),
    "compiled": lambda: torch.compile(nn.Linear(2, 2)),
}


@pytest.mark.parametrize("name", MODULES)
def test_every_modules_call_is_seen_once(name):
    module, log = MODULES[name](), []
    module(torch.ones(1, 2))
    with register_module_forward_hook(lambda m, args, y: log.append(type(m).__name__)):
        module(torch.ones(1, 2))
    assert len(log) == 1
    module(torch.ones(1, 2))
    assert len(log) == 1


def test_a_class_made_while_there_are_hooks_is_seen_and_plain_afterwards():
    log = []
    with register_module_forward_hook(lambda m, args, y: log.append(type(m).__name__)):

        class Late(nn.Linear):
            pass

        class LateToo(nn.Module):
            def forward(self, x):
                return x

        Late(1, 1)(torch.ones(1)), LateToo()(torch.ones(1))
    assert log == ["Late", "LateToo"]
    Late(1, 1)(torch.ones(1)), LateToo()(torch.ones(1))
    assert log == ["Late", "LateToo"]
    assert "hooks" not in Late.__call__.__name__


def test_an_instances_hook_stays_when_those_of_all_have_gone():
    class Mine(nn.Linear):
        pass

    class Below(Mine):
        pass

    log, x = [], torch.ones(1, 2)
    with register_module_forward_hook(lambda m, args, y: log.append("all")):
        one, other = Mine(2, 2), Below(2, 2)
        one.register_forward_hook(lambda m, args, y: log.append("own"))
    one(x), other(x)
    assert log == ["own"]


def test_hooks_replace_arguments_outputs_and_gradients():
    module, x = Twice(), torch.ones(2, requires_grad=True)
    with (
        register_module_forward_pre_hook(lambda m, args: args[0] + 1),
        register_module_forward_hook(lambda m, args, kwargs, y: y * kwargs["factor"], with_kwargs=True),
        register_module_full_backward_pre_hook(lambda m, g: (g[0] * 10,)),
        register_module_full_backward_hook(lambda m, gi, go: (gi[0] + go[0],)),
    ):
        y = module(x, factor=3.0)
        y.sum().backward()
    assert y.tolist() == [18.0, 18.0]
    assert x.grad.tolist() == [100.0, 100.0]


def test_a_hook_that_always_runs_sees_failures():
    log, layer = [], nn.Linear(3, 3)
    with (
        register_module_forward_hook(lambda m, args, y: log.append(y), always_call=True),
        register_module_forward_hook(lambda m, args, y: log.append("other")),
        pytest.raises(RuntimeError),
    ):
        layer(torch.ones(2, 4))
    assert log == [None]


# registration ---------------------------------------------------------------------------------------


def register(torch):
    """Make members in every way with a hook of each kind; say what the hooks were told."""
    nn, home, log = torch.nn, importlib.import_module(f"{torch.__name__}.nn.modules.module"), []

    def note(kind):
        return lambda m, name, x: log.append((kind, type(m).__name__, name, x is None))

    with (
        home.register_module_parameter_registration_hook(note("p")),
        home.register_module_buffer_registration_hook(note("b")),
        home.register_module_module_registration_hook(note("m")),
    ):
        m = nn.Module()
        m.w = nn.Parameter(torch.ones(1))
        m.register_parameter("v", None)
        m.w = None
        m.register_parameter("u", nn.Parameter(torch.ones(1)))
        m.register_buffer("b", torch.ones(1))
        m.register_buffer("none", None)
        m.b = torch.zeros(1)
        m.c = nn.Buffer(torch.ones(1))
        m.child = nn.ReLU()
        m.child = None
        m.add_module("other", nn.Linear(1, 1))
        m.number = 3
        nn.Sequential(nn.Tanh())
    m.after = nn.ReLU()
    return log


def test_registration_hooks_are_told_what_pytorchs_are():
    theirs = pytest.importorskip("torch")
    assert register(torch) == register(theirs)


def test_registration_hooks_are_told_of_parameters_buffers_and_modules():
    log = register(torch)
    assert [name for kind, owner, name, _ in log if (kind, owner) == ("p", "Module")] == ["w", "u"]
    assert [name for kind, *_, name, _ in log if kind == "b"] == ["b", "none", "b", "c"]
    assert [name for kind, *_, name, _ in log if kind == "m"] == ["child", "child", "other", "0"]


def test_registration_hooks_replace_members():
    with contextlib.ExitStack() as stack:
        for hook, replacement in (
            (register_module_parameter_registration_hook, nn.Parameter(torch.full((1,), 7.0))),
            (register_module_buffer_registration_hook, torch.full((1,), 8.0)),
            (register_module_module_registration_hook, nn.Tanh()),
        ):
            stack.enter_context(hook(lambda m, name, x, r=replacement: r))
        m = nn.Module()
        m.w, m.child = nn.Parameter(torch.ones(1)), nn.ReLU()
        m.register_buffer("b", torch.ones(1), persistent=False)
    assert (m.w.item(), m.b.item(), type(m.child)) == (7.0, 8.0, nn.Tanh)
    assert list(m.state_dict()) == ["w"]


@pytest.mark.parametrize(
    ("hook", "assign"),
    [
        (register_module_parameter_registration_hook, lambda m: setattr(m, "x", nn.Parameter(torch.ones(1)))),
        (register_module_buffer_registration_hook, lambda m: m.register_buffer("x", torch.ones(1))),
        (register_module_module_registration_hook, lambda m: m.add_module("x", nn.ReLU())),
    ],
)
def test_a_registration_hook_that_returns_something_else_changes_nothing(hook, assign):
    m = nn.Module()
    with (
        hook(lambda m, name, x: 3),
        pytest.raises(TypeError, match=r"'x': expected it to return .*, got int"),
    ):
        assign(m)
    assert not hasattr(m, "x") and not [*m.parameters(), *m.buffers(), *m.children()]


# compiled -------------------------------------------------------------------------------------------


def scene():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return Scene(step, batches((5, 2)), net, optimizer)


def test_compiled_steps_notice_hooks_that_come_and_go():
    handles = []

    def between(scene, k):
        if k == 3:
            handles.append(register_module_forward_hook(lambda m, args, y: y * 3.0))
        if k == 6:
            handles.pop().remove()

    assert_same(scene, "ccccccccc", between=between, programs=3)


def test_compiled_steps_run_with_backward_hooks_of_all_modules():
    with (
        register_module_full_backward_hook(lambda m, gi, go: tuple(g if g is None else g * 0.5 for g in gi)),
        register_module_full_backward_pre_hook(lambda m, go: (go[0] * 2.0,)),
    ):
        assert_same(scene)


def test_a_number_that_a_hook_of_all_modules_reads_is_noticed():
    class Number:
        value = 2.0

    number = Number()

    def between(scene, k):
        number.value = 2.0 if k < 3 else 5.0

    with register_module_forward_hook(lambda m, args, y: y * number.value):
        assert_same(scene, "cccccc", between=between, programs=2)


def test_a_step_that_registers_a_hook_runs_eagerly():
    layer, log = nn.Linear(2, 2), []

    @torch.compile
    def step(x):
        with register_module_forward_hook(lambda m, args, y: log.append(1)):
            return layer(x)

    with pytest.warns(RuntimeWarning, match="hooks of all modules"):
        step(torch.ones(1, 2))
    step(torch.ones(1, 2))
    assert log == [1, 1]


def test_a_compiled_module_notices_hooks_that_come_and_go():
    net = model()
    compiled, x = torch.compile(net), torch.ones(1, 2, requires_grad=True)
    plain = compiled(x).item()
    with register_module_forward_hook(lambda m, args, y: y * 2):
        for _ in range(3):
            assert torch.equal(compiled(x), net(x))
    for _ in range(2):
        assert compiled(x).item() == plain
