"""What views are asked for in: the engine takes plain arguments, Python all others, and both make the same view."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.engine.entry import entries
from jitgrad.engine.layout import IS_VIEW, S_FLAGS
from jitgrad.functions import expansion, indexing, shape, slicing, transposing
from jitgrad.kernels.arguments import UNFIT

X = torch.arange(24.0).reshape(2, 3, 1, 4)

# name, the engine's way, and the same view step by step
PAIRS = {
    "reshape": (lambda x: x.reshape(4, -1), lambda x: shape._reshape_stepwise(x, (4, -1), "reshape")),
    "reshape of what must be copied": (
        lambda x: x.mT.reshape(4, -1),
        lambda x: shape._reshape_stepwise(x.mT, (4, -1), "reshape"),
    ),
    "view of sizes": (lambda x: x.view([6, 4]), lambda x: shape._view_stepwise(x, ([6, 4],))),
    "flatten": (lambda x: x.flatten(), lambda x: shape._flatten_stepwise(x, 0, -1)),
    "flatten some": (lambda x: x.flatten(1, -2), lambda x: shape._flatten_stepwise(x, 1, -2)),
    "squeeze": (lambda x: x.squeeze(), lambda x: shape._squeeze_stepwise(x, None)),
    "squeeze one": (lambda x: x.squeeze(-2), lambda x: shape._squeeze_stepwise(x, -2)),
    "squeeze of 3": (lambda x: x.squeeze(1), lambda x: shape._squeeze_stepwise(x, 1)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda x: shape._unsqueeze_stepwise(x, -1)),
    "unsqueeze in front": (lambda x: x.unsqueeze(0), lambda x: shape._unsqueeze_stepwise(x, 0)),
    "permute": (lambda x: x.permute(3, 0, -2, 1), lambda x: transposing._permute_stepwise(x, (3, 0, -2, 1))),
    "transpose": (lambda x: x.transpose(0, -1), lambda x: transposing._transpose_stepwise(x, 0, -1)),
    "t": (lambda x: x[0, :, 0].t(), lambda x: transposing._t_stepwise(x[0, :, 0])),
    "T": (lambda x: x[0, :, 0].T, lambda x: transposing._reversed_stepwise(x[0, :, 0])),
    "expand": (lambda x: x.expand(5, 2, 3, 7, -1), lambda x: expansion._expand_stepwise(x, (5, 2, 3, 7, -1))),
    "narrow": (lambda x: x.narrow(-1, 1, 2), lambda x: slicing._narrow_stepwise(x, -1, 1, 2)),
    "narrow to none": (lambda x: x.narrow(1, 3, 0), lambda x: slicing._narrow_stepwise(x, 1, 3, 0)),
    "diagonal": (lambda x: x.diagonal(), lambda x: slicing._diagonal_stepwise(x, 0, 0, 1)),
    "diagonal above": (lambda x: x.diagonal(2, -1, 1), lambda x: slicing._diagonal_stepwise(x, 2, -1, 1)),
    "diagonal below": (lambda x: x.diagonal(-1, 1, 3), lambda x: slicing._diagonal_stepwise(x, -1, 1, 3)),
    "no diagonal": (lambda x: x.diagonal(7, 1, 3), lambda x: slicing._diagonal_stepwise(x, 7, 1, 3)),
    "select": (lambda x: x.select(1, -1), lambda x: slicing._select_stepwise(x, 1, -1)),
    "unfold": (lambda x: x.unfold(-1, 2, 1), lambda x: slicing._unfold_stepwise(x, -1, 2, 1)),
    "unfold in front": (lambda x: x.unfold(0, 1, 3), lambda x: slicing._unfold_stepwise(x, 0, 1, 3)),
    "unfold to none": (lambda x: x.unfold(1, 0, 2), lambda x: slicing._unfold_stepwise(x, 1, 0, 2)),
    "as_strided": (
        lambda x: x.as_strided((2, 3), [1, 8]),
        lambda x: slicing._as_strided_stepwise(x, (2, 3), [1, 8], None),
    ),
    "as_strided that repeats": (
        lambda x: x.as_strided((5, 24), (0, 1)),
        lambda x: slicing._as_strided_stepwise(x, (5, 24), (0, 1), None),
    ),
    "unflatten": (lambda x: x.unflatten(-1, (2, 2)), lambda x: shape._unflatten_stepwise(x, -1, (2, 2))),
    "unflatten with a rest": (
        lambda x: x.unflatten(1, [1, -1, 1]),
        lambda x: shape._unflatten_stepwise(x, 1, [1, -1, 1]),
    ),
    "movedim": (lambda x: x.movedim(0, 2), lambda x: transposing._movedim_stepwise(x, 0, 2)),
    "movedim to the front": (lambda x: x.movedim(-1, 1), lambda x: transposing._movedim_stepwise(x, -1, 1)),
    "movedim to itself": (lambda x: x.movedim(1, -3), lambda x: transposing._movedim_stepwise(x, 1, -3)),
}
INDICES = [
    1,
    -1,
    slice(None),
    slice(1, None),
    slice(-1, 5, 3),
    slice(5, 1),
    slice(None, -(1 << 63), (1 << 63) - 1),
    None,
    ...,
    (),
    (..., 0),
    (0, ..., None, slice(2, None, 2)),
    (slice(None), -1, None, slice(None), 3),
    (0, 1, 0, 2),
    (slice(None), slice(None)),
    (None,) * 4,
]


def facts(view):
    """Whatever may be asked of a view."""
    return (
        tuple(view.shape),
        view.stride(),
        view.storage_offset(),
        view.tolist(),
        bool(view._word(S_FLAGS) & IS_VIEW),
    )


def same_view(made, expected):
    assert facts(made) == facts(expected)
    assert (made.grad_fn is None) == (expected.grad_fn is None)
    if made.grad_fn is not None:
        assert made.grad_fn.name() == expected.grad_fn.name()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_the_engine_makes_the_view_that_python_works_out(name, grad):
    quick, stepwise = PAIRS[name]
    x = X.clone().requires_grad_(grad)
    same_view(quick(x), stepwise(x))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_the_engine_takes_what_stands_in_square_brackets(index, grad):
    x = X.clone().requires_grad_(grad)
    expected = indexing._read(x, index)  # first: it fetches what a new process still lacks
    made = indexing._plain_view(x, index)
    assert not isinstance(made, int)
    same_view(made, expected)
    assert made.tolist() == X.numpy()[index].tolist()


# arguments that are not plain, and what the view must be the same as
OTHERS = {
    "NumPy's ints": (lambda x: x.transpose(np.int64(0), np.int32(1)), lambda x: x.transpose(0, 1)),
    "an index of NumPy's": (lambda x: x[np.int64(1)], lambda x: x[1]),
    "a tensor's number": (lambda x: x[torch.tensor(1) :], lambda x: x[1:]),
    "sizes of a shape": (lambda x: x.reshape(torch.Size([4, 6])), lambda x: x.reshape(4, 6)),
    "a tensor as size": (lambda x: x.view(torch.tensor(4), -1), lambda x: x.view(4, -1)),
    "strides that need a copy": (lambda x: x.transpose(0, 3).reshape(-1), lambda x: x.transpose(0, 3).clone().view(24)),
    "nothing to infer": (lambda x: x[:0].reshape(0, 5), lambda x: torch.empty(0, 5)),
    "a tensor's start": (lambda x: x.narrow(1, torch.tensor(1), 2), lambda x: x[:, 1:3]),
    "several at once": (lambda x: x.unsqueeze(0).squeeze((0, 3)), lambda x: x[:, :, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_arguments_are_taken_by_python(name):
    given, plain = OTHERS[name]
    made, expected = given(X), plain(X)
    assert made.shape == expected.shape
    assert made.tolist() == expected.tolist()


REFUSED = {
    "reshape": (lambda x: x.reshape(5, -1), RuntimeError, "invalid for input of size 24"),
    "sizes whose product wraps around": (lambda x: x.view(1 << 62, 8, 3), RuntimeError, "invalid for input"),
    "a size beyond 64 bits": (lambda x: x.view(1 << 70, 2), RuntimeError, "invalid for input"),
    "two unknown sizes": (lambda x: x.view(-1, -1), RuntimeError, "only one dimension can be inferred"),
    "a bool as dimension": (lambda x: x.transpose(True, 0), TypeError, "transpose"),
    "a float as dimension": (lambda x: x.unsqueeze(1.0), TypeError, "unsqueeze"),
    "a float as index": (lambda x: x[1.0], IndexError, "only integers"),
    "an index out of range": (lambda x: x[0, 3], IndexError, "index 3 is out of bounds for dimension 1"),
    "too many indices": (
        lambda x: x[0, 0, 0, 0, 0],
        IndexError,
        "too many indices for tensor of dimension 4",
    ),
    "too many dimensions": (lambda x: x[(None,) * 5], IndexError, "at most 8"),
    "a step backwards": (lambda x: x[::-1], ValueError, "slice step must be positive"),
    "a dimension out of range": (lambda x: x.select(4, 0), IndexError, "select"),
    "a repeated dimension": (lambda x: x.permute(0, 1, 1, 2), RuntimeError, "duplicate dims"),
    "a size that cannot grow": (lambda x: x.expand(2, 4, 1, 4), RuntimeError, "expanded size"),
    "beyond the end": (lambda x: x.narrow(1, 2, (1 << 63) - 1), RuntimeError, "exceeds dimension size"),
    "dimensions in the wrong order": (lambda x: x.flatten(2, 1), RuntimeError, "start_dim cannot come after"),
    "a window that is too large": (lambda x: x.unfold(1, 4, 1), RuntimeError, "maximum size for tensor"),
    "an element that is not there": (lambda x: x.as_strided((4, 2), (8, 1)), RuntimeError, "out of bounds"),
    "steps without end": (lambda x: x.as_strided((3,), (1 << 62,)), RuntimeError, "out of bounds"),
    "parts that do not multiply up": (lambda x: x.unflatten(1, (2, -1)), RuntimeError, "multiply up"),
    "no place to move to": (lambda x: x.movedim(0, 4), IndexError, "movedim"),
    "no tensor": (lambda x: torch.permute([1], (0,)), TypeError, "must be Tensor, not list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call(X)


def test_entries_say_that_arguments_do_not_fit():
    assert entries.transposed(0, X, 0, 4) == UNFIT
    assert entries.transposed(0, X, 0, None) == UNFIT
    assert entries.permuted(0, X, *range(33)) == UNFIT
    assert entries.permuted(0, X, [0] * 33) == UNFIT
    assert entries.indexed(0, 0, X, (0,) * 33) == UNFIT
    assert entries.indexed(0, 0, X, slice(0, "1")) == UNFIT
    assert entries.indexed(0, 0, X, X) == UNFIT
    assert entries.reshaped(0, None, 24) == UNFIT
    with pytest.raises(TypeError):
        entries.transposed(0, X, 0)


# name -> a function of a tensor of shape (4, 6) and a kind of whole number
WHOLE_NUMBERS = {
    "roll": lambda x, n: torch.roll(x, n(1)),
    "roll along a dimension": lambda x, n: x.roll(n(1), n(0)),
    "movedim": lambda x, n: x.movedim(n(0), n(1)),
    "repeat_interleave": lambda x, n: x.repeat_interleave(n(2), n(1)),
    "pixel_shuffle": lambda x, n: torch.nn.functional.pixel_shuffle(x.view(4, 2, 3), n(2)),
    "group_norm": lambda x, n: torch.nn.functional.group_norm(x, n(2)),
    "LayerNorm": lambda x, n: torch.nn.LayerNorm(n(6))(x),
    "ZeroPad1d": lambda x, n: torch.nn.ZeroPad1d(n(1))(x),
    "AvgPool1d": lambda x, n: torch.nn.AvgPool1d(n(2))(x),
    "histc": lambda x, n: torch.histc(x, n(3)),
}


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
def test_whole_numbers_of_numpy_are_taken_like_those_of_python(name):
    x = torch.arange(24.0).view(4, 6)
    expected = WHOLE_NUMBERS[name](x, int)
    for kind in (np.int64, np.int32, np.uint8):
        assert WHOLE_NUMBERS[name](x, kind).tolist() == expected.tolist()
