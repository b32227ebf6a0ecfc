"""Layers that learn the size of their inputs from the first one."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn

# name: the lazy layer, the ordinary one, and the shape of an input
LAYERS = {
    "LazyLinear": (lambda: nn.LazyLinear(3), lambda: nn.Linear(5, 3), (2, 5)),
    "LazyLinear without bias": (lambda: nn.LazyLinear(3, bias=False), lambda: nn.Linear(5, 3, False), (2, 4, 5)),
    "LazyConv1d": (lambda: nn.LazyConv1d(4, 3), lambda: nn.Conv1d(2, 4, 3), (3, 2, 6)),
    "LazyConv2d": (lambda: nn.LazyConv2d(4, 3, 1, 1, 1, 2), lambda: nn.Conv2d(6, 4, 3, 1, 1, 1, 2), (2, 6, 5, 5)),
    "LazyConv2d of one image": (lambda: nn.LazyConv2d(4, 3), lambda: nn.Conv2d(6, 4, 3), (6, 5, 5)),
    "LazyConv3d": (lambda: nn.LazyConv3d(2, 2), lambda: nn.Conv3d(3, 2, 2), (1, 3, 3, 3, 3)),
    "LazyConvTranspose1d": (lambda: nn.LazyConvTranspose1d(2, 3), lambda: nn.ConvTranspose1d(4, 2, 3), (1, 4, 5)),
    "LazyConvTranspose2d": (lambda: nn.LazyConvTranspose2d(2, 3, groups=2),
                            lambda: nn.ConvTranspose2d(4, 2, 3, groups=2), (1, 4, 5, 5)),
    "LazyConvTranspose3d": (lambda: nn.LazyConvTranspose3d(2, 2), lambda: nn.ConvTranspose3d(3, 2, 2),
                            (1, 3, 2, 2, 2)),
    "LazyBatchNorm1d": (lambda: nn.LazyBatchNorm1d(), lambda: nn.BatchNorm1d(4), (3, 4)),
    "LazyBatchNorm2d": (lambda: nn.LazyBatchNorm2d(eps=0.1), lambda: nn.BatchNorm2d(4, eps=0.1), (3, 4, 2, 2)),
    "LazyBatchNorm3d": (lambda: nn.LazyBatchNorm3d(affine=False), lambda: nn.BatchNorm3d(4, affine=False),
                        (3, 4, 2, 2, 2)),
    "LazyInstanceNorm1d": (lambda: nn.LazyInstanceNorm1d(),
                           lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), (3, 4, 5)),
    "LazyInstanceNorm2d": (lambda: nn.LazyInstanceNorm2d(affine=False),
                           lambda: nn.InstanceNorm2d(4, track_running_stats=True),
                           (3, 4, 2, 2)),
    "LazyInstanceNorm3d": (lambda: nn.LazyInstanceNorm3d(),
                           lambda: nn.InstanceNorm3d(4, affine=True, track_running_stats=True), (3, 4, 2, 2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_input_makes_the_ordinary_layer(name):
    lazy, ordinary, shape = LAYERS[name]
    waiting, like = lazy(), ordinary()
    before = list(waiting.parameters())
    x = torch.randn(shape)
    torch.manual_seed(1)
    like.reset_parameters()
    torch.manual_seed(1)
    result = waiting(x)
    assert type(waiting) is type(like) and repr(waiting) == repr(like)
    assert not hasattr(waiting, "has_uninitialized_params")
    assert all(a is b for a, b in zip(before, waiting.parameters(), strict=True))
    assert all(type(p) is nn.Parameter for p in before)
    np.testing.assert_array_equal(result.detach().numpy(), like(x).detach().numpy())


@pytest.mark.parametrize("name", LAYERS)
def test_loaded_weights_tell_the_shapes(name):
    lazy, ordinary, shape = LAYERS[name]
    waiting, like = lazy(), ordinary()
    waiting.load_state_dict(like.state_dict())
    x = torch.randn(shape)
    np.testing.assert_array_equal(waiting(x).detach().numpy(), like(x).detach().numpy())


def test_a_parameter_without_a_shape():
    p = nn.LazyLinear(3).weight
    assert repr(p) == "<UninitializedParameter>" and p.requires_grad
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        p.shape  # noqa: B018


def test_an_optimizer_made_before_the_first_input_trains_the_layers():
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.randn(6, 3)
    model(x)
    losses = [step(x).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True) and len(step.programs) == 1


def test_hooks_that_were_there_before_the_first_input_run_once_a_call():
    layer, seen = nn.LazyLinear(2), []
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    for _ in range(3):
        layer(torch.ones(4, 3))
    assert seen == [(4, 2)] * 3


def test_what_has_no_shape_yet_is_found_where_pytorch_has_it():
    weight = torch.nn.LazyLinear(2).weight
    assert isinstance(weight, torch.nn.parameter.UninitializedParameter)
    assert torch.nn.UninitializedParameter is torch.nn.parameter.UninitializedParameter
    assert torch.nn.UninitializedBuffer is torch.nn.parameter.UninitializedBuffer


COUNTS = {"numel": lambda x: x.numel(), "nelement": lambda x: x.nelement(), "function": torch.numel}


@pytest.mark.parametrize("count", COUNTS.values(), ids=list(COUNTS))
def test_what_has_no_shape_yet_has_no_number_of_elements(count):
    layer = nn.LazyLinear(2)
    with pytest.raises(ValueError, match="numel: an uninitialized parameter"):
        count(layer.weight)
    layer(torch.ones(1, 3))
    assert count(layer.weight) == 6


def test_a_layer_may_be_converted_before_the_first_input():
    layer = nn.LazyBatchNorm2d().double()
    assert layer.running_mean.dtype is torch.float64 and layer.weight.dtype is torch.float64
    assert list(layer.state_dict()) == list(nn.BatchNorm2d(1).state_dict())
    y = layer(torch.randn(2, 3, 4, 4, dtype=torch.float64))
    assert y.dtype is torch.float64 and layer.running_var.shape == (3,)
    assert layer.running_var.dtype is torch.float64
