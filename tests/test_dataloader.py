"""The loader: batches in order, shuffled, from subsets, streams and samplers."""

import numpy as np
import pytest
from data_sets import Squares, Stream, flat, generator, labels, pairs

import jitgrad as jg
from jitgrad.utils.data import DataLoader, Sampler, Subset, TensorDataset


@pytest.mark.parametrize(
    ("drop_last", "expected"),
    [(False, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]), (True, [[0, 1, 2, 3], [4, 5, 6, 7]])],
)
@pytest.mark.parametrize("memory", [True, False])
def test_batches_in_order(memory, drop_last, expected):
    data = pairs() if memory else [pairs()[i] for i in range(10)]
    loader = DataLoader(data, batch_size=4, drop_last=drop_last)
    assert labels(loader) == labels(loader) == expected
    assert len(loader) == len(expected)
    for x, y in loader:
        assert x.dtype == jg.float32
        assert x.tolist() == [[i, -i] for i in y.tolist()]


@pytest.mark.parametrize("memory", [True, False])
def test_shuffled_batches_have_every_row_once_in_a_new_order_each_time(memory):
    data = pairs(50) if memory else [pairs(50)[i] for i in range(50)]
    loader = DataLoader(data, batch_size=8, shuffle=True, generator=generator())
    epochs = [flat(labels(loader)) for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50))
    assert epochs[0] != epochs[1]
    for x, y in loader:
        assert x.tolist() == [[i, -i] for i in y.tolist()]


def test_data_in_memory_is_shuffled_as_any_other_data():
    slow = [pairs(50)[i] for i in range(50)]
    orders = [
        labels(DataLoader(data, batch_size=8, shuffle=True, generator=generator(5)))
        for data in (pairs(50), slow, Subset(pairs(50), range(50)))
    ]
    assert orders[0] == orders[1] == orders[2]


def test_the_global_seed_decides_the_order():
    orders = []
    for seed in (1, 1, 2):
        jg.manual_seed(seed)
        orders.append(labels(DataLoader(pairs(50), batch_size=8, shuffle=True)))
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("indices", [[7, 1, 3, 8, 2], range(2, 7), np.array([4, 0, 9]), [-1, 0], [], [5]])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_of_a_subset(indices, shuffle):
    loader = DataLoader(Subset(pairs(), indices), batch_size=2, shuffle=shuffle)
    rows = flat(labels(loader))
    expected = [int(i) % 10 for i in indices]
    assert (sorted(rows) == sorted(expected)) if shuffle else (rows == expected)
    assert len(loader) == -(-len(indices) // 2)


def test_batches_of_a_subset_of_a_subset():
    inner = Subset(pairs(), [9, 7, 5, 3, 1])
    loader = DataLoader(Subset(inner, [4, 0, -2]), batch_size=2)
    assert labels(loader) == [[1, 9], [3]]


def test_a_subset_with_an_index_out_of_range_is_an_error():
    with pytest.raises(IndexError):
        list(DataLoader(Subset(pairs(), [3, 10]), batch_size=2))


def test_batches_in_order_share_memory_with_the_data():
    x = jg.zeros(6, 2)
    loader = DataLoader(TensorDataset(x), batch_size=4)
    batches = [b for (b,) in loader]
    x.fill_(1.0)
    assert batches[1].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_writing_into_a_batch_in_order_is_an_error():
    loader = DataLoader(pairs(), batch_size=4)
    with pytest.raises(RuntimeError, match=r"xb = xb.clone\(\)"):
        for x, _ in loader:
            x.mul_(2.0)


def test_writing_into_a_shuffled_batch_leaves_the_data_alone():
    data = pairs()
    for x, _ in DataLoader(data, batch_size=4, shuffle=True):
        x.zero_()
    assert data.tensors[0][9].tolist() == [9.0, -9.0]


def test_a_sampler_gives_the_order():
    class Backwards(Sampler):
        def __iter__(self):
            return iter(range(9, -1, -1))

        def __len__(self):
            return 10

    loader = DataLoader(pairs(), batch_size=4, sampler=Backwards())
    assert labels(loader) == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    loader = DataLoader(pairs(), batch_sampler=[[0, 3], [5]])
    assert (labels(loader), len(loader), loader.batch_size) == ([[0, 3], [5]], 2, None)


def test_a_collate_function_gets_the_items():
    loader = DataLoader(Squares(5), batch_size=2, collate_fn=lambda items: items)
    assert list(loader) == [[0, 1], [4, 9], [16]]
    loader = DataLoader(pairs(4), batch_size=2, collate_fn=lambda items: [y.item() for _, y in items])
    assert list(loader) == [[0, 1], [2, 3]]


def test_without_batches_the_items_come_one_by_one():
    items = list(DataLoader(Squares(3), batch_size=None))
    assert items == [0, 1, 4]
    x, y = next(iter(DataLoader(pairs(), batch_size=None)))
    assert (x.tolist(), y.item()) == ([0.0, 0.0], 0)
    (a,) = DataLoader([np.array([1.0, 2.0])], batch_size=None)
    assert a.tolist() == [1.0, 2.0]


def test_a_stream_is_cut_into_batches():
    loader = DataLoader(Stream(range(5)), batch_size=2)
    assert ([b.tolist() for b in loader], len(loader)) == ([[0, 1], [2, 3], [4]], 3)
    loader = DataLoader(Stream(range(5)), batch_size=2, drop_last=True)
    assert ([b.tolist() for b in loader], len(loader)) == ([[0, 1], [2, 3]], 2)
    assert list(DataLoader(Stream("ab"), batch_size=None)) == ["a", "b"]


def test_data_sets_that_read_many_items_at_once_are_asked_so():
    class Many(Squares):
        def __getitems__(self, indices):
            return [i * 100 for i in indices]

    assert [b.tolist() for b in DataLoader(Many(3), batch_size=2)] == [[0, 100], [200]]


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = DataLoader(pairs(4), batch_size=2)
    assert [(a[1].tolist(), b[1].tolist()) for a, b in zip(loader, loader, strict=True)] == [
        ([0, 1], [0, 1]),
        ([2, 3], [2, 3]),
    ]


def test_an_empty_data_set_has_no_batches():
    for shuffle in (False, True):
        loader = DataLoader(TensorDataset(jg.zeros(0, 2)), batch_size=3, shuffle=shuffle)
        assert (list(loader), len(loader)) == ([], 0)


def test_workers_and_pinned_memory_warn_and_are_ignored():
    with pytest.warns(UserWarning, match="num_workers=2 is ignored"):
        loader = DataLoader(pairs(4), batch_size=2, num_workers=2)
    assert labels(loader) == [[0, 1], [2, 3]]
    with pytest.warns(UserWarning, match="pin_memory=True is ignored"):
        DataLoader(pairs(4), pin_memory=True)


BAD = [
    (lambda: DataLoader(pairs(), batch_size=0), ValueError, "positive integer value, but got batch_size=0"),
    (lambda: DataLoader(pairs(), batch_size=1.5), ValueError, "but got batch_size=1.5"),
    (lambda: DataLoader(pairs(), num_workers=-1), ValueError, "num_workers option should be non-negative"),
    (lambda: DataLoader(pairs(), timeout=-1), ValueError, "timeout option should be non-negative"),
    (
        lambda: DataLoader(pairs(), shuffle=True, sampler=[1]),
        ValueError,
        "sampler option is mutually exclusive with shuffle",
    ),
    (
        lambda: DataLoader(pairs(), batch_size=2, batch_sampler=[[1]]),
        ValueError,
        "batch_sampler option is mutually exclusive",
    ),
    (lambda: DataLoader(pairs(), batch_size=None, drop_last=True), ValueError, "disables auto-batching"),
    (lambda: DataLoader(Stream([1]), shuffle=True), ValueError, "DataLoader with IterableDataset"),
    (
        lambda: DataLoader(pairs(), prefetch_factor=2),
        ValueError,
        "needs num_workers > 0, got prefetch_factor=2",
    ),
    (lambda: DataLoader(pairs(), persistent_workers=True), ValueError, "needs num_workers > 0"),
    (lambda: DataLoader(5), TypeError, r"give x and y as TensorDataset\(x, y\)"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_misuse_is_an_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", ["batch_size", "sampler", "batch_sampler", "drop_last", "dataset"])
def test_a_loader_is_not_changed_after_it_is_made(name):
    with pytest.raises(ValueError, match=f"{name} attribute should not be set"):
        setattr(DataLoader(pairs()), name, None)


def test_names_beside_data_come_as_pytorch_gives_them():
    loader = DataLoader([(0, "a", {"of": "x"}), (1, "b", {"of": "y"})], batch_size=2)
    ((numbers, names, notes),) = loader
    assert (numbers.tolist(), names, notes) == ([0, 1], ("a", "b"), {"of": ["x", "y"]})
    assert list(DataLoader(["a", "b", "c"], batch_size=2)) == [["a", "b"], ["c"]]
    assert list(DataLoader([(0, ["a"])], batch_size=None)) == [[0, ["a"]]]
