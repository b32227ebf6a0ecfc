"""Random numbers: the generator's known answers, distributions, independence of parts, and dropout."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from kernel_records import run

import jitgrad as torch
from jitgrad.functions.generator import FIRST_SEED
from jitgrad.kernels import abi

MANY = 200_003
FLOATS = [torch.float32, torch.float64]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20240601)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox-4x32-10 in plain Python."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (second >> 32) ^ c[1] ^ k[0],
            second & 0xFFFFFFFF,
            (first >> 32) ^ c[3] ^ k[1],
            first & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_the_reference_gives_the_published_answers():
    # from the tables of known answers that come with the authors' Random123
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize(("seed", "counter"), [(0, 0), (0x0123456789ABCDEF, 5), (-1, (1 << 28) - 1)])
def test_uniform_numbers_are_philox(seed, counter):
    g = torch.Generator().manual_seed(seed)
    g._words()[1] = counter
    key = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    words = np.empty((2, 4, 16), np.uint64)
    for group in range(2):
        for lane in range(16):
            number = (counter + group) * 16 + lane
            words[group, :, lane] = philox([number & 0xFFFFFFFF, number >> 32, 0, 0], key)
    result = torch.rand(100, generator=g).numpy()
    np.testing.assert_array_equal(result, ((words.ravel() >> 8) * 2.0**-24).astype(np.float32)[:100])


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 63, 64, 65, 1000])
def test_a_prefix_of_more_numbers(n):
    for make in (torch.rand, torch.randn):
        short = make(n, generator=torch.Generator().manual_seed(3)).numpy()
        long = make(2000, generator=torch.Generator().manual_seed(3)).numpy()
        np.testing.assert_array_equal(short, long[:n])


def close(value: float, expected: float, deviation: float, count: int = MANY) -> bool:
    """Within five standard errors."""
    return abs(value - expected) < 5 * deviation / math.sqrt(count)


def largest_gap(values: np.ndarray, distribution) -> float:
    """Kolmogorov's statistic, times the root of the number: above 1.95 once in a thousand times."""
    ordered = np.sort(values)
    n = len(ordered)
    expected = distribution(ordered)
    steps = np.arange(n + 1) / n
    return max((steps[1:] - expected).max(), (expected - steps[:-1]).max()) * math.sqrt(n)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_distribution(generator, dtype):
    x = torch.rand(MANY, dtype=dtype, generator=generator).numpy().astype(np.float64)
    assert x.min() >= 0
    assert x.max() < 1
    assert close(x.mean(), 0.5, math.sqrt(1 / 12))
    assert close(x.var(), 1 / 12, math.sqrt(1 / 180))
    assert largest_gap(x, lambda v: v) < 2.2
    counts = np.bincount((x * 64).astype(int), minlength=64)
    assert ((counts - MANY / 64) ** 2 / (MANY / 64)).sum() < 63 + 5 * math.sqrt(126)
    for lag in (1, 2, 16, 32, 64):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 5 / math.sqrt(MANY)


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_distribution(generator, dtype):
    x = torch.randn(MANY, dtype=dtype, generator=generator).numpy().astype(np.float64)
    assert np.isfinite(x).all()
    for power, moment, deviation in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert close((x**power).mean(), moment, deviation)
    distribution = np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))
    assert largest_gap(x[:20_000], distribution) < 2.2
    for lag in (1, 16, 32):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 5 / math.sqrt(MANY)
        assert abs(np.corrcoef(x[:-lag] ** 2, x[lag:] ** 2)[0, 1]) < 5 / math.sqrt(MANY)


@pytest.mark.parametrize("dtype", FLOATS)
def test_exponential_distribution(generator, dtype):
    x = torch.empty(MANY, dtype=dtype).exponential_(2.0, generator=generator).numpy().astype(np.float64)
    assert x.min() >= 0
    assert largest_gap(x, lambda v: 1 - np.exp(-2 * v)) < 2.2


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.float32, torch.float64])
def test_integers_are_uniform(generator, dtype):
    x = torch.randint(3, 10, (MANY,), dtype=dtype, generator=generator)
    assert x.dtype == dtype
    counts = np.bincount(x.numpy().astype(int), minlength=10)
    assert counts[:3].sum() == 0
    assert len(counts) == 10
    assert ((counts[3:] - MANY / 7) ** 2 / (MANY / 7)).sum() < 6 + 5 * math.sqrt(12)


def test_integers_over_wide_ranges(generator):
    x = torch.randint(-(1 << 63), (1 << 63) - 1, (10_000,), generator=generator).numpy()
    assert close((x / 2.0**63).mean(), 0, math.sqrt(1 / 3), 10_000)
    assert len(np.unique(x & 0xFFFF)) > 9000
    x = torch.randint(1 << 40, (10_000,), generator=generator).numpy()
    assert x.min() >= 0
    assert (1 << 39) < x.max() < (1 << 40)


def test_random_fills_the_range_of_the_dtype():
    assert set(torch.zeros(2000, dtype=torch.uint8).random_().tolist()) == set(range(256))
    assert set(torch.zeros(64, dtype=torch.bool).random_().tolist()) == {False, True}
    x = torch.zeros(2000).random_()
    assert (x == x.floor()).all()
    assert 1 << 22 < x.max() <= 1 << 24
    assert set(torch.zeros(200, dtype=torch.int64).random_(3).tolist()) == {0, 1, 2}
    assert set(torch.zeros(200, dtype=torch.int64).random_(5, 7).tolist()) == {5, 6}


@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000])
def test_permutations_hold_every_number(n, generator):
    for dtype in (torch.int64, torch.int32, torch.float32, torch.uint8):
        if n < 256 or dtype != torch.uint8:
            x = torch.randperm(n, dtype=dtype, generator=generator)
            assert x.dtype == dtype
            assert sorted(x.tolist()) == list(range(n))


def test_all_permutations_are_equally_likely(generator):
    rounds = 6000
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(rounds):
        order = tuple(torch.randperm(4, generator=generator).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((c - rounds / 24) ** 2 / (rounds / 24) for c in counts.values()) < 23 + 5 * math.sqrt(46)


# seeds and states ---------------------------------------------------------------------------------


def test_same_seed_same_numbers():
    torch.manual_seed(7)
    first = [torch.rand(5), torch.randn(5), torch.randint(9, (5,)), torch.randperm(5)]
    torch.manual_seed(7)
    again = [torch.rand(5), torch.randn(5), torch.randint(9, (5,)), torch.randperm(5)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    torch.manual_seed(8)
    assert (torch.rand(5).numpy() != first[0].numpy()).all()


def test_successive_draws_differ(generator):
    for make in (torch.rand, torch.randn):
        assert not set(make(100, generator=generator).tolist()) & set(make(100, generator=generator).tolist())


def test_a_generator_has_its_own_state():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    torch.rand(3, generator=torch.Generator())
    np.testing.assert_array_equal(torch.rand(3).numpy(), expected.numpy())


def test_state_can_be_saved_and_restored(generator):
    torch.rand(5, generator=generator)
    state = generator.get_state()
    assert state.dtype == torch.uint8
    first = torch.rand(5, generator=generator)
    assert generator.set_state(state) is generator
    np.testing.assert_array_equal(torch.rand(5, generator=generator).numpy(), first.numpy())
    for other in (pickle.loads(pickle.dumps(generator)), copy.deepcopy(generator)):
        np.testing.assert_array_equal(
            torch.rand(5, generator=other).numpy(), torch.rand(5, generator=copy.deepcopy(generator)).numpy()
        )
    with pytest.raises(TypeError, match="set_state"):
        generator.set_state(torch.zeros(3))


def test_default_state():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = torch.rand(4)
    torch.set_rng_state(state)
    np.testing.assert_array_equal(torch.rand(4).numpy(), first.numpy())
    assert torch.initial_seed() == 3
    assert torch.seed() == torch.initial_seed()


def test_seeds():
    g = torch.Generator()
    assert g.initial_seed() == FIRST_SEED
    assert g.device.type == "cpu"
    assert g.manual_seed(-1).initial_seed() == (1 << 64) - 1
    assert g.seed() == g.initial_seed()
    with pytest.raises(RuntimeError, match="manual_seed"):
        g.manual_seed(1 << 64)


# threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize("n", [1, 64, 1000])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("random_uniform", (abi.float_bits(0.0), abi.float_bits(1.0))),
        ("random_normal", (abi.float_bits(0.0), abi.float_bits(1.0))),
        ("random_integers", (0, 1000)),
        ("random_permutation", ()),
    ],
)
def test_numbers_do_not_depend_on_the_number_of_parts(name, words, n, parts):
    results = []
    for count in (1, parts):
        state, y = np.array([42, 7, 0, 0], np.int64), np.full(n, -1, np.float64)
        run(name, abi.FLOAT64, (state, y), words, count)
        results.append((state, y))
    for one, several in zip(*results, strict=True):
        np.testing.assert_array_equal(one, several)
    state = results[0][0]
    assert state[1] > 7
    assert state[2] == 0


# shapes, dtypes and forms ---------------------------------------------------------------------------


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
    assert tuple(torch.multinomial(torch.rand(3, 5), 40, True).shape) == (3, 40)


# dropout ------------------------------------------------------------------------------------------


def dropout(x, p):
    return torch.nn.functional.dropout(x, p, True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p, dtype):
    torch.manual_seed(0)
    y = dropout(torch.ones(MANY, dtype=dtype), p).numpy()
    assert close((y == 0).mean(), p, math.sqrt(p * (1 - p)))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_passes_gradients_where_it_kept():
    x = torch.randn(37, 5, requires_grad=True)
    g = torch.randn(37, 5)
    y = dropout(x, 0.4)
    kept = y.detach().numpy() != 0
    (y * g).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, g.numpy() / 0.6, 0), rtol=1e-6)


def test_dropout_of_a_transposed_input():
    x = torch.ones(7, 5, requires_grad=True)
    y = dropout(x.t(), 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy().T)


def test_dropout_result_may_change_in_place_before_backward():
    x = torch.ones(50, requires_grad=True)
    y = dropout(x, 0.5)
    kept = y.detach().clone()
    y += 1
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), kept.numpy())


def test_dropout_without_effect():
    x = torch.ones(5)
    assert torch.nn.functional.dropout(x, 0.5, False) is x
    np.testing.assert_array_equal(dropout(x, 0.0).numpy(), x.numpy())
    np.testing.assert_array_equal(dropout(x, 1.0).numpy(), np.zeros(5))


def test_dropout_drops_others_each_time():
    x = torch.ones(1000)
    assert (dropout(x, 0.5).numpy() != dropout(x, 0.5).numpy()).any()


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
