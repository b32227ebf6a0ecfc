"""How `jitgrad.compile` is called: on functions, methods and modules, as a decorator, nested, pickled."""

from __future__ import annotations

import copy
import functools
import pickle

import pytest
from compile_cases import Scene, assert_same, batches, bits, small_model, state_of, training_step, warnings_of

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)


def double(x):
    return x * 2


@torch.compile
def shifted(x, by=1):
    """Adds."""
    return x + by


def test_decorator():
    x = torch.ones(3)
    for _ in range(3):
        assert shifted(x).tolist() == [2, 2, 2]
        assert shifted(x, by=2).tolist() == [3, 3, 3]
    assert shifted.__name__ == "shifted" and shifted.__doc__ == "Adds."
    assert "shifted" in repr(shifted)


def test_decorator_with_options():
    @torch.compile(mode="max-autotune", dynamic=True, backend="inductor")
    def step(x):
        return x * 3

    @torch.compile(fullgraph=True, options={})
    def other(x):
        return x * 3

    for f, factor in (
        (step, 3.0),
        (other, 3.0),
        (torch.compile(double, mode="reduce-overhead"), 2.0),
        (torch.compile(fullgraph=True)(double), 2.0),
    ):
        for k in range(3):
            assert f(torch.full((2,), float(k))).tolist() == [factor * k] * 2


def test_disabled():
    assert torch.compile(double, disable=True)(torch.ones(1)).item() == 2


def test_unknown_option():
    with pytest.raises(RuntimeError, match="Unexpected optimization option"):
        torch.compile(double, options={"no_such_thing": True})


def test_pickled_function_records_anew():
    x = torch.ones(3)
    step = torch.compile(double, fullgraph=True, options={"in_place": False})
    step(x)
    for made in (pickle.loads(pickle.dumps(step)), copy.copy(step)):
        assert made.programs == []
        assert made(x).tolist() == made(x).tolist() == [2, 2, 2]
        assert len(made.programs) == 1


def test_pickled_module():
    model = small_model()
    step = torch.compile(model)
    x = torch.randn(*X)
    with torch.no_grad():
        expected = bits(step(x))
        made = pickle.loads(pickle.dumps(step))
        assert bits(made(x)) == bits(made(x)) == expected


def test_module_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).eval()
    step = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        for k in range(4):
            x = torch.randn(*X)
            assert bits(step(x)) == bits(model(x))
            if k == 2:
                model[0].bias.fill_(3.0)
    assert len(step.programs) == 1


@pytest.mark.parametrize("pattern", ["cccc", "cece"])
def test_training_through_a_compiled_module(pattern):
    def run(compiled):
        torch.manual_seed(5)
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        callable_ = torch.compile(model) if compiled else model
        inputs = batches(X, Y)
        found = []
        for k, letter in enumerate(pattern):
            x, y = inputs(k)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss((callable_ if letter == "c" else model)(x), y)
            loss.backward()
            optimizer.step()
            found.append((bits(loss), state_of(model, optimizer)))
        return found

    assert run(True) == run(False)


def test_module_whose_forward_reads_globals():
    class Scaled(nn.Module):
        def forward(self, x):
            return x * SCALE[0]

    SCALE[0] = 2.0
    step = torch.compile(Scaled())
    assert step(torch.ones(1)).item() == step(torch.ones(1)).item() == 2
    SCALE[0] = 3.0
    assert step(torch.ones(1)).item() == 3


SCALE = [1.0]


class Trainer:
    def __init__(self, seed, rate=0.1):
        torch.manual_seed(seed)
        self.model = small_model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate)
        self.scale = 1.0

    @torch.compile
    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y) * self.scale
        loss.backward()
        self.optimizer.step()
        return loss

    def plain(self, x, y):
        return Trainer.step._function(self, x, y)

    @staticmethod
    @torch.compile
    def twice(x):
        return x * 2

    @functools.cached_property
    def lazy(self):
        return torch.compile(self.plain)


def test_method():
    def run(compiled):
        trainers = [Trainer(1), Trainer(2, 0.5)]
        inputs = batches(X, Y)
        found = []
        for k in range(6):
            for t in trainers:
                step = t.step if compiled else t.plain
                found.append((bits(step(*inputs(k))), state_of(t.model)))
            if k == 3:
                trainers[0].scale = 2.0
        return found

    assert run(True) == run(False)
    x = torch.ones(2)
    assert Trainer.twice(x).tolist() == Trainer(0).twice(x).tolist() == [2, 2]


def test_bound_method():
    def run(compiled):
        t = Trainer(3)
        inputs = batches(X, Y)
        step = t.lazy if compiled else t.plain
        found = []
        for k in range(5):
            found.append((bits(step(*inputs(k))), state_of(t.model)))
            t.scale = 1.0 if k < 2 else 0.5
        return found

    assert run(True) == run(False)


def test_partial_and_callable_objects():
    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, x):
            return x * self.by

    scale = Scale(2.0)
    partial = torch.compile(functools.partial(lambda a, x: x * a, 3.0))
    step = torch.compile(scale)
    for _ in range(3):
        assert step(torch.ones(1)).item() == 2 and partial(torch.ones(1)).item() == 3
    scale.by = 5.0
    assert step(torch.ones(1)).item() == 5


def test_compiled_function_within_another():
    def build(inner=lambda f: f):
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        forward = inner(lambda x: model(x).tanh())
        update = inner(optimizer.step)

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(forward(x), y)
            loss.backward()
            update()
            return loss

        return Scene(step, batches(X, Y), model, optimizer)

    assert_same(lambda: build(torch.compile))
    torch.manual_seed(1)
    twins = [build(torch.compile)]
    torch.manual_seed(1)
    twins.append(build())
    for k in range(4):
        assert twins[0].call(twins[0].step, k) == twins[1].call(twins[1].step, k)


def test_inner_function_that_has_been_recorded_before():
    w = torch.arange(3.0)
    inner = torch.compile(lambda x: x * w + 1)
    for _ in range(2):
        inner(torch.ones(3))
    outer = torch.compile(lambda x: inner(x) * 2, fullgraph=True)
    for k in range(4):
        assert outer(torch.full((3,), float(k))).tolist() == [2.0, 2.0 * k + 2, 4.0 * k + 2]


def test_graph_of_a_compiled_function_walked_back_in_a_recorded_step():
    model = small_model()
    f = torch.compile(model)
    for _ in range(2):
        f(torch.randn(*X)).sum().backward()
    x = torch.randn(*X)

    def step(value):
        model.zero_grad()
        value.sum().backward()

    compiled = torch.compile(lambda: step(outside))
    found, expected = [], []
    for _ in range(4):
        outside = f(x)
        warnings_of(compiled)
        found.append(state_of(model))
        step(model(x))
        expected.append(state_of(model))
    assert found == expected


def test_change_of_what_an_inner_compiled_function_uses():
    factor = [2.0]
    inner = torch.compile(lambda x: x * factor[0])
    outer = torch.compile(lambda x: inner(x) + 1)
    x = torch.ones(1)
    assert outer(x).item() == outer(x).item() == 3
    factor[0] = 4.0
    assert outer(x).item() == 5 and inner(x).item() == 4


def test_inner_function_that_depends_on_data():
    inner = torch.compile(lambda x: x * x.sum().item())
    outer = torch.compile(lambda x: inner(x) + 1)
    found, warned = warnings_of(lambda: [outer(torch.ones(2) * k).tolist() for k in range(4)])
    assert found == [[1.0, 1.0], [3.0, 3.0], [9.0, 9.0], [19.0, 19.0]]
    assert len(warned) == 2  # one for each of the two


def test_recursion():
    @torch.compile
    def power(x, n):
        return x if n == 0 else power(x, n - 1) * 2

    for n in (3, 1, 3, 0, 2):
        assert power(torch.ones(1), n).item() == 2**n


def test_function_without_arguments_or_rows():
    empty = torch.compile(lambda: None, fullgraph=True)
    constant = torch.compile(lambda x: 3, fullgraph=True)
    for _ in range(3):
        assert empty() is None
        assert constant(torch.ones(2)) == 3


def test_wrong_call():
    step = torch.compile(double)
    for _ in range(2):
        with pytest.raises(TypeError):
            step()
        with pytest.raises(TypeError):
            step(torch.ones(1), torch.ones(1))
        assert step(torch.ones(1)).item() == 2


def test_numbers_and_arrays_in_place_of_tensors():
    step = torch.compile(double)
    for _ in range(2):
        assert step(2) == 4
        assert step(2.5) == 5.0
        assert step("a") == "aa"
        assert step([1]) == [1, 1]


def test_program_and_known():
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = torch.compile(training_step(model, optimizer))
    x, y = torch.randn(*X), torch.randn(*Y)
    program = step.program(x, y)
    assert program.rows and program.memory > 0
    assert step.program(x, y) is program
    bad = torch.compile(lambda x: x.sum().item())
    with pytest.warns(RuntimeWarning), pytest.raises(RuntimeError, match="eagerly"):
        bad.program(x)


@pytest.mark.parametrize("given", [3, "step", (1, 2)])
def test_what_cannot_be_called_is_refused_when_it_is_compiled(given):
    with pytest.raises(AssertionError, match=f"callable function is expected, got {type(given).__name__}"):
        torch.compile(given)
    with pytest.raises(AssertionError, match="callable function is expected"):
        torch.compile(fullgraph=True)(given)


def test_an_unknown_mode_is_refused_with_those_there_are():
    with pytest.raises(RuntimeError, match=r"Unrecognized mode=fastest.*reduce-overhead"):
        torch.compile(torch.exp, mode="fastest")
    assert torch.compile(torch.exp, mode="max-autotune-no-cudagraphs")(torch.zeros(1)).item() == 1.0
