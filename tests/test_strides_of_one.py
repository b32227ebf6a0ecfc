"""A stride along a dimension of size one says nothing: whatever it is, values and gradients stay the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn

F = nn.functional


def in_front(x):
    """Dimensions of size one get the stride of a whole, as after a transposition."""
    for d in (d for d, size in enumerate(x.shape) if size == 1):
        x = x.squeeze(d).unsqueeze(0).movedim(0, d)
    return x


def cut_out(x):
    """They are what is left of a larger dimension."""
    for d in (d for d, size in enumerate(x.shape) if size == 1):
        x = torch.cat([x, x], d).narrow(d, 1, 1)
    return x


def every_other(x):
    """No elements lie side by side."""
    return torch.stack([x, x], -1)[..., 1]


LAYOUTS = [None, in_front, cut_out, every_other]
SHAPES = [(4, 2, 2, 1), (4, 2, 1, 3), (1, 2, 3, 1), (4, 1, 3, 3), (1, 1, 1, 1)]
CASES = {
    "convolution": (lambda x, w, b: F.conv2d(x, w, b), lambda s: (s, (3, s[1], 1, 1), (3,))),
    "padded convolution": (lambda x, w, b: F.conv2d(x, w, b, padding=1), lambda s: (s, (3, s[1], 3, 3), (3,))),
    "wide convolution": (lambda x, w, b: F.conv2d(x, w, b, padding=1), lambda s: (s, (12, s[1], 3, 3), (12,))),
    "convolution by channels": (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=x.shape[1]),
                                lambda s: (s, (s[1], 1, 3, 3), (s[1],))),
    "transposed convolution": (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
                               lambda s: (s, (s[1], 3, 2, 2), (3,))),
    "max pooling": (lambda x: F.max_pool2d(x, 3, 1, 1), lambda s: (s,)),
    "mean pooling": (lambda x: F.avg_pool2d(x, 3, 1, 1), lambda s: (s,)),
    "adaptive pooling": (lambda x: F.adaptive_avg_pool2d(x, 2), lambda s: (s,)),
    "batch normalisation": (lambda x, w, b: F.batch_norm(x, torch.zeros(x.shape[1]).double(),
                                                         torch.ones(x.shape[1]).double(), w, b),
                            lambda s: (s, (s[1],), (s[1],))),
    "layer normalisation": (lambda x, w: F.layer_norm(x, x.shape[2:], w), lambda s: (s, s[2:])),
    "unfold": (lambda x: F.unfold(x, 3, padding=1), lambda s: (s,)),
    "interpolation": (lambda x: F.interpolate(x, size=(3, 5), mode="bilinear"), lambda s: (s,)),
    "padding": (lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"), lambda s: (s,)),
    "softmax": (lambda x: x.softmax(1) + x.log_softmax(-1), lambda s: (s,)),
    "reductions": (lambda x: x.sum(1, keepdim=True) + x.amax(2, keepdim=True) * x.logsumexp(3, keepdim=True),
                   lambda s: (s,)),
    "scans": (lambda x: x.cumsum(0) * x.logcumsumexp(2), lambda s: (s,)),
    "sorting": (lambda x: x.sort(2)[0] + x.flip(0), lambda s: (s,)),
    "joining": (lambda x, y: torch.cat([x, y], 2), lambda s: (s, s)),
    "elementwise": (lambda x, y: torch.where(x > y, x * y, y), lambda s: (s, s)),
    "product": (lambda x, y: x @ y, lambda s: (s, (*s[:2], s[3], 3))),
    "layer": (lambda x, w, b: F.linear(x, w, b), lambda s: (s, (5, s[3]), (5,))),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), lambda s: (s,)),
    "mean squared error": (lambda x, y: F.mse_loss(x, y), lambda s: (s, s)),
    "cross entropy": (lambda x: F.cross_entropy(x, torch.zeros(x.shape[0], *x.shape[2:]).long()), lambda s: (s,)),
    "rows": (lambda x: x.index_select(2, torch.zeros(2).long()), lambda s: (s,)),
}  # fmt: skip


def results(function, arrays, layout, turned):
    given = [torch.tensor(a) if layout is None else layout(torch.tensor(a)) for a in arrays]
    given = [x.detach().requires_grad_() for x in given]
    y = function(*given)
    g = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    y.backward(g if turned is None else turned(g))
    return [y.detach().numpy(), *[x.grad.numpy() for x in given]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_contiguous_memory(name, shape):
    function, shapes = CASES[name]
    arrays = [numbers(*s, seed=k) for k, s in enumerate(shapes(shape))]
    expected = results(function, arrays, None, None)
    for layout, turned in itertools.product(LAYOUTS, LAYOUTS):
        for a, b in zip(results(function, arrays, layout, turned), expected, strict=True):
            np.testing.assert_allclose(a, b, 1e-12, 1e-12)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("shape", [(3, 1, 2), (1, 4, 2), (3, 4, 1), (1, 1, 1)])
def test_recurrent_layers(kind, shape):
    layer = kind(shape[2], 3).double()
    for layout, turned in itertools.product(LAYOUTS, LAYOUTS):
        found = results(lambda x: layer(x)[0], [numbers(*shape)], layout, turned)
        for a, b in zip(found, results(lambda x: layer(x)[0], [numbers(*shape)], None, None), strict=True):
            np.testing.assert_allclose(a, b, 1e-12, 1e-12)
