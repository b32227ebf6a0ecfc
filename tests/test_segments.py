"""segment_reduce, and elements that functions of Python replace."""

import numpy as np
import pytest
from index_cases import check_gradients

import jitgrad as torch

X = np.arange(1.0, 11.0).reshape(5, 2)
LENGTHS = [2, 0, 3]
EMPTY = {"sum": 0.0, "prod": 1.0, "mean": np.nan, "max": -np.inf, "min": np.inf}


@pytest.mark.parametrize("reduce", EMPTY)
@pytest.mark.parametrize("how", ["lengths", "offsets"])
def test_segments_are_reduced(reduce, how):
    given = {"lengths": LENGTHS, "offsets": [0, 2, 2, 5]}[how]
    made = torch.segment_reduce(torch.tensor(X), reduce, **{how: torch.tensor(given)})
    fold = getattr(np, reduce)
    np.testing.assert_allclose(made.numpy(), [fold(X[:2], 0), [EMPTY[reduce]] * 2, fold(X[2:], 0)])


@pytest.mark.parametrize("reduce", EMPTY)
def test_segments_have_gradients(reduce):
    check_gradients(lambda x: torch.segment_reduce(x, reduce, lengths=torch.tensor([2, 3])), X)


def test_initial_is_reduced_with_each_segment():
    made = torch.segment_reduce(torch.tensor(X[:, 0]), "max", lengths=torch.tensor(LENGTHS), initial=4.0)
    assert made.tolist() == [4.0, 4.0, 9.0]


@pytest.mark.parametrize(
    ("reduce", "options", "words"),
    [
        ("median", {"lengths": torch.tensor([5])}, "reduce to be one of sum"),
        ("sum", {}, "one of lengths and offsets"),
        ("sum", {"lengths": torch.tensor([2, 2])}, "lengths of 4 rows do not fit data of 5 rows"),
        ("sum", {"lengths": torch.tensor([6, -1])}, "do not fit"),
        ("sum", {"lengths": torch.tensor([2]), "axis": 1}, "segments of the first dimension"),
    ],
)
def test_what_does_not_fit_is_refused(reduce, options, words):
    with pytest.raises(RuntimeError, match=words):
        torch.segment_reduce(torch.tensor(X), reduce, **options)


def test_functions_of_python_replace_elements():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.t().apply_(lambda v: v * 10) is not x
    assert x.tolist() == [[10.0, 20.0], [30.0, 40.0]]
    x.map_(torch.tensor([1.0, 2.0]), lambda v, w: v + w)
    assert x.tolist() == [[11.0, 22.0], [31.0, 42.0]]
    with pytest.raises(RuntimeError, match=r"apply_\(\) cannot record"):
        x.requires_grad_().apply_(abs)
    with pytest.raises(TypeError, match=r"apply_\(\): expected a function of numbers, got Tensor"):
        torch.ones(2).apply_(x)


@pytest.mark.parametrize("data", [None, "text", [1.0, 2.0]])
def test_what_is_no_tensor_is_refused(data):
    with pytest.raises(TypeError, match="segment_reduce"):
        torch.segment_reduce(data, "sum", lengths=torch.tensor([1, 2]))
