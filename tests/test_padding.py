"""Padding: every mode against NumPy, gradients, layouts, dtypes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients
from op_samples import generator

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F
from jitgrad.program.show.table import lines_of

NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "stepped": lambda x: torch.stack([x, x * 0 + 5], -1).flatten(-2)[..., ::2],
}
CASES = {
    "rows": ((2, 3, 7), (1, 2)),
    "rows, one side": ((3, 7), (0, 3)),
    "long rows": ((2, 2, 45), (6, 5)),
    "images": ((2, 3, 5, 6), (1, 2, 3, 4)),
    "images without batch": ((3, 5, 20), (2, 0, 0, 2)),
    "cubes": ((1, 2, 4, 3, 5), (1, 2, 2, 0, 1, 3)),
    "nothing": ((2, 3, 4), (0, 0)),
    "cut": ((2, 3, 7, 8), (-1, 2, 1, -2)),
    "cut on both sides": ((2, 9), (-2, -3)),
    "an empty batch": ((0, 3, 5), (1, 2)),
}


def expected_of(values, amounts, mode, value=0.0):
    """NumPy's padding after what is negative has been cut off."""
    widths = [(0, 0)] * values.ndim
    for k in range(0, len(amounts), 2):
        widths[values.ndim - 1 - k // 2] = (amounts[k], amounts[k + 1])
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(values.shape, widths, strict=True))
    options = {"constant_values": value} if mode == "constant" else {}
    if mode in ("constant", "circular"):  # the ends that meet are those of what is left
        return np.pad(values[cut], [(max(0, a), max(0, b)) for a, b in widths], NUMPY_MODES[mode], **options)
    if 0 in values.shape:
        return np.zeros([n + a + b for n, (a, b) in zip(values.shape, widths, strict=True)])
    full = np.pad(values, [(max(0, a), max(0, b)) for a, b in widths], NUMPY_MODES[mode])
    after = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(full.shape, widths, strict=True))
    return full[after]


EACH = [
    pytest.param(mode, *case, id=f"{mode} {name}")
    for name, case in CASES.items()
    for mode in NUMPY_MODES
    if mode == "constant" or len(case[0]) > len(case[1]) // 2
]


@pytest.mark.parametrize(("mode", "shape", "amounts"), EACH)
def test_values_equal_numpy(mode, shape, amounts):
    values = generator(mode, shape).standard_normal(shape).astype(np.float32)
    value = 2.5 if mode == "constant" else None
    expected = expected_of(values, amounts, mode, 2.5)
    for dtype in (torch.float32, torch.float64):
        for name, layout in LAYOUTS.items():
            found = F.pad(layout(torch.tensor(values, dtype=dtype)), amounts, mode, value)
            assert found.dtype is dtype
            np.testing.assert_array_equal(found.numpy(), expected, err_msg=name)


@pytest.mark.parametrize(("mode", "shape", "amounts"), EACH)
def test_gradients_equal_central_differences(mode, shape, amounts):
    values = generator(mode, shape).standard_normal(shape)
    check_gradients(lambda x: F.pad(x, amounts, mode), values)


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_cotangents_of_any_layout(mode):
    values = generator("cotangents").standard_normal((2, 3, 5, 6))
    gradients = []
    for layout in (*LAYOUTS.values(), lambda g: g[:1, :, :, :1].expand(*g.shape)):
        x = torch.tensor(values, requires_grad=True)
        y = F.pad(x, (1, 2, 3, 1), mode)
        g = torch.ones_like(y) if not gradients else layout(torch.ones_like(y))
        y.backward(g)
        gradients.append(x.grad.numpy())
    for found in gradients[1:]:
        np.testing.assert_array_equal(found, gradients[0])


def test_special_values_stay_where_they_are():
    values = np.array([[1.0, np.inf, -0.0, np.nan, 2.0]], np.float32)
    for mode in NUMPY_MODES:
        found = F.pad(torch.tensor(values), (2, 1), mode).numpy()
        expected = expected_of(values, (2, 1), mode)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    x = torch.tensor(values, requires_grad=True)
    F.pad(x, (2, 1), "reflect").backward(torch.full((1, 8), np.inf))
    assert (x.grad == np.inf).all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.int32])
@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_integers_and_bools(mode, dtype):
    values = generator("integers").integers(0, 2, (2, 3, 6))
    value = 1 if mode == "constant" else None
    for amounts in ((1, 2, 0, 2) if mode == "constant" else (1, 2), (2, -1)):
        found = F.pad(torch.tensor(values, dtype=dtype), amounts, mode, value)
        assert found.dtype is dtype
        np.testing.assert_array_equal(found.numpy(), expected_of(values, amounts, mode, 1))


def test_padding_of_nothing_is_a_copy():
    x = torch.ones(2, 3)
    y = F.pad(x, (0, 0))
    y += 1
    assert (x == 1).all()


X = torch.zeros(2, 3, 4)
ERRORS = {
    "odd": (lambda: F.pad(X, (1, 2, 3)), RuntimeError, "must be divisible by 2"),
    "too many": (lambda: F.pad(X[0, 0], (1, 1, 1, 1)), RuntimeError, "no more than twice"),
    "cut too much": (lambda: F.pad(X, (-3, -2)), RuntimeError, "negative output size"),
    "cut more than there is": (
        lambda: F.pad(X, (-5, 3)),
        RuntimeError,
        "cuts more than there is at dimension 2",
    ),
    "mirror too small": (
        lambda: F.pad(X, (4, 0), "reflect"),
        RuntimeError,
        "less than the corresponding input",
    ),
    "wrapped twice": (lambda: F.pad(X, (5, 0), "circular"), RuntimeError, "more than once"),
    "nothing left": (lambda: F.pad(X, (-2, -2), "replicate"), RuntimeError, "too small"),
    "nothing left to wrap": (lambda: F.pad(X, (-4, 1), "circular"), RuntimeError, "too small"),
    "empty rows": (lambda: F.pad(X[:, :, :0], (1, 1), "replicate"), RuntimeError, "non-zero dimensions"),
    "dimensions": (
        lambda: F.pad(X, (1, 1, 1, 1, 1, 1), "reflect"),
        NotImplementedError,
        "Only 2D, 3D, 4D, 5D",
    ),
    "mode": (lambda: F.pad(X, (1, 1), "mirror"), NotImplementedError, "Unrecognised padding mode mirror"),
    "too many to reflect": (
        lambda: F.pad(X[0, 0], (1, 1, 1, 1), "reflect"),
        RuntimeError,
        "no more than twice",
    ),
    "no number of the dtype": (
        lambda: F.pad(X.to(torch.int64), (1, 1), value=float("nan")),
        RuntimeError,
        "cannot be converted to type int64",
    ),
    "too great a number": (
        lambda: F.pad(X.to(torch.uint8), (1, 1), value=300),
        RuntimeError,
        "cannot be converted to type uint8",
    ),
    "no number": (lambda: F.pad(X, (1, 1), value="a"), TypeError, "'value' must be float, not str"),
    "value": (lambda: F.pad(X, (1, 1), "reflect", 2.0), RuntimeError, "doesn't take in value"),
    "fraction": (lambda: F.pad(X, (1.5, 1)), TypeError, "must be tuple of ints"),
    "not a tensor": (lambda: F.pad([1.0], (1, 1)), TypeError, "must be Tensor, not list"),
}


@pytest.mark.parametrize("label", ERRORS)
def test_error_says_what_is_wrong(label):
    call, kind, text = ERRORS[label]
    with pytest.raises(kind, match=text):
        call()


LAYERS = {
    "ConstantPad": ("constant", lambda kind: lambda amounts: kind(amounts, 1.5)),
    "ZeroPad": ("constant", lambda kind: kind),
    "ReflectionPad": ("reflect", lambda kind: kind),
    "ReplicationPad": ("replicate", lambda kind: kind),
    "CircularPad": ("circular", lambda kind: kind),
}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dims):
    mode, maker = LAYERS[name]
    make = maker(getattr(nn, f"{name}{dims}d"))
    x = torch.tensor(generator(name).standard_normal((2, 2, 4, 3, 5)[: dims + 2]))
    value = 1.5 if name == "ConstantPad" else None
    for amounts, full in ((1, (1,) * 2 * dims), (tuple(range(2 * dims))[::-1], None)):
        if mode in ("reflect", "circular") and full is None and dims > 1:
            continue  # larger than the input
        expected = F.pad(x, amounts if full is None else full, mode, value)
        np.testing.assert_array_equal(make(amounts)(x).numpy(), expected.numpy())


def test_compiled_step_equals_eager_step():
    def trained(compiled):
        torch.manual_seed(0)
        x = nn.Parameter(torch.randn(2, 3, 7, 9))
        optimizer = torch.optim.SGD([x], lr=0.1)

        def step():
            optimizer.zero_grad()
            y = x
            for mode in NUMPY_MODES:
                y = F.pad(y, (1, 2, 2, 1), mode)
            loss = (y * y.detach().cos()).mean()
            loss.backward()
            optimizer.step()
            return loss

        # the tables of a mode may be made while the step is recorded
        run = torch.compile(step, fullgraph=True) if compiled else step
        return [run().item() for _ in range(4)], x.detach().numpy().tobytes()

    expected = trained(True)
    assert trained(False) == expected


def test_tables_made_without_gradients_serve_later_calls():
    with torch.inference_mode():
        F.pad(torch.ones(3, 17), (2, 2), "reflect")
    x = torch.ones(3, 17, requires_grad=True)
    F.pad(x, (2, 2), "reflect").sum().backward()
    assert x.grad[0].tolist() == [1.0, 2.0, 2.0, *[1.0] * 11, 2.0, 2.0, 1.0]


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_all_dimensions_are_padded_in_one_row(mode):
    step = torch.compile(lambda x: F.pad(x, (1, 2, 2, 1), mode), fullgraph=True)
    x = torch.randn(2, 3, 4, 5)
    assert [line.kernel for line in lines_of(step.program(x))] == ["pad"]
    np.testing.assert_array_equal(step(x).numpy(), F.pad(x, (1, 2, 2, 1), mode).numpy())


@pytest.mark.parametrize("mode", NUMPY_MODES)
def test_gradients_of_gradients(mode):
    x = torch.tensor(generator("second").standard_normal((2, 3, 4, 5)), requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: F.pad(x, (2, 1, -1, 2), mode).sin(), (x,))


@pytest.mark.parametrize("value", [-0.0, -2.5, float("nan"), float("-inf")])
def test_the_value_around_is_taken_as_it_is(value):
    for dtype in (torch.float32, torch.float64):
        found = F.pad(torch.ones(2, dtype=dtype), (1, 0), value=value).numpy()[0]
        np.testing.assert_array_equal(found, value)
        assert np.signbit(found) == np.signbit(value)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 3)])
def test_circular_padding_of_no_elements_has_none(shape):
    assert F.pad(torch.ones(*shape), (1, 2), "circular").shape == (*shape[:-1], 6)


def test_a_value_beyond_float32_is_infinite():
    assert F.pad(torch.ones(1), (1, 0), value=1e300).tolist() == [float("inf"), 1.0]
