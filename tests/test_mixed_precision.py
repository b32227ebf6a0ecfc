"""Mixed precision that is off: ``autocast``, and scalers of gradients."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn


def test_mixed_precision_that_is_off_changes_nothing():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    before = model.weight.tolist()
    with torch.autocast("cpu", enabled=False), torch.amp.autocast(device_type="cuda", enabled=False):
        loss = torch.autocast("cpu", enabled=False)(model)(torch.ones(2)).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict(scaler.state_dict())
    assert model.weight.tolist() != before and scaler.get_scale() == 1 and not scaler.is_enabled()


def test_mixed_precision_is_off_for_cuda_and_refused_on_the_cpu():
    for made in (torch.GradScaler, torch.cuda.amp.GradScaler, torch.cuda.amp.autocast):
        with pytest.warns(UserWarning, match="CUDA is not available, disabling"):
            made()
        made(enabled=False)
    with pytest.raises(RuntimeError, match="autocast: expected enabled=False"):
        torch.autocast("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_a_scaler_on_the_cpu_scales_and_leaves_out_steps_whose_gradients_are_not_finite():
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scaler = torch.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    found = []
    for factor in (1.0, float("inf"), 1.0, 1.0):
        optimizer.zero_grad()
        before = model.weight.detach().clone()
        scaler.scale(model(torch.ones(2)).sum() * factor).backward()
        largest = model.weight.grad.max().item()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        found.append((largest, scaler.get_scale(), (before - model.weight).round().tolist()))
    inf = float("inf")
    moved, stayed = [[1.0, 1.0]], [[0.0, 0.0]]
    assert found == [(8.0, 8.0, moved), (inf, 4.0, stayed), (4.0, 4.0, moved), (4.0, 8.0, moved)]
    other = torch.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda s, o: s.scale(3), ValueError, "outputs must be a Tensor or an iterable of Tensors, got int"),
        (lambda s, o: s.update(), AssertionError, "Attempted update but _scale is None"),
        (lambda s, o: s.step(o), AssertionError, "Attempted step but _scale is None"),
        (lambda s, o: (s.scale(torch.ones(1)), s.update()), AssertionError, "No inf checks were recorded"),
        (lambda s, o: (s.scale(torch.ones(1)), s.step(o)), AssertionError, "No inf checks were recorded"),
        (lambda s, o: s.load_state_dict({}), RuntimeError, "source state dict is empty"),
        (
            lambda s, o: torch.GradScaler("cpu", growth_factor=1),
            AssertionError,
            "growth factor must be > 1.0",
        ),
        (
            lambda s, o: torch.GradScaler("cpu", backoff_factor=1),
            AssertionError,
            "backoff factor must be < 1.0",
        ),
    ],
)
def test_a_scaler_says_what_is_missing(use, error, message):
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    with pytest.raises(error, match=message):
        use(torch.GradScaler("cpu"), optimizer)


def test_mixed_precision_of_cuda_is_imported_from_there():
    from jitgrad.cuda.amp import GradScaler, autocast

    assert torch.cuda.amp.autocast is autocast and issubclass(GradScaler, torch.amp.GradScaler)
    with autocast(enabled=False):
        pass
    with pytest.warns(UserWarning, match="CUDA is not available"):
        autocast()
