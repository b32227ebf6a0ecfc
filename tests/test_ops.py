"""Every elementwise operation and every reduction of the op table, in every dtype and layout."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from op_samples import (
    CASES,
    DTYPES,
    FLOATS,
    LAYOUTS,
    NAMES,
    REFERENCES,
    attributes_of,
    codes_of,
    contiguous,
    expanded,
    generator,
    operands_for,
    reference_of,
    sample,
)

import jitgrad as torch
from jitgrad import dispatch
from jitgrad._tensor import wrap
from jitgrad.kernels import BY_NAME, OPS, abi
from jitgrad.kernels.table import MAP, REDUCE, SAME

TOLERANCE = {abi.FLOAT32: 4e-6, abi.FLOAT64: 1e-13}
GRADIENT_TOLERANCE = {abi.FLOAT32: 3e-5, abi.FLOAT64: 2e-8}
STEP = 1e-6

# other tests may have declared operations of their own
MAPS = [op for op in OPS if op.kind == MAP and not op.identity]
REDUCTIONS = [op for op in OPS if op.kind == REDUCE]
# the gradient of this one finishes that of amax and amin, and is the derivative of nothing
NOT_A_DERIVATIVE = {"scale_tied"}


def each_dtype(ops, dtypes=range(abi.N_DTYPES)):
    return [pytest.param(op, d, id=f"{op.name}-{NAMES[d]}") for op in ops for d in op.dtypes if d in dtypes]


def differentiable(ops):
    known = [op for op in ops if op.gradients and (op.result == SAME or op.result in FLOATS)]
    return each_dtype([op for op in known if op.name not in NOT_A_DERIVATIVE], FLOATS)


def run(op, tensors, into=0):
    return wrap(dispatch.call(op, tensors, attributes_of(op), into))


def expected_of(op, arrays, dtype):
    """The reference in float64, or in the integers that the kernel computes with."""
    exact = [a if code in FLOATS else a.astype(abi.NUMPY_DTYPES[code])
             for a, code in zip(arrays, codes_of(op, dtype), strict=True)]  # fmt: skip
    with np.errstate(all="ignore"):
        result = reference_of(op)(*exact, *attributes_of(op))
    return np.asarray(result)


def close(found, expected, tolerance, where):
    assert found.shape == expected.shape, where
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected.astype(found.dtype), err_msg=where)
        return
    scale = np.maximum(1.0, np.abs(expected))
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=tolerance, err_msg=where)


def test_every_operation_has_a_reference_of_its_own():
    assert [op.name for op in MAPS + REDUCTIONS if op.reference is None and op.name not in REFERENCES] == []
    assert [name for name in REFERENCES if name not in BY_NAME] == []


@pytest.mark.parametrize(("op", "dtype"), each_dtype(MAPS))
def test_forward_equals_the_reference(op, dtype):
    for case in CASES:
        arrays, tensors = operands_for(op, dtype, case, generator(op.name, dtype, case))
        result = run(op, tensors)
        assert result.dtype is DTYPES[dtype if op.result == SAME else op.result]
        assert lies_without_gaps(result)
        close(result.numpy(), expected_of(op, arrays, dtype), TOLERANCE.get(dtype, 0), case)


def lies_without_gaps(x):
    """Whether the elements fill their memory, in some order of the dimensions."""
    steps = sorted((stride, size) for stride, size in zip(x.stride(), x.shape, strict=True) if size > 1)
    sizes = [1, *(size for _, size in steps)]
    return x.numel() == 0 or [stride for stride, _ in steps] == list(np.cumprod(sizes)[:-1])


@pytest.mark.parametrize(("op", "dtype"), each_dtype(MAPS))
def test_forward_of_operands_with_stride_zero(op, dtype):
    """One operand at a time is repeated along the last dimension without being stored."""
    rng = generator(op.name, dtype)
    shape = (3, 150)
    for repeated in range(len(op.operands)):
        arrays, tensors = [], []
        for k, (name, code) in enumerate(zip(op.operands, codes_of(op, dtype), strict=True)):
            values = sample(op, name, code, (3, 1) if k == repeated else shape, rng)
            values = np.broadcast_to(values, shape)
            arrays.append(values)
            tensors.append((expanded if k == repeated else contiguous)(values, DTYPES[code]))
        expected = expected_of(op, arrays, dtype)
        close(run(op, tensors).numpy(), expected, TOLERANCE.get(dtype, 0), op.operands[repeated])


@pytest.mark.parametrize(("op", "dtype"), each_dtype([op for op in MAPS if op.result == SAME]))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_place_writes_what_the_operation_returns(op, dtype, layout):
    """Into every layout; what lies between the elements of a view stays as it was."""
    rng = generator(op.name, dtype, layout)
    shape = (4, 19)
    codes = codes_of(op, dtype)
    values = [sample(op, n, c, shape, rng) for n, c in zip(op.operands, codes, strict=True)]
    tensors = [contiguous(v, DTYPES[c]) for v, c in zip(values, codes, strict=True)]
    target = LAYOUTS[layout](values[op.main], DTYPES[codes[op.main]])
    expected = run(op, tensors).numpy()
    operands = [target if k == op.main else t for k, t in enumerate(tensors)]
    version = target._version
    slot = dispatch.call(op, operands, attributes_of(op), target._slot)
    assert slot == target._slot
    assert target._version == version + 1
    np.testing.assert_array_equal(target.numpy(), expected)


@pytest.mark.parametrize(("op", "dtype"), each_dtype([op for op in MAPS if op.result == SAME], FLOATS))
def test_in_place_leaves_the_gaps_of_a_view(op, dtype):
    rng = generator(op.name, dtype)
    codes = codes_of(op, dtype)
    tensors = [
        contiguous(sample(op, n, c, (3, 5), rng), DTYPES[c]) for n, c in zip(op.operands, codes, strict=True)
    ]
    block = torch.full((6, 11), 77.0, dtype=DTYPES[dtype])
    window = block[1::2, ::2][:, :5]
    window.copy_(tensors[op.main])
    tensors[op.main] = window
    dispatch.call(op, tensors, attributes_of(op), window._slot)
    values = block.numpy().copy()
    values[1::2, :10:2] = 77
    assert (values == 77).all()


# gradients of elementwise operations ----------------------------------------------------------------------


def derivative(op, arrays, k):
    """Central differences of the reference, for every element of the result."""
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    function = (lambda x: x) if op.name.startswith("to_") else reference_of(op)
    wide = [np.broadcast_to(a, shape) for a in arrays]
    values = []
    for step in (STEP, -STEP):
        moved = list(wide)
        moved[k] = wide[k] + step
        with np.errstate(all="ignore"):
            values.append(np.asarray(function(*moved, *attributes_of(op)), float))
    return (values[0] - values[1]) / (2 * STEP)


def summed_to(gradient, shape):
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    return gradient.sum(axis=tuple(d for d, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)


def check_gradients(op, dtype, arrays, tensors, where):
    wanted = [k for k, name in enumerate(op.operands) if name in op.gradients]
    for k in wanted:
        tensors[k].requires_grad_()
    result = run(op, tensors)
    assert result.requires_grad
    weights = generator(op.name, where).standard_normal(tuple(result.shape))
    found = torch.autograd.grad(
        [result], [tensors[k] for k in wanted], [torch.tensor(weights, dtype=result.dtype)]
    )
    for k, gradient in zip(wanted, found, strict=True):
        assert gradient.dtype is DTYPES[dtype]
        parts = derivative(op, arrays, k) * weights
        expected = summed_to(parts, arrays[k].shape)
        # rounding grows with what was added up, so the error is measured against that
        size = summed_to(np.abs(parts), arrays[k].shape) + 1
        assert tuple(gradient.shape) == expected.shape, where
        error = np.abs(gradient.numpy() - expected) / size
        # a cotangent may have less precision than the gradient
        coarsest = max(
            GRADIENT_TOLERANCE[dtype], GRADIENT_TOLERANCE[abi.DTYPE_NAMES.index(result.dtype.name)]
        )
        assert (error <= coarsest).all(), f"{where}: gradient of {op.operands[k]} is off by {error.max()}"


@pytest.mark.parametrize(("op", "dtype"), differentiable(MAPS))
def test_gradients_equal_central_differences(op, dtype):
    for case in CASES:
        arrays, tensors = operands_for(op, dtype, case, generator(op.name, dtype, case))
        check_gradients(op, dtype, arrays, tensors, case)


@pytest.mark.parametrize(("op", "dtype"), differentiable([op for op in MAPS if len(op.operands) > 1]))
def test_gradient_of_one_operand_alone(op, dtype):
    """What the others would have needed is neither kept nor computed."""
    rng = generator(op.name, dtype)
    codes = codes_of(op, dtype)
    arrays = [sample(op, n, c, (3, 7), rng) for n, c in zip(op.operands, codes, strict=True)]
    for k, name in enumerate(op.operands):
        if name in op.gradients:
            tensors = [contiguous(a, DTYPES[c]) for a, c in zip(arrays, codes, strict=True)]
            tensors[k].requires_grad_()
            result = run(op, tensors)
            weights = rng.standard_normal((3, 7))
            result.backward(torch.tensor(weights, dtype=result.dtype))
            expected = derivative(op, arrays, k) * weights
            close(tensors[k].grad.numpy(), expected, GRADIENT_TOLERANCE[dtype] * 10, name)
            assert all(t.grad is None for j, t in enumerate(tensors) if j != k)


@pytest.mark.parametrize(("op", "dtype"), differentiable([op for op in MAPS if len(op.operands) == 2]))
def test_gradient_of_an_operand_given_twice(op, dtype):
    rng = generator(op.name, dtype)
    a, b = op.operands
    narrow = a if "low" in op.samples.get(a, {}) else b
    values = sample(op, narrow, dtype, (4, 9), rng)
    x = contiguous(values, DTYPES[dtype]).requires_grad_()
    result = run(op, [x, x])
    weights = rng.standard_normal((4, 9))
    result.backward(torch.tensor(weights, dtype=result.dtype))
    if op.name in ("minimum", "maximum"):  # everything ties: half of the cotangent each
        expected = weights
    elif op.name in ("remainder", "fmod", "absolute_error"):
        # x % x jumps at every x; the two formulas cancel
        expected = np.zeros_like(weights)
    elif op.name == "copysign":
        expected = weights
    else:
        both = derivative(op, [values, values], 0) + derivative(op, [values, values], 1)
        expected = both * weights
    close(x.grad.numpy(), expected, GRADIENT_TOLERANCE[dtype] * 10, op.name)


def test_gradient_that_finishes_a_tie():
    x = torch.tensor([3.0, 5.0], requires_grad=True)
    run(BY_NAME["scale_tied"], [x, torch.tensor([2.0, 4.0])]).backward(torch.tensor([1.0, 1.0]))
    assert x.grad.tolist() == [0.5, 0.25]


# reductions -----------------------------------------------------------------------------------------------

GRIDS = {
    "vector": (1037,),
    "matrix": (7, 37),
    "narrow": (37, 3),
    "cube": (3, 4, 18),
    "four": (2, 3, 2, 5),
    "ones": (1, 5, 1),
    "no dimensions": (),
}


def folds(dims):
    """Every set of dimensions."""
    return [c for n in range(dims + 1) for c in itertools.combinations(range(dims), n)]


def run_reduction(op, x, axes, keep):
    return wrap(dispatch.reduce(op, x, sum(1 << d for d in axes), keep))


@pytest.mark.parametrize(("op", "dtype"), each_dtype(REDUCTIONS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reduction_equals_the_reference(op, dtype, layout):
    for name, shape in GRIDS.items():
        values = sample(op, "x", dtype, shape, generator(op.name, dtype, name))
        if op.name == "prod":
            values = np.where(np.abs(values) < 3, values, 1)
        x = LAYOUTS[layout](values, DTYPES[dtype])
        exact = values if dtype in FLOATS else values.astype(abi.NUMPY_DTYPES[dtype])
        for axes in folds(len(shape)):
            for keep in (False, True):
                found = run_reduction(op, x, axes, keep)
                with np.errstate(over="ignore"):
                    expected = np.asarray(op.reference(exact, axis=axes, keepdims=keep))
                where = f"{name} over {axes}, keepdims={keep}"
                assert found.numpy().dtype == abi.NUMPY_DTYPES[dtype if op.result == SAME else op.result]
                count = np.prod([shape[d] for d in axes], dtype=float)
                if op.name == "prod":
                    big = np.abs(expected).max(initial=1.0)
                    if not np.isfinite(big) or big > 1e30:
                        continue
                close(found.numpy(), expected, TOLERANCE.get(dtype, 0) * max(1, count), where)


@pytest.mark.parametrize(
    ("op", "dtype"), each_dtype([op for op in REDUCTIONS if op.name not in ("amax", "amin", "mean")])
)
def test_reduction_of_nothing_is_its_neutral_element(op, dtype):
    x = torch.zeros((3, 0, 2), dtype=DTYPES[dtype])
    values = np.zeros((3, 0, 2), abi.NUMPY_DTYPES[dtype])
    for axes in folds(3):
        found = run_reduction(op, x, axes, False).numpy()
        np.testing.assert_array_equal(found, op.reference(values, axis=axes, keepdims=False))


@pytest.mark.parametrize(("op", "dtype"), differentiable(REDUCTIONS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reduction_gradient_equals_central_differences(op, dtype, layout):
    for shape in ((5,), (3, 4), (2, 3, 4), (), (3, 1, 2)):
        rng = generator(op.name, dtype, shape)
        values = sample(op, "x", dtype, shape, rng)
        count = values.size
        moves = np.eye(count).reshape(count, *shape) * STEP
        for axes in folds(len(shape)):
            for keep in (False, True):
                x = LAYOUTS[layout](values, DTYPES[dtype]).requires_grad_()
                result = run_reduction(op, x, axes, keep)
                weights = rng.standard_normal(tuple(result.shape))
                (found,) = torch.autograd.grad([result], [x], [torch.tensor(weights, dtype=result.dtype)])
                shifted = tuple(d + 1 for d in axes)
                up = op.reference(values + moves, axis=shifted, keepdims=keep)
                down = op.reference(values - moves, axis=shifted, keepdims=keep)
                slopes = (up - down) / (2 * STEP)
                expected = (slopes * weights).reshape(count, -1).sum(1).reshape(shape)
                where = f"{shape} over {axes}, keepdims={keep}"
                close(found.numpy(), expected, GRADIENT_TOLERANCE[dtype] * 10, where)


# special values -------------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, 0.49999997, 8388607.5, -8388609.0, 1e30,
           -1e30, 1e-40, -1e-40, np.inf, -np.inf, np.nan]  # fmt: skip
UNARY_EXACT = ["floor", "ceil", "trunc", "round", "abs", "neg", "sign", "isnan", "isinf", "isfinite",
               "logical_not", "copy", "sqrt", "relu", "reciprocal", "square"]  # fmt: skip
BINARY_EXACT = ["eq", "ne", "lt", "le", "gt", "ge", "minimum", "maximum", "add", "sub", "mul", "div",
                "copysign", "logical_and", "logical_or", "logical_xor"]  # fmt: skip


def same_bits(found, expected):
    """Equal, with nan equal to nan and zeros of one sign."""
    np.testing.assert_array_equal(found, expected.astype(found.dtype))
    if found.dtype.kind == "f":
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(expected)[number])


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: NAMES[d])
@pytest.mark.parametrize("name", UNARY_EXACT)
def test_special_values(name, dtype):
    values = np.array(SPECIAL * 3, abi.NUMPY_DTYPES[dtype])  # so that vectors and the rest both see them
    found = run(BY_NAME[name], [torch.tensor(values)]).numpy()
    with np.errstate(all="ignore"):
        expected = np.asarray(reference_of(BY_NAME[name])(values))
    if name == "relu":
        expected = np.maximum(values, values.dtype.type(0))
        found, expected = found + 0.0, expected + 0.0  # either zero will do
    if name == "sign":
        expected, found = expected + 0.0, found + 0.0
    same_bits(found, expected)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: NAMES[d])
@pytest.mark.parametrize("name", BINARY_EXACT)
def test_special_pairs(name, dtype):
    values = np.array(SPECIAL, abi.NUMPY_DTYPES[dtype])
    a, b = (x.ravel() for x in np.meshgrid(values, values))
    found = run(BY_NAME[name], [torch.tensor(a), torch.tensor(b)]).numpy()
    with np.errstate(all="ignore"):
        expected = np.asarray(reference_of(BY_NAME[name])(a, b))
    if name in ("minimum", "maximum"):
        found, expected = found + 0.0, expected + 0.0  # of 0.0 and -0.0 either may come
    same_bits(found, expected)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: NAMES[d])
@pytest.mark.parametrize("name", ["remainder", "fmod", "floor_divide"])
def test_quotients_have_the_sign_that_python_and_c_give_them(name, dtype):
    a = np.array([7, -7, 7, -7, 5.5, -5.5, 0, 3, -3, 1e6] * 4, abi.NUMPY_DTYPES[dtype])
    b = np.array([3, 3, -3, -3, 2, 2, 4, 3, 3, 7] * 4, abi.NUMPY_DTYPES[dtype])
    found = run(BY_NAME[name], [torch.tensor(a), torch.tensor(b)]).numpy()
    np.testing.assert_array_equal(found, reference_of(BY_NAME[name])(a, b))


@pytest.mark.parametrize("dtype", [abi.UINT8, abi.INT32, abi.INT64], ids=lambda d: NAMES[d])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "neg", "square", "bitwise_not"])
def test_integers_wrap_around(name, dtype):
    limits = np.iinfo(abi.NUMPY_DTYPES[dtype])
    values = np.array([limits.min, limits.max, 0, 1, limits.max - 1] * 7, abi.NUMPY_DTYPES[dtype])
    other = values[::-1].copy()
    arrays = [values, other][: len(BY_NAME[name].operands)]
    found = run(BY_NAME[name], [torch.tensor(a) for a in arrays]).numpy()
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, reference_of(BY_NAME[name])(*arrays))


def test_extremes_of_nan_are_nan():
    x = torch.tensor([[1.0, float("nan"), 3.0], [4.0, 5.0, 6.0]])
    for name, expected in (("amax", [np.nan, 6.0]), ("amin", [np.nan, 4.0])):
        found = run_reduction(BY_NAME[name], x, (1,), False).numpy()
        np.testing.assert_array_equal(found, np.array(expected, np.float32))
