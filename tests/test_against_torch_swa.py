"""Averaged models and their learning rate against PyTorch's, when it is installed."""

import copy
import warnings

import numpy as np
import pytest

import jitgrad as jg

torch = pytest.importorskip("torch")

WAYS = {
    "default": lambda swa: {},
    "swa": lambda swa: {"avg_fn": swa.get_swa_avg_fn()},
    "swa of all": lambda swa: {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
    "ema": lambda swa: {"avg_fn": swa.get_ema_avg_fn(0.75)},
    "ema of all": lambda swa: {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.75)},
    "own": lambda swa: {"avg_fn": lambda a, c, n: (a * n + c) / 2},
}


def model(lib):
    layers = lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Tanh(), lib.nn.Linear(4, 1)
    m = lib.nn.Sequential(*layers)
    rng = np.random.default_rng(0)
    with lib.no_grad():
        for p in m.parameters():
            p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape)), dtype=lib.float32))
    return m


def train(lib, way, use_buffers):
    """Averaged after each of six steps, and the model."""
    m, swa = model(lib), lib.optim.swa_utils
    optimizer = lib.optim.SGD(m.parameters(), lr=0.1)
    averaged = swa.AveragedModel(m, use_buffers=use_buffers, **way(swa))
    rng = np.random.default_rng(1)
    for _ in range(6):
        x = lib.tensor(rng.standard_normal((8, 3)), dtype=lib.float32)
        optimizer.zero_grad()
        m(x).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(m)
    return averaged, m


def same(ours, theirs):
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        np.testing.assert_allclose(ours[key].numpy(), value.numpy(), rtol=2e-5, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", WAYS)
def test_averages_are_the_same_and_can_be_exchanged(name, use_buffers):
    if use_buffers and name == "swa of all":
        pytest.skip("PyTorch's function refuses the count of batches, which is an integer")
    ours, m = train(jg, WAYS[name], use_buffers)
    theirs, other = train(torch, WAYS[name], use_buffers)
    same(ours.state_dict(), theirs.state_dict())
    # a state of PyTorch is loaded, and goes on being averaged
    ours.load_state_dict({k: jg.tensor(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    m.load_state_dict({k: jg.tensor(v.numpy().copy()) for k, v in other.state_dict().items()})
    ours.update_parameters(m)
    theirs.update_parameters(other)
    same(ours.state_dict(), theirs.state_dict())


def test_statistics_over_a_data_set_are_the_same():
    def statistics(lib):
        m = model(lib)
        rng = np.random.default_rng(2)
        data = [(lib.tensor(rng.standard_normal((5, 3)), dtype=lib.float32), 0) for _ in range(4)]
        lib.optim.swa_utils.update_bn(data, m)
        return m.state_dict()

    same(statistics(jg), statistics(torch))


def scheduled(lib, options):
    groups = [{"params": [lib.tensor([1.0], requires_grad=True)], "lr": r} for r in (0.5, 0.02)]
    o = lib.optim.SGD(groups, lr=1.0)
    return o, lib.optim.swa_utils.SWALR(o, **options)


def course(o, scheduler, epochs):
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(epochs):
            rows.append(scheduler.get_last_lr())
            o.step()
            scheduler.step()
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"swa_lr": 0.05},
        {"swa_lr": [0.05, 0.1], "anneal_strategy": "linear", "anneal_epochs": 7},
        {"swa_lr": 0.05, "anneal_epochs": 0},
        {"swa_lr": 0.05, "anneal_epochs": 1, "anneal_strategy": "linear"},
    ],
)
def test_rates_and_states_of_schedules_are_the_same(options):
    (o, ours), (other, theirs) = scheduled(jg, options), scheduled(torch, options)
    np.testing.assert_allclose(course(o, ours, 5), course(other, theirs, 5), rtol=1e-12)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    assert set(o.param_groups[0]) == set(other.param_groups[0])
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    np.testing.assert_allclose(course(o, ours, 15), course(other, theirs, 15), rtol=1e-12)
