"""What a compiled function depends on besides its arguments: when it changes, results are those of the change."""

from __future__ import annotations

import types

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, small_model, training_step

import jitgrad as torch
from jitgrad import nn

X = (4, 3)


class Box:
    """An object with attributes."""

    def __init__(self, **values):
        self.__dict__.update(values)


def doubled(x):
    return x * 2


def tripled(x):
    return x * 3


FACTOR = 2.0
HELPER = doubled


# name -> (what the step uses, how it uses it, how it is changed)
CHANGES = {
    "attribute": (lambda: Box(v=2.0), lambda x, b: x * b.v, lambda b: setattr(b, "v", 3.0)),
    "item of a dict": (lambda: {"v": 2.0}, lambda x, b: x * b["v"], lambda b: b.update(v=3.0)),
    "item of a list": (lambda: [2.0], lambda x, b: x * b[0], lambda b: b.__setitem__(0, 3.0)),
    "length of a list": (lambda: [2.0], lambda x, b: x * len(b), lambda b: b.append(3.0)),
    "nested": (
        lambda: {"a": [Box(v=2.0)]},
        lambda x, b: x * b["a"][0].v,
        lambda b: setattr(b["a"][0], "v", 3.0),
    ),
    "class attribute": (
        lambda: type("C", (), {"v": 2.0}),
        lambda x, b: x * b.v,
        lambda b: setattr(b, "v", 3.0),
    ),
    "attribute of the class": (
        lambda: type("C", (), {"v": 2.0})(),
        lambda x, b: x * b.v,
        lambda b: setattr(type(b), "v", 3.0),
    ),
    "namespace": (
        lambda: types.SimpleNamespace(v=2.0),
        lambda x, b: x * b.v,
        lambda b: setattr(b, "v", 3.0),
    ),
    "python module": (
        lambda: types.ModuleType("settings"),
        lambda x, b: x * getattr(b, "v", 2.0),
        lambda b: setattr(b, "v", 3.0),
    ),
    "flag": (lambda: Box(on=False), lambda x, b: x + 1 if b.on else x, lambda b: setattr(b, "on", True)),
    "string": (
        lambda: Box(kind="relu"),
        lambda x, b: getattr(torch, b.kind)(x),
        lambda b: setattr(b, "kind", "tanh"),
    ),
    "function": (lambda: Box(f=doubled), lambda x, b: b.f(x), lambda b: setattr(b, "f", tripled)),
    "set": (lambda: set(), lambda x, b: x * (1 + len(b)), lambda b: b.add(1)),
    "tensor in a dict": (
        lambda: {"t": torch.ones(3)},
        lambda x, b: x * b["t"],
        lambda b: b.update(t=torch.full((3,), 5.0)),
    ),
    "tensor in a list": (
        lambda: [torch.ones(3)],
        lambda x, b: x * b[0],
        lambda b: b.__setitem__(0, torch.full((3,), 5.0)),
    ),
    "tensor attribute": (
        lambda: Box(t=torch.ones(3)),
        lambda x, b: x * b.t,
        lambda b: setattr(b, "t", torch.full((3,), 5.0)),
    ),
    "attribute of a tensor": (
        lambda: with_factor(torch.ones(3)),
        lambda x, b: x * b.factor,
        lambda b: setattr(b, "factor", 3.0),
    ),
    "numpy array": (
        lambda: np.ones(3, np.float32),
        lambda x, b: x * torch.from_numpy(b),
        lambda b: b.fill(4.0),
    ),
    "copied numpy array": (
        lambda: np.ones(3, np.float32),
        lambda x, b: x * torch.tensor(b),
        lambda b: b.fill(4.0),
    ),
    "numpy number": (
        lambda: Box(v=np.float32(2.0)),
        lambda x, b: x * float(b.v),
        lambda b: setattr(b, "v", np.float32(4.0)),
    ),
    "values of a tensor": (lambda: torch.ones(3), lambda x, b: x * b, lambda b: b.fill_(4.0)),
    "values through numpy": (lambda: torch.ones(3), lambda x, b: x * b, lambda b: b.numpy().fill(4.0)),
    "data of a tensor": (
        lambda: torch.ones(3),
        lambda x, b: x * b,
        lambda b: setattr(b, "data", torch.full((3,), 5.0)),
    ),
    "data of a parameter": (
        lambda: nn.Parameter(torch.ones(3)),
        lambda x, b: (x * b).detach(),
        lambda b: setattr(b, "data", torch.full((3,), 5.0)),
    ),
    "data turned": (
        lambda: torch.arange(9.0).reshape(3, 3),
        lambda x, b: x @ b,
        lambda b: setattr(b, "data", b.data.t()),
    ),
    "turned in place": (lambda: torch.arange(9.0).reshape(3, 3), lambda x, b: x @ b, lambda b: b.t_()),
    "shape in place": (lambda: torch.ones(3), lambda x, b: x * b, lambda b: b.unsqueeze_(0)),
    "device of nothing": (lambda: torch.ones(3), lambda x, b: x.to("cpu") * b, lambda b: b.mul_(2)),
    "dtype of data": (
        lambda: torch.ones(3),
        lambda x, b: x * b,
        lambda b: setattr(b, "data", torch.ones(3, dtype=torch.float64)),
    ),
    "requires_grad": (
        lambda: torch.ones(3),
        lambda x, b: (x * b).detach() * (2.0 if b.requires_grad else 1.0),
        lambda b: b.requires_grad_(),
    ),
    "gradient": (
        lambda: torch.ones(3),
        lambda x, b: x if b.grad is None else x * b.grad,
        lambda b: setattr(b, "grad", torch.full((3,), 2.0)),
    ),
    "parameter of a module": (
        lambda: nn.Linear(3, 3),
        lambda x, b: b(x).detach(),
        lambda b: setattr(b, "weight", nn.Parameter(torch.ones(3, 3))),
    ),
    "bias off": (lambda: nn.Linear(3, 3), lambda x, b: b(x).detach(), lambda b: setattr(b, "bias", None)),
    "plain attribute of a module": (
        lambda: module_with(2.0),
        lambda x, b: b(x),
        lambda b: setattr(b, "factor", 3.0),
    ),
    "dict in a module": (
        lambda: module_with({"v": 2.0}),
        lambda x, b: x * b.factor["v"],
        lambda b: b.factor.update(v=3.0),
    ),
    "child module": (
        lambda: nn.Sequential(nn.Tanh(), nn.Tanh()),
        lambda x, b: b(x),
        lambda b: b.append(nn.Sigmoid()),
    ),
    "module list": (
        lambda: nn.ModuleList([nn.Tanh()]),
        lambda x, b: sum(m(x) for m in b),
        lambda b: b.append(nn.Sigmoid()),
    ),
    "parameter list": (
        lambda: nn.ParameterList([torch.ones(3)]),
        lambda x, b: sum((x * p).detach() for p in b),
        lambda b: b.append(nn.Parameter(torch.full((3,), 4.0))),
    ),
    "module in a box": (
        lambda: Box(a=Box(m=nn.Dropout(0.5))),
        lambda x, b: b.a.m(x),
        lambda b: b.a.m.eval(),
    ),
    "module in a box replaced": (
        lambda: Box(m=nn.Tanh()),
        lambda x, b: b.m(x),
        lambda b: setattr(b, "m", nn.Sigmoid()),
    ),
    "forward of an instance": (
        lambda: module_with(2.0),
        lambda x, b: b(x),
        lambda b: setattr(b, "forward", lambda x: x * 7),
    ),
    "buffer": (
        lambda: nn.Linear(3, 3),
        lambda x, b: x * getattr(b, "offset", torch.ones(3)),
        lambda b: b.register_buffer("offset", torch.full((3,), 2.0)),
    ),
}


def with_factor(x):
    x.factor = 2.0
    return x


def module_with(factor):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return x * self.factor

    return Scaled()


WAYS = ["closure", "argument", "default", "global", "method", "helper"]
# a gradient of an argument cannot be replayed, and attributes of tensors among the arguments are not looked at
EXCEPT = {("gradient", "argument"), ("attribute of a tensor", "argument")}


@pytest.mark.parametrize(
    ("name", "how"), [(name, how) for name in CHANGES for how in WAYS if (name, how) not in EXCEPT]
)
def test_what_a_step_depends_on_changes(name, how):
    make, use, change = CHANGES[name]

    def build():
        thing = make()
        namespace = {"thing": thing, "use": use}
        step = None
        if how == "closure":

            def step(x):
                return use(x, thing)

        elif how == "argument":

            def step(x, thing):
                return use(x, thing)

        elif how == "default":

            def step(x, thing=thing):
                return use(x, thing)

        elif how == "method":

            class Owner:
                def __init__(self):
                    self.thing = thing

                def step(self, x):
                    return use(x, self.thing)

            step = Owner().step
        elif how == "helper":

            def inner(x):
                return use(x, thing)

            def step(x):
                return inner(x)

        else:
            exec("def step(x):\n    return use(x, thing)", namespace)
            step = namespace["step"]
        inputs = batches(X)
        given = (thing,) if how == "argument" else ()
        made = Scene(step, lambda k: (*inputs(k), *given))
        made.thing = thing
        return made

    def between(scene, k):
        if k == 3:
            change(scene.thing)

    assert_same(build, between=between, programs=5)


def test_global_number_and_function():
    def build():
        def step(x):
            return HELPER(x) * FACTOR

        return Scene(step, batches(X))

    def between(scene, k):
        global FACTOR, HELPER
        FACTOR = 2.0 if k < 2 else 5.0
        HELPER = doubled if k < 4 else tripled

    assert_same(build, between=between, programs=4)


def test_variable_of_a_closure():
    def build():
        factor = 2.0

        def step(x):
            return x * factor

        def set_factor(value):
            nonlocal factor
            factor = value

        made = Scene(step, batches(X))
        made.set = set_factor
        return made

    assert_same(build, between=lambda scene, k: scene.set(2.0 if k < 3 else 4.0), programs=2)


def test_default_dtype():
    def between(scene, k):
        torch.set_default_dtype(torch.float32 if k < 3 else torch.float64)

    try:
        assert_same(lambda: Scene(lambda: torch.ones(3) * 0.1, lambda k: ()), between=between, programs=2)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_mode_around_the_call(mode):
    model = small_model()
    x = torch.randn(4, 3)

    def step(x):
        result = model(x)
        return result.detach(), result.requires_grad

    compiled = torch.compile(step)
    for _ in range(3):
        with mode():
            assert compiled(x)[1] is False
        assert compiled(x)[1] is True
        assert compiled(x)[0].equal(step(x)[0])


def test_steps_of_two_functions_on_one_model():
    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        first = torch.compile(training_step(model, optimizer))
        second = torch.compile(training_step(model, optimizer, nn.functional.l1_loss))
        return Scene(lambda x, y: (first(x, y), second(x, y)), batches(X, (4, 2)), model, optimizer)

    def plain():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        first = training_step(model, optimizer)
        second = training_step(model, optimizer, nn.functional.l1_loss)
        return Scene(lambda x, y: (first(x, y), second(x, y)), batches(X, (4, 2)), model, optimizer)

    torch.manual_seed(3)
    a = build()
    torch.manual_seed(3)
    b = plain()
    for k in range(6):
        assert a.call(a.step, k) == b.call(b.step, k)
