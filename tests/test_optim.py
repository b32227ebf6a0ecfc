"""Optimizers: their numbers against the rules as they are written (`optim_rules`)."""

import numpy as np
import pytest
from optim_rules import RULES, adam, asgd_path

import jitgrad as jg

STEPS = 50


def gradients(shape, seed=0):
    """Gradients of every size and sign, some of them zero."""
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((STEPS, *shape)) * 10.0 ** rng.integers(-3, 2, (STEPS, *shape))
    g[rng.random(g.shape) < 0.1] = 0.0
    return g


CASES = [
    pytest.param(name, rule, options, id=f"{name}-{'-'.join(options) or 'plain'}")
    for name, (rule, variants) in RULES.items()
    for options in variants
]
TOLERANCE = {"float32": 2e-4, "float64": 1e-11}


def parameter(value, dtype="float64"):
    return jg.tensor(np.asarray(value, dtype=dtype), requires_grad=True)


def run(optimizer, params, grads):
    """Take a step for every row of gradients; `grads` has one array for each parameter."""
    for k in range(len(grads[0])):
        for p, g in zip(params, grads, strict=True):
            p.grad = jg.tensor(g[k].astype(str(p.dtype).split(".")[-1]))
        optimizer.step()


def close(p, expected, dtype="float64"):
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(
        p.detach().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "rule", "options"), CASES)
def test_fifty_steps_equal_the_written_rule(name, rule, options, dtype):
    start = np.linspace(-2, 2, 35).reshape(5, 7).astype(dtype)
    grads = gradients((5, 7))
    p = parameter(start, dtype)
    run(getattr(jg.optim, name)([p], lr=0.01, **options), [p], [grads])
    expected = rule(start.astype(float), grads.astype(dtype).astype(float), lr=0.01, **options)
    close(p, expected, dtype)


@pytest.mark.parametrize("name", RULES)
def test_maximize_follows_the_negated_gradient(name):
    grads = gradients((4,))
    up, down = parameter(np.ones(4)), parameter(np.ones(4))
    run(getattr(jg.optim, name)([up], lr=0.01, maximize=True), [up], [grads])
    run(getattr(jg.optim, name)([down], lr=0.01), [down], [-grads])
    assert up.tolist() == down.tolist()


@pytest.mark.parametrize("name", RULES)
def test_a_step_lowers_a_quadratic_loss(name):
    p = parameter(np.array([3.0, -2.0, 1.0]), "float32")
    optimizer = getattr(jg.optim, name)([p], lr=0.05)

    def loss():
        return ((p - jg.tensor([1.0, 2.0, 0.5])) ** 2 * jg.tensor([1.0, 3.0, 0.2])).sum()

    first = loss().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < first


def test_each_dtype_and_shape_of_a_group_is_updated():
    starts = [np.ones((3, 2)), np.full((), 2.0), np.arange(17.0), np.zeros((0, 4))]
    dtypes = ["float32", "float64", "float32", "float64"]
    params = [parameter(s, d) for s, d in zip(starts, dtypes, strict=True)]
    grads = [gradients(s.shape, k) for k, s in enumerate(starts)]
    run(jg.optim.Adam(params, lr=0.1), params, grads)
    for p, s, g, d in zip(params, starts, grads, dtypes, strict=True):
        if s.size:
            close(p, adam(s, g.astype(d).astype(float), 0.1), d)


def test_a_parameter_without_gradient_is_skipped_and_its_steps_are_not_counted():
    a, b = parameter(np.ones(3)), parameter(np.ones(3))
    optimizer = jg.optim.Adam([a, b], lr=0.1)
    g = gradients((3,))
    for k in range(6):
        a.grad = jg.tensor(g[k])
        b.grad = jg.tensor(g[k]) if k >= 4 else None
        optimizer.step()
    close(a, adam(np.ones(3), g[:6], 0.1))
    close(b, adam(np.ones(3), g[4:6], 0.1))
    assert optimizer.state[a]["step"].item() == 6
    assert optimizer.state[b]["step"].item() == 2


def test_integer_parameters_and_frozen_ones_are_left_alone():
    count, frozen = jg.tensor([1, 2]), jg.tensor([1.0, 2.0])
    p = parameter(np.ones(2))
    optimizer = jg.optim.SGD([count, frozen, p], lr=1.0)
    p.grad = jg.tensor(np.array([1.0, 2.0]))
    optimizer.step()
    assert (count.tolist(), frozen.tolist(), p.tolist()) == ([1, 2], [1.0, 2.0], [0.0, -1.0])


@pytest.mark.parametrize("name", RULES)
def test_a_closure_is_evaluated_and_a_frozen_parameter_of_its_loss_stays(name):
    p, frozen = parameter([1.0, -2.0]), jg.tensor(np.array([3.0, 4.0]))
    optimizer = getattr(jg.optim, name)([p, frozen], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p * frozen).sum()
        loss.backward()
        return loss

    with jg.no_grad():
        assert optimizer.step(closure).item() == -5.0
    assert frozen.tolist() == [3.0, 4.0]
    assert p[0].item() < 1.0
    assert p[1].item() < -2.0


def test_without_weight_decay_an_infinite_parameter_stays():
    for name in RULES:
        p = parameter(np.array([np.inf, 1.0]))
        options = {} if name == "Rprop" else {"weight_decay": 0.0}
        optimizer = getattr(jg.optim, name)([p], lr=0.1, **options)
        p.grad = jg.tensor(np.array([0.5, 0.5]))
        optimizer.step()
        assert p[0].item() == np.inf, name


def test_a_nan_gradient_shows_in_the_parameter():
    for name in set(RULES) - {"Rprop"}:
        p = parameter(np.ones(2))
        optimizer = getattr(jg.optim, name)([p], lr=0.1)
        p.grad = jg.tensor(np.array([np.nan, 0.5]))
        optimizer.step()
        assert np.isnan(p.tolist()).tolist() == [True, False], name


def test_rprop_leaves_an_element_with_a_nan_gradient_where_it_is():
    p = parameter(np.ones(2))
    optimizer = jg.optim.Rprop([p], lr=0.25)
    for expected in (0.75, 0.5):
        p.grad = jg.tensor(np.array([np.nan, 0.5]))
        optimizer.param_groups[0]["etas"] = (0.5, 1 + 2.0**-60)
        optimizer.step()
        assert p.tolist() == [1.0, expected]


def test_rprop_reads_the_learning_rate_in_the_first_step_of_a_parameter():
    first, later = parameter(np.zeros(1)), parameter(np.zeros(1))
    optimizer = jg.optim.Rprop([first, later], lr=0.25, etas=(0.5, 2.0))
    for rate, params in [(0.25, [first]), (0.5, [first, later])]:
        optimizer.param_groups[0]["lr"] = rate
        for p in params:
            p.grad = jg.tensor(np.ones(1))
        optimizer.step()
    assert (first.item(), later.item()) == (-0.75, -0.5)
    assert (
        optimizer.state[first]["step_size"].tolist() == optimizer.state[later]["step_size"].tolist() == [0.5]
    )


@pytest.mark.parametrize("t0", [0, 7, 1e6])
def test_asgd_averages_the_points_after_t0(t0):
    grads = gradients((3, 2))
    p = parameter(np.ones((3, 2)))
    optimizer = jg.optim.ASGD([p], lr=0.1, lambd=0.02, t0=t0)
    run(optimizer, [p], [grads])
    position, average = asgd_path(np.ones((3, 2)), grads, 0.1, 0.02, t0=t0)
    close(p, position)
    close(optimizer.state[p]["ax"], average)
    assert optimizer.state[p]["mu"].item() == 1 / max(1, STEPS - t0)
    assert optimizer.state[p]["eta"].item() == pytest.approx(0.1 / (1 + 0.02 * 0.1 * STEPS) ** 0.75)


def test_a_learning_rate_changed_in_asgd_holds_one_step_later():
    p = parameter(np.zeros(1))
    optimizer = jg.optim.ASGD([p], lr=1.0, lambd=0.0)
    for rate, expected in [(1.0, -1.0), (0.5, -2.0), (0.5, -2.5)]:
        optimizer.param_groups[0]["lr"] = rate
        p.grad = jg.tensor(np.ones(1))
        optimizer.step()
        assert p.item() == expected


@pytest.mark.parametrize("taken", [0, 1, 2, 6, 999, 123_456, 2**31 - 1, 2.0**40, 1.5])
def test_adam_corrects_its_moments_for_any_number_of_steps(taken):
    weight = jg.nn.Parameter(jg.full((3,), 2.0, dtype=jg.float64))
    optimizer = jg.optim.Adam([weight], lr=0.1, betas=(0.9, 0.999))
    weight.grad = jg.full((3,), 0.5, dtype=jg.float64)
    optimizer.step()
    state = optimizer.state[weight]
    state["step"].fill_(taken)
    weight.data.fill_(2.0)
    state["exp_avg"].fill_(0.3)
    state["exp_avg_sq"].fill_(0.04)
    optimizer.step()
    count = np.longdouble(taken) + 1
    m, v = np.longdouble(0.9) * 0.3 + 0.1 * 0.5, np.longdouble(0.999) * 0.04 + 0.001 * 0.25
    move = 0.1 * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
    assert weight.detach().numpy() == pytest.approx(float(2 - move), rel=1e-12)
