"""Resampling and shuffling: every mode against loops over positions, gradients, layouts, and what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from gradients import check_gradients
from op_samples import generator

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F


def cubic(d, a=-0.75):
    d = abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def taps(mode, size, result, o, align, scale, antialias):
    """Pairs of place and weight of one element of the result, along one dimension."""
    ratio = 1 / scale if scale else size / result
    if mode == "nearest":
        return [(min(math.floor(o * ratio), size - 1), 1.0)]
    if mode == "nearest-exact":
        return [(min(math.floor((o + 0.5) * ratio), size - 1), 1.0)]
    if mode == "area":
        held = range(o * size // result, -(-(o + 1) * size // result))
        return [(i, 1 / len(held)) for i in held]
    if align:
        ratio = (size - 1) / (result - 1) if result > 1 else 0.0
    if antialias:
        wide = max(ratio, 1)
        shape, reach = (
            (lambda d: cubic(d, -0.5), 2) if mode == "bicubic" else (lambda d: max(0, 1 - abs(d)), 1)
        )
        centre = ratio * (o + 0.5)
        first, last = int(centre - reach * wide + 0.5), int(centre + reach * wide + 0.5)
        found = [(i, shape((i - centre + 0.5) / wide)) for i in range(max(first, 0), min(last, size))]
        total = sum(w for _, w in found)
        return [(i, w / total) for i, w in found]
    x = o * ratio if align else (o + 0.5) * ratio - 0.5
    if mode == "bicubic":
        low = math.floor(x)
        return [(min(max(low + t, 0), size - 1), cubic(x - low - t)) for t in range(-1, 3)]
    x = max(x, 0.0)
    low = min(math.floor(x), size - 1)
    return [(low, 1 - (x - low)), (min(low + 1, size - 1), x - low)]


def resampled(values, result, mode, align=False, scales=None, antialias=False):
    spatial = len(result)
    inner = values.shape[-spatial:]
    scales = scales or [None] * spatial
    out = np.zeros((*values.shape[:-spatial], *result))
    for at in np.ndindex(*result):
        rows = zip(inner, result, at, scales, strict=True)
        each = [taps(mode, n, r, o, align, s, antialias) for n, r, o, s in rows]
        for chosen in itertools.product(*each):
            place = tuple(i for i, _ in chosen)
            out[(..., *at)] += math.prod(w for _, w in chosen) * values[(..., *place)]
    return out


CASES = {
    "twice": ((2, 3, 5), (10,), {}),
    "to fewer": ((2, 3, 11), (4,), {}),
    "to one": ((2, 3, 4), (1,), {}),
    "to the same": ((2, 3, 6), (6,), {}),
    "rows longer than a vector": ((1, 2, 20), (37,), {}),
    "images": ((2, 2, 4, 5), (7, 3), {}),
    "images from one element": ((1, 2, 1, 1), (3, 2), {}),
    "by a factor": ((1, 2, 5), (8,), {"scales": [1.7]}),
    "by factors": ((1, 2, 6, 4), (3, 10), {"scales": [0.5, 2.5]}),
    "cubes": ((1, 2, 3, 4, 2), (4, 3, 5), {}),
}
NAMES = {1: "linear", 2: "bilinear", 3: "trilinear"}
EACH = []
for _name, (_shape, _result, _options) in CASES.items():
    _dims = len(_result)
    _kinds = [("nearest", {}), ("nearest-exact", {}), ("area", {})]
    _kinds += [(NAMES[_dims], {"align": False}), (NAMES[_dims], {"align": True})]
    if _dims == 2:
        _kinds += [("bicubic", {}), ("bicubic", {"align": True})]
        _kinds += [("bicubic", {"antialias": True}), ("bilinear", {"antialias": True})]
    EACH += [
        pytest.param(_shape, _result, _m, _options | _o, id=f"{_m} {' '.join(_o)} {_name}")
        for _m, _o in _kinds
        if not (_m == "area" and _options)
    ]


def call(x, result, mode, align=None, scales=None, antialias=False):
    size = None if scales else list(result)
    align = align or None if mode in ("nearest", "nearest-exact", "area") else align
    return F.interpolate(x, size, scales, mode, align, antialias=antialias)


@pytest.mark.parametrize(("shape", "result", "mode", "options"), EACH)
def test_values_and_gradients(shape, result, mode, options):
    values = generator(mode, shape).standard_normal(shape)
    expected = resampled(values, result, mode, **options)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        x = torch.tensor(values, dtype=dtype)
        for layout in (x, x.transpose(1, -1).contiguous().transpose(1, -1)):
            found = call(layout, result, mode, **options)
            assert found.dtype is dtype
            np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)
    check_gradients(lambda x: call(x, result, mode, **options), values[:1])


def test_factors_that_are_only_for_the_size():
    x = torch.tensor(generator("factors").standard_normal((1, 2, 5)))
    found = F.interpolate(x, scale_factor=1.7, mode="linear", recompute_scale_factor=True)
    np.testing.assert_array_equal(found.numpy(), F.interpolate(x, 8, mode="linear").numpy())


def test_what_is_not_a_number_stays_among_its_neighbours():
    values = np.ones((1, 1, 6))
    values[0, 0, 2] = np.nan
    found = F.interpolate(torch.tensor(values), 12, mode="linear").numpy()
    np.testing.assert_array_equal(np.isnan(found[0, 0]), [False] * 3 + [True] * 4 + [False] * 5)


def test_an_empty_batch():
    x = torch.zeros(0, 2, 3, 3, requires_grad=True)
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    assert tuple(y.shape) == (0, 2, 6, 6)
    y.sum().backward()
    assert tuple(x.grad.shape) == (0, 2, 3, 3)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_pixel_shuffle_and_back(factor):
    shape = (2, 2 * factor * factor, 3, 4)
    values = generator("shuffle").standard_normal(shape)
    x = torch.tensor(values)
    y = F.pixel_shuffle(x, factor)
    for n, c, h, w in np.ndindex(2, 2, 3 * factor, 4 * factor):
        channel = (c * factor + h % factor) * factor + w % factor
        assert y[n, c, h, w].item() == values[n, channel, h // factor, w // factor]
    np.testing.assert_array_equal(F.pixel_unshuffle(y, factor).numpy(), values)
    assert tuple(torch.pixel_shuffle(x[0], factor).shape) == (2, 3 * factor, 4 * factor)
    check_gradients(lambda x: F.pixel_shuffle(x, factor) ** 2, values[:1])


def test_channel_shuffle():
    x = torch.arange(6.0).reshape(1, 6, 1).expand(2, 6, 3)
    assert torch.channel_shuffle(x, 2)[1, :, 0].tolist() == [0, 3, 1, 4, 2, 5]
    assert nn.ChannelShuffle(3)(x)[0, :, 2].tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize(("shape", "size"), [((2, 5, 4), 3), ((2, 4, 3, 3), 2), ((1, 3, 2, 2, 2), 5)])
def test_local_response_norm(shape, size):
    values = generator("lrn").standard_normal(shape)
    expected = np.zeros(shape)
    for c in range(shape[1]):
        first = c - size // 2
        near = [values[:, k] ** 2 for k in range(first, first + size) if 0 <= k < shape[1]]
        expected[:, c] = values[:, c] / (2.0 + 0.3 * sum(near) / size) ** 0.6

    def function(x):
        return F.local_response_norm(x, size, 0.3, 0.6, 2.0)

    np.testing.assert_allclose(function(torch.tensor(values)).numpy(), expected, rtol=1e-12)
    check_gradients(function, values)


def image():
    return torch.zeros(2, 4, 5, 6)


ERRORS = {
    "both": (lambda: F.interpolate(image(), 2, 2.0), ValueError, "only one of size or scale_factor"),
    "neither": (lambda: F.interpolate(image()), ValueError, "either size or scale_factor"),
    "sizes": (lambda: F.interpolate(image(), (2,)), ValueError, "same number of spatial dimensions"),
    "factors": (lambda: F.interpolate(image(), scale_factor=(2.0,)), ValueError, "same number of spatial"),
    "fraction": (lambda: F.interpolate(image(), (2.5, 2)), TypeError, "expected size to be one of int"),
    "corners": (lambda: F.interpolate(image(), 2, align_corners=True), ValueError, "align_corners option"),
    "recompute": (
        lambda: F.interpolate(image(), 2, None, "nearest", None, True),
        ValueError,
        "not meaningful",
    ),
    "antialias": (lambda: F.interpolate(image(), 2, antialias=True), ValueError, "Anti-alias option"),
    "mode of rows": (lambda: F.interpolate(image(), 2, mode="linear"), NotImplementedError, "needs 3D input"),
    "mode of images": (lambda: F.interpolate(image()[0], 2, mode="bicubic"), NotImplementedError, "needs 4D"),
    "unknown mode": (lambda: F.interpolate(image(), 2, mode="sinc"), NotImplementedError, "got sinc"),
    "dimensions": (lambda: F.interpolate(image()[0, 0], ()), NotImplementedError, "Only 3D, 4D and 5D"),
    "nothing": (lambda: F.interpolate(image(), 0), RuntimeError, "should be greater than 0"),
    "to nothing": (lambda: F.interpolate(image(), scale_factor=0.1), RuntimeError, "greater than 0"),
    "no channels": (lambda: F.interpolate(image()[:, :0], 2), RuntimeError, "Non-empty 4D data tensor"),
    "integers": (lambda: F.interpolate(image().long(), 2), NotImplementedError, "not implemented for int64"),
    "not a tensor": (lambda: F.interpolate([1.0], 2), TypeError, "must be Tensor, not list"),
    "channels": (lambda: F.pixel_shuffle(image(), 3), RuntimeError, "divisible by the square of"),
    "height": (lambda: F.pixel_unshuffle(image(), 2), RuntimeError, "divisible by downscale_factor"),
    "factor": (lambda: F.pixel_shuffle(image(), 0), RuntimeError, "expects a positive upscale_factor"),
    "shuffle dimensions": (lambda: F.pixel_shuffle(image()[0, 0], 2), RuntimeError, "at least 3 dimensions"),
    "groups": (lambda: F.channel_shuffle(image(), 3), RuntimeError, "divisible by groups"),
    "norm dimensions": (lambda: F.local_response_norm(image()[0, 0], 2), ValueError, "Expected 3D or higher"),
}


@pytest.mark.parametrize("label", ERRORS)
def test_error_says_what_is_wrong(label):
    call, kind, text = ERRORS[label]
    with pytest.raises(kind, match=text):
        call()


def test_layers_call_their_functions():
    x = torch.tensor(generator("layers").standard_normal((2, 4, 4, 6)))
    pairs = [
        (nn.Upsample(scale_factor=2, mode="bilinear"), F.interpolate(x, scale_factor=2, mode="bilinear")),
        (nn.Upsample((3, 7)), F.interpolate(x, (3, 7))),
        (nn.UpsamplingNearest2d(scale_factor=2), F.upsample_nearest(x, scale_factor=2)),
        (nn.UpsamplingBilinear2d(9), F.interpolate(x, 9, mode="bilinear", align_corners=True)),
        (nn.PixelShuffle(2), F.pixel_shuffle(x, 2)),
        (nn.PixelUnshuffle(2), F.pixel_unshuffle(x, 2)),
        (nn.LocalResponseNorm(2), F.local_response_norm(x, 2)),
    ]
    for layer, expected in pairs:
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy(), err_msg=repr(layer))


def test_compiled_step_equals_eager_step():
    def trained(compiled, threads):
        torch.manual_seed(0)
        x = nn.Parameter(torch.randn(2, 4, 5, 6))
        optimizer = torch.optim.SGD([x], lr=0.1)
        layers = nn.Sequential(
            nn.Upsample(scale_factor=1.5, mode="bicubic"), nn.PixelShuffle(2), nn.AdaptiveAvgPool2d((5, 4))
        )

        def step():
            optimizer.zero_grad()
            y = layers(x)
            loss = (y * y.detach().cos()).mean()
            loss.backward()
            optimizer.step()
            return loss

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            run = torch.compile(step, fullgraph=True) if compiled else step
            return [run().item() for _ in range(4)], x.detach().numpy().tobytes()
        finally:
            torch.set_num_threads(before)

    expected = trained(False, 1)
    assert trained(True, 1) == expected
    assert trained(True, 2) == expected
