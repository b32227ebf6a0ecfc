"""Functions that keep what they compute, draw numbers of Python's, or read something new in every call."""

from __future__ import annotations

import random

import numpy as np
import pytest
from compile_cases import bits, warnings_of

import jitgrad as torch

X = (4, 3)


class Keeper:
    def __init__(self):
        self.kept = []
        self.last = None
        self.count = 0
        self.table = {}
        self.total = 0.0
        self.sum = torch.zeros(())

    def append(self, x):
        self.kept.append(x * 2)
        return x + 1

    def attribute(self, x):
        self.last = x * 2
        return x + 1

    def replace(self, x):
        self.sum = self.sum + x.sum()
        return x + 1

    def key(self, x):
        self.table["x"] = x * 2
        return x + 1

    def new_keys(self, x):
        self.table[len(self.table)] = (x * 2).sum()
        return x + 1

    def counter(self, x):
        self.count += 1
        return x * self.count

    def counter_only(self, x):
        self.count += 1
        return x * 2

    def argument(self, x):
        self.last = x
        return x + 1

    def argument_list(self, x):
        self.kept.append(x)
        return x + 1

    def view(self, x):
        self.last = x[0]
        return x + 1

    def state(self):
        return bits([self.kept, self.last, self.count, self.table, self.total, self.sum])


@pytest.mark.parametrize("name", [n for n in vars(Keeper) if n not in ("__init__", "state") and n[0] != "_"])
@pytest.mark.parametrize("kept", [False, True])
def test_function_that_keeps_what_it_computes(name, kept):
    made = [torch.randn(*X) for _ in range(6)]

    def run(compiled):
        keeper = Keeper()
        step = getattr(keeper, name)
        step = torch.compile(step) if compiled else step
        found, held = [], []
        for x in made:
            result = step(x.clone())
            held.append(result if kept else None)
            found.append((bits(result), keeper.state()))
        return found

    expected = run(False)
    found, warned = warnings_of(lambda: run(True))
    assert found == expected
    assert len(warned) <= 1


def test_nonlocal_counter():
    def run(compiled):
        count = 0

        def step(x):
            nonlocal count
            count += 1
            return x * count

        step = torch.compile(step) if compiled else step
        return [step(torch.ones(2)).tolist() for _ in range(6)], count

    found, _ = warnings_of(lambda: run(True))
    assert found == run(False)


TOTAL = 0.0


def test_global_counter():
    def step(x):
        global TOTAL
        TOTAL += 1
        return x * 2

    step = torch.compile(step)
    warnings_of(lambda: [step(torch.ones(2)) for _ in range(6)])
    assert TOTAL == 6


@pytest.mark.parametrize(
    "draw",
    [
        lambda r, n: random.random(),
        lambda r, n: r.random(),
        lambda r, n: float(np.random.rand()),
        lambda r, n: torch.from_numpy(np.random.rand(3)),
        lambda r, n: float(n.normal()),
    ],
    ids=["random", "Random", "numpy", "numpy array", "Generator"],
)
def test_random_numbers_of_python_and_numpy(draw):
    def run(compiled):
        random.seed(1)
        np.random.seed(1)
        own, generator = random.Random(1), np.random.default_rng(1)

        def step(x):
            return x * draw(own, generator)

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "random" in warned[0]


@pytest.mark.parametrize("kind", ["iterator", "generator", "loader", "shuffled loader"])
def test_batches_taken_in_the_step(kind):
    def run(compiled):
        torch.manual_seed(2)
        data = [torch.randn(3) for _ in range(6)]
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.stack(data)), batch_size=2, shuffle=kind[0] == "s"
        )
        source = iter(data) if kind == "iterator" else (x * 2 for x in data)

        def step(x):
            if "loader" in kind:
                return sum((batch * x).sum() for (batch,) in loader)
            return x + next(source)

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) <= 1


@pytest.mark.parametrize("kind", ["attribute", "shape", "number"])
def test_something_new_in_every_call(kind):
    """Recording again and again would cost more than it gains, so that ends."""
    keeper = Keeper()

    def step(x, factor):
        return x * factor * (1 if keeper.count % 2 else 2)

    step = torch.compile(step)

    def run():
        for k in range(100):
            x = torch.ones(k + 1 if kind == "shape" else 3)
            keeper.count = k if kind == "attribute" else 0
            factor = float(k) if kind == "number" else 1.5
            scale = 1 if keeper.count % 2 else 2
            assert step(x, factor).tolist() == [factor * scale] * len(x)

    _, warned = warnings_of(run)
    assert len(warned) == 1 and "new in every call" in warned[0]
    assert ("(count)" in warned[0]) == (kind == "attribute")


def test_shapes_that_are_new_in_every_call_are_named():
    step = torch.compile(lambda x: x.sum())
    _, warned = warnings_of(lambda: [step(torch.ones(n)) for n in range(80)])
    assert len(warned) == 1 and "new in every call (the shapes of its arguments)" in warned[0]
