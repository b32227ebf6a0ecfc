"""Steps that write to parameters through ``.data``, as scripts without an optimizer do."""

import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.store import store


def descent(layer, mask):
    for p in layer.parameters():
        p.data -= 0.1 * p.grad


def descent_of_data(layer, mask):
    for p in layer.parameters():
        p.data -= 0.1 * p.grad.data
        p.grad.data *= 0.5


def pruning(layer, mask):
    layer.weight.data *= mask
    layer.bias.data += 0.01


def powers(layer, mask):
    layer.weight.data /= 1.5
    layer.weight.data **= 1.0
    layer.weight.data[0] = 0.25


@pytest.mark.parametrize("update", [descent, descent_of_data, pruning, powers])
def test_steps_that_update_data_in_place_are_replayed(update, recwarn):
    def run(wrap):
        torch.manual_seed(1)
        layer, mask = nn.Linear(3, 2), torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])

        @wrap
        def step(x):
            layer.zero_grad()
            loss = layer(x).square().mean()
            loss.backward()
            update(layer, mask)
            return loss

        losses = [step(torch.randn(4, 3)).item() for _ in range(5)]
        return losses, layer.weight.tolist(), layer.bias.tolist(), layer.weight.grad.tolist(), step

    *eager, _ = run(lambda f: f)
    *compiled, step = run(torch.compile)
    assert compiled == eager
    assert len(step.programs) == 1 and not recwarn.list


def test_data_that_is_written_in_place_counts_as_no_change_of_modules():
    layer = nn.Linear(3, 2)
    before, version, place = store.structure, layer.weight._version, layer.weight.data_ptr()
    layer.weight.data *= 2
    assert store.structure == before and layer.weight._version > version
    assert layer.weight.data_ptr() == place


@pytest.mark.parametrize(
    "value",
    [
        lambda x: torch.zeros(4, 2),
        lambda x: x.data.t(),
        lambda x: x.data[:2],
        lambda x: x.data[1:],
        lambda x: x.data.view(2, 4),
        lambda x: x.data.double(),
    ],
)
def test_data_becomes_whatever_lies_elsewhere_or_otherwise(value):
    x = torch.arange(8.0).view(4, 2).requires_grad_()
    new = value(x)
    x.data = new
    assert x.dtype == new.dtype and x.stride() == new.stride() and x.data_ptr() == new.data_ptr()
    assert x.tolist() == new.tolist() and x.requires_grad
