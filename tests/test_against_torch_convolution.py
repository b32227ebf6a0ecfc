"""Convolution layers give PyTorch's outputs, gradients, names and reprs, and its classes of errors."""

from __future__ import annotations

import numpy as np
import pytest
from test_convolution_layers import BAD

import jitgrad

torch = pytest.importorskip("torch")

LIBRARIES = (jitgrad, torch)
LAYERS = {
    "Conv1d": (lambda n: n.Conv1d(4, 6, 3, 2, 1, 2, 2), (4, 15)),
    "Conv1d circular": (lambda n: n.Conv1d(4, 6, 4, padding="same", padding_mode="circular"), (4, 15)),
    "Conv2d": (lambda n: n.Conv2d(3, 7, (3, 2), bias=False), (3, 6, 7)),
    "Conv2d padded": (lambda n: n.Conv2d(3, 7, 5, padding=2), (3, 6, 7)),
    "Conv2d strided": (lambda n: n.Conv2d(3, 7, 3, stride=2, padding=1), (3, 9, 8)),
    "Conv2d one tap": (lambda n: n.Conv2d(8, 9, 1, stride=2), (8, 9, 8)),
    "Conv2d depthwise": (lambda n: n.Conv2d(6, 6, 3, padding=1, groups=6), (6, 5, 6)),
    "Conv2d dilated": (lambda n: n.Conv2d(2, 3, 3, dilation=2, padding="same"), (2, 7, 8)),
    "Conv2d reflected": (lambda n: n.Conv2d(2, 3, 3, padding=(2, 1), padding_mode="reflect"), (2, 7, 8)),
    "Conv2d replicated": (lambda n: n.Conv2d(2, 3, 3, padding=4, padding_mode="replicate"), (2, 3, 4)),
    "Conv3d": (lambda n: n.Conv3d(2, 3, (2, 3, 1), padding=(1, 0, 2)), (2, 4, 3, 5)),
    "ConvTranspose1d": (lambda n: n.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), (4, 7)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(4, 6, 3, 3, 1, 2, dilation=2), (4, 4, 5)),
    "ConvTranspose3d": (lambda n: n.ConvTranspose3d(2, 3, 2, 2), (2, 3, 2, 3)),
    "Unfold": (lambda n: n.Unfold((3, 2), 2, 1, 2), (2, 7, 8)),
    "Fold": (lambda n: n.Fold((4, 5), 2), (12, 12)),
}


@pytest.mark.parametrize("batch", [None, 1, 5, 16, 33])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, batch):
    make, shape = LAYERS[name]
    shape = shape if batch is None else (batch, *shape)
    ours, theirs = (make(lib.nn) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    ours.load_state_dict({k: jitgrad.from_numpy(v) for k, v in state.items()})
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = []
    for lib, layer in zip(LIBRARIES, (ours, theirs), strict=True):
        x = lib.tensor(values, requires_grad=True)
        y = layer(x)
        g = np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(tuple(y.shape))
        y.backward(lib.tensor(g))
        found.append([y.detach().numpy(), x.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("name", BAD)
def test_error_class(name, monkeypatch):
    call, error, _ = BAD[name]
    module = pytest.importorskip("test_convolution_layers")
    for key in ("torch", "nn", "F"):
        value = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}[key]
        monkeypatch.setattr(module, key, value)
    with pytest.raises(error):
        call(torch.randn(1, 3, 8, 8), torch.randn(6, 3, 5, 5))
