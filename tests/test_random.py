"""Random numbers: the generator's known answers, distributions, seeds, and independence of parts."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from kernel_records import run
from random_cases import MANY, close

import jitgrad as torch
from jitgrad.functions.generator import FIRST_SEED
from jitgrad.kernels import abi

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


def test_random_fills_the_range_of_the_dtype(generator):
    def filled(size, dtype, *bounds):
        return torch.zeros(size, dtype=dtype).random_(*bounds, generator=generator)

    assert set(filled(5000, torch.uint8).tolist()) == set(range(256))
    assert set(filled(64, torch.bool).tolist()) == {False, True}
    x = filled(2000, torch.float32)
    assert (x == x.floor()).all()
    assert 1 << 22 < x.max() <= 1 << 24
    assert set(filled(200, torch.int64, 3).tolist()) == {0, 1, 2}
    assert set(filled(200, torch.int64, 5, 7).tolist()) == {5, 6}


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
