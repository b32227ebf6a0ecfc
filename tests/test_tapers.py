"""Windows are PyTorch's; numbers drawn in place have their distributions and follow their generator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_cases import MANY
from twin_calls import fail_alike, run_both

import jitgrad as torch


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett"])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 8])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows_are_pytorchs(name, length, periodic):
    def script(m, t):
        window = getattr(m, f"{name}_window")
        return window(length, periodic, dtype=m.float64), window(length, periodic=periodic).shape[0]

    run_both(script)


def test_the_weights_of_a_hamming_window_are_its_arguments():
    run_both(lambda m, t: m.hamming_window(6, True, 0.6, 0.3, dtype=m.float64, requires_grad=True))


DRAWN = {  # the call, and the probability of values up to x
    "cauchy_": (
        lambda x, g: x.cauchy_(1.0, 2.0, generator=g),
        lambda x: 0.5 + np.arctan((x - 1) / 2) / math.pi,
        3.0,
    ),
    "log_normal_": (
        lambda x, g: x.log_normal_(0.5, 0.7, generator=g),
        lambda x: 0.5 * (1 + math.erf((math.log(x) - 0.5) / 0.7 / math.sqrt(2))),
        2.0,
    ),
    "geometric_": (lambda x, g: x.geometric_(0.3, generator=g), lambda x: 1 - 0.7**x, 2.0),
}


@pytest.mark.parametrize("name", DRAWN)
def test_numbers_drawn_in_place_have_the_distribution(name):
    call, probability, at = DRAWN[name]
    g = torch.Generator().manual_seed(3)
    x = torch.empty(MANY)
    assert call(x, g) is x
    first, p = x.clone(), probability(at)
    assert abs((first <= at).double().mean().item() - p) < 5 * math.sqrt(p * (1 - p) / MANY)
    assert call(x, g).tolist() != first.tolist()
    g.manual_seed(3)
    assert call(x, g).tolist() == first.tolist()


ERRORS = {
    "length": (lambda m, t: m.hann_window(-1), "hann_window -1"),
    "kind": (lambda m, t: m.hann_window(3, dtype=m.int64), "hann_window"),
    "sigma": (lambda m, t: t(3).cauchy_(0.0, -1.0), "cauchy_ sigma -1.0"),
    "std": (lambda m, t: t(3).log_normal_(0.0, 0.0), "log_normal_ std 0.0"),
    "p": (lambda m, t: t(3).geometric_(1.5), "geometric_ 1.5"),
    "leaf": (lambda m, t: t(3, grad=True).cauchy_(), "leaf"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_impossible_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])
