"""Compiled steps and `GradScaler`: the scale, and which gradients were finite, are those of the moment."""

import warnings

import numpy as np
import pytest

import jitgrad as torch


def make():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return (
        model,
        torch.optim.SGD(model.parameters(), lr=0.01),
        torch.GradScaler("cpu", 8.0, growth_interval=2),
    )


def batches():
    generator = torch.Generator().manual_seed(2)
    made = [torch.randn(4, 3, generator=generator) for _ in range(8)]
    made[5][0, 0] = float("inf")
    return made


def scales(model, opt, scaler):
    """What is compiled is the forward and the backward pass."""

    def compute(x):
        opt.zero_grad()
        loss = model(x).square().mean()
        scaler.scale(loss).backward()
        return loss * scaler.get_scale()

    def finish():
        scaler.step(opt)
        scaler.update()

    return compute, finish


def updates(model, opt, scaler):
    """What is compiled is the optimizer's step."""

    def finish():
        scaler.step(opt)

    def compute(x):
        opt.zero_grad()
        loss = model(x).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(opt)
        return loss

    return finish, compute


def state_of(model, scaler):
    return [p.numpy(force=True).copy() for p in model.parameters()], scaler.state_dict()


@pytest.mark.parametrize("change", [None, "update", "load", "factor"])
def test_the_scale_may_change_between_replays(change):
    def played(wrap):
        model, opt, scaler = make()
        compute, finish = scales(model, opt, scaler)
        compute, seen = wrap(compute), []
        for k, x in enumerate(batches()):
            if k == 3 and change == "update":
                scaler.update(2.0)
            if k == 3 and change == "load":
                scaler.load_state_dict({**scaler.state_dict(), "scale": 32.0})
            if k == 3 and change == "factor":
                scaler.set_growth_factor(4.0)
            seen.append(compute(x).item())
            finish()
        return seen, *state_of(model, scaler)

    kept = []
    want = played(lambda f: f)
    got = played(lambda f: kept.append(torch.compile(f)) or kept[0])
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_equal(got[1:], want[1:])
    assert kept[0].programs


def test_a_step_that_is_left_out_is_not_replayed():
    def played(wrap):
        model, opt, scaler = make()
        finish, compute = updates(model, opt, scaler)
        finish, seen = wrap(finish), []
        for x in batches():
            seen.append(compute(x).item())
            finish()
            scaler.update()
        return seen, *state_of(model, scaler)

    want = played(lambda f: f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it runs eagerly, and says so
        np.testing.assert_equal(played(torch.compile), want)


def test_a_scaler_that_is_switched_off_is_replayed():
    model, opt, _ = make()
    scaler = torch.GradScaler("cpu", enabled=False)
    compute, finish = scales(model, opt, scaler)
    compiled = torch.compile(compute)
    for x in batches()[:4]:
        assert compiled(x).item() == compute(x).item()
    assert len(compiled.programs) == 1
    finish()


def test_a_scaler_within_the_step_is_told_of_with_the_way_out():
    def played(wrap):
        model, opt, scaler = make()
        compute, finish = scales(model, opt, scaler)

        def whole(x):
            loss = compute(x)
            finish()
            return loss

        step = wrap(whole)
        return [step(x).item() for x in batches()], *state_of(model, scaler)

    want = played(lambda f: f)
    with pytest.warns(
        RuntimeWarning, match=r"\(GradScaler\).*\(call its step\(\) and update\(\) after the compiled"
    ):
        np.testing.assert_equal(played(torch.compile), want)
