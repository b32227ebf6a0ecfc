"""Pooling: values, places, gradients, layouts, sizes and refusals, against loops over windows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from gradients import check_gradients
from op_samples import generator
from pooling_oracle import adaptive_windows, first_largest, largest, mean, pooled, tuple_of, windows

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F

NAN, INF = math.nan, math.inf


# values and gradients --------------------------------------------------------------------------------------

MAX_CASES = {
    "pairs": ((2, 3, 6, 8), 2, (2,)),
    "pairs, odd sizes": ((2, 1, 7, 9), 2, (2,)),
    "pairs, wide rows": ((1, 2, 4, 70), 2, (2,)),
    "pairs, a window sticks out": ((2, 1, 7, 9), 2, (2, None, 0, 1, True)),
    "pairs without images": ((3, 6, 8), 2, ((2, 2), (2, 2))),
    "overlapping": ((2, 2, 9, 20), 2, (3, 2, 1)),
    "every place": ((1, 2, 5, 19), 2, (3, 1, 1)),
    "triples": ((1, 2, 9, 37), 2, (3,)),
    "gaps between windows": ((1, 2, 9, 40), 2, (2, (3, 5))),
    "sizes that differ": ((2, 2, 9, 11), 2, ((2, 3), (1, 2), (1, 0), (2, 1))),
    "dilated": ((1, 2, 9, 21), 2, (3, 2, 1, 2)),
    "dilated, every place": ((1, 1, 9, 21), 2, (2, 1, 0, 3)),
    "one element": ((1, 1, 1, 1), 2, (1,)),
    "rows": ((2, 3, 37), 1, (2,)),
    "rows, overlapping": ((2, 3, 37), 1, (3, 2, 1, 1, True)),
    "rows without images": ((3, 11), 1, ((4,), (3,))),
    "cubes": ((1, 2, 4, 5, 6), 3, (2,)),
    "cubes, overlapping": ((2, 4, 5, 6), 3, ((1, 2, 3), (1, 2, 2), (0, 1, 1))),
}
MEAN_CASES = {
    "pairs": ((2, 3, 6, 8), 2, (2,)),
    "pairs, a window sticks out": ((2, 1, 7, 9), 2, (2, None, 0, True)),
    "padding counts": ((1, 2, 6, 20), 2, (3, 2, 1)),
    "padding does not count": ((1, 2, 6, 20), 2, (3, 2, 1, False, False)),
    "padding counts, a window sticks out": ((1, 2, 6, 9), 2, (3, 2, 1, True)),
    "padding does not count, a window sticks out": ((1, 2, 6, 9), 2, ((3, 2), 3, 1, True, False)),
    "divisor": ((1, 2, 5, 19), 2, (3, 1, 1, False, True, 7)),
    "gaps between windows": ((1, 2, 9, 40), 2, (2, (3, 5))),
    "rows": ((2, 3, 37), 1, (3, 2, 1, True, False)),
    "cubes": ((2, 4, 5, 6), 3, ((1, 2, 3), (1, 2, 2), (0, 1, 1), False, False)),
}
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
    "stepped": lambda x: torch.stack([x, x * 0 + 5], -1).flatten(-2)[..., ::2],
    "rows far apart": lambda x: torch.cat([x, x * 0 + 5], -1)[..., : x.shape[-1]],
    "images last": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
}
CASES = [pytest.param("max", *c, id=f"max {n}") for n, c in MAX_CASES.items()]
CASES += [pytest.param("avg", *c, id=f"mean {n}") for n, c in MEAN_CASES.items()]


def function_of(kind, spatial):
    return getattr(F, f"{kind}_pool{spatial}d")


def expected_of(kind, values, spatial, options):
    return largest(values, spatial, *options)[0] if kind == "max" else mean(values, spatial, *options)


def distinct(shape, *names):
    """Values that no small step makes equal."""
    count = math.prod(shape)
    return (generator(*names, shape).permutation(count) * 0.37 - 0.15 * count).reshape(shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "shape", "spatial", "options"), CASES)
def test_values_equal_loops_over_windows(kind, shape, spatial, options, dtype):
    values = distinct(shape, kind)
    expected = expected_of(kind, values, spatial, options)
    for name, layout in LAYOUTS.items():
        x = layout(torch.tensor(values, dtype=dtype))
        np.testing.assert_array_equal(x.numpy(), np.asarray(values, x.numpy().dtype), err_msg=name)
        found = function_of(kind, spatial)(x, *options)
        assert found.is_contiguous()
        assert found.dtype is dtype
        tolerance = 2e-6 if dtype is torch.float32 else 1e-14
        np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance * 10, err_msg=name)


@pytest.mark.parametrize(("kind", "shape", "spatial", "options"), CASES)
def test_gradients_equal_central_differences(kind, shape, spatial, options):
    check_gradients(lambda x: function_of(kind, spatial)(x, *options), distinct(shape, kind))


@pytest.mark.parametrize(("kind", "shape", "spatial", "options"), CASES)
def test_gradients_do_not_depend_on_layouts(kind, shape, spatial, options):
    values = distinct(shape, kind)
    expected = None
    with torch.no_grad():
        result = function_of(kind, spatial)(torch.tensor(values), *options)
    weights = generator("cotangent", shape).standard_normal((*result.shape[:-1], 2 * result.shape[-1]))
    for dtype in (torch.float64, torch.float32):
        for layout in LAYOUTS.values():
            x = torch.tensor(values, dtype=dtype, requires_grad=True)
            y = function_of(kind, spatial)(layout(x), *options)
            # a cotangent whose rows have gaps
            w = torch.tensor(weights, dtype=dtype)[..., ::2]
            (found,) = torch.autograd.grad(y, x, w)
            expected = found.numpy() if expected is None else expected
            np.testing.assert_allclose(found.numpy(), expected, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize(("kind", "shape", "spatial", "options"), CASES)
def test_a_repeated_cotangent_reaches_every_window(kind, shape, spatial, options):
    values = distinct(shape, kind)
    gradients = []
    for sum_of in (lambda y: y.sum(), lambda y: (y * torch.ones_like(y)).sum()):
        x = torch.tensor(values, requires_grad=True)
        sum_of(function_of(kind, spatial)(x, *options)).backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)


# places ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "spatial", "options"), MAX_CASES.values(), ids=MAX_CASES)
def test_places_equal_loops_over_windows(shape, spatial, options):
    # few values, so that many are equal: the first counts
    values = generator("ties", shape).integers(0, 3, shape).astype(float)
    values.flat[::7] = -INF
    full = (*options, *(None, 0, 1, False)[len(options) - 1 :])
    expected, places = largest(values, spatial, *full)
    for dtype in (torch.float32, torch.float64):
        found, at = function_of("max", spatial)(torch.tensor(values, dtype=dtype), *full, return_indices=True)
        assert at.dtype is torch.int64
        np.testing.assert_array_equal(found.numpy(), expected)
        np.testing.assert_array_equal(at.numpy(), places)


@pytest.mark.parametrize("options", [(2,), (3, 2, 1), (3, 1, 1), (2, 3)])
def test_nan_shows_and_gets_the_gradient(options):
    values = distinct((1, 2, 8, 18), "nan")
    values[0, 0, 3, 3:6] = NAN
    values[0, 1, 0, 0] = NAN
    full = (*options, *(None, 0, 1, False)[len(options) - 1 :])
    expected, places = largest(values, 2, *full)
    x = torch.tensor(values, requires_grad=True)
    found, at = F.max_pool2d(x, *full, return_indices=True)
    np.testing.assert_array_equal(found.detach().numpy(), expected)
    np.testing.assert_array_equal(at.numpy(), places)
    found.backward(torch.ones_like(found))
    counts = np.zeros((2, 8 * 18))
    for channel in range(2):
        np.add.at(counts[channel], places[0, channel].ravel(), 1)
    np.testing.assert_array_equal(x.grad.numpy().reshape(2, -1), counts)


def test_windows_of_minus_infinity_have_a_place():
    for options in ((2,), (3, 2, 1), (3, 3), ((1, 2),)):
        x = torch.full((1, 1, 6, 6), -INF)
        y, at = F.max_pool2d(x, *options, return_indices=True)
        full = (*options, *(None, 0, 1, False)[len(options) - 1 :])
        np.testing.assert_array_equal(at.numpy(), largest(x.numpy(), 2, *full)[1])
        assert (y == -INF).all()


def test_ties_give_the_gradient_to_the_first():
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_infinite_cotangents_reach_only_the_largest():
    x = torch.tensor([[[1.0, 2.0, 4.0, 3.0]]], requires_grad=True)
    y = F.max_pool1d(x, 2)
    y.backward(torch.full_like(y, INF))
    assert x.grad.tolist() == [[[0.0, INF, INF, 0.0]]]


# adaptive --------------------------------------------------------------------------------------------------

ADAPTIVE_CASES = {
    "divides": ((2, 3, 8, 12), (4, 3)),
    "does not divide": ((2, 3, 7, 20), (3, 6)),
    "more than there is": ((1, 2, 5, 3), (7, 8)),
    "one": ((2, 3, 7, 5), (1, 1)),
    "None keeps a size": ((2, 3, 7, 5), (None, 2)),
    "one number": ((2, 3, 7, 5), 3),
    "wide": ((1, 2, 4, 50), (2, 21)),
    "no images": ((3, 7, 5), (2, 2)),
    "rows": ((2, 3, 19), 4),
    "rows to one": ((2, 3, 19), 1),
    "cubes": ((1, 2, 5, 4, 6), (2, 3, 4)),
}


@pytest.mark.parametrize(("shape", "size"), ADAPTIVE_CASES.values(), ids=ADAPTIVE_CASES)
def test_adaptive_pooling_divides_the_input(shape, size):
    spatial = {"rows": 1, "rows to one": 1, "cubes": 3}.get(
        next(n for n, c in ADAPTIVE_CASES.items() if c == (shape, size)), 2
    )
    counts = [n if s is None else s for n, s in zip(shape[-spatial:], tuple_of(size, spatial), strict=True)]
    along = [adaptive_windows(n, c) for n, c in zip(shape[-spatial:], counts, strict=True)]
    values = distinct(shape, "adaptive")
    largest_of, places = pooled(values, along, first_largest)
    mean_of, _ = pooled(values, along, lambda _p, v, _at: (sum(v) / len(v), 0))
    for dtype, layout in itertools.product((torch.float32, torch.float64), LAYOUTS.values()):
        x = layout(torch.tensor(values, dtype=dtype))
        found, at = getattr(F, f"adaptive_max_pool{spatial}d")(x, size, return_indices=True)
        np.testing.assert_allclose(found.numpy(), largest_of, rtol=1e-6)
        np.testing.assert_array_equal(at.numpy(), places)
        found = getattr(F, f"adaptive_avg_pool{spatial}d")(x, size)
        np.testing.assert_allclose(found.numpy(), mean_of, rtol=3e-6, atol=1e-5)
    for kind in ("max", "avg"):
        check_gradients(lambda x, kind=kind: getattr(F, f"adaptive_{kind}_pool{spatial}d")(x, size), values)


@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, INF, -INF])
def test_lp_pool_is_the_norm_of_every_window(norm):
    values = np.abs(distinct((1, 2, 6, 7), "lp")) + 0.1
    for spatial, kernel, stride in ((2, (2, 3), None), (2, 2, 1), (1, 3, 2)):
        x = values if spatial == 2 else values[0]
        options = (kernel, kernel if stride is None else stride)
        rows = zip(x.shape[-spatial:], *(tuple_of(v, spatial) for v in options), strict=True)
        along = [windows(*row) for row in rows]
        expected, _ = pooled(x, along, lambda _p, v, _at: (np.linalg.norm(v, norm), 0))

        def function(x, spatial=spatial, kernel=kernel, stride=stride):
            return getattr(F, f"lp_pool{spatial}d")(x, norm, kernel, stride)

        np.testing.assert_allclose(function(torch.tensor(x)).numpy(), expected, rtol=1e-10)
        check_gradients(function, x)


@pytest.mark.parametrize(
    ("shape", "spatial", "options"), [MAX_CASES[n] for n in ("pairs", "overlapping", "rows")]
)
def test_unpooling_puts_elements_back(shape, spatial, options):
    x = torch.tensor(distinct(shape, "unpool"))
    y, at = function_of("max", spatial)(x, *options, return_indices=True)
    unpool = getattr(F, f"max_unpool{spatial}d")
    size = shape[-spatial:]
    back = unpool(y, at, *options, output_size=size)
    flat = np.zeros((math.prod(shape[:-spatial]), math.prod(size)))
    for row, places, values in zip(flat, at.numpy().reshape(len(flat), -1), y.numpy().reshape(len(flat), -1),
                                   strict=True):  # fmt: skip
        row[places] = values
    np.testing.assert_array_equal(back.numpy(), flat.reshape(shape))
    if options == (2,):  # windows that overlap write one place twice
        check_gradients(lambda y: unpool(y, at, *options, output_size=size), y.numpy())


# nothing to do, and what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_a_batch_of_nothing_gives_nothing(kind):
    x = torch.zeros(0, 3, 6, 6, requires_grad=True)
    for y in (function_of(kind, 2)(x, 2), function_of(kind, 2)(x, 3, 2, 1)):
        assert tuple(y.shape) == (0, 3, 3, 3)
    adaptive = getattr(F, f"adaptive_{kind}_pool2d")
    for size, shape in (((2, 1), (0, 3, 2, 1)), (1, (0, 3, 1, 1))):
        assert tuple(adaptive(x, size).shape) == shape
    y.sum().backward()
    assert tuple(x.grad.shape) == (0, 3, 6, 6)
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    y = adaptive(x, 0)
    assert tuple(y.shape) == (2, 3, 0, 0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 3, 4, 4)))


def image():
    return torch.zeros(2, 3, 4, 4)


ERRORS = {
    "window larger than input": (lambda: F.max_pool2d(image(), 5), RuntimeError, "Output size is too small"),
    "mean window larger than input": (lambda: F.avg_pool1d(image()[0], 9), RuntimeError, "size is too small"),
    "padding": (lambda: F.max_pool2d(image(), 2, padding=2), RuntimeError, "at most half of effective kernel"),
    "mean padding": (lambda: F.avg_pool2d(image(), 3, padding=2), RuntimeError, "at most half"),
    "negative padding": (lambda: F.max_pool2d(image(), 2, padding=-1), RuntimeError, "non-negative"),
    "kernel of nothing": (lambda: F.max_pool2d(image(), 0), RuntimeError, "kernel size should be greater"),
    "stride of nothing": (lambda: F.avg_pool2d(image(), 2, 0), RuntimeError, "stride should be greater"),
    "dilation of nothing": (lambda: F.max_pool2d(image(), 2, dilation=0), RuntimeError, "dilation should be"),
    "three sizes": (lambda: F.max_pool2d(image(), (2, 2, 2)), RuntimeError, "single int, or a tuple of 2 ints"),
    "fraction": (lambda: F.max_pool2d(image(), 2.5), TypeError, "must be int or tuple of ints, not float"),
    "tensor": (lambda: F.max_pool2d(image(), image()), TypeError, "must be int or tuple of ints, not Tensor"),
    "bool": (lambda: (F.max_pool2d(image(), 1), F.max_pool2d(image(), True)), TypeError, "'kernel_size'.* not bool"),
    "adaptive bool": (lambda: F.adaptive_avg_pool2d(image(), True), TypeError, "'output_size'.* not bool"),
    "divisor of nothing": (lambda: F.avg_pool2d(image(), 2, divisor_override=0), RuntimeError, "divisor must be"),
    "dimensions": (lambda: F.max_pool2d(image()[0, 0], 2), RuntimeError, "Expected 3D or 4D"),
    "dimensions of rows": (lambda: F.max_pool1d(image(), 2), RuntimeError, "Expected 2D or 3D"),
    "no channels": (lambda: F.max_pool2d(torch.zeros(2, 0, 4, 4), 2), RuntimeError, "only the batch may be empty"),
    "no rows": (lambda: F.adaptive_avg_pool2d(torch.zeros(2, 3, 0, 4), 2), RuntimeError, "only the batch"),
    "integers": (lambda: F.max_pool2d(image().long(), 2), NotImplementedError, "not implemented for int64"),
    "not a tensor": (lambda: F.max_pool2d([1.0], 2), TypeError, "must be Tensor, not list"),
    "adaptive sizes": (lambda: F.adaptive_avg_pool2d(image(), (2,)), RuntimeError, "output_size must be 2"),
    "negative size": (lambda: F.adaptive_max_pool2d(image(), -1), RuntimeError, "greater than or equal to 0"),
    "adaptive fraction": (lambda: F.adaptive_avg_pool2d(image(), (1.5, 2)), TypeError, "must be int or tuple"),
    "norm of nothing": (lambda: F.lp_pool2d(image(), 0, 2), ZeroDivisionError, "norm_type"),
    "unpool sizes": (
        lambda: F.max_unpool2d(image(), image().long(), 2, output_size=(11, 8)), ValueError, "invalid output_size",
    ),
    "unpool dimensions": (
        lambda: F.max_unpool2d(image(), image().long(), 2, output_size=(11,)), ValueError, "containing 2 or 4",
    ),
    "unpool places": (lambda: F.max_unpool2d(image(), image().long()[:1], 2), RuntimeError, "same as that of"),
    "unpool dtype": (lambda: F.max_unpool2d(image(), image(), 2), RuntimeError, "should be type int64"),
    "unpool out of range": (lambda: F.max_unpool2d(image(), image().long() + 64, 2), RuntimeError, "index"),
}  # fmt: skip


@pytest.mark.parametrize("label", ERRORS)
def test_error_says_what_is_wrong(label):
    call, kind, text = ERRORS[label]
    with pytest.raises(kind, match=text):
        call()


# layers, and the compiled step -----------------------------------------------------------------------------


def test_layers_call_their_functions():
    x = torch.tensor(distinct((2, 3, 9, 8), "layers"))
    row = x[0]
    pairs = [
        (nn.MaxPool2d(3, 2, 1, 1, False, True)(x), F.max_pool2d(x, 3, 2, 1, 1, True)),
        (nn.MaxPool1d(2)(row), F.max_pool1d(row, 2)),
        (nn.MaxPool2d(2, return_indices=True)(x)[1], F.max_pool2d(x, 2, return_indices=True)[1]),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False)(x), F.avg_pool2d(x, 3, 2, 1, False, False)),
        (nn.AvgPool1d(3, padding=1)(row), F.avg_pool1d(row, 3, 3, 1)),
        (nn.AdaptiveAvgPool2d((3, None))(x), F.adaptive_avg_pool2d(x, (3, None))),
        (nn.AdaptiveMaxPool1d(3, return_indices=True)(row)[1], F.adaptive_max_pool1d(row, 3, True)[1]),
        (nn.LPPool2d(1, 2, ceil_mode=True)(x), F.lp_pool2d(x, 1, 2, None, True)),
        (nn.MaxUnpool2d(2)(*nn.MaxPool2d(2, return_indices=True)(x), output_size=(9, 8)).sum(-1),
         F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(9, 8)).sum(-1)),
    ]  # fmt: skip
    for k, (found, expected) in enumerate(pairs):
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=str(k))
    assert repr(nn.MaxPool2d((2, 3), padding=1)) == (
        "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=1, dilation=1, ceil_mode=False)"
    )
    assert nn.MaxPool2d(2).state_dict() == {}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, 1),
        nn.MaxPool2d(3, 1, 1),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def trained(compiled, threads=1):
    model = network()
    # the input learns too, so that every layer has a way back
    x = nn.Parameter(torch.randn(5, 2, 16, 22))
    optimizer = torch.optim.Adam([x, *model.parameters()], lr=0.1)

    def step(target):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run = torch.compile(step, fullgraph=True) if compiled else step
        losses = [run(torch.full((5, 3), float(k))).item() for k in range(5)]
    finally:
        torch.set_num_threads(before)
    return losses, x.detach().numpy().tobytes(), [p.detach().numpy().tobytes() for p in model.parameters()]


def test_compiled_training_equals_eager_training_on_any_number_of_threads():
    expected = trained(False)
    assert trained(True) == expected
    assert trained(True, 2) == expected
