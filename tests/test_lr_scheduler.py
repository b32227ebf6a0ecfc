"""Learning-rate schedules against their closed forms."""

import copy
from math import cos, pi

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.optim import lr_scheduler as schedules

EPOCHS = 100


def optimizer(*rates, kind="SGD", **options):
    groups = [{"params": [jg.tensor([1.0], requires_grad=True)], "lr": r} for r in rates or (0.1,)]
    return getattr(jg.optim, kind)(groups, lr=1.0, **options)


def course(o, scheduler, epochs=EPOCHS):
    """The rates of each epoch."""
    rows = []
    for _ in range(epochs):
        rows.append([g["lr"] for g in o.param_groups])
        assert scheduler.get_last_lr() == rows[-1]
        o.step()
        scheduler.step()
    return np.array(rows)


CLOSED_FORMS = {
    "StepLR": ({"step_size": 7, "gamma": 0.7}, lambda t: 0.7 ** (t // 7)),
    "MultiStepLR": (
        {"milestones": [3, 50, 50], "gamma": 0.5},
        lambda t: 1.0 if t < 3 else 0.5 if t < 50 else 0.125,
    ),
    "ExponentialLR": ({"gamma": 0.9}, lambda t: 0.9**t),
    "ConstantLR": ({"factor": 0.25, "total_iters": 6}, lambda t: 0.25 if t < 6 else 1.0),
    "LinearLR": (
        {"start_factor": 0.2, "end_factor": 0.8, "total_iters": 40},
        lambda t: 0.2 + 0.6 * min(t, 40) / 40,
    ),
    "PolynomialLR": (
        {"total_iters": 30, "power": 2.0},
        lambda t: (1 - min(t, 30) / 30) ** 2,
    ),
    "CosineAnnealingLR": ({"T_max": 20}, lambda t: (1 + cos(pi * t / 20)) / 2),
    "CosineAnnealingWarmRestarts": ({"T_0": 13}, lambda t: (1 + cos(pi * (t % 13) / 13)) / 2),
    "LambdaLR": ({"lr_lambda": lambda t: 1 / (1 + t)}, lambda t: 1 / (1 + t)),
    "MultiplicativeLR": ({"lr_lambda": lambda t: 0.95}, lambda t: 0.95**t),
    "CyclicLR": (
        {"base_lr": [0.1, 3.0], "max_lr": [0.3, 9.0], "step_size_up": 15},
        lambda t: 3 - 2 * abs(t % 30 - 15) / 15,
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_rates_follow_the_closed_form_in_every_group(name):
    options, factor = CLOSED_FORMS[name]
    o = optimizer(0.1, 3.0)
    rates = course(o, getattr(schedules, name)(o, **options))
    expected = np.outer([factor(t) for t in range(EPOCHS)], [0.1, 3.0])
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_saved_schedule_continues(name):
    options, _ = CLOSED_FORMS[name]
    o = optimizer(0.1, 3.0)
    scheduler = getattr(schedules, name)(o, **options)
    course(o, scheduler, 37)
    state, groups = copy.deepcopy((scheduler.state_dict(), o.state_dict()))
    assert "optimizer" not in state
    twin_o = optimizer(0.1, 3.0)
    twin = getattr(schedules, name)(twin_o, **options)
    twin.load_state_dict(state)
    twin_o.load_state_dict(groups)
    assert course(twin_o, twin, 20).tolist() == course(o, scheduler, 20).tolist()


def test_cosine_with_a_least_rate_stays_between_it_and_the_first():
    o = optimizer(0.5)
    rates = course(o, schedules.CosineAnnealingLR(o, 10, eta_min=0.1))[:, 0]
    expected = [0.1 + 0.4 * (1 + cos(pi * t / 10)) / 2 for t in range(EPOCHS)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_warm_restarts_get_longer():
    o = optimizer(1.0)
    rates = course(o, schedules.CosineAnnealingWarmRestarts(o, 3, T_mult=2))[:, 0]
    assert np.flatnonzero(rates == 1.0).tolist() == [0, 3, 9, 21, 45, 93]


def test_warm_restarts_can_be_asked_for_a_time():
    o = optimizer(1.0)
    scheduler = schedules.CosineAnnealingWarmRestarts(o, 4, T_mult=2)
    # cycles of 4, 8, 16 epochs
    for time, height in [(2, 0.5), (0, 1.0), (8.0, 0.5), (12, 1.0), (20, 0.5), (1.0, (1 + cos(pi / 4)) / 2)]:
        scheduler.step(time)
        assert o.param_groups[0]["lr"] == pytest.approx(height)
    with pytest.raises(ValueError, match="non-negative epoch"):
        scheduler.step(-1)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_one_cycle_goes_up_and_down_with_the_momentum_the_other_way(kind):
    o = optimizer(0.3, kind=kind, **({"momentum": 0.9} if kind == "SGD" else {}))
    scheduler = schedules.OneCycleLR(o, max_lr=1.0, total_steps=50, pct_start=0.2)
    group = o.param_groups[0]
    rates, momenta = [], []
    for k in range(50):
        rates.append(group["lr"])
        momenta.append(group["momentum"] if kind == "SGD" else group["betas"][0])
        o.step()
        if k < 49:
            scheduler.step()
    top = 9  # the last step of the first phase: 0.2 * 50 - 1
    assert np.argmax(rates) == np.argmin(momenta) == top
    np.testing.assert_allclose([rates[0], rates[top], rates[-1]], [0.04, 1.0, 0.04 / 1e4])
    np.testing.assert_allclose([momenta[0], momenta[top], momenta[-1]], [0.95, 0.85, 0.95])
    half = 9 + 20
    np.testing.assert_allclose(rates[half], (1.0 + 0.04 / 1e4) / 2)


def zigzag(t, up, down):
    """The height of step `t` in its cycle."""
    at = t % (up + down)
    return at / up if at <= up else (up + down - at) / down


CYCLES = {
    "triangular": ({}, lambda cycle, t: 1.0),
    "triangular2": ({"mode": "triangular2"}, lambda cycle, t: 0.5**cycle),
    "exp_range": ({"mode": "exp_range", "gamma": 0.97}, lambda cycle, t: 0.97**t),
    "of cycles": ({"scale_fn": lambda x: 1 / x, "mode": "none"}, lambda cycle, t: 1 / (cycle + 1)),
    "of steps": (
        {"scale_fn": lambda x: 1 / (1 + x), "scale_mode": "iterations"},
        lambda cycle, t: 1 / (1 + t),
    ),
}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", CYCLES)
def test_cycles_go_up_and_down_with_the_momentum_the_other_way(name, kind):
    options, height = CYCLES[name]
    o = optimizer(0.3, 0.4, kind=kind)
    scheduler = schedules.CyclicLR(
        o, 0.1, [0.5, 1.1], step_size_up=6, step_size_down=14, base_momentum=[0.7, 0.5], **options
    )
    momenta = []
    seen = scheduler.step

    def step():
        momenta.append([g["momentum"] if kind == "SGD" else g["betas"][0] for g in o.param_groups])
        seen()

    scheduler.step = step
    rates = course(o, scheduler)
    heights = np.array([zigzag(t, 6, 14) * height(t // 20, t) for t in range(EPOCHS)])
    np.testing.assert_allclose(rates, 0.1 + np.outer(heights, [0.4, 1.0]), rtol=1e-12)
    np.testing.assert_allclose(momenta, 0.9 - np.outer(heights, [0.2, 0.4]), rtol=1e-12)


def test_a_cycle_leaves_the_momentum_alone_when_asked_to():
    o = optimizer(momentum=0.25)
    scheduler = schedules.CyclicLR(o, 0.1, 0.5, 4, cycle_momentum=False)
    rates = course(o, scheduler, 9)
    np.testing.assert_allclose(rates[:, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert o.param_groups[0]["momentum"] == 0.25


def test_attributes_of_a_scale_are_saved_with_a_cycle():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, cycle):
            return self.rate**cycle

    def make(scale):
        return schedules.CyclicLR(optimizer(), 0.1, 0.5, 4, scale_fn=scale, cycle_momentum=False)

    saved = make(Decay(0.5)).state_dict()
    assert saved["_scale_fn_custom"] == {"rate": 0.5}
    other = make(Decay(0.9))
    other.load_state_dict(saved)
    assert other.scale_fn(2) == 0.25
    assert make(lambda x: x).state_dict()["_scale_fn_custom"] is None
    assert saved["_scale_fn_custom"] == {"rate": 0.5}
    with pytest.raises(AttributeError, match="has the attributes of a scale_fn, but none was given"):
        make(None).load_state_dict(saved)


def test_a_refused_cycle_leaves_the_optimizer_as_it_was():
    o = optimizer(0.3, kind="Adagrad")
    with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
        schedules.CyclicLR(o, 0.1, 0.5)
    assert o.param_groups[0]["lr"] == 0.3


def test_one_cycle_ends_with_an_error():
    o = optimizer()
    scheduler = schedules.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=3, cycle_momentum=False)
    assert scheduler.total_steps == 6
    course(o, scheduler, 6)
    with pytest.raises(ValueError, match=r"Tried to step 7 times. The specified number of total steps is 6"):
        scheduler.step()


def test_a_sequence_changes_schedule_at_its_milestones():
    o = optimizer(1.0)
    parts = [schedules.ConstantLR(o, 0.1, 100), schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2)]
    scheduler = schedules.SequentialLR(o, parts, [2, 4])
    rates = course(o, scheduler, 8)[:, 0]
    np.testing.assert_allclose(rates, [0.1, 0.1, 1.0, 0.5, 1.0, 1.0, 0.1, 0.1])


def test_a_chain_multiplies():
    o = optimizer(1.0)
    parts = [schedules.ConstantLR(o, 0.1, 3), schedules.ExponentialLR(o, 0.5)]
    rates = course(o, schedules.ChainedScheduler(parts), 5)[:, 0]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.025, 0.125, 0.0625])


def test_a_chain_can_follow_in_a_sequence():
    o = optimizer(1.0)
    chain = schedules.ChainedScheduler([schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2)])
    first = schedules.ConstantLR(o, 0.25, 10)
    rates = course(o, schedules.SequentialLR(o, [first, chain], [2]), 6)[:, 0]
    np.testing.assert_allclose(rates, [0.25, 0.25, 1.0, 0.5, 0.025, 0.0125])


@pytest.mark.parametrize("make", [schedules.SequentialLR, None], ids=["sequence", "chain"])
def test_combined_schedules_can_be_saved(make):
    def build():
        o = optimizer(1.0)
        parts = [schedules.LinearLR(o, 0.1, total_iters=5), schedules.ExponentialLR(o, 0.9)]
        return o, make(o, parts, [5]) if make else schedules.ChainedScheduler(parts)

    o, scheduler = build()
    course(o, scheduler, 7)
    twin_o, twin = build()
    twin.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    twin_o.load_state_dict(copy.deepcopy(o.state_dict()))
    assert course(twin_o, twin, 5).tolist() == course(o, scheduler, 5).tolist()


def test_plateau_waits_reduces_and_cools_down():
    o = optimizer(1.0)
    scheduler = schedules.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1, min_lr=0.2)
    rates = []
    for loss in [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]:
        scheduler.step(jg.tensor(loss))
        rates.append(o.param_groups[0]["lr"])
    # 2.0 is best at epoch 1; epochs 2-4 are bad, 5 is cooldown, 6-8 are bad again; so it goes on
    np.testing.assert_allclose(rates, [1] * 4 + [0.5] * 4 + [0.25] * 4 + [0.2] * 3)
    assert scheduler.get_last_lr() == [0.2]


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "better", "worse"),
    [
        ("min", "rel", 0.89, 0.91),
        ("min", "abs", 0.89, 0.91),
        ("max", "rel", 1.11, 1.09),
        ("max", "abs", 1.11, 1.09),
    ],
)
def test_plateau_thresholds(mode, threshold_mode, better, worse):
    for metric, bad in [(better, 0), (worse, 1)]:
        o = optimizer()
        scheduler = schedules.ReduceLROnPlateau(o, mode=mode, threshold=0.1, threshold_mode=threshold_mode)
        scheduler.step(1.0)
        scheduler.step(metric)
        assert scheduler.num_bad_epochs == bad


def test_rates_reach_the_next_step_of_the_optimizer():
    o = optimizer(1.0)
    (p,) = o.param_groups[0]["params"]
    scheduler = schedules.ExponentialLR(o, 0.5)
    positions = []
    for _ in range(4):
        p.grad = jg.tensor([1.0])
        o.step()
        scheduler.step()
        positions.append(p.item())
    assert positions == [0.0, -0.5, -0.75, -0.875]


def test_a_rate_held_as_a_tensor_is_filled_in_place():
    rate = jg.tensor(1.0)
    p = jg.tensor([1.0], requires_grad=True)
    o = jg.optim.SGD([p], lr=rate)
    o.step()
    scheduler = schedules.ExponentialLR(o, 0.5)
    scheduler.step()
    assert o.param_groups[0]["lr"] is rate
    assert rate.item() == 0.5
    assert o.param_groups[0]["initial_lr"].item() == 1.0


def test_stepping_before_the_optimizer_warns():
    o = optimizer()
    scheduler = schedules.StepLR(o, 5)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()  # once is enough


def test_resuming_needs_the_initial_rates():
    with pytest.raises(KeyError, match="initial_lr' is not specified in param_groups"):
        schedules.StepLR(optimizer(), 5, last_epoch=3)
    o = optimizer(1.0)
    course(o, schedules.ExponentialLR(o, 0.5), 2)
    again = schedules.ExponentialLR(o, 0.5, last_epoch=1)
    assert again.last_epoch == 2
    assert o.param_groups[0]["lr"] == 0.25


def test_get_lr_outside_a_step_points_to_get_last_lr():
    scheduler = schedules.StepLR(optimizer(), 5)
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()


def test_functions_with_state_are_saved_and_plain_ones_are_not():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, epoch):
            return self.rate**epoch

    o = optimizer(1.0, 1.0)
    scheduler = schedules.LambdaLR(o, [Decay(0.5), lambda t: 1.0])
    saved = scheduler.state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
    twin = schedules.LambdaLR(optimizer(1.0, 1.0), [Decay(0.9), lambda t: 1.0])
    twin.load_state_dict(saved)
    assert twin.lr_lambdas[0].rate == 0.5
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
