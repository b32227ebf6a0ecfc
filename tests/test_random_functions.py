"""Random functions: shapes, dtypes, parameters, in-place forms, draws, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_cases import MANY, close

import jitgrad as torch


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20240601)


def test_shapes_and_dtypes():
    assert tuple(torch.rand(2, 3).shape) == (2, 3)
    assert tuple(torch.randn((2, 3)).shape) == (2, 3)
    assert tuple(torch.rand(()).shape) == ()
    assert tuple(torch.rand(0, 3).shape) == (0, 3)
    assert torch.rand(2).dtype == torch.float32
    assert torch.randn(2, dtype=torch.float64).dtype == torch.float64
    assert torch.rand(2, requires_grad=True).requires_grad
    assert torch.randint(5, (2,)).dtype == torch.int64
    like = torch.zeros(2, 3, dtype=torch.float64)
    for made in (torch.rand_like(like), torch.randn_like(like), torch.randint_like(like, 3)):
        assert tuple(made.shape) == (2, 3)
        assert made.dtype == torch.float64
    assert torch.randint_like(like, 3, 4).tolist() == [[3.0] * 3] * 2


def test_bounds_and_parameters(generator):
    x = torch.empty(MANY).uniform_(-3, 2, generator=generator).numpy()
    assert x.min() >= -3
    assert x.max() < 2
    assert close(x.mean(), -0.5, 5 / math.sqrt(12))
    x = torch.empty(MANY).normal_(3, 0.5, generator=generator).numpy()
    assert close(x.mean(), 3, 0.5)
    x = torch.normal(torch.full((MANY,), 2.0), torch.full((MANY,), 0.1), generator=generator).numpy()
    assert close(x.mean(), 2, 0.1)
    assert tuple(torch.normal(0.0, 1.0, (2, 3)).shape) == (2, 3)
    np.testing.assert_array_equal(torch.normal(torch.arange(3.0), 0.0).numpy(), [0, 1, 2])


def test_in_place_on_views_and_versions():
    x = torch.zeros(4, 6)
    x[:, ::2].uniform_(1, 2)
    assert (x.numpy()[:, ::2] >= 1).all()
    assert (x.numpy()[:, 1::2] == 0).all()
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y.normal_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_overwritten_values_pass_no_gradient():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    y.uniform_()
    (y * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(3))


def test_bernoulli(generator):
    x = torch.empty(MANY).bernoulli_(0.3, generator=generator).numpy()
    assert set(np.unique(x)) == {0, 1}
    assert close(x.mean(), 0.3, math.sqrt(0.21))
    x = torch.bernoulli(torch.full((MANY,), 0.3), generator=generator).numpy()
    assert close(x.mean(), 0.3, math.sqrt(0.21))
    assert torch.empty(100).bernoulli_(1.0).sum().item() == 100
    assert torch.empty(100).bernoulli_(0.0).sum().item() == 0
    assert torch.bernoulli(torch.tensor([0.0, 1.0])).tolist() == [0, 1]
    assert torch.zeros(3, dtype=torch.int64).bernoulli_(torch.tensor([0.0, 1.0, 1.0])).tolist() == [0, 1, 1]


def test_multinomial(generator):
    weights = torch.tensor([0.1, 0.0, 0.4, 1.5])
    drawn = torch.multinomial(weights, 20_000, True, generator=generator).numpy()
    counts = np.bincount(drawn, minlength=4)
    assert counts[1] == 0
    for count, p in zip(counts, (0.05, 0, 0.2, 0.75), strict=True):
        assert abs(count / 20_000 - p) < 5 * math.sqrt(p * (1 - p) / 20_000) + 1e-12
    firsts = np.zeros(4)
    for _ in range(2000):
        order = torch.multinomial(weights, 3, generator=generator).tolist()
        assert sorted(order) == [0, 2, 3]
        firsts[order[0]] += 1
    assert abs(firsts[3] / 2000 - 0.75) < 5 * math.sqrt(0.75 * 0.25 / 2000)
    assert tuple(torch.multinomial(torch.rand(3, 5), 4).shape) == (3, 4)
    assert torch.multinomial(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), 2).tolist() == [
        [1, 0],
        [0, 1],
    ]  # zeros come last
    assert tuple(torch.multinomial(torch.rand(3, 5), 40, True).shape) == (3, 40)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: torch.rand(-1), RuntimeError, ["negative dimension -1"]),
        (lambda: torch.rand(3, dtype=torch.int64), RuntimeError, ["rand", "int64"]),
        (lambda: torch.rand("3"), TypeError, ["rand()"]),
        (lambda: torch.randint(5, 5, (2,)), RuntimeError, ["randint", "from=5 >= to=5"]),
        (lambda: torch.randint(5), TypeError, ["randint()"]),
        (lambda: torch.randperm(-1), RuntimeError, ["randperm", "-1"]),
        (lambda: torch.normal(0.0, -1.0, (2,)), RuntimeError, ["std >= 0.0"]),
        (lambda: torch.empty(3).normal_(0, -1), RuntimeError, ["normal_", "std >= 0.0"]),
        (lambda: torch.empty(3).uniform_(2, 1), RuntimeError, ["uniform_", "from=2 > to=1"]),
        (lambda: torch.zeros(3, dtype=torch.int64).uniform_(), RuntimeError, ["uniform_", "int64"]),
        (lambda: torch.empty(3).bernoulli_(1.5), RuntimeError, ["[0, 1]", "1.5"]),
        (lambda: torch.bernoulli(torch.tensor([1.5])), RuntimeError, ["[0, 1]"]),
        (lambda: torch.empty(3).exponential_(0.0), RuntimeError, ["lambda > 0.0"]),
        (lambda: torch.multinomial(torch.ones(3), 4), RuntimeError, ["without replacement", "4 > 3"]),
        (lambda: torch.multinomial(torch.tensor([1.0, -1.0]), 1), RuntimeError, ["< 0"]),
        (lambda: torch.multinomial(torch.zeros(3), 1), RuntimeError, ["sum of probabilities"]),
        (lambda: torch.rand(3, generator=5), TypeError, ["Generator", "int"]),
        (lambda: torch.ones(3, requires_grad=True).normal_(), RuntimeError, ["leaf Variable"]),
        (lambda: torch.rand(3, device="cuda"), RuntimeError, ["cuda"]),
    ],
)
def test_wrong_arguments_are_refused(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_a_draw_that_rounds_up_to_the_total_is_the_last_weight_that_counts(monkeypatch):
    monkeypatch.setattr(
        "jitgrad.functions.draws.rand", lambda *shape, **_: torch.ones(shape, dtype=torch.float64)
    )
    weights = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5], [3.0, 0.0, 0.0, 0.0]])
    assert torch.multinomial(weights, 2, True).tolist() == [[1, 1], [3, 3], [0, 0]]


FILLS = {
    "uniform_": (),
    "normal_": (),
    "exponential_": (),
    "random_": (),
    "bernoulli_": (torch.tensor(0.5),),
    "cauchy_": (),
    "log_normal_": (),
    "geometric_": (0.5,),
}


@pytest.mark.parametrize("name", FILLS)
def test_a_fill_that_is_refused_draws_nothing(name) -> None:
    generator = torch.Generator().manual_seed(4)
    before = generator.get_state()
    shared = torch.zeros(1, 3).expand(4, 3)
    leaf = torch.zeros(3, 4).t().requires_grad_()
    for x in (shared, leaf):
        with pytest.raises(RuntimeError):
            getattr(x, name)(*FILLS[name], generator=generator)
        assert torch.equal(generator.get_state(), before)
        assert not x.any()
