"""Convolution layers: options, names, sizes, errors, and compiled steps."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, training_step

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F

LAYERS = {
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, 2, 1, 2, 2), (3, 4, 12), (3, 6, 5)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), padding=(1, 0)), (3, 4, 5, 5), (3, 6, 5, 4)),
    "Conv2d same": (lambda: nn.Conv2d(2, 3, 4, padding="same"), (1, 2, 5, 6), (1, 3, 5, 6)),
    "Conv2d valid": (lambda: nn.Conv2d(2, 3, 4, padding="valid"), (1, 2, 5, 6), (1, 3, 2, 3)),
    "Conv2d unbatched": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 6), (3, 3, 4)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 3, 5), (2, 3, 3, 2, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 3, 4, 2), (2, 2, 5), (2, 3, 12)),
    "ConvTranspose2d": (
        lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2),
        (2, 4, 3, 3),
        (2, 6, 6, 6),
    ),
    "ConvTranspose2d unbatched": (lambda: nn.ConvTranspose2d(2, 3, 3), (2, 5, 6), (3, 7, 8)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 2, 2, 3, 2), (2, 3, 3, 4, 3)),
    "no images": (lambda: nn.Conv2d(2, 3, 3), (0, 2, 5, 6), (0, 3, 3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_shape_and_gradients(name):
    make, shape, out = LAYERS[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(*shape, requires_grad=True)
    y = layer(x)
    assert tuple(y.shape) == out
    y.square().sum().backward()
    assert list(layer.state_dict()) == ["weight", "bias"]
    for t in (x, *layer.parameters()):
        assert t.grad is not None and t.grad.shape == t.shape


@pytest.mark.parametrize(
    ("mode", "numpy"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
@pytest.mark.parametrize("padding", [2, (1, 3), "same"])
def test_padding_mode(mode, numpy, padding):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, (2, 4), padding=padding, padding_mode=mode, dtype=torch.float64)
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    border = [(0, 1), (1, 2)] if padding == "same" else [(p, p) for p in np.broadcast_to(padding, 2).tolist()]
    wide = torch.tensor(np.pad(x.numpy(), [(0, 0), (0, 0), *border], mode=numpy))
    np.testing.assert_array_equal(layer(x).detach(), F.conv2d(wide, layer.weight, layer.bias).detach())


def test_parameters_begin_as_in_pytorch():
    torch.manual_seed(0)
    for layer, fan in ((nn.Conv2d(64, 32, 3, groups=2), 32 * 9), (nn.ConvTranspose1d(40, 30, 5), 30 * 5)):
        bound = 1 / fan**0.5
        for p in layer.parameters():
            values = p.detach().numpy()
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.8 * bound
        assert abs(layer.weight.detach().numpy().std() * 3**0.5 / bound - 1) < 0.05


def test_the_way_layers_print():
    options = {
        "stride": 2,
        "padding": 1,
        "dilation": 2,
        "groups": 2,
        "bias": False,
        "padding_mode": "reflect",
    }
    assert repr(nn.Conv2d(4, 6, 3)) == "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1))"
    assert repr(nn.Conv1d(4, 6, 3, **options)) == (
        "Conv1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, bias=False, "
        "padding_mode=reflect)"
    )
    assert repr(nn.ConvTranspose2d(4, 6, 3, 2, output_padding=1)) == (
        "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1))"
    )
    assert repr(nn.Unfold(3, 1, 0, 2)) == "Unfold(kernel_size=3, dilation=1, padding=0, stride=2)"
    assert (
        repr(nn.Fold((4, 5), 3)) == "Fold(output_size=(4, 5), kernel_size=3, dilation=1, padding=0, stride=1)"
    )


def test_output_size_finds_the_output_padding():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2)
    x = torch.randn(1, 2, 5, 5)
    assert tuple(layer(x).shape[2:]) == (11, 11)
    for size in ((11, 12), (12, 12), (1, 3, 12, 11)):
        assert tuple(layer(x, output_size=size).shape[2:]) == size[-2:]


def test_whole_numbers_are_convolved_as_such():
    x, w = torch.arange(36).reshape(1, 1, 6, 6), torch.ones(1, 1, 2, 2, dtype=torch.int64)
    y = F.conv2d(x, w)
    assert y.dtype == torch.int64
    assert y[0, 0, 0, 0].item() == 0 + 1 + 6 + 7


# errors -------------------------------------------------------------------------------------------

X, W = (1, 3, 8, 8), (6, 3, 5, 5)
BAD = {
    "dimensions": (
        lambda x, w: F.conv2d(x[0, 0], w),
        RuntimeError,
        "Expected 3D .* or 4D .* input to conv2d",
    ),
    "weight dimensions": (lambda x, w: F.conv2d(x, w[0]), RuntimeError, "weight of 4 dimensions"),
    "channels": (lambda x, w: F.conv2d(x[:, :2], w), RuntimeError, "to have 3 channels, but got 2 channels"),
    "kernel": (lambda x, w: F.conv2d(x[..., :3], w), RuntimeError, r"\(8 x 3\). Kernel size: \(5 x 5\)"),
    "dilated kernel": (lambda x, w: F.conv2d(x, w, dilation=2), RuntimeError, r"Kernel size: \(9 x 9\)"),
    "empty image": (lambda x, w: F.conv2d(x[:, :, :0], w), RuntimeError, "Kernel size can't be greater"),
    "bias": (lambda x, w: F.conv2d(x, w, torch.zeros(5)), RuntimeError, "bias to be 1-dimensional with 6 el"),
    "stride": (lambda x, w: F.conv2d(x, w, stride=0), RuntimeError, "non-positive stride"),
    "strides": (
        lambda x, w: F.conv2d(x, w, stride=(1, 1, 1)),
        RuntimeError,
        r"stride must either be a single int, or a tuple of 2 ints, got \(1, 1, 1\)",
    ),
    "padding": (lambda x, w: F.conv2d(x, w, padding=(0, -1)), RuntimeError, "negative padding"),
    "dilation": (lambda x, w: F.conv2d(x, w, dilation=0), RuntimeError, "non-positive dilation"),
    "groups": (lambda x, w: F.conv2d(x, w, groups=0), RuntimeError, "non-positive groups"),
    "uneven groups": (lambda x, w: F.conv2d(x, w, groups=4), RuntimeError, "divisible by 4 at dimension 0"),
    "many groups": (lambda x, w: F.conv2d(x, w, groups=9), RuntimeError, "at least 9 at dimension 0"),
    "padding text": (lambda x, w: F.conv2d(x, w, padding="full"), RuntimeError, "Invalid padding string"),
    "same": (lambda x, w: F.conv2d(x, w, padding="same", stride=2), RuntimeError, "strided convolutions"),
    "dtypes": (
        lambda x, w: F.conv2d(x.double(), w),
        RuntimeError,
        "expected scalar type Double but found Float",
    ),
    "bias dtype": (lambda x, w: F.conv2d(x, w, torch.zeros(6).double()), RuntimeError, "should be the same"),
    "no tensor": (lambda x, w: F.conv2d(x, [1.0]), TypeError, "must be Tensor, not list"),
    "fraction": (lambda x, w: F.conv2d(x, w, stride=1.5), TypeError, "'stride' must be int"),
    "tensor": (lambda x, w: F.conv2d(x, w, stride=torch.tensor([1, 1])), TypeError, "'stride' must be int"),
    "kernel of nothing": (lambda x, w: F.conv2d(x, w[..., :0]), RuntimeError, "greater than zero"),
    "transposed channels": (
        lambda x, w: F.conv_transpose2d(x, w),
        RuntimeError,
        "to have 6 channels, but got 3",
    ),
    "output padding": (
        lambda x, w: F.conv_transpose2d(x, w[:3], output_padding=1),
        RuntimeError,
        "output padding must be smaller than either stride or dilation",
    ),
    "small output": (
        lambda x, w: F.conv_transpose2d(x, w[:3], padding=9),
        RuntimeError,
        "Output size is too small",
    ),
    "unfold": (lambda x, w: F.unfold(x, 9), RuntimeError, "its components must be at least one"),
    "unfold stride": (
        lambda x, w: F.unfold(x, 2, stride=0),
        RuntimeError,
        "stride should be greater than zero",
    ),
    "unfold input": (lambda x, w: F.unfold(x[None], 2), RuntimeError, "Expected 3D or 4D"),
    "fold": (lambda x, w: F.fold(x[0], (4, 4), 3), RuntimeError, "product of kernel_size"),
    "fold blocks": (lambda x, w: F.fold(x[:, :, 0].mT, (4, 4), 2), RuntimeError, "sliding blocks 3 . 3 = 9"),
    "layer groups": (lambda x, w: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels must be divisible"),
    "layer filters": (
        lambda x, w: nn.Conv2d(4, 3, 3, groups=2),
        ValueError,
        "out_channels must be divisible",
    ),
    "layer padding": (lambda x, w: nn.Conv2d(4, 3, 3, padding="no"), ValueError, "Invalid padding string"),
    "layer same": (lambda x, w: nn.Conv2d(4, 3, 3, 2, "same"), ValueError, "strided convolutions"),
    "layer mode": (
        lambda x, w: nn.Conv2d(4, 3, 3, padding_mode="no"),
        ValueError,
        "padding_mode must be one of",
    ),
    "transposed mode": (
        lambda x, w: nn.ConvTranspose2d(4, 3, 3, padding_mode="reflect"),
        ValueError,
        'Only "zeros" padding mode',
    ),
    "reflected border": (
        lambda x, w: nn.Conv2d(3, 3, 3, padding=8, padding_mode="reflect")(x),
        RuntimeError,
        "Padding size should be less than the corresponding input dimension",
    ),
    "output size": (
        lambda x, w: nn.ConvTranspose2d(3, 2, 3, 2)(x, output_size=(20, 17)),
        ValueError,
        r"requested an output size of \(20, 17\), but valid sizes range from \[17, 17\] to \[18, 18\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calls(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call(torch.randn(*X), torch.randn(*W))


# compiled -----------------------------------------------------------------------------------------


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(6, 2, 2), nn.Flatten(), nn.Linear(50, 3),
    )  # fmt: skip


@pytest.mark.parametrize("batch", [2, 20])
def test_a_compiled_step_leaves_what_an_eager_one_leaves(batch):
    def build():
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        step = training_step(model, optimizer, F.cross_entropy)
        inputs = batches((batch, 1, 9, 9))
        return Scene(step, lambda k: (*inputs(k), torch.arange(batch) % 3), model, optimizer)

    assert_same(build)


@pytest.mark.parametrize("batch", [2, 20])
def test_a_frozen_layer_keeps_no_gradient(batch):
    model = network()
    for p in model[0].parameters():
        p.requires_grad_(False)
    model(torch.randn(batch, 1, 9, 9)).square().sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True] * 2 + [False] * 6


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_what_is_described_once_names_its_own_dimensions(spatial):
    names = ("conv", "conv_transpose", "max_pool", "avg_pool", "Conv", "ConvTranspose", "MaxPool", "AvgPool")
    for name in names:
        made = getattr(nn if name[0].isupper() else nn.functional, f"{name}{spatial}d")
        assert made.__name__ == f"{name}{spatial}d"
        assert (
            "Parameters" in made.__doc__ and "{spatial}" not in made.__doc__ and "{sizes}" not in made.__doc__
        )
        others = {f"{d}d" for d in (1, 2, 3)} - {f"{spatial}d"}
        assert not any(other in made.__doc__ for other in others)
