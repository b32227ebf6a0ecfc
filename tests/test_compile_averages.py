"""Compiled steps that take the model into an average of models: replays count, too, and begin anew where that does."""

from __future__ import annotations

import pytest
from compile_cases import STEPS, Scene, assert_same, batches, training_step

import jitgrad as torch
from jitgrad import nn
from jitgrad.optim import swa_utils as swa

WAYS = {
    "default": {},
    "swa": {"avg_fn": swa.get_swa_avg_fn()},
    "swa of all": {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
    "ema": {"avg_fn": swa.get_ema_avg_fn(0.9)},
    "ema of all": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)},
    "own": {"avg_fn": lambda a, c, n: a * 0.5 + c / n},
}


def scene(dtype, options):
    def build():
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).to(dtype)
        averaged = swa.AveragedModel(model, **options)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        train = training_step(model, optimizer)

        def step(x, y):
            loss = train(x, y)
            averaged.update_parameters(model)
            return loss

        made = Scene(step, batches((6, 4), (6, 2), dtype=dtype, count=2 * STEPS), model, averaged, optimizer)
        made.averaged = averaged
        return made

    return build


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WAYS)
def test_a_replay_averages_as_the_step_does(name, dtype, use_buffers):
    build = scene(dtype, {**WAYS[name], "use_buffers": use_buffers})
    assert_same(build, "c" * (2 * STEPS))
    assert_same(build, "ec" * STEPS)


@pytest.mark.parametrize("name", WAYS)
def test_an_average_that_begins_anew_takes_the_model_as_it_is(name):
    def anew(made, k):
        if k == 5:
            made.averaged.n_averaged.zero_()

    assert_same(scene(torch.float32, WAYS[name]), "c" * (2 * STEPS), anew)
