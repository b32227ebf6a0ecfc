"""Convolutions against loops over taps in NumPy, on every way that their kernels take."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from convolution_cases import cases, expected, output_size
from gradients import check_gradients
from kernel_records import run
from other_targets import on_other_targets, run_tests

import jitgrad as torch
from jitgrad.kernels import abi
from jitgrad.kernels.convolution_shape import layout
from jitgrad.nn import functional as F

DTYPES = {"float32": 2e-5, "float64": 1e-11}
ALL = [(t, *case) for t in (False, True) for case in cases(t)]
IDS = [f"{'transposed, ' if t else ''}{label}" for t, label, *_ in ALL]


def convolve(transposed, x, w, bias, **options):
    name = f"conv{'_transpose' if transposed else ''}{x.ndim - 2}d"
    return getattr(F, name)(x, w, bias, **options)


def values(*shape, seed=0):
    return np.random.default_rng(zlib.crc32(repr((shape, seed)).encode())).standard_normal(shape)


def filters_of(transposed, w, options):
    return w[1] * options.get("groups", 1) if transposed else w[0]


def close(found, wanted, bound, what=""):
    assert found.shape == wanted.shape
    if wanted.size:
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=bound * max(1, np.abs(wanted).max()), err_msg=what
        )


def gradients(transposed, arrays, cotangent, dtype, options):
    x, w, bias = (torch.tensor(a, dtype=getattr(torch, dtype), requires_grad=True) for a in arrays)
    y = convolve(transposed, x, w, bias, **options)
    y.backward(torch.tensor(cotangent, dtype=y.dtype))
    return [t.numpy() for t in (y.detach(), x.grad, w.grad, bias.grad)]


@pytest.mark.parametrize(("transposed", "label", "x", "w", "options"), ALL, ids=IDS)
def test_values_and_gradients(transposed, label, x, w, options):
    filters = filters_of(transposed, w, options)
    arrays = values(*x), values(*w, seed=1), values(filters, seed=2)
    cotangent = values(x[0], filters, *output_size(x, w, transposed, **options), seed=3)
    wanted = expected(transposed, *arrays, cotangent, options)
    for dtype, bound in DTYPES.items():
        found = gradients(transposed, arrays, cotangent, dtype, options)
        for a, b, what in zip(found, wanted, ("y", "x", "w", "bias"), strict=True):
            assert a.dtype == dtype
            close(a, b, bound * 8, f"{what} {dtype}")


@pytest.mark.parametrize("batch", [2, 9])
def test_output_padding(batch):
    options = {"stride": 3, "output_padding": (2, 1), "padding": 1}
    arrays = values(batch, 3, 4, 5), values(3, 2, 3, 3), values(2)
    cotangent = values(batch, 2, *output_size((batch, 3, 4, 5), (3, 2, 3, 3), True, **options))
    found = gradients(True, arrays, cotangent, "float64", options)
    for a, b in zip(found, expected(True, *arrays, cotangent, options), strict=True):
        close(a, b, 1e-12)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("batch", [2, 5])
def test_gradients_against_differences(transposed, batch):
    w = (2, 2, 2, 2)
    for options in ({}, {"stride": 2, "padding": 1}, {"groups": 2, "dilation": 2, "padding": 1}):
        kernel = (2, 1, 2, 2) if "groups" in options else w
        bias = values(filters_of(transposed, kernel, options))
        arrays = values(batch, 2, 3, 3), values(*kernel), bias
        check_gradients(lambda *t, o=options: convolve(transposed, *t, **o), *arrays)


@pytest.mark.parametrize("batch", [3, 20])
@pytest.mark.parametrize("kernel", [(4, 3, 3, 3), (4, 3, 1, 1)])
def test_memory_in_any_order(batch, kernel):
    """Inputs, weights and cotangents with strides of all kinds give what contiguous ones give."""
    x, w, bias = values(batch, 3, 5, 6), values(*kernel), values(4)
    size = output_size(x.shape, kernel, False)
    g = values(batch, 4, *size)
    wanted = expected(False, x, w, bias, g, {})
    orders = ((0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (0, 2, 3, 1))
    for order in orders:
        back = np.argsort(order).tolist()

        def turned(a, order=order, back=back):
            wide = np.zeros([n * 2 for n in np.transpose(a, order).shape])
            wide[::2, ::2, ::2, ::2] = np.transpose(a, order)
            return torch.tensor(wide)[::2, ::2, ::2, ::2].permute(*back)

        tx, tw, tg = turned(x).requires_grad_(), turned(w).requires_grad_(), turned(g)
        tb = torch.tensor(np.repeat(bias, 2))[::2].requires_grad_()
        y = F.conv2d(tx, tw, tb)
        y.backward(tg)
        for t, b in zip((y.detach(), tx.grad, tw.grad, tb.grad), wanted, strict=True):
            close(t.numpy(), b, 1e-11)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_cotangent_that_is_one_number(transposed, batch):
    x, w, bias = values(batch, 4, 4, 4), values(4, 4, 3, 3), values(4)
    size = output_size(x.shape, w.shape, transposed)
    wanted = expected(transposed, x, w, bias, np.ones((batch, 4, *size)), {})
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, bias)]
    convolve(transposed, *tensors).sum().backward()
    for t, b in zip(tensors, wanted[1:], strict=True):
        close(t.grad.numpy(), b, 1e-11)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("batch", [2, 16])
def test_only_some_gradients(transposed, batch):
    arrays = values(batch, 4, 5, 5), values(4, 4, 3, 3), values(4)
    g = values(batch, 4, *output_size(arrays[0].shape, arrays[1].shape, transposed))
    wanted = expected(transposed, *arrays, g, {})[1:]
    for chosen in range(1, 8):
        bits = [bool(chosen >> k & 1) for k in range(3)]
        tensors = [torch.tensor(a, requires_grad=bit) for a, bit in zip(arrays, bits, strict=True)]
        convolve(transposed, *tensors).backward(torch.tensor(g))
        for t, bit, b in zip(tensors, bits, wanted, strict=True):
            assert (t.grad is not None) == bit
            if bit:
                close(t.grad.numpy(), b, 1e-11)


@pytest.mark.parametrize("batch", [2, 16])
def test_a_second_walk_through_a_kept_graph_gives_the_same(batch):
    x, w = (torch.tensor(values(*s), requires_grad=True) for s in ((batch, 3, 6, 6), (4, 3, 3, 3)))
    y = F.conv2d(x, w, padding=1).square().sum()
    y.backward(retain_graph=True)
    first = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    y.backward()
    assert (x.grad == first[0]).all() and (w.grad == first[1]).all()


@pytest.mark.parametrize("batch", [2, 16])
def test_nan_and_infinity_reach_what_they_belong_to_and_nothing_else(batch):
    x = np.ones((batch, 2, 6, 6))
    x[1, 0, 2, 2] = np.nan
    x[0, 1, 5, 5] = np.inf
    y = F.conv2d(torch.tensor(x), torch.ones(3, 2, 3, 3, dtype=torch.float64), padding=1).numpy()
    wrong = ~np.isfinite(y)
    assert np.isnan(y[1, :, 1:4, 1:4]).all() and np.isinf(y[0, :, 4:, 4:]).all()
    assert wrong.sum() == 3 * (9 + 4)


PARTS = {
    "1 image": (1, 40, (4, 4), 50, (3, 3), {"padding": 1}),
    "1 image, many positions": (1, 35, (12, 12), 20, (3, 3), {"padding": 1}),
    "3 images": (3, 4, (9, 8), 20, (3, 3), {"stride": 2}),
    "3 images, groups": (3, 6, (9, 8), 9, (3, 3), {"groups": 3}),
    "one tap": (2, 40, (5, 5), 40, (1, 1), {}),
    "one position": (1, 19, (3, 3), 37, (3, 3), {}),
    "one position and tap": (2, 37, (1, 1), 41, (1, 1), {}),
    "17 images": (17, 4, (6, 9), 6, (3, 3), {"padding": 1}),
    "32 images": (32, 3, (9, 9), 10, (3, 2), {"stride": 2, "padding": 1}),
    "32 images in 3-d": (32, 2, (3, 4, 4), 3, (2, 2, 2), {"padding": 1}),
    "32 images, groups": (32, 6, (5, 5), 9, (3, 3), {"groups": 3}),
}


@pytest.mark.parametrize("dtype", [abi.FLOAT32, abi.FLOAT64], ids=abi.DTYPE_NAMES[abi.FLOAT32 :])
@pytest.mark.parametrize("case", PARTS)
@pytest.mark.parametrize("name", ["convolution", "convolution_transpose"])
def test_every_number_of_parts_gives_the_same_bits(name, case, dtype):
    """Parts run last first on a workspace of NaN: none may wait for what another writes."""
    batch, c, size, o, kernel, options = PARTS[case]
    three = [tuple([options.get(k, d)] * len(size)) for k, d in (("stride", 1), ("padding", 0))]
    groups = options.get("groups", 1)
    out = output_size((batch, c, *size), (o, c, *kernel), False, **options)
    made = layout(dtype, batch, (c, *size), o, out, kernel, *three, (1,) * len(size), groups)
    image, maps, kind = (batch, c, *size), (batch, o, *out), abi.NUMPY_DTYPES[dtype]
    down = name == "convolution"
    x, g = (values(*s).astype(kind) for s in ((image, maps) if down else (maps, image)))
    w, bias = values(o, c // groups, *kernel).astype(kind), values(g.shape[1]).astype(kind)

    def results(parts):
        y, *grads = (np.full(s, 7, kind) for s in (g.shape, x.shape, w.shape, bias.shape))
        workspace = np.full(made.workspace + 16, np.nan, kind)
        start = -workspace.ctypes.data % 64 // kind.itemsize
        workspace = workspace[start : start + made.workspace]
        run(name, dtype, [x, w, bias, y, workspace], made.words, parts)
        run(name, dtype, [x, w, bias, y, workspace, g, None, *grads], made.words, parts, variant=1)
        return y, *grads

    alone = results(1)
    wanted = expected(not down, *(a.astype(float) for a in (x, w, bias, g)), options)
    for a, b in zip(alone, wanted, strict=True):
        close(a, b, DTYPES[kind.name] * 8)
    for parts in (2, 3, 5):
        for a, b in zip(alone, results(parts), strict=True):
            np.testing.assert_array_equal(a, b)


@on_other_targets
def test_on_another_target(target):
    run_tests(target, "parts and float32", __file__)  # without the engine, which takes long to compile


# unfold and fold ----------------------------------------------------------------------------------


def blocks_of(x, kernel, stride=1, padding=0, dilation=1):
    """Unfold in NumPy."""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    height, width = (
        (n - dilation * (k - 1) - 1) // stride + 1 for n, k in zip(x.shape[2:], kernel, strict=True)
    )
    rows = [
        x[:, c, a * dilation :, b * dilation :][
            :, : (height - 1) * stride + 1 : stride, : (width - 1) * stride + 1 : stride
        ]
        for c in range(x.shape[1])
        for a in range(kernel[0])
        for b in range(kernel[1])
    ]
    return np.stack(rows, 1).reshape(x.shape[0], len(rows), -1)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"padding": 1, "dilation": 2}, {"stride": 2, "padding": 2}], ids=str
)
def test_unfold_cuts_and_fold_adds_up(options):
    x = values(2, 3, 6, 7)
    blocks = F.unfold(torch.tensor(x), (3, 2), **options)
    np.testing.assert_array_equal(blocks.numpy(), blocks_of(x, (3, 2), **options))
    # fold is the transpose of unfold: <unfold(x), b> = <x, fold(b)>
    b = values(*blocks.shape, seed=1)
    image = F.fold(torch.tensor(b), (6, 7), (3, 2), **options).numpy()
    np.testing.assert_allclose((blocks.numpy() * b).sum(), (x * image).sum())
    check_gradients(lambda t: F.unfold(t, (3, 2), **options), values(2, 1, 4, 5))
    few = F.unfold(torch.zeros(1, 1, 4, 5), (3, 2), **options).shape[-1]
    check_gradients(lambda t: F.fold(t, (4, 5), (3, 2), **options), values(2, 6, few))


def test_unfold_and_fold_without_batch_and_with_strides():
    x = values(6, 5, 3)
    t = torch.tensor(x).permute(2, 1, 0)
    wanted = blocks_of(x.transpose(2, 1, 0)[None], (2, 2))[0]
    found = F.unfold(t, 2)
    np.testing.assert_array_equal(found.numpy(), wanted)
    turned = torch.tensor(wanted.T.copy()).T
    np.testing.assert_allclose(F.fold(turned, (5, 6), 2).numpy(), F.fold(found, (5, 6), 2).numpy())
