"""`vmap` replays the record of one sample: what that gives is what Python gives, sample after sample."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import func, nn
from jitgrad.func import replays

N = 10


@pytest.fixture(autouse=True)
def record_at_once(monkeypatch):
    monkeypatch.setattr(replays, "WORTH_RECORDING", 1)


@pytest.fixture
def replayed(monkeypatch):
    """How many samples were replays, call by call."""
    counts = []
    inner = replays.Part.run

    def run(part, epoch, tick):
        counts.append(part.steps)
        inner(part, epoch, tick)

    monkeypatch.setattr(replays.Part, "run", run)
    return counts


def one_by_one(function, *arguments, in_dims=0):
    """Each sample's result, in NumPy's arrays."""
    dims = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(arguments)
    count = next(x.shape[d] for x, d in zip(arguments, dims, strict=True) if d is not None)
    each = []
    for k in range(count):
        given = [x if d is None else x.select(d, k) for x, d in zip(arguments, dims, strict=True)]
        each.append(function(*given))
    return np.stack([y.detach().numpy() for y in each])


WEIGHT = torch.randn(3, 2)
# name -> (function, shapes of its arguments for all samples, in_dims)
PURE = {
    "elementwise": (lambda x: x.sin() * 2, [(N, 3)], 0),
    "product with what is shared": (lambda x, w: (x @ w).tanh(), [(N, 3), (3, 2)], (0, None)),
    "captured": (lambda x: x @ WEIGHT, [(N, 3)], 0),
    "last dimension": (lambda x, y: x * y.sum(), [(4, N), (N, 2)], (1, 0)),
    "negative dimension": (lambda x: x.sum(0), [(4, 3, N)], (-1,)),
    "without dimensions": (lambda x, y: x * y, [(N,), (N,)], 0),
    "gradient": (func.grad(lambda x: (x.sin() * x).sum()), [(N, 3)], 0),
    "hessian": (func.hessian(lambda x: (x**3).sum()), [(N, 3)], 0),
    "jacobian": (func.jacrev(lambda x: (x @ WEIGHT).tanh()), [(N, 3)], 0),
    "a map in a map": (func.vmap(lambda x: x.cumsum(0)), [(N, 4, 3)], 0),
    "its argument": (lambda x: x, [(N, 3)], 0),
    "a view": (lambda x: x[1:], [(N, 3)], 0),
    "what is captured": (lambda x: WEIGHT, [(N, 3)], 0),
    "no elements": (lambda x: x * 2, [(N, 0)], 0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PURE)
def test_samples_are_replays_with_the_same_results(name, dtype, replayed):
    function, shapes, in_dims = PURE[name]
    mapped = func.vmap(function, in_dims=in_dims)
    for _ in range(3):
        given = [torch.randn(shape, dtype=dtype) for shape in shapes]
        if dtype is torch.float64 and name in ("captured", "jacobian"):
            given = [x.float() for x in given]
        expected = one_by_one(function, *given, in_dims=in_dims)
        np.testing.assert_allclose(mapped(*given).numpy(), expected, rtol=1e-6, atol=1e-7)
    assert replayed.count(N) == 2


@pytest.mark.parametrize("count", range(1, 7))
def test_few_samples(count):
    """Some of them are run by Python first, and one may be left."""
    mapped = func.vmap(lambda x, w: (x * w).cumsum(0), in_dims=(0, None))
    for _ in range(3):
        x, w = torch.randn(count, 4), torch.randn(4)
        expected = (x.numpy() * w.numpy()).cumsum(1)
        np.testing.assert_allclose(mapped(x, w).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_nested_arguments_and_results_and_where_the_samples_go():
    def function(p, x, scale):
        y = x @ p["w"] + p["b"]
        return {"y": y * scale, "parts": (y.sum(), x[0])}

    mapped = func.vmap(function, in_dims=({"w": None, "b": 0}, 1, None), out_dims=(1, 0, 0))
    for scale in (2.0, 2.0, 3.0):
        p, x = {"w": torch.randn(3, 2), "b": torch.randn(N, 2)}, torch.randn(3, N)
        found = mapped(p, x, scale)
        y = x.numpy().T @ p["w"].numpy() + p["b"].numpy()
        np.testing.assert_allclose(found["y"].numpy(), (y * scale).T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["parts"][0].numpy(), y.sum(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found["parts"][1].numpy(), x.numpy()[0])


def test_gradients_of_each_sample_with_a_modules_parameters_as_they_are_detached(replayed):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def loss(p, x, y):
        return nn.functional.mse_loss(func.functional_call(net, p, (x,)), y)

    mapped = func.vmap(func.grad(loss), in_dims=(None, 0, 0))
    for _ in range(3):
        x, y = torch.randn(N, 3), torch.randn(N, 2)
        found = mapped(parameters, x, y)
        for k in range(N):
            for name, g in func.grad(loss)(parameters, x[k], y[k]).items():
                np.testing.assert_allclose(found[name][k].numpy(), g.numpy(), rtol=1e-5, atol=1e-6)
                parameters[name] -= 1e-3 * g
            found = mapped(parameters, x, y)
    assert replayed.count(N) > 2 * N


SCALE = 2.0


def test_what_the_function_depends_on_may_change(monkeypatch):
    state, shift = {"k": 1.0}, torch.zeros(3)

    def function(x):
        return x * SCALE + state["k"] + shift

    mapped = func.vmap(function)

    def check():
        for _ in range(2):
            x = torch.randn(N, 3)
            expected = x.numpy() * SCALE + state["k"] + shift.numpy()
            np.testing.assert_allclose(mapped(x).numpy(), expected, rtol=1e-6)

    check()
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    check()
    state["k"] = 7.0
    check()
    shift.add_(1)
    check()
    shift = torch.ones(3) * 4
    check()


def test_each_sample_draws_its_own_numbers_as_sample_after_sample():
    drop = nn.Dropout(0.5)
    mapped, x = func.vmap(drop, randomness="different"), torch.ones(N, 6)
    torch.manual_seed(5)
    expected = [one_by_one(drop, x) for _ in range(3)]
    torch.manual_seed(5)
    np.testing.assert_array_equal(np.stack([mapped(x).numpy() for _ in range(3)]), np.stack(expected))
    drop.eval()
    np.testing.assert_array_equal(mapped(x).numpy(), x.numpy())
    alike = func.vmap(drop.train(), randomness="same")(x).numpy()
    assert (alike == alike[0]).all()


def test_results_keep_their_history():
    weight = torch.randn(3, requires_grad=True)
    mapped, x = func.vmap(lambda x: (x * weight).sum()), torch.randn(N, 3)
    for _ in range(3):
        weight.grad = None
        mapped(x).sum().backward()
        np.testing.assert_allclose(weight.grad.numpy(), x.numpy().sum(0), rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            assert not mapped(x).requires_grad
    weight.requires_grad_(False)
    for _ in range(3):
        assert not mapped(x).requires_grad
    weight.requires_grad_()
    assert mapped(x).requires_grad
    given = torch.randn(N, 3, requires_grad=True)
    func.vmap(lambda x: x.sin())(given).sum().backward()
    np.testing.assert_allclose(given.grad.numpy(), np.cos(given.detach().numpy()), rtol=1e-6)


def test_functions_that_no_replay_can_stand_for_run_sample_by_sample(replayed):
    x = torch.randn(N, 3)
    chosen = func.vmap(lambda x: x * 2 if x.sum() > 0 else x * 3)
    written = func.vmap(lambda x: x.add_(1) * 1)
    for k in range(3):
        expected = np.where(x.numpy().sum(1, keepdims=True) > 0, x.numpy() * 2, x.numpy() * 3)
        np.testing.assert_allclose(chosen(x).numpy(), expected, rtol=1e-6)
        rows = torch.full((N, 3), float(k))
        assert (written(rows).numpy() == k + 1).all() and (rows.numpy() == k + 1).all()
    assert replayed == []


def test_bad_index_of_a_late_sample_raises():
    table = torch.randn(5, 2)
    mapped = func.vmap(lambda i: nn.functional.embedding(i, table))
    good, bad = torch.arange(N) % 5, torch.arange(N)
    for _ in range(2):
        np.testing.assert_array_equal(mapped(good).numpy(), table.numpy()[good.numpy()])
        with pytest.raises(IndexError, match="out of bounds"):
            mapped(bad)


def test_compiled_steps_see_what_becomes_of_a_module_that_is_mapped():
    net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9))
    mapped = func.vmap(net)
    step, x = torch.compile(lambda x: mapped(x), fullgraph=True), torch.randn(4, 3)
    with torch.no_grad():
        for _ in range(3):
            step(x)
        net.eval()
        np.testing.assert_allclose(step(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
        net[0] = nn.Linear(3, 2)
        np.testing.assert_allclose(step(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)


COLUMNS = "in columns"
# how the samples lie that a function writes to, given their values
LIE = {
    "side by side": lambda x: x.clone(),
    COLUMNS: lambda x: x.t().contiguous().t(),
    "every other row": lambda x: torch.stack([x, x], 1).view(2 * N, 3)[::2],
    "in one place": lambda x: x[:1].clone().expand(N, 3),
}


@pytest.mark.parametrize(
    ("name", "first"), [(name, k) for name in LIE for k in range(3) if name != COLUMNS or not k]
)
def test_samples_that_a_function_writes_to_are_written_to(name, first, monkeypatch):
    """From the first sample that it gets, or from a later one."""

    def run(worth):
        monkeypatch.setattr(replays, "WORTH_RECORDING", worth)
        calls = []

        def function(x, y):
            calls.append(len(calls))
            if len(calls) > first:
                x.mul_(2)
                y.add_(1)
            return x + y

        torch.manual_seed(2)
        mapped, samples, shared = (
            func.vmap(function, in_dims=(0, None)),
            LIE[name](torch.randn(N, 3)),
            torch.ones(3),
        )
        found = [mapped(samples, shared).tolist() for _ in range(2)]
        return found, samples.tolist(), shared.tolist()

    assert run(1) == run(10**9)


def test_samples_of_which_a_function_writes_to_copies_stay_as_they_were():
    samples = torch.arange(12.0).view(3, 4)
    mapped = func.vmap(lambda x: x.contiguous().mul_(2), in_dims=1)
    for _ in range(3):
        assert mapped(samples).tolist() == (2 * samples.t()).tolist()
        assert samples.tolist() == torch.arange(12.0).view(3, 4).tolist()
