"""Averaged models, their batch normalization, and the learning rate that goes with them."""

import copy
import pickle
from math import cos, pi

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import nn
from jitgrad.optim import swa_utils as swa


def model(dtype=None):
    return nn.Sequential(
        nn.Linear(3, 4, dtype=dtype), nn.BatchNorm1d(4, dtype=dtype), nn.Linear(4, 2, dtype=dtype)
    )


def shake(m, seed):
    """Other numbers for all parameters and buffers; returns them."""
    rng = np.random.default_rng(seed)
    with jg.no_grad():
        for p in m.parameters():
            p.copy_(jg.tensor(rng.standard_normal(tuple(p.shape))))
        for b in m.buffers():
            b.copy_(jg.tensor(rng.integers(1, 50, tuple(b.shape))))
    return numbers(m)


def numbers(m):
    return {name: value.numpy().copy() for name, value in m.state_dict().items()}


def plain_average(old, new, n):
    return old + (new - old) / (n + 1)


def moving_average(old, new, n):
    return 0.9 * old + 0.1 * new


WAYS = {
    "default": ({}, plain_average),
    "swa": ({"avg_fn": swa.get_swa_avg_fn()}, plain_average),
    "swa of all": ({"multi_avg_fn": swa.get_swa_multi_avg_fn()}, plain_average),
    "ema": ({"avg_fn": swa.get_ema_avg_fn(0.9)}, moving_average),
    "ema of all": ({"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)}, moving_average),
    "own": ({"avg_fn": lambda a, c, n: a * n + c}, lambda a, c, n: a * n + c),
}


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("dtype", [jg.float32, jg.float64])
@pytest.mark.parametrize("name", WAYS)
def test_the_average_follows_its_rule(name, dtype, use_buffers):
    options, rule = WAYS[name]
    m = model(dtype)
    averaged = swa.AveragedModel(m, use_buffers=use_buffers, **options)
    learned = {key for key, _ in m.named_parameters()}
    tolerance = 1e-5 if dtype is jg.float32 else 1e-13
    expected = {}
    for n in range(5):
        for key, value in shake(m, n).items():
            if n and (use_buffers or key in learned):
                mean = rule(expected[key].astype(float), value.astype(float), n)
                value = np.trunc(mean) if value.dtype.kind == "i" else mean
            expected[key] = value
        averaged.update_parameters(m)
        assert averaged.n_averaged.item() == n + 1
        for key, value in numbers(averaged.module).items():
            np.testing.assert_allclose(value, expected[key], rtol=tolerance, atol=tolerance)
    assert not any(p.grad_fn for p in averaged.parameters())


def test_an_averaged_model_is_a_copy_that_computes_and_is_saved_as_one():
    m = model()
    averaged = swa.AveragedModel(m)
    assert list(averaged.state_dict()) == ["n_averaged", *(f"module.{key}" for key in m.state_dict())]
    x = jg.randn(5, 3)
    shake(m, 1)
    averaged.update_parameters(m)
    m.eval(), averaged.eval()
    assert averaged(x).tolist() == m(x).tolist()
    shake(m, 2)
    assert averaged(x).tolist() != m(x).tolist()
    for twin in (copy.deepcopy(averaged), pickle.loads(pickle.dumps(averaged))):
        assert twin(x).tolist() == averaged(x).tolist()
    loaded = swa.AveragedModel(m).eval()
    loaded.load_state_dict(averaged.state_dict())
    loaded.update_parameters(m)  # goes on averaging: what was loaded is not copied over
    averaged.update_parameters(m)
    assert loaded(x).tolist() == averaged(x).tolist()


def test_frozen_parameters_are_averaged_and_stay_frozen():
    m = model()
    m[0].requires_grad_(False)
    averaged = swa.AveragedModel(m, device="cpu")
    first = shake(m, 0)
    averaged.update_parameters(m)
    second = shake(m, 1)
    averaged.update_parameters(m)
    asked = [p.requires_grad for p in averaged.parameters()]
    assert asked == [p.requires_grad for p in m.parameters()]
    key = "0.weight"
    np.testing.assert_allclose(
        numbers(averaged.module)[key], (first[key] + second[key]) / 2, rtol=1e-5, atol=1e-6
    )


def test_lists_of_tensors_are_changed_in_place_also_integers():
    averaged = [jg.tensor([1.0, 2.0]), jg.tensor([10, -10])]
    seen = averaged[0]
    swa.get_swa_multi_avg_fn()(averaged, [jg.tensor([4.0, 8.0]), jg.tensor([1, -1])], 2)
    assert averaged[0] is seen
    assert [a.tolist() for a in averaged] == [[2.0, 4.0], [7, -7]]
    swa.get_ema_multi_avg_fn(0.75)(averaged, [jg.tensor([4.0, 8.0]), jg.tensor([4, -4])], 2)
    assert [a.tolist() for a in averaged] == [[2.5, 5.0], [6, -6]]


def test_a_function_for_many_is_called_with_tensors_of_one_dtype():
    m = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, dtype=jg.float64), nn.Linear(1, 1))
    calls = []
    averaged = swa.AveragedModel(
        m, multi_avg_fn=lambda a, c, n: calls.append(([x.dtype for x in a], len(c), n.item()))
    )
    for _ in range(2):
        averaged.update_parameters(m)
    assert calls == [([jg.float32] * 4, 4, 1), ([jg.float64] * 2, 2, 1)]


def test_a_model_of_another_structure_is_refused_and_nothing_changes():
    averaged = swa.AveragedModel(model())
    before = numbers(averaged)
    wider = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    for other, error, message in [
        (nn.Linear(3, 4), ValueError, "the model has 2 parameters, the averaged one 6"),
        (
            wider,
            RuntimeError,
            r"number 4 of the parameters has shape \(3, 4\), that of the averaged model \(2, 4\)",
        ),
    ]:
        with pytest.raises(error, match=message):
            averaged.update_parameters(other)
    for key, value in numbers(averaged).items():
        assert value.tolist() == before[key].tolist()


def test_averaging_beside_a_compiled_step_is_averaging_beside_an_eager_one():
    def train(wrap):
        jg.manual_seed(0)
        m = model()
        optimizer = jg.optim.SGD(m.parameters(), lr=0.1)
        averaged = swa.AveragedModel(m, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(m(x), y)
            loss.backward()
            optimizer.step()
            return loss

        compiled = wrap(step)
        for _ in range(6):
            compiled(jg.randn(8, 3), jg.randn(8, 2))
            averaged.update_parameters(m)
        return {key: value.tobytes() for key, value in numbers(averaged).items()}

    eager = train(lambda step: step)
    assert eager == train(lambda step: jg.compile(step, fullgraph=True, options={"partial_sums": False}))


# batch normalization ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [lambda x: x, lambda x: (x, 0), lambda x: [x]], ids=["tensor", "tuple", "list"]
)
def test_running_statistics_are_averages_over_the_batches(kind):
    norm = nn.BatchNorm1d(3, momentum=0.3)
    m = nn.Sequential(norm, nn.Dropout(0.5)).eval()
    shake(norm, 0)
    data = np.random.default_rng(0).standard_normal((4, 6, 3)) * 3 + 1
    swa.update_bn([kind(jg.tensor(x, dtype=jg.float32)) for x in data], m, device="cpu")
    np.testing.assert_allclose(norm.running_mean.numpy(), data.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), data.var(1, ddof=1).mean(0), rtol=1e-5)
    assert norm.num_batches_tracked.item() == 4
    assert norm.momentum == 0.3
    assert not m.training
    assert not norm.training


def test_a_model_without_batch_normalization_is_not_called():
    def batches():
        raise AssertionError("a batch was asked for")
        yield

    swa.update_bn(batches(), nn.Sequential(nn.Linear(2, 2)))


def test_momenta_and_mode_come_back_after_an_error():
    m = model().eval()
    with pytest.raises(RuntimeError):
        swa.update_bn([jg.ones(2, 7)], m)
    assert m[1].momentum == 0.1
    assert not m.training


# the learning rate ------------------------------------------------------------------------------------


def optimizer(*rates, kind="SGD"):
    groups = [{"params": [jg.tensor([1.0], requires_grad=True)], "lr": r} for r in rates]
    return getattr(jg.optim, kind)(groups, lr=1.0)


def course(o, scheduler, epochs):
    rows = []
    for _ in range(epochs):
        rows.append(scheduler.get_last_lr())
        o.step()
        scheduler.step()
    return np.array(rows)


@pytest.mark.parametrize("epochs", [0, 1, 8])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_rates_go_to_the_constant_one(strategy, epochs):
    o = optimizer(1.0, 0.3)
    rates = course(o, swa.SWALR(o, [0.2, 0.5], epochs, strategy), 20)
    way = np.array([min(1.0, t / epochs) if epochs else 1.0 for t in range(20)])
    if strategy == "cos":
        way = np.array([(1 - cos(pi * w)) / 2 for w in way])
    np.testing.assert_allclose(rates[:, 0], 1.0 + way * (0.2 - 1.0), rtol=1e-12)
    np.testing.assert_allclose(rates[:, 1], 0.3 + way * (0.5 - 0.3), rtol=1e-12)


def test_a_saved_annealing_continues():
    o = optimizer(1.0, 0.3)
    scheduler = swa.SWALR(o, 0.1, 12, "linear")
    course(o, scheduler, 5)
    state, groups = copy.deepcopy((scheduler.state_dict(), o.state_dict()))
    twin_o = optimizer(1.0, 0.3)
    twin = swa.SWALR(twin_o, 0.7)
    twin.load_state_dict(state)
    twin_o.load_state_dict(groups)
    assert course(twin_o, twin, 20).tolist() == course(o, scheduler, 20).tolist()


BAD = [
    (lambda: swa.get_ema_avg_fn(1.5), ValueError, r"Invalid decay value 1.5 provided.*\[0,1\] range"),
    (lambda: swa.get_ema_multi_avg_fn(-0.1), ValueError, "Invalid decay value -0.1 provided"),
    (
        lambda: swa.AveragedModel(model(), avg_fn=max, multi_avg_fn=max),
        AssertionError,
        "Only one of avg_fn and",
    ),
    (lambda: swa.SWALR([1], 0.1), TypeError, "list is not an Optimizer"),
    (lambda: swa.SWALR(optimizer(1.0), [0.1, 0.2]), ValueError, "swa_lr has 2 values, param_groups has 1"),
    (lambda: swa.SWALR(optimizer(1.0), 0.1, -1), ValueError, "equal or greater than 0, got -1"),
    (lambda: swa.SWALR(optimizer(1.0), 0.1, 1.5), ValueError, "equal or greater than 0, got 1.5"),
    (lambda: swa.SWALR(optimizer(1.0), 0.1, anneal_strategy="x"), ValueError, "instead got x"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_arguments_are_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_refused_annealing_leaves_the_groups_as_they_were():
    o = optimizer(1.0)
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa.SWALR(o, 0.1, anneal_strategy="x")
    assert "swa_lr" not in o.param_groups[0]
