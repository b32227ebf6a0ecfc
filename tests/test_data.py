"""Data sets, samplers and collating."""

from collections import Counter, namedtuple

import numpy as np
import pytest
from data_sets import Squares, Stream, generator, pairs

import jitgrad as jg
from jitgrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

# data sets ----------------------------------------------------------------------------------------------


def test_items_of_tensors_are_their_rows():
    data = pairs()
    x, y = data[3]
    assert (len(data), x.tolist(), y.item()) == (10, [3.0, -3.0], 3)
    assert data[-1][1].item() == 9
    assert data[2:4][1].tolist() == [2, 3]


def test_concatenated_data_sets_are_read_in_order():
    data = Squares(3) + Squares(2) + Squares(4)
    assert [data[i] for i in range(len(data))] == [0, 1, 4, 0, 1, 0, 1, 4, 9]
    assert (data[-1], data[-9]) == (9, 0)
    assert ConcatDataset([Squares(3), Squares(2)]).cumulative_sizes == [3, 5]


def test_going_through_concatenated_data_sets_ends_with_the_last_item():
    assert list(Squares(3) + Squares(2)) == [0, 1, 4, 0, 1]
    with pytest.raises(ValueError, match="index -6 is out of range for length 5"):
        (Squares(3) + Squares(2))[-6]


def test_stacked_data_sets_are_read_side_by_side():
    rows = TensorDataset(jg.arange(3))
    pairs, named = StackDataset(Squares(3), rows), StackDataset(a=Squares(3), b=Subset(Squares(9), [5, 6, 7]))
    assert (len(pairs), pairs[2]) == (3, (4, (jg.tensor(2),)))
    assert (len(named), named[1]) == (3, {"a": 1, "b": 36})
    assert [b[0].tolist() for b in DataLoader(pairs, batch_size=2)] == [[0, 1], [4]]
    assert [b["b"].tolist() for b in DataLoader(named, batch_size=2)] == [[25, 36], [49]]


def test_chained_streams_are_read_in_order():
    data = Stream([1, 2]) + Stream([3])
    assert isinstance(data, ChainDataset)
    assert (list(data), len(data)) == ([1, 2, 3], 3)


def test_a_subset_renames_indices():
    data = Subset(Squares(10), [7, 1, 3])
    assert (len(data), data[0], data[-1]) == (3, 49, 9)
    assert data.__getitems__([2, 0]) == [9, 49]
    assert Subset(data, [1])[0] == 1


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([7, 3], [7, 3]),
        ([10, 0], [10, 0]),
        ([0.7, 0.3], [7, 3]),
        ([0.5, 0.25, 0.25], [6, 2, 2]),
        ([1 / 3, 1 / 3, 1 / 3], [4, 3, 3]),
    ],
)
def test_a_random_split_has_every_item_once(lengths, expected):
    parts = random_split(Squares(10), lengths, generator=generator())
    assert [len(p) for p in parts] == expected
    assert sorted(x for p in parts for x in p) == [i * i for i in range(10)]


def test_a_random_split_depends_on_the_generator_only():
    first = random_split(Squares(50), [0.5, 0.5], generator=generator(3))
    second = random_split(Squares(50), [0.5, 0.5], generator=generator(3))
    other = random_split(Squares(50), [0.5, 0.5], generator=generator(4))
    assert first[0].indices == second[0].indices != other[0].indices


# samplers -----------------------------------------------------------------------------------------------


def test_sequential_and_random_order():
    assert list(SequentialSampler(Squares(5))) == [0, 1, 2, 3, 4]
    sampler = RandomSampler(Squares(100), generator=generator())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second
    assert list(RandomSampler(Squares(100), generator=generator())) == first


def test_random_samples_beyond_the_length_begin_anew():
    sampler = RandomSampler(Squares(4), num_samples=10, generator=generator())
    drawn = list(sampler)
    assert (len(sampler), len(drawn)) == (10, 10)
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]


def test_samples_with_replacement_are_independent():
    counts = Counter(RandomSampler(Squares(3), True, 3000, generator=generator()))
    assert sum(counts.values()) == 3000
    assert all(850 < counts[i] < 1150 for i in range(3))


def test_subset_random_sampler_gives_each_index_once():
    drawn = list(SubsetRandomSampler([5, 9, 2], generator=generator()))
    assert sorted(drawn) == [2, 5, 9]


def test_weighted_samples_have_their_frequencies():
    weights = [0.0, 1.0, 3.0, 0.0, 4.0, 0.0]
    sampler = WeightedRandomSampler(weights, 8000, generator=generator())
    counts = Counter(sampler)
    assert len(sampler) == 8000
    assert set(counts) == {1, 2, 4}
    for i, weight in enumerate(weights):
        assert abs(counts[i] - 1000 * weight) < 200


def test_weighted_samples_without_replacement_are_distinct():
    firsts = Counter()
    g = generator()
    for _ in range(600):
        drawn = list(WeightedRandomSampler([1.0, 0.0, 9.0, 0.0], 2, False, generator=g))
        assert sorted(drawn) == [0, 2]
        firsts[drawn[0]] += 1
    assert 480 < firsts[2] < 590  # expected: 540


def test_batches_of_indices():
    batches = BatchSampler(SequentialSampler(Squares(5)), 2, False)
    assert (list(batches), len(batches)) == ([[0, 1], [2, 3], [4]], 3)
    batches = BatchSampler(range(5), 2, True)
    assert (list(batches), len(batches)) == ([[0, 1], [2, 3]], 2)


# collating ----------------------------------------------------------------------------------------------


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, jg.Tensor):
        assert a.dtype == b.dtype
        assert a.tolist() == b.tolist()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


Point = namedtuple("Point", "x y")


def test_collating_numbers_arrays_and_structures():
    ints, floats = jg.tensor([1, 2]), jg.tensor([0.5, 1.5], dtype=jg.float64)
    cases = [
        ([1, 2], ints),
        ([0.5, 1.5], floats),
        ([True, False], jg.tensor([True, False])),
        ([np.float32(1), np.float32(2)], jg.tensor([1.0, 2.0])),
        ([np.array([1, 2]), np.array([3, 4])], jg.tensor([[1, 2], [3, 4]])),
        ([jg.tensor([1.0]), jg.tensor([2.0])], jg.tensor([[1.0], [2.0]])),
        (["a", "b"], ["a", "b"]),
        ([(1, 0.5), (2, 1.5)], [ints, floats]),
        ([[1, "a"], [2, "b"]], [ints, ("a", "b")]),
        ([{"x": 1, "y": (0.5,)}, {"x": 2, "y": (1.5,)}], {"x": ints, "y": [floats]}),
        ([Point(1, 0.5), Point(2, 1.5)], Point(ints, floats)),
    ]
    for batch, expected in cases:
        same(default_collate(batch), expected)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([object(), object()], TypeError, "found <class 'object'>; give the DataLoader a collate_fn"),
        ([[1, 2], [1]], RuntimeError, "each element in list of batch should be of equal size"),
        ([np.zeros(2), np.zeros(3)], RuntimeError, r"got shapes \[\(2,\), \(3,\)\] in one batch"),
        ([np.array(["a"])], TypeError, "arrays of numbers; found dtype <U1"),
    ],
)
def test_what_cannot_be_collated_is_an_error(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


BAD = [
    (lambda: TensorDataset(jg.zeros(3), jg.zeros(4)), AssertionError, r"sizes \[3, 4\]"),
    (TensorDataset, ValueError, "at least one tensor"),
    (lambda: ConcatDataset([]), AssertionError, "should not be an empty iterable"),
    (lambda: ConcatDataset([Stream([1])]), AssertionError, "does not support IterableDataset"),
    (lambda: ChainDataset([Squares(2)]), AssertionError, r"datasets\[0\] is a Squares"),
    (lambda: StackDataset(Squares(2), Squares(3)), ValueError, r"lengths \[2, 3\]"),
    (StackDataset, ValueError, "by position or by name, got none"),
    (lambda: StackDataset(Squares(2), a=Squares(2)), ValueError, "got both"),
    (lambda: (Squares(2) + Squares(2))[4], IndexError, "index 4 is out of range for length 4"),
    (lambda: random_split(Squares(5), [2, 2]), ValueError, r"\[2, 2\] for 5 items"),
    (lambda: random_split(Squares(5), [1.5, -0.5]), ValueError, "index 0 is not between 0 and 1: 1.5"),
    (lambda: RandomSampler(Squares(0)), ValueError, "num_samples=0"),
    (lambda: RandomSampler(Squares(2), replacement=1), TypeError, "replacement=1"),
    (lambda: WeightedRandomSampler([1.0], 0), ValueError, "num_samples=0"),
    (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, r"shape \(1, 1\)"),
    (lambda: WeightedRandomSampler([1.0, -1.0], 1), ValueError, "finite and not negative"),
    (lambda: WeightedRandomSampler([0.0, 0.0], 1), ValueError, "with a positive sum"),
    (lambda: WeightedRandomSampler([1.0, 0.0], 2, False), ValueError, "from 1 positive weights"),
    (lambda: BatchSampler([1, 2], -1, False), ValueError, "batch_size=-1"),
    (lambda: BatchSampler([1, 2], 1, 0), ValueError, "drop_last=0"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_misuse_is_an_error(make, error, message):
    with pytest.raises(error, match=message):
        make()
