"""DistributedSampler in one process, and its shares for several."""

from __future__ import annotations

import pytest

from jitgrad.utils.data import DataLoader, DistributedSampler

# count, shares, whether the rest is dropped, the shares
SHARES = [
    (7, 3, False, [[0, 3, 6], [1, 4, 0], [2, 5, 1]]),
    (7, 3, True, [[0, 3], [1, 4], [2, 5]]),
    (6, 2, False, [[0, 2, 4], [1, 3, 5]]),
    (1, 3, False, [[0], [0], [0]]),
    (0, 2, False, [[], []]),
]


@pytest.mark.parametrize(("count", "shares", "drop", "expected"), SHARES)
def test_shares(count, shares, drop, expected):
    samplers = [
        DistributedSampler(range(count), shares, rank, shuffle=False, drop_last=drop)
        for rank in range(shares)
    ]
    assert [list(s) for s in samplers] == expected
    assert [len(s) for s in samplers] == [len(e) for e in expected]


@pytest.mark.parametrize(("count", "shares", "drop", "expected"), SHARES)
def test_shares_are_pytorch_s(count, shares, drop, expected):
    theirs = pytest.importorskip("torch")
    made = [
        list(theirs.utils.data.DistributedSampler(range(count), shares, r, shuffle=False, drop_last=drop))
        for r in range(shares)
    ]
    assert made == expected


def test_alone_it_reads_everything_in_an_order_of_the_epoch():
    sampler = DistributedSampler(range(20))
    first = list(sampler)
    assert sorted(first) == list(range(20))
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_shares_are_of_one_order():
    drawn = [list(DistributedSampler(range(8), 2, rank, seed=3)) for rank in range(2)]
    assert sorted(drawn[0] + drawn[1]) == list(range(8))


def test_a_loader_takes_it():
    loader = DataLoader(range(4), batch_size=2, sampler=DistributedSampler(range(4), shuffle=False))
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_rank_beyond_the_replicas_is_refused(rank):
    with pytest.raises(ValueError, match=f"Invalid rank {rank}"):
        DistributedSampler(range(4), 2, rank)
