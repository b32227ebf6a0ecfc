"""``nn.SyncBatchNorm`` is batch normalisation of any number of dimensions, and models are converted to it."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn


@pytest.mark.parametrize(
    ("plain", "shape"),
    [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (4, 3, 2, 5)), (nn.BatchNorm3d, (2, 3, 2, 2, 3))],
)
def test_it_does_what_the_layer_does_that_it_replaces(plain, shape):
    torch.manual_seed(0)
    layer, x = plain(3, momentum=0.3), torch.randn(shape)
    with torch.no_grad():
        layer.weight.uniform_()
    made = nn.SyncBatchNorm.convert_sync_batchnorm(layer)
    assert type(made) is nn.SyncBatchNorm and made.weight is layer.weight
    assert list(made.state_dict()) == list(layer.state_dict())
    other = plain(3, momentum=0.3)
    other.load_state_dict(layer.state_dict())
    for _ in range(2):
        assert torch.equal(made(x), other(x))
    assert torch.equal(made.running_var, other.running_var)
    made.eval()
    other.eval()
    assert torch.equal(made(x), other(x))


def test_layers_are_replaced_in_place_with_their_options():
    kept = nn.Linear(2, 2)
    model = nn.Sequential(nn.Sequential(nn.BatchNorm1d(2, eps=0.5, affine=False)), kept, nn.InstanceNorm1d(2))
    model.eval()
    made = nn.SyncBatchNorm.convert_sync_batchnorm(model, "group")
    assert made is model and made[1] is kept and type(made[2]) is nn.InstanceNorm1d
    layer = made[0][0]
    assert type(layer) is nn.SyncBatchNorm and layer.process_group == "group"
    assert layer.eps == 0.5 and layer.weight is None and not layer.training


def test_too_few_dimensions_are_refused():
    layer = nn.SyncBatchNorm(3)
    with pytest.raises(ValueError, match="at least 2D"):
        layer(torch.ones(3))
    assert layer.num_batches_tracked == 0


def test_scripts_find_it_where_pytorch_has_it():
    from jitgrad.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

    assert SyncBatchNorm is nn.SyncBatchNorm and issubclass(SyncBatchNorm, _BatchNorm)
