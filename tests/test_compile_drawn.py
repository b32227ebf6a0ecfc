"""Steps that draw from generators of Python and NumPy: every call has to draw anew."""

from __future__ import annotations

import random

import numpy as np
import pytest
from compile_cases import bits, warnings_of

import jitgrad as torch


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: np.random.RandomState(2), lambda g: g.random()),
        (lambda: np.random.RandomState(2), lambda g: g.normal()),
        (lambda: np.random.Generator(np.random.MT19937(2)), lambda g: g.normal()),
        (lambda: np.random.Generator(np.random.PCG64DXSM(2)), lambda g: g.normal()),
        (lambda: np.random.Generator(np.random.SFC64(2)), lambda g: g.normal()),
        (lambda: np.random.Generator(np.random.Philox(2)), lambda g: g.integers(100)),
        (lambda: np.random.PCG64(2), lambda g: g.random_raw() % 1000),
    ],
    ids=["RandomState", "RandomState normal", "MT19937", "PCG64DXSM", "SFC64", "Philox", "BitGenerator"],
)
def test_random_numbers_of_every_generator_of_numpy(make, draw):
    def run(compiled):
        generator = make()

        def step(x):
            return x * float(draw(generator))

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "random" in warned[0]


def test_a_generator_that_cannot_say_where_it_stands_is_not_replayed():
    source = random.SystemRandom()
    step = torch.compile(lambda x: x * source.random())
    found, warned = warnings_of(lambda: {step(torch.ones(1)).item() for _ in range(5)})
    assert len(found) == 5 and len(warned) == 1 and "SystemRandom" in warned[0]


@pytest.mark.parametrize(
    "make", [lambda: np.random.RandomState(2), lambda: np.random.Generator(np.random.SFC64(2))]
)
def test_a_generator_from_which_nothing_is_drawn_is_in_nobodys_way(make):
    generator = make()
    step = torch.compile(lambda x, more=generator: x * 2 if more else x, fullgraph=True)
    assert [step(torch.ones(1)).item() for _ in range(3)] == [2, 2, 2]
    assert len(step.programs) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: random.Random(2).random,
        lambda: random.Random(2).gauss,
        lambda: np.random.RandomState(2).rand,
        lambda: np.random.default_rng(2).normal,
    ],
    ids=["Random", "Random normal", "RandomState", "Generator"],
)
def test_methods_of_generators_draw_anew(make):
    def run(compiled):
        draw = make()

        def step(x):
            return x * float(draw(0, 1) if "gauss" in repr(draw) else draw())

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "random" in warned[0]
