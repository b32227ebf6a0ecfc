"""Calls at the edges of what functions take: nan, integers, nothing to index, one dimension less."""

import math

import pytest

import jitgrad as torch
from jitgrad.nn import functional as F

NAN = math.nan
INTS = torch.tensor([-2, 0, 1, 5])
NOTHING = torch.tensor([], dtype=torch.int64)
PLACES = torch.tensor([[0, 1], [0, 0]])

VALUES = {
    "threshold keeps nan": (lambda: F.threshold(torch.tensor([NAN, 1.0, -1.0]), 0.0, 5.0), [NAN, 1.0, 5.0]),
    "threshold of ints": (lambda: F.threshold(INTS, 0.5, 2.5), [2, 2, 1, 5]),
    "threshold of ints in place": (lambda: F.threshold_(INTS.clone(), 1, 2), [2, 2, 2, 5]),
    "hardtanh of ints": (lambda: F.hardtanh(INTS, 0, 1.5), [0, 0, 1, 1]),
    "multi_dot between vectors": (
        lambda: torch.linalg.multi_dot([torch.ones(3), torch.ones(3, 2), torch.ones(2)]),
        6.0,
    ),
    "multi_dot of a row": (lambda: torch.linalg.multi_dot([torch.ones(3), torch.ones(3, 2)]), [3.0, 3.0]),
    "multi_dot of a column": (lambda: torch.linalg.multi_dot([torch.ones(2, 3), torch.ones(3)]), [3.0, 3.0]),
    "multi_dot of vectors": (lambda: torch.linalg.multi_dot([torch.ones(2), torch.ones(2)]), 2.0),
    "scatter multiplies by a number": (
        lambda: torch.ones(2, 2).scatter(1, PLACES, 3.0, reduce="multiply"),
        [[3.0, 3.0], [9.0, 1.0]],
    ),
    "scatter_ multiplies": (
        lambda: torch.ones(2, 2).scatter_(1, PLACES, torch.full((2, 2), 3.0), reduce="multiply"),
        [[3.0, 3.0], [9.0, 1.0]],
    ),
    "gather of nothing": (lambda: torch.ones(3, 4).gather(0, NOTHING), []),
    "scatter to nowhere": (lambda: torch.ones(1, 2).scatter(0, NOTHING, 2.0), [[1.0, 1.0]]),
    "scatter_reduce to nowhere": (
        lambda: torch.ones(1, 2).scatter_reduce(0, NOTHING, torch.ones(2), "sum"),
        [[1.0, 1.0]],
    ),
    "window of a number": (lambda: torch.tensor(3.0).unfold(0, 1, 1), [3.0]),
    "no window of a number": (lambda: torch.tensor(3.0).unfold(0, 0, 1), []),
    "cross entropy of no classes": (lambda: F.cross_entropy(torch.zeros(3, 0), torch.zeros(3, 0)), NAN),
    "einsum of no rows": (lambda: torch.einsum("ab,bc->ac", torch.ones(0, 4), torch.ones(4, 3)), []),
    "variance of nothing": (lambda: torch.tensor([]).var(correction=-1), NAN),
    "deviation of nothing": (lambda: torch.std_mean(torch.tensor([]), correction=-2)[0], NAN),
    "count of differences with nan": (
        lambda: torch.cdist(torch.tensor([[NAN, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 2.0]]), p=0.0),
        [[NAN], [1.0]],
    ),
    "index_fill by a tensor of ints": (
        lambda: torch.zeros(3).index_fill(0, torch.tensor([1]), torch.tensor(2)),
        [0.0, 2.0, 0.0],
    ),
    "index_fill_ by a tensor of floats": (
        lambda: torch.zeros(3, dtype=torch.int64).index_fill_(0, torch.tensor([1]), torch.tensor(2.5)),
        [0, 2, 0],
    ),
    "where by bytes": (
        lambda: torch.where(torch.tensor([1, 0, 2], dtype=torch.uint8), 1.0, 2.0),
        [1.0, 2.0, 1.0],
    ),
    "copy_ of a number": (lambda: torch.ones(2).copy_(2.5), [2.5, 2.5]),
    "copy_ of a number into ints": (lambda: torch.tensor([1, 2]).copy_(2.7), [2, 2]),
    "copy_ of a bool": (lambda: torch.ones(2).copy_(True), [1.0, 1.0]),
    "einsum of one against many": (
        lambda: torch.einsum("ab,bc->ac", torch.ones(1, 1), torch.ones(2, 1)),
        [[2.0]],
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_value_at_an_edge(name):
    call, expected = VALUES[name]
    result = call()
    assert result.dtype == torch.tensor(expected).dtype or not result.numel()
    wanted = torch.tensor(expected, dtype=result.dtype).reshape(result.shape)
    torch.testing.assert_close(result, wanted, equal_nan=True)


SINGULAR = torch.tensor([[2.0, 0.0], [0.0, 1e-3]])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: torch.linalg.pinv(SINGULAR, 0.1), [[0.5, 0.0], [0.0, 0.0]]),
        (lambda: torch.pinverse(SINGULAR, 0.1), [[0.5, 0.0], [0.0, 0.0]]),
        (lambda: torch.pinverse(SINGULAR, rcond=1e-5), [[0.5, 0.0], [0.0, 1e3]]),
        (lambda: torch.linalg.matrix_rank(SINGULAR, 0.1), 1),
        (lambda: torch.linalg.matrix_rank(SINGULAR, tol=1e-4), 2),
    ],
)
def test_bound_of_singular_values_may_come_by_its_older_name(call, expected):
    torch.testing.assert_close(call(), torch.tensor(expected))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [1.0, 1.0, 0.0, 1.0]),
        ("relu6", [1.0, 1.0, 0.0, 0.0]),
        ("hardtanh", [1.0, 1.0, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("twice", [False, True])
def test_gradient_passes_where_nan_passed(name, expected, twice):
    x = torch.tensor([NAN, 0.5, -1.0, 9.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(getattr(F, name)(x).sum(), x, create_graph=twice)
    assert gradient.tolist() == expected


def test_gather_of_nothing_has_a_history():
    x = torch.ones(3, 4, requires_grad=True)
    x.gather(0, NOTHING).sum().backward()
    assert x.grad.tolist() == torch.zeros(3, 4).tolist()


def test_product_of_scattered_factors_has_gradients():
    x, factors = torch.full((1, 3), 2.0).requires_grad_(), torch.full((1, 2), 3.0).requires_grad_()
    x.scatter(1, torch.tensor([[0, 2]]), factors, reduce="multiply").sum().backward()
    assert x.grad.tolist() == [[3.0, 1.0, 3.0]]
    assert factors.grad.tolist() == [[2.0, 2.0]]


def test_leaf_is_not_multiplied_in_place():
    x = torch.ones(1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x.scatter_(1, torch.tensor([[0]]), 2.0, reduce="multiply")
    assert x.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(("added", "keys"), [({}, 3), ({"add_bias_kv": True, "add_zero_attn": True}, 5)])
def test_padding_mask_counts_the_keys_that_were_given(added, keys):
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=True, **added)
    x = torch.ones(1, 3, 4)
    _, weights = attention(x, x, x, key_padding_mask=torch.tensor([[False, True, False]]))
    assert weights.shape == (1, 3, keys)
    assert weights[0, 0, 1] == 0
    for wrong in (1, 2, 4, 5):
        with pytest.raises(AssertionError, match="key_padding_mask"):
            attention(x, x, x, key_padding_mask=torch.zeros(1, wrong, dtype=torch.bool))


@pytest.mark.parametrize(
    ("bounds", "mine", "theirs"),
    [
        (("min",), [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]),
        (("max",), [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]),
        (("min", "max"), [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_gradient_at_a_bound_is_the_clamped_tensor_s(bounds, mine, theirs, in_place):
    x = torch.tensor([3.0, 2.0, 1.0], requires_grad=True)
    bound = torch.full((3,), 2.0, requires_grad=True)
    given = x * 1
    (given.clamp_ if in_place else given.clamp)(**dict.fromkeys(bounds, bound)).sum().backward()
    assert x.grad.tolist() == mine
    assert bound.grad.tolist() == theirs


@pytest.mark.parametrize(("low", "high"), [(NAN, 1.0), (0.0, NAN), (NAN, NAN)])
def test_nan_as_a_bound_makes_nan_with_gradients_too(low, high):
    x = torch.tensor([0.5], requires_grad=True)
    assert x.clamp(torch.tensor([low]), torch.tensor([high])).isnan().all()


def test_condition_of_a_matrix_without_elements():
    assert torch.linalg.cond(torch.zeros(2, 0, 0)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("order", "shape"), [(2, (3, 0)), (1, (3, 0)), (math.inf, (0, 3)), (2, (0, 0))])
def test_norm_of_a_matrix_without_elements_is_zero(order, shape):
    assert torch.linalg.matrix_norm(torch.zeros(2, *shape), order).tolist() == [0.0, 0.0]
    with pytest.raises(IndexError, match="no extreme of nothing"):
        torch.linalg.matrix_norm(torch.zeros(0, 0), -order)


@pytest.mark.parametrize("order", ["fro", "nuc"])
def test_condition_by_an_inverse_needs_a_square_matrix(order):
    with pytest.raises(RuntimeError, match="square"):
        torch.linalg.cond(torch.zeros(0, 3), order)


@pytest.mark.parametrize("cell", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("shape", [(2, 4), (0, 4), (4,)])
def test_a_cell_of_no_state_computes_nothing(cell, shape):
    x = torch.ones(shape, requires_grad=True)
    state = getattr(torch.nn, cell)(4, 0)(x)
    states = state if isinstance(state, tuple) else (state,)
    assert [tuple(s.shape) for s in states] == [(*shape[:-1], 0)] * len(states)
    states[0].sum().backward()
    assert x.grad.tolist() == torch.zeros(shape).tolist()


@pytest.mark.parametrize(("batch", "outputs"), [((2,), 0), ((0,), 3), ((2, 0), 3), ((), 3)])
def test_bilinear_form_of_nothing(batch, outputs):
    layer = torch.nn.Bilinear(4, 2, 3) if outputs else torch.nn.Bilinear(4, 2, 0, bias=False)
    assert layer(torch.ones(*batch, 4), torch.ones(*batch, 2)).shape == (*batch, outputs)
