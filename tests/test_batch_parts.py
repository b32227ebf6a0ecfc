"""Parts of views that belong to samples: what is said to be apart shares no byte."""

import itertools
import random

import pytest

from jitgrad.program.log.views import view
from jitgrad.program.rewrites.batches import _along


def _bytes_of(part, sample):
    """The bytes of a sample of a part, one by one."""
    v = part.view
    dim, own = part.dim, v.shape[part.dim] // part.batch
    ranges = [range(n) for n in v.shape]
    ranges[dim] = range(sample * own, (sample + 1) * own)
    return {
        v.address + sum(k * s for k, s in zip(at, v.strides, strict=True))
        for at in itertools.product(*ranges)
    }


class Cut:
    def __init__(self, v, dim, batch):
        self.view, self.dim, self.batch = v, dim, batch
        self.part = _along(v, dim, batch)


@pytest.mark.parametrize("seed", range(40))
def test_parts_that_are_said_to_be_apart_share_no_byte(seed):
    r = random.Random(seed)
    apart = 0
    for _ in range(200):
        batch = r.choice([2, 3, 4])
        cuts = []
        for _ in range(2):
            dims = r.randrange(1, 4)
            dim = r.randrange(dims)
            shape = [r.choice([1, 2, 3]) for _ in range(dims)]
            shape[dim] = batch * r.choice([1, 1, 2])
            order = r.sample(range(dims), dims)
            strides, step = [0] * dims, r.choice([1, 1, 2])
            for d in order:
                strides[d] = step
                step *= shape[d] + r.choice([0, 0, 0, 1])
            cuts.append(Cut(view(0, 1000 + r.randrange(12), 1, tuple(shape), tuple(strides)), dim, batch))
        a, b = cuts
        if a.part is None or b.part is None or not a.part.apart_from(b.part):
            continue
        apart += 1
        for i, j in itertools.permutations(range(batch), 2):
            assert not _bytes_of(a, i) & _bytes_of(b, j)
    assert apart
