"""nn.CrossMapLRN2d: local response normalisation with the sums of Torch7."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch


def data(channels):
    return np.random.default_rng(5).normal(size=(2, channels, 3, 2))


def reference(x, size, alpha, beta, k):
    """The running sum as it was written: a channel enters `away` steps ahead and leaves, but for channel 0."""
    away, result = (size + 1) // 2, np.empty_like(x)
    for c in range(x.shape[1]):
        near = [j for j in range(x.shape[1]) if abs(j - c) < away or (j == 0 and c >= away)]
        result[:, c] = x[:, c] / (k + alpha / size * (x[:, near] ** 2).sum(1)) ** beta
    return result


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_values(size, channels, kind):
    x = data(channels)
    layer = torch.nn.CrossMapLRN2d(size, alpha=0.5, beta=0.6, k=1.3)
    found = layer(torch.tensor(x, dtype=kind))
    np.testing.assert_allclose(found.numpy(), reference(x, size, 0.5, 0.6, 1.3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_values_are_pytorch_s(size):
    theirs = pytest.importorskip("torch")
    x = data(5)
    mine = torch.nn.CrossMapLRN2d(size, 0.5, 0.6, 1.3)(torch.tensor(x))
    other = theirs.nn.CrossMapLRN2d(size, 0.5, 0.6, 1.3)(theirs.tensor(x))
    np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-6)


def test_gradients():
    x = torch.tensor(data(4), requires_grad=True)
    torch.autograd.gradcheck(torch.nn.CrossMapLRN2d(3, alpha=0.5), (x,))


def test_images_of_no_channels_and_strided_ones():
    for shape in ((0, 3, 2, 2), (2, 0, 2, 2)):
        assert torch.nn.CrossMapLRN2d(3)(torch.zeros(shape)).shape == shape
    x = torch.tensor(data(4)).transpose(2, 3)
    found = torch.nn.CrossMapLRN2d(3)(x)
    np.testing.assert_allclose(found.numpy(), reference(x.numpy(), 3, 1e-4, 0.75, 1), rtol=1e-6)


def test_in_a_compiled_step():
    x = torch.tensor(data(4), requires_grad=True)
    layer = torch.nn.CrossMapLRN2d(3, alpha=0.5)

    def step():
        x.grad = None
        loss = layer(x).square().sum()
        loss.backward()
        return loss

    expected = step().item(), x.grad.clone()
    compiled = torch.compile(step)
    for _ in range(3):
        loss = compiled()
    assert loss.item() == pytest.approx(expected[0])
    torch.testing.assert_close(x.grad, expected[1])


def test_what_is_no_batch_of_images_is_refused():
    with pytest.raises(ValueError, match="Expected input to be 4D, got 3D"):
        torch.nn.CrossMapLRN2d(3)(torch.zeros(3, 2, 2))


def test_repr():
    assert repr(torch.nn.CrossMapLRN2d(3)) == "CrossMapLRN2d(3, alpha=0.0001, beta=0.75, k=1)"
