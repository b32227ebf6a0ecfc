"""Pooling, padding, resampling and shuffling give PyTorch's numbers, gradients, places and error classes."""

from __future__ import annotations

import inspect
import zlib

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")

LIBRARIES = (jitgrad, torch)

pytestmark = pytest.mark.filterwarnings("ignore:.*(dropout2d|size_average|deprecated)")


def rng_of(label):
    return np.random.default_rng(zlib.crc32(label.encode()))


def compared(label, function, shape, dtype, layout=None):
    """Run ``function(lib, x)`` in both libraries; the first of several results is differentiated."""
    rng = rng_of(label)
    # half of the cases on few values, so that many are equal
    whole = rng.random() < 0.5
    values = rng.integers(-4, 5, shape) if whole else rng.standard_normal(shape)
    found = []
    cotangent = None
    for lib in LIBRARIES:
        leaf = lib.tensor(np.asarray(values, dtype), requires_grad=True)
        x = leaf if layout is None else layout(leaf)
        result = function(lib, x)
        results = result if isinstance(result, tuple) else (result,)
        if cotangent is None:
            cotangent = rng.standard_normal(tuple(results[0].shape))
        results[0].backward(lib.tensor(np.asarray(cotangent, dtype)))
        found.append([leaf.grad.numpy(), *(r.detach().numpy() for r in results)])
    tolerance = 2e-5 if dtype == "float32" else 1e-11
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        if theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=label)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=label)


def sizes(rng, low, high, count):
    return tuple(int(v) for v in rng.integers(low, high, count))


def channels_last(x):
    return x.transpose(1, -1).contiguous().transpose(1, -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(60))
def test_random_pooling(number, dtype):
    rng = rng_of(f"pooling {number}")
    spatial = 1 + number % 3
    kernel, stride = sizes(rng, 1, 4, spatial), sizes(rng, 1, 4, spatial)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    dilation = sizes(rng, 1, 3, spatial)
    ceil_mode, counts = bool(rng.integers(2)), bool(rng.integers(2))
    if number % 4 == 0:
        kernel = stride = (2,) * spatial
        padding, dilation = (0,) * spatial, (1,) * spatial
    shape = (2, 3, *sizes(rng, 6, (60, 40, 12)[spatial - 1], spatial))
    layout = channels_last if number % 5 == 1 else None
    divisor = [] if spatial == 1 else [None if number % 2 else 5]

    def largest(lib, x):
        function = getattr(lib.nn.functional, f"max_pool{spatial}d")
        return function(x, kernel, stride, padding, dilation, ceil_mode, True)

    def mean(lib, x):
        function = getattr(lib.nn.functional, f"avg_pool{spatial}d")
        return function(x, kernel, stride, padding, ceil_mode, counts, *divisor)

    def lp(lib, x):
        size = kernel if spatial > 1 else kernel[0]
        return getattr(lib.nn.functional, f"lp_pool{spatial}d")(x.abs() + 0.5, 3, size, stride, ceil_mode)

    for function in (largest, mean, lp):
        compared(f"{number} {function.__name__}", function, shape, dtype, layout)
    compared(f"{number} without images", largest, shape[1:], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(24))
def test_random_adaptive_pooling(number, dtype):
    rng = rng_of(f"adaptive {number}")
    spatial = 1 + number % 3
    size = [None if rng.random() < 0.1 and spatial > 1 else n for n in sizes(rng, 1, 9, spatial)]
    shape = (2, 3, *sizes(rng, 3, (40, 20, 8)[spatial - 1], spatial))
    for kind in ("max", "avg"):
        more = [True] if kind == "max" else []
        compared(
            f"{kind} {number}",
            lambda lib, x, kind=kind, more=more: getattr(
                lib.nn.functional, f"adaptive_{kind}_pool{spatial}d"
            )(x, size, *more),
            shape,
            dtype,
            channels_last if number % 5 == 1 else None,
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(32))
def test_random_padding(number, dtype):
    rng = rng_of(f"padding {number}")
    mode = ("constant", "reflect", "replicate", "circular")[number % 4]
    spatial = 1 + number % 3
    shape = sizes(rng, 3, 7, spatial + int(rng.integers(1, 3)))
    amounts = sizes(rng, -1, 3, 2 * spatial)
    value = {"value": 2.5} if mode == "constant" else {}
    compared(
        f"padding {number}", lambda lib, x: lib.nn.functional.pad(x, amounts, mode, **value), shape, dtype
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(60))
def test_random_resampling(number, dtype):
    rng = rng_of(f"resampling {number}")
    spatial = 1 + number % 3
    smooth = ("linear", "bilinear", "trilinear")[spatial - 1]
    modes = ["nearest", "nearest-exact", "area", smooth, smooth] + ["bicubic"] * 2 * (spatial == 2)
    mode = modes[number // 3 % len(modes)]
    shape = (2, 3, *sizes(rng, 2, (40, 14, 7)[spatial - 1], spatial))
    options: dict = {"size": list(sizes(rng, 2, 20, spatial))}
    if rng.random() < 0.5:
        factors = [float(v) for v in rng.choice([1.0, 2.0, 1.7, 3.0], spatial)]
        options = {"scale_factor": factors, "recompute_scale_factor": bool(rng.integers(2))}
    if mode in (smooth, "bicubic"):
        options["align_corners"] = bool(rng.integers(2))
        options["antialias"] = spatial == 2 and bool(rng.integers(2))
    compared(
        f"resampling {number}",
        lambda lib, x: lib.nn.functional.interpolate(x, mode=mode, **options),
        shape,
        dtype,
    )


FUNCTIONS = {
    "pixel_shuffle": (lambda lib, x: lib.pixel_shuffle(x, 2), (2, 8, 3, 4)),
    "pixel_unshuffle": (lambda lib, x: lib.pixel_unshuffle(x, 2), (2, 3, 4, 6)),
    "channel_shuffle": (lambda lib, x: lib.channel_shuffle(x, 3), (2, 6, 4)),
    "local_response_norm": (lambda lib, x: lib.nn.functional.local_response_norm(x, 3, 0.2), (2, 6, 4, 3)),
    "local_response_norm of rows": (lambda lib, x: lib.nn.functional.local_response_norm(x, 4), (2, 6, 4)),
    "max_unpool2d": (
        lambda lib, x: lib.nn.functional.max_unpool2d(
            *lib.nn.functional.max_pool2d(x, 2, return_indices=True), 2, output_size=(7, 6)
        ),
        (2, 3, 7, 6),
    ),
    "lp_pool2d to infinity": (lambda lib, x: lib.nn.functional.lp_pool2d(x, float("inf"), 2), (2, 3, 6, 6)),
    "normalize": (lambda lib, x: lib.nn.functional.normalize(x, 3, 2), (2, 3, 6)),
    "cosine_similarity": (lambda lib, x: lib.nn.CosineSimilarity(2)(x, x.cos()), (2, 3, 6)),
    "pairwise_distance": (lambda lib, x: lib.nn.PairwiseDistance(1.5, keepdim=True)(x, x.cos()), (2, 3, 6)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    function, shape = FUNCTIONS[name]
    compared(name, function, shape, dtype)


MODULES = {
    "MaxPool1d": [(2,), (3, 2, 1, 2)],
    "MaxPool2d": [(2,), ((3, 2), 2, (1, 0))],
    "MaxPool3d": [(2,), ((1, 2, 2), None, 0, 1, False, True)],
    "AvgPool1d": [(2,), (3, 2, 1, True, False)],
    "AvgPool2d": [(2,), ((3, 2), 2, (1, 0), False, True, 3)],
    "AvgPool3d": [(2,)],
    "AdaptiveAvgPool1d": [(3,)],
    "AdaptiveAvgPool2d": [(3,), ((None, 2),)],
    "AdaptiveAvgPool3d": [(2,)],
    "AdaptiveMaxPool1d": [(3,)],
    "AdaptiveMaxPool2d": [((3, 2),)],
    "AdaptiveMaxPool3d": [(2,)],
    "LPPool1d": [(2, 2)],
    "LPPool2d": [(2, 3, 1)],
    "LPPool3d": [(2, 2, None, True)],
    "ConstantPad1d": [(2, 1.5), ((1, 2), 3)],
    "ConstantPad2d": [((1, 2, 0, 1), 1.5)],
    "ConstantPad3d": [(1, 0.0)],
    "ZeroPad1d": [(2,)],
    "ZeroPad2d": [((1, 2, 3, 4),)],
    "ZeroPad3d": [(1,)],
    "ReflectionPad1d": [(2,)],
    "ReflectionPad2d": [((1, 2, 2, 1),)],
    "ReflectionPad3d": [(1,)],
    "ReplicationPad1d": [((0, 3),)],
    "ReplicationPad2d": [(1,)],
    "ReplicationPad3d": [(1,)],
    "CircularPad1d": [((0, 3),)],
    "CircularPad2d": [(1,)],
    "CircularPad3d": [(1,)],
    "Upsample": [(7,), (None, 2), (None, 1.5, "linear"), ((3,), None, "linear", True)],
    "UpsamplingNearest2d": [(7,), (None, 2)],
    "UpsamplingBilinear2d": [((7, 3),)],
    "PixelShuffle": [(2,)],
    "PixelUnshuffle": [(2,)],
    "ChannelShuffle": [(2,)],
    "LocalResponseNorm": [(2,), (3, 0.1, 0.5, 2.0)],
    "Dropout1d": [(0.0,)],
    "Dropout2d": [(0.0,)],
    "Dropout3d": [(0.0,)],
    "AlphaDropout": [(0.0,)],
    "FeatureAlphaDropout": [(0.0,)],
}
SPATIAL = {"PixelShuffle": 2, "PixelUnshuffle": 2, "ChannelShuffle": 2, "LocalResponseNorm": 2, "Upsample": 1}


@pytest.mark.parametrize("name", MODULES)
def test_layers_give_the_same_numbers_and_show_the_same(name):
    spatial = SPATIAL.get(name) or next((n for n in (1, 2, 3) if f"{n}d" in name), 2)
    shape = (2, 4, *(6, 8, 4)[:spatial])
    for arguments in MODULES[name]:
        ours, theirs = (getattr(lib.nn, name)(*arguments) for lib in LIBRARIES)
        assert repr(ours) == repr(theirs)
        assert ours.state_dict() == dict(theirs.state_dict()) == {}

        def function(lib, x, pair=(ours, theirs)):
            return pair[lib is torch](x.abs() + 0.1)

        compared(name, function, shape, "float64")


def image(lib):
    return lib.zeros(2, 3, 4, 4)


ERRORS = {
    "window": lambda lib, f: f.max_pool2d(image(lib), 5),
    "mean window": lambda lib, f: f.avg_pool2d(image(lib), 9),
    "row window": lambda lib, f: f.max_pool1d(image(lib)[0], 9),
    "padding": lambda lib, f: f.max_pool2d(image(lib), 2, padding=2),
    "mean padding": lambda lib, f: f.avg_pool2d(image(lib), 2, padding=2),
    "negative padding": lambda lib, f: f.avg_pool2d(image(lib), 2, padding=-1),
    "kernel": lambda lib, f: f.max_pool2d(image(lib), 0),
    "negative kernel": lambda lib, f: f.max_pool2d(image(lib), -2),
    "stride": lambda lib, f: f.max_pool2d(image(lib), 2, 0),
    "dilation": lambda lib, f: f.max_pool2d(image(lib), 2, dilation=0),
    "sizes": lambda lib, f: f.max_pool2d(image(lib), (2, 2, 2)),
    "fraction": lambda lib, f: f.max_pool2d(image(lib), 2.5),
    "divisor": lambda lib, f: f.avg_pool2d(image(lib), 2, divisor_override=0),
    "dimensions": lambda lib, f: f.max_pool2d(image(lib)[0, 0], 2),
    "row dimensions": lambda lib, f: f.avg_pool1d(image(lib), 2),
    "no channels": lambda lib, f: f.max_pool2d(lib.zeros(2, 0, 4, 4), 2),
    "no rows": lambda lib, f: f.adaptive_avg_pool2d(lib.zeros(2, 3, 0, 4), 2),
    "adaptive integers": lambda lib, f: f.adaptive_max_pool2d(image(lib).long(), 2),
    "adaptive sizes": lambda lib, f: f.adaptive_avg_pool2d(image(lib), (2,)),
    "adaptive negative": lambda lib, f: f.adaptive_avg_pool2d(image(lib), -1),
    "adaptive fraction": lambda lib, f: f.adaptive_avg_pool2d(image(lib), (1.5, 2)),
    "norm": lambda lib, f: f.lp_pool2d(image(lib), 0, 2),
    "unpool size": lambda lib, f: f.max_unpool2d(image(lib), image(lib).long(), 2, output_size=(19, 8)),
    "unpool dtype": lambda lib, f: f.max_unpool2d(image(lib), image(lib), 2),
    "unpool shape": lambda lib, f: f.max_unpool2d(image(lib), image(lib).long()[:1], 2),
    "unpool place": lambda lib, f: f.max_unpool2d(image(lib), image(lib).long() + 99, 2),
    "pad odd": lambda lib, f: f.pad(image(lib), (1, 2, 3)),
    "pad too many": lambda lib, f: f.pad(image(lib)[0, 0, 0], (1, 1, 1, 1)),
    "pad cut": lambda lib, f: f.pad(image(lib), (-3, -2)),
    "pad mirror": lambda lib, f: f.pad(image(lib), (4, 0), "reflect"),
    "pad mirror of images": lambda lib, f: f.pad(image(lib), (4, 0, 0, 0), "reflect"),
    "pad wrap": lambda lib, f: f.pad(image(lib), (5, 0, 0, 0), "circular"),
    "pad mode": lambda lib, f: f.pad(image(lib), (1, 1), "mirror"),
    "pad value": lambda lib, f: f.pad(image(lib), (1, 1, 1, 1), "reflect", 2.0),
    "pad dimensions": lambda lib, f: f.pad(image(lib)[0, 0, 0], (1, 1), "reflect"),
    "resample both": lambda lib, f: f.interpolate(image(lib), 2, 2.0),
    "resample neither": lambda lib, f: f.interpolate(image(lib)),
    "resample sizes": lambda lib, f: f.interpolate(image(lib), (2,)),
    "resample fraction": lambda lib, f: f.interpolate(image(lib), (2.5, 2)),
    "resample corners": lambda lib, f: f.interpolate(image(lib), 2, align_corners=True),
    "resample mode": lambda lib, f: f.interpolate(image(lib), 2, mode="linear"),
    "resample unknown": lambda lib, f: f.interpolate(image(lib), 2, mode="sinc"),
    "resample nothing": lambda lib, f: f.interpolate(image(lib), 0),
    "resample antialias": lambda lib, f: f.interpolate(image(lib), 2, antialias=True),
    "shuffle channels": lambda lib, f: f.pixel_shuffle(image(lib), 2),
    "shuffle height": lambda lib, f: f.pixel_unshuffle(image(lib), 3),
    "shuffle factor": lambda lib, f: f.pixel_shuffle(image(lib), 0),
    "shuffle dimensions": lambda lib, f: f.pixel_shuffle(image(lib)[0, 0], 2),
    "shuffle groups": lambda lib, f: f.channel_shuffle(image(lib), 2),
    "norm dimensions": lambda lib, f: f.local_response_norm(image(lib)[0, 0], 2),
    "dropout dimensions": lambda lib, f: f.dropout1d(image(lib)),
    "dropout probability": lambda lib, f: f.alpha_dropout(image(lib), 1.5),
    "dropout layer": lambda lib, f: lib.nn.Dropout2d(-0.5),
}


@pytest.mark.parametrize("label", ERRORS)
def test_error_has_the_same_class(label):
    with pytest.raises(Exception) as theirs:
        ERRORS[label](torch, torch.nn.functional)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[label](jitgrad, jitgrad.nn.functional)
    assert type(ours.value) is type(theirs.value)


@pytest.mark.parametrize("name", ["max_pool2d", "max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"])
def test_functions_that_return_places_take_the_same_arguments(name):
    ours, theirs = (
        [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
        for function in (
            getattr(jitgrad.nn.functional, name),
            getattr(torch.nn.functional, f"{name}_with_indices"),
        )
    )
    assert ours == theirs
