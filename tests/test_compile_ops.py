"""Every operation of the op table and every public function within a compiled function, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from call_samples import public, valid_call
from compile_cases import Scene, assert_same, bits, random_state, warnings_of
from op_samples import DTYPES, FLOATS, NAMES, attributes_of, generator, operands_for, sample

import jitgrad as torch
from jitgrad import dispatch
from jitgrad._tensor import wrap
from jitgrad.kernels import OPS, abi
from jitgrad.kernels.table import MAP, REDUCE

SHAPES = ["odd matrix", "no dimensions", "both broadcast", "mixed", "empty"]
CALLS = "ccc"


def each_dtype(kind):
    ops = [op for op in OPS if op.kind == kind and not op.identity]
    return [
        pytest.param(op, d, id=f"{op.name}-{NAMES[d]}")
        for op in ops
        for d in op.dtypes
        if d in (abi.FLOAT32, abi.INT64, abi.BOOL) or (d in FLOATS and op.name.endswith("d"))
    ]


def with_gradients(tensors, run):
    """A step that runs an operation forward and, where there are gradients, backward."""
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point() and t.is_leaf]

    def step():
        for leaf in leaves:
            leaf.grad = None
        result = run()
        if result.requires_grad:
            (result * result.detach()).sum().backward()
        return result.detach()

    return Scene(step, lambda k: (), *leaves)


@pytest.mark.parametrize(("op", "dtype"), each_dtype(MAP))
def test_elementwise_operation(op, dtype):
    for case in SHAPES:

        def build(case=case):
            _, tensors = operands_for(op, dtype, case, generator(op.name, dtype, case))
            tensors = [t.clone() if t.is_floating_point() else t for t in tensors]
            leaves = [] if op.underivable else tensors
            return with_gradients(leaves, lambda: wrap(dispatch.call(op, tensors, attributes_of(op))))

        assert_same(build, CALLS, programs=1)


@pytest.mark.parametrize(("op", "dtype"), each_dtype(MAP))
def test_elementwise_operation_on_arguments(op, dtype):
    """The same, of arguments whose memory is another in every call."""

    def build():
        def step(*operands):
            return wrap(dispatch.call(op, operands, attributes_of(op)))

        cases = ["odd matrix", "one transposed", "column"]
        given = [operands_for(op, dtype, c, generator(op.name, c))[1] for c in cases for _ in range(2)]
        return Scene(step, lambda k: tuple(given[k]))

    assert_same(build, "cccccc", programs=3)


@pytest.mark.parametrize(("op", "dtype"), each_dtype(REDUCE))
def test_reduction(op, dtype):
    for shape, mask in (((4, 5), 3), ((3, 4, 2), 2), ((), 0)):

        def build(shape=shape, mask=mask):
            values = sample(op, "x", dtype, shape, generator(op.name, shape))
            x = torch.tensor(np.asarray(values), dtype=DTYPES[dtype])
            return with_gradients([x], lambda: wrap(dispatch.reduce(op, x, mask, False)))

        assert_same(build, CALLS, programs=1)


# every public function ------------------------------------------------------------------------------------

PUBLIC = dict(public())
# what cannot be compared: what reads the clock or the system, makes memory without values, or shows its address
INDEFINITE = (
    "empty",
    "new_empty",
    "seed",
    "initial_seed",
    "data_ptr",
    "is_pinned",
    "pin_memory",
    "share_memory_",
    "to_dlpack",
)


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def calls_of(name, compiled):
    """Three calls of a function on arguments that it may change, with what they leave."""
    torch.manual_seed(3)
    function = PUBLIC[name]
    arguments = valid_call(name, function)

    def step():
        result = function(*arguments)
        leaves = [x for x in tensors_in(arguments) if x.requires_grad and x.is_leaf]
        return result, [x.grad for x in leaves]

    step = torch.compile(step) if compiled else step
    return [(shown(step()), bits(list(tensors_in(arguments))), random_state()) for _ in range(3)]


def shown(value):
    if isinstance(value, torch.Tensor):
        return bits(value), value.requires_grad
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return repr(value) if type(value).__repr__ is not object.__repr__ else type(value)


@pytest.mark.parametrize(
    "name", [n for n in PUBLIC if not n.rpartition(".")[2].removeprefix("new_").startswith(INDEFINITE)]
)
def test_public_function(name):
    """Whether it is replayed or runs eagerly with a warning: never another result."""
    try:
        expected, _ = warnings_of(lambda: calls_of(name, False))
    except (RuntimeError, ValueError) as error:
        with pytest.raises(type(error)):
            warnings_of(lambda: calls_of(name, True))
        return
    found, warned = warnings_of(lambda: calls_of(name, True))
    assert found == expected
    assert len([w for w in warned if w.startswith("compile:")]) <= 1
