"""Arguments and results of compiled functions: every form, shared memory, and what users keep of earlier calls."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, bits, drawn, small_model, training_step

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)
Pair = namedtuple("Pair", "first second")
WEIGHT = torch.ones(3)


# name -> function of x and y that returns something with tensors in it
FORMS = {
    "tuple": lambda x, y: (x + 1, y * 2),
    "list": lambda x, y: [x + 1, [y * 2, 3]],
    "dict": lambda x, y: {"a": x + 1, "b": {"c": y, "d": None}},
    "named tuple": lambda x, y: Pair(x + y, "text"),
    "none": lambda x, y: None,
    "number": lambda x, y: 2.5,
    "argument": lambda x, y: x,
    "arguments": lambda x, y: (y, x, x + y),
    "twice": lambda x, y: (lambda z: (z, z))(x * 2),
    "from outside": lambda x, y: (WEIGHT, x),
    "constant": lambda x, y: torch.tensor([1.0, 2.0]),
    "transposed": lambda x, y: (x + 1).t(),
    "view": lambda x, y: (x + 1)[1:, ::2],
    "view of an argument": lambda x, y: x[1:, ::2],
    "view of another": lambda x, y: (lambda z: (z, z[0]))(x * 2),
    "expanded": lambda x, y: x.sum(0).expand(4, 3),
    "no dimensions": lambda x, y: x.sum(),
    "empty": lambda x, y: x[:0] + 1,
    "detached": lambda x, y: x.detach(),
    "bool": lambda x, y: x > y,
    "int": lambda x, y: x.argmax(1),
    "shape": lambda x, y: (x.shape, x.dtype, x * x.shape[0]),
    "double": lambda x, y: x.double(),
    "views in a dict": lambda x, y: dict(zip("ab", (x + y).unbind(0)[:2], strict=True)),
}


@pytest.mark.parametrize("name", FORMS)
def test_form_of_the_result(name):
    assert_same(lambda: Scene(FORMS[name], batches(X, X)), "ccccc", programs=1)


def test_same_tensor_returned_twice_is_one():
    step = torch.compile(lambda x: (x, x))
    x = torch.ones(3)
    for _ in range(3):
        a, b = step(x)
        assert a is x and b is x


ARGUMENTS = {
    "nested": ((([1, 2], {"a": 3}), None), lambda v: v[0][0][0] * 2 + v[0][1]["a"]),
    "named tuple": (Pair(1, 2), lambda v: v.first - v.second),
    "list": ([1, 2, 3], lambda v: v[0] + v[1] * v[2]),
    "dict": ({"b": 1, "a": 2}, lambda v: v["a"] - v["b"]),
}


@pytest.mark.parametrize("keyword", [False, True])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_form_of_the_argument(name, keyword):
    form, use = ARGUMENTS[name]

    def filled(value, x):
        if isinstance(value, int):
            return x[value - 1]
        if isinstance(value, dict):
            return {k: filled(v, x) for k, v in value.items()}
        if isinstance(value, tuple | list):
            items = [filled(v, x) for v in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        return value

    step = torch.compile(lambda v: use(v), fullgraph=True)
    for seed in range(4):
        given = filled(form, drawn((3,), (3,), (3,), seed=seed))
        found = step(v=given) if keyword else step(given)
        assert bits(found) == bits(use(given))
    assert len(step.programs) == 1


def test_python_scalars_are_part_of_the_program():
    step = torch.compile(lambda x, a, flag=False, mode="sum": getattr(x * a, mode)() + (1 if flag else 0))
    x = torch.arange(3.0)
    for _ in range(2):
        assert step(x, 2).item() == 6
        assert step(x, 2.0).item() == 6
        assert step(x, 3).item() == 9
        assert step(x, 2, flag=True).item() == 7
        assert step(x, 2, mode="prod").item() == 0
        assert step(x, True).item() == 3
        assert step(x, 1).item() == 3
        assert step(torch.tensor([1, 2]), True).dtype is torch.int64
        assert str(step(torch.ones(1), 0.0)) == "tensor(0.)"
        assert str(step(torch.ones(1), -0.0)) == "tensor(0.)"
    nan = step(x, float("nan"))
    assert nan.isnan() and step(x, float("nan")).isnan()


@pytest.mark.parametrize("kind", [float, np.float32])
def test_signs_of_arguments_that_are_no_numbers(kind):
    step = torch.compile(lambda x, by: torch.copysign(x, torch.tensor(by)), fullgraph=True)
    for by in (float("nan"), -float("nan")) * 3:
        assert step(torch.ones(1), kind(by)).item() == np.copysign(1, by)
    assert len(step.programs) == 2


def test_signs_of_what_is_no_number_and_is_read():
    kept = [float("nan")]
    step = torch.compile(lambda x: torch.copysign(x, torch.tensor(kept[0])), fullgraph=True)
    for by in (float("nan"), -float("nan")) * 3:
        kept[0] = by
        assert step(torch.ones(1)).item() == np.copysign(1, by)


def test_other_shapes_dtypes_and_strides():
    w = torch.arange(12.0).reshape(3, 4)

    def function(x):
        return (x @ w.to(x.dtype)).relu() + 1

    step = torch.compile(function, fullgraph=True)
    base = drawn((6, 6))[0]
    given = [base[:2, :3], base[:3, :3], base[:3, :3].t(), base[::2, :3], base[:2, ::2], base[0, :3],
             base[:2, :3].double(), base[:1, :3], base[1:3, 1:4].contiguous()]  # fmt: skip
    for _ in range(3):
        for x in given:
            assert bits(step(x)) == bits(function(x))


def test_batches_that_are_views_of_one_tensor():
    data = drawn((12, 3))[0]

    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        target = torch.zeros(4, 2)
        step = training_step(model, optimizer)
        return Scene(lambda x: step(x, target), lambda k: (data[4 * (k % 3) :][:4],), model, optimizer)

    assert_same(build, programs=1)


def test_arguments_written_in_place():
    def function(x, y):
        x += y
        y.zero_()
        return x.sum()

    assert_same(lambda: Scene(function, batches(X, X)), "cccc", programs=1)
    step = torch.compile(function)
    for _ in range(3):
        x, y = torch.ones(3), torch.full((3,), 2.0)
        before = x._version, y._version
        assert step(x, y).item() == 9
        assert x.tolist() == [3, 3, 3] and y.tolist() == [0, 0, 0]
        assert x._version - before[0] == 1 and y._version - before[1] == 1


def test_a_write_is_counted_so_that_saved_values_are_missed():
    w = torch.ones(3)
    step = torch.compile(lambda x: w.add_(x))
    step(torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    loss = (x * w).sum()
    step(torch.ones(3))
    with pytest.raises(RuntimeError, match="modified"):
        loss.backward()


def test_tensors_made_in_the_step_and_modified_there():
    def function(x):
        total = torch.zeros(3)
        counts = torch.ones(3, dtype=torch.int64)
        for k in range(3):
            total += x[k]
            counts[k] += k
        grid = torch.arange(3).float()
        grid[1] = 7
        table = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        table[0] = x[0]
        filled = torch.full((3,), 0.5)
        filled.mul_(x[1])
        eye = torch.eye(3)
        eye.fill_diagonal_(2.0) if hasattr(eye, "fill_diagonal_") else eye.add_(1)
        return total, counts, grid, table, filled, eye @ x[0], torch.linspace(0, 1, 3) + total

    assert_same(lambda: Scene(function, batches(X)), "ccccc", programs=1)


def test_results_of_earlier_calls_stay():
    made = [drawn(X, Y, seed=k) for k in range(5)]

    def run(compiled):
        torch.manual_seed(2)
        model = small_model()
        step = training_step(model, torch.optim.Adam(model.parameters()))
        step = torch.compile(step, fullgraph=True) if compiled else step
        return [step(x, y) for x, y in made]

    assert bits(run(True)) == bits(run(False))


def test_results_may_be_written_without_harm():
    step = torch.compile(lambda x: (x + 1, torch.ones(3)), fullgraph=True)
    for _ in range(4):
        a, b = step(torch.zeros(3))
        assert a.tolist() == b.tolist() == [1, 1, 1]
        a.fill_(9)
        b.fill_(9)
        a.numpy()[:] = 3


def test_gradients_that_the_user_holds_stay():
    def run(compiled):
        torch.manual_seed(2)
        model = small_model()
        step = training_step(model, torch.optim.SGD(model.parameters(), lr=0.1))
        step = torch.compile(step, fullgraph=True) if compiled else step
        held, views, copies = [], [], []
        for k in range(6):
            step(*drawn(X, Y, seed=k))
            gradient = model[0].weight.grad
            if k in (1, 2, 4):
                held.append(gradient)
                copies.append(gradient.tolist())
            if k == 3:
                views = [gradient.numpy(), gradient.numpy().copy(), gradient[0], gradient[0].tolist()]
            del gradient
        assert [g.tolist() for g in held] == copies
        assert (views[0] == views[1]).all() and views[2].tolist() == views[3]
        return copies

    assert run(True) == run(False)


def test_gradient_replaced_by_the_user():
    def build():
        model = small_model()

        def step(x, y):
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        return Scene(step, batches(X, Y), model)

    def replace(scene, k):
        for p in scene.owners[0].parameters():
            if k == 2:
                p.grad = torch.ones_like(p)
            if k == 4:
                p.grad = None
            if k == 5:
                p.grad = p.detach()

    assert_same(build, "cccccccc", replace, programs=8)


def test_numpy_view_of_a_parameter():
    model = small_model()
    step = torch.compile(training_step(model, torch.optim.SGD(model.parameters(), lr=0.1)), fullgraph=True)
    view = model[0].weight.detach().numpy()
    for k in range(3):
        step(*drawn(X, Y, seed=k))
        assert (view == model[0].weight.detach().numpy()).all()
    view[:] = 0
    twin = small_model()
    twin.load_state_dict(model.state_dict())
    plain = training_step(twin, torch.optim.SGD(twin.parameters(), lr=0.1))
    assert bits(step(*drawn(X, Y))) == bits(plain(*drawn(X, Y)))
    assert bits(model.state_dict()) == bits(twin.state_dict())


def test_item_outside():
    model = small_model()
    step = torch.compile(training_step(model, torch.optim.SGD(model.parameters(), lr=0.1)))
    losses = [step(*drawn(X, Y)).item() for _ in range(4)]
    assert losses == sorted(losses, reverse=True)


def test_inference_under_no_grad():
    model = small_model()
    step = torch.compile(model, fullgraph=True)
    for k in range(4):
        (x,) = drawn(X, seed=k)
        with torch.no_grad():
            found = step(x)
            assert not found.requires_grad
            assert bits(found) == bits(model(x))
    assert len(step.programs) == 1
