"""Max pooling with windows at random places: a loop's values, PyTorch's, gradients, programs, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad._tensor import wrap
from jitgrad.autograd import gradcheck, gradgradcheck
from jitgrad.functions._launch import run
from jitgrad.kernels import BY_NAME
from jitgrad.kernels.window_places import reference_places

F = nn.functional
# input, windows, how many of them
CASES = [
    ((2, 3, 9, 11), (2, 3), (4, 5)),
    ((3, 9, 11), 3, (1, 5)),
    ((2, 2, 7, 8, 9), 2, (3, 4, 5)),
    ((0, 2, 5, 5), 2, 3),
    ((1, 5, 6, 7), (1, 2, 3), 4),
]


def prepared(shape, windows, outputs, seed=0):
    rng = np.random.default_rng(seed)
    spatial = 3 if len(shape) == 5 or len(np.atleast_1d(windows)) == 3 else 2
    front = shape[:2] if len(shape) == spatial + 2 else (1, shape[0])
    pool = f"fractional_max_pool{spatial}d"
    return (
        pool,
        rng.permutation(float(np.prod(shape)) * np.linspace(0, 1, int(np.prod(shape)))).reshape(shape),
        (rng.random((*front, spatial))),
    )


def loop(x, samples, windows, outputs):
    """Windows one by one, of every image and channel."""
    spatial = samples.shape[-1]
    windows, outputs = (v if isinstance(v, tuple) else (v,) * spatial for v in (windows, outputs))
    images = x.reshape(*samples.shape[:2], *x.shape[-spatial:])
    found = np.empty((*samples.shape[:2], *outputs))
    for at in itertools.product(*map(range, found.shape)):
        corner = []
        for d in range(spatial):
            n, k, out, i = images.shape[2 + d], windows[d], outputs[d], at[2 + d]
            u = samples[(*at[:2], 1 - d if spatial == 2 else d)]
            step = (n - k) / (out - 1) if out > 1 else 0
            start = n - k if i == out - 1 else int((i + u) * step) - int(u * step)
            corner.append(slice(start, start + k))
        found[at] = images[(*at[:2], *corner)].max()
    return found.reshape(*x.shape[:-spatial], *outputs)


@pytest.mark.parametrize(("shape", "windows", "outputs"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_and_places(shape, windows, outputs, dtype):
    pool, x, samples = prepared(shape, windows, outputs)
    given = torch.tensor(x, dtype=dtype)
    u = torch.tensor(samples)
    values, places = getattr(F, pool)(given, windows, outputs, return_indices=True, _random_samples=u)
    np.testing.assert_allclose(values.numpy(), loop(given.numpy(), samples, windows, outputs))
    if 0 in shape:
        return
    flat = given.reshape(*given.shape[: given.ndim - samples.shape[-1]], -1)
    at = places.reshape(*flat.shape[:-1], -1)
    assert flat.gather(-1, at).tolist() == values.reshape(*flat.shape[:-1], -1).tolist()
    turned = given.transpose(-1, -2).contiguous().transpose(-1, -2)
    again = getattr(F, pool)(turned, windows, outputs, _random_samples=u)
    assert again.tolist() == values.tolist()


@pytest.mark.parametrize(("shape", "windows", "outputs"), [c for c in CASES if 0 not in c[0]])
def test_values_and_places_are_those_of_pytorch(shape, windows, outputs):
    other = pytest.importorskip("torch")
    pool, x, samples = prepared(shape, windows, outputs, 1)
    results = [
        getattr(lib.nn.functional, pool)(lib.tensor(x), windows, outputs, None, True, lib.tensor(samples))
        for lib in (torch, other)
    ]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize(("shape", "windows", "outputs"), CASES[1:3])
def test_gradients(shape, windows, outputs):
    pool, x, samples = prepared(shape, windows, outputs)
    u, given = torch.tensor(samples), torch.tensor(x, requires_grad=True)

    def run(a):
        return getattr(F, pool)(a, windows, outputs, _random_samples=u).square()

    assert gradcheck(run, [given])
    assert gradgradcheck(run, [given])


def test_the_layers_draw_their_places():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 11, 13)
    layer = nn.FractionalMaxPool2d(2, output_ratio=0.5)
    first, second = layer(x), layer(x)
    assert first.shape == second.shape == (2, 3, 5, 6)
    assert first.tolist() != second.tolist()
    assert nn.FractionalMaxPool3d(2, (2, 3, 4))(torch.randn(1, 2, 6, 7, 8)).shape == (1, 2, 2, 3, 4)
    values, places = nn.FractionalMaxPool2d(3, 4, return_indices=True)(x)
    assert places.dtype is torch.int64 and values.shape == places.shape
    assert list(layer.state_dict()) == []


def test_a_compiled_step_draws_what_an_eager_one_does():
    layer = nn.FractionalMaxPool2d(2, 4)

    def step(x):
        return layer(x).square().sum()

    results = []
    for function in (step, torch.compile(step, fullgraph=True)):
        torch.manual_seed(2)
        results.append([function(torch.randn(2, 3, 9, 9)).item() for _ in range(4)])
    assert results[0] == results[1]


X = torch.zeros(1, 1, 6, 6)
REFUSED = [
    (
        lambda: nn.FractionalMaxPool2d(2),
        ValueError,
        "requires specifying either an output size, or a pooling ratio",
    ),
    (lambda: nn.FractionalMaxPool2d(2, 3, 0.5), ValueError, "only one of output_size and output_ratio"),
    (lambda: nn.FractionalMaxPool3d(2, output_ratio=1.5), ValueError, "must be between 0 and 1"),
    (lambda: F.fractional_max_pool2d(X, 2), ValueError, "either an output_size or an output_ratio"),
    (lambda: F.fractional_max_pool2d(X, 3, 5), RuntimeError, "output_size 5 and kernel_size 3 for size 6"),
    (lambda: F.fractional_max_pool2d(X[0, 0], 3, 2), RuntimeError, "Expected 3D or 4D tensor"),
    (lambda: F.fractional_max_pool2d(X, (3, 3, 3), 2), RuntimeError, "a single number or 2 numbers"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "words", [(2, 1, 1, 1, 0, 9, 2, 4, 1, 11, 3, 5, 0), (3, 6, 2, 1, 0, 5, 5, 1, 1, 7, 1, 7, 2)], ids=str
)
def test_places_are_listed_as_a_loop_finds_them(words, dtype):
    samples = torch.rand(4, 3, words[0], dtype=dtype)
    expected = reference_places(samples.numpy(), words)
    found = wrap(run(BY_NAME["window_places"], (samples,), torch.int64, expected.shape, words))
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("spatial", (2, 3))
def test_places_are_one_row_and_what_is_read_there_few_more(spatial):
    shape, pool = (2, 3, 8, 8, 8)[: spatial + 2], getattr(F, f"fractional_max_pool{spatial}d")

    @torch.compile
    def step(x, u):
        return pool(x, 2, 3, _random_samples=u)

    x, u = torch.randn(*shape), torch.rand(2, 3, spatial)
    for _ in range(3):
        found = step(x, u)
    assert found.tolist() == pool(x, 2, 3, _random_samples=u).tolist()
    assert len(step.programs[0].rows) <= 5
