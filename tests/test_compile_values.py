"""Arguments and results of compiled functions: every form, shared memory, and what users keep of earlier calls."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, bits, small_model, training_step, warnings_of

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)
Pair = namedtuple("Pair", "first second")
WEIGHT = torch.ones(3)


def drawn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=generator) for s in shapes]


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


def test_arguments_that_are_views_of_one_tensor():
    """A program for every distance: a replay writes and reads where the function would."""

    def function(a, b):
        a.add_(1)
        return a * b

    def run(step):
        found = []
        for _ in range(3):
            x = torch.arange(6.0)
            for a, b in [
                (x[:3], x[3:]),
                (x, x),
                (x[:4], x[2:]),
                (x, x.clone()),
                (x[2:], x[:4]),
                (x[1:], x[:-1]),
            ]:
                found.append((bits(step(a, b)), bits(x)))
        return found

    step = torch.compile(function, fullgraph=True)
    assert run(step) == run(function)
    assert len(step.programs) == 6


def test_tokens_and_those_after_them_are_arguments():
    table = nn.Embedding(7, 7).requires_grad_(False)
    step = torch.compile(lambda x, y: nn.functional.cross_entropy(table(x), y), fullgraph=True)
    for tokens in torch.randint(0, 7, (6, 9)):
        found = step(tokens[:-1], tokens[1:])
        assert bits(found) == bits(nn.functional.cross_entropy(table(tokens[:-1]), tokens[1:]))
    assert len(step.programs) == 1
    step.program(tokens[:-1], tokens[1:]).profile(1)  # on tensors of its own, which lie as these do


def test_arguments_that_share_memory_and_need_gradients():
    x = torch.arange(6.0, requires_grad=True)
    step = torch.compile(lambda a, b: (a * b).sum())
    found, warned = warnings_of(lambda: [torch.autograd.grad(step(x, x), x)[0] for _ in range(4)])
    assert all(bits(g) == bits(2 * x) for g in found)
    assert len(warned) == 1 and "share memory" in warned[0]


def arrays_apart_then_overlapping(rows):
    """Two matrices that first lie apart and then show parts of one array."""
    values = np.arange(rows * 32, dtype=np.float32).reshape(-1, 16) % 7 / 10
    for _ in range(4):
        yield torch.from_numpy(values[:rows].copy()), torch.from_numpy(values[rows:].copy())
    for shift in (0, 1, 100):
        whole = values.copy()
        yield torch.from_numpy(whole[:rows]), torch.from_numpy(whole[shift : rows + shift])


def test_arguments_that_a_replay_writes_while_others_show_them():
    """The rewrites have put rows in another order, or cut them into strips, for arguments that lay apart."""
    weight = torch.randn(16, 16)

    def function(a, b):
        a.add_(1)
        h, c = (a @ weight).tanh(), (b @ weight).tanh()
        a.mul_(2)
        return a + (h + c) @ weight

    def run(step):
        return [bits(step(a, b)) for a, b in arrays_apart_then_overlapping(4000)]

    found, warned = warnings_of(lambda: run(torch.compile(function, options={"partial_sums": False})))
    assert found == run(function)
    assert len(warned) == 1 and "share memory" in warned[0]


@pytest.mark.parametrize("overlapping", [False, True])
def test_argument_that_a_replay_writes_while_a_captured_tensor_shows_it(overlapping):
    weight = torch.randn(16, 16)

    def run(compiled):
        array = np.arange(4100 * 16, dtype=np.float32).reshape(-1, 16) % 5 / 10
        captured = torch.from_numpy(array[:4000])

        def function(a):
            h = (a @ weight).tanh()
            a.mul_(2)
            return h + (captured @ weight).tanh() + a

        step = torch.compile(function) if compiled else function
        apart = [torch.full((4000, 16), float(k)) for k in range(4)]
        last = torch.from_numpy(array[100:]) if overlapping else captured
        return [bits(step(a)) for a in (*apart, last)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "shares memory" in warned[0]


def test_argument_that_becomes_a_captured_tensor():
    """Recorded with the captured tensor as the argument, then called with another one, and the reverse."""
    w = torch.arange(3.0)
    plain = [lambda x: x + w, lambda x: x * 2 + w.sum(), lambda x: (w * x).sum()]
    for function in plain:
        check_quietly(function, (w, torch.ones(3), w, torch.full((3,), 5.0), w.detach(), w[:], torch.ones(3)))


def check_quietly(function, given):
    """Some of these arguments share memory with a captured tensor: one warning, and replays of the others."""
    step = torch.compile(function)
    found, warned = warnings_of(lambda: [bits(step(x)) for x in given])
    assert found == [bits(function(x)) for x in given]
    assert len(warned) == 1 and "shares memory" in warned[0]
    assert len(step.programs) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_argument_whose_array_other_tensors_show_too(first):
    """Tensors that know nothing of one another show one array, or parts of it."""
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    shown = [torch.from_numpy(a) for a in (array, array, array[:2], array[2:])]
    step = torch.compile(lambda x: (x * 2).sum(0), fullgraph=True)
    for x in (shown[first], torch.zeros(4, 3), shown[1 - first], shown[2], torch.ones(2, 3), shown[3]):
        for _ in range(3):
            assert bits(step(x)) == bits((x * 2).sum(0))
    assert len(step.programs) == 2


def test_argument_whose_array_a_captured_tensor_shows_too():
    array = np.arange(12, dtype=np.float32).reshape(4, 3)
    data = torch.from_numpy(array)

    def function(x):
        return x - data.mean(0), data[1]

    rows = [torch.from_numpy(a) for a in array]
    check_quietly(function, (rows[0], rows[1], torch.ones(3), rows[2], torch.zeros(3), rows[1]))


def test_arguments_that_show_one_array():
    def function(a, b):
        return a * b

    array = np.arange(6, dtype=np.float32)
    whole, again, first, last = (torch.from_numpy(a) for a in (array, array, array[:3], array[3:]))
    pairs = [(whole, again), (first, last), (last, first), (torch.ones(6), torch.zeros(6)), (again, whole)]
    step = torch.compile(function)
    found, warned = warnings_of(lambda: [bits(step(*given)) for given in pairs])
    assert found == [bits(function(*given)) for given in pairs]
    assert len(warned) == 1 and "share memory" in warned[0]


def test_argument_that_is_part_of_a_captured_tensor():
    data = torch.arange(12.0).reshape(4, 3)

    def function(x):
        return x - data.mean(0), data[1]

    check_quietly(function, (data[0], data[1], torch.ones(3), data[2], torch.zeros(3), data[1]))


def test_argument_that_is_a_parameter():
    def function(x):
        return model(x).detach()

    model = nn.Linear(3, 3)
    ones, zeros = torch.ones(3, 3), torch.zeros(3, 3)
    check_quietly(function, (model.weight.detach(), ones, model.weight.detach(), model.weight, zeros))


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


# name -> what a function does with a container that it is called with
CONTAINERS = {
    "pop": lambda d: d["list"].pop(),
    "pop from a dict": lambda d: d.pop("x"),
    "new key": lambda d: d.__setitem__("seen", True),
    "exchange": lambda d: d.update(x=d["y"], y=d["x"]),
    "reverse": lambda d: d["list"].reverse(),
    "clear": lambda d: d["list"].clear(),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_that_a_function_changes_are_changed_in_every_call(name):
    def function(d):
        result = d["x"] * d["y"] + d["list"][0]
        CONTAINERS[name](d)
        return result

    def run(step):
        found = []
        for k in range(6):
            x, y, *rest = drawn((3,), (3,), (3,), (3,), seed=k)
            d = {"x": x, "y": y, "list": rest}
            found.append((bits(step(d)), {key: bits(value) for key, value in d.items()}))
        return found

    found, _ = warnings_of(lambda: run(torch.compile(function)))
    assert found == run(function)


def test_keys_of_other_kinds_are_other_arguments():
    step = torch.compile(lambda d: {k: v * k for k, v in d.items()}, fullgraph=True)
    x = torch.arange(3)
    for _ in range(3):
        for key in (1, 1.0, True, 0.0, -0.0):
            (found,) = step({key: x}).items()
            assert repr(found[0]) == repr(key) and found[1].dtype == (x * key).dtype
            assert str(found[1]) == str(x * key)


def test_arguments_without_elements():
    step = torch.compile(lambda x, e: x.sum() + e.sum() + torch.cat([x, e]).sum(), fullgraph=True)
    for shape in ((0,), (0,), (0,), (2,)):
        assert step(torch.ones(3), torch.ones(*shape)).item() == 6 + 2 * sum(shape)


def test_tensors_may_be_keys():
    a, b = torch.ones(2), torch.zeros(2)
    step = torch.compile(lambda d, x: d[a] * x, fullgraph=True)
    for k in range(4):
        assert step({a: k, b: 7}, torch.ones(2)).tolist() == [k, k]


def test_parameters_and_tensors_are_other_arguments():
    step = torch.compile(lambda x: x * 2 if isinstance(x, nn.Parameter) else x * 3, fullgraph=True)
    parameter = nn.Parameter(torch.ones(2), requires_grad=False)
    for _ in range(3):
        assert step(parameter).tolist() == [2, 2]
        assert step(torch.ones(2)).tolist() == [3, 3]
