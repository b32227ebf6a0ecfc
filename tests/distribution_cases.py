"""Distributions for tests: parameters, formulas of textbooks in NumPy, and grids to integrate on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import jitgrad as torch
from jitgrad import distributions as D


class Case(NamedTuple):
    """Two distributions as a batch, and what textbooks say of them."""

    parameters: dict[str, list]
    density: Callable[..., np.ndarray]  # or the probability
    line: str | int  # where values lie: "all", "positive" or "between" two parameters; or how many there are


CONTINUOUS = {
    "Normal": Case(
        {"loc": [0.5, -1.0], "scale": [0.7, 2.0]},
        lambda x, loc, scale: np.exp(-((x - loc) ** 2) / (2 * scale**2)) / np.sqrt(2 * np.pi * scale**2),
        "all",
    ),
    "LogNormal": Case(
        {"loc": [0.5, -1.0], "scale": [0.3, 0.8]},
        lambda x, loc, scale: (
            np.exp(-((np.log(x) - loc) ** 2) / (2 * scale**2)) / (x * scale * np.sqrt(2 * np.pi))
        ),
        "positive",
    ),
    "Uniform": Case(
        {"low": [0.5, -3.0], "high": [0.8, 2.0]}, lambda x, low, high: 0 * x + 1 / (high - low), "between"
    ),
    "Exponential": Case({"rate": [0.4, 2.5]}, lambda x, rate: rate * np.exp(-rate * x), "positive"),
    "Laplace": Case(
        {"loc": [0.5, -1.0], "scale": [0.7, 2.0]},
        lambda x, loc, scale: np.exp(-abs(x - loc) / scale) / (2 * scale),
        "all",
    ),
    "Gumbel": Case(
        {"loc": [0.5, -1.0], "scale": [0.7, 2.0]},
        lambda x, loc, scale: np.exp(-(x - loc) / scale - np.exp(-(x - loc) / scale)) / scale,
        "all",
    ),
    "HalfNormal": Case(
        {"scale": [0.4, 2.5]},
        lambda x, scale: np.sqrt(2 / np.pi) / scale * np.exp(-(x**2) / (2 * scale**2)),
        "positive",
    ),
    "Cauchy": Case(
        {"loc": [0.5, -1.0], "scale": [0.7, 2.0]},
        lambda x, loc, scale: 1 / (np.pi * scale * (1 + ((x - loc) / scale) ** 2)),
        "all",
    ),
}
DISCRETE = {
    "Bernoulli": Case({"probs": [0.3, 0.9]}, lambda k, probs: np.where(k == 1, probs, 1 - probs), 2),
    "Geometric": Case({"probs": [0.3, 0.9]}, lambda k, probs: probs * (1 - probs) ** k, 200),
    "Categorical": Case(
        {"probs": [[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]},
        lambda k, probs: probs.T[k[:, 0].astype(int)],
        3,
    ),
}
CASES = CONTINUOUS | DISCRETE


def tensors(name, dtype=torch.float64, **options):
    return {k: torch.tensor(v, dtype=dtype, **options) for k, v in CASES[name].parameters.items()}


def make(name, dtype=torch.float64, **options):
    return getattr(D, name)(**tensors(name, dtype), **options)


def grid(name, parameters=None):
    """Points for each of a batch's two distributions and their weights: the sum times these is the integral."""
    case = CONTINUOUS[name]
    first, *rest = [np.array(v) for v in (parameters or case.parameters).values()]
    t = np.linspace(-40, 40, 40_001)[:, None]
    step = t[1] - t[0]
    if case.line == "between":
        u = (np.arange(1000)[:, None] + 0.5) / 1000
        return first + u * (rest[0] - first), np.broadcast_to((rest[0] - first) / 1000, (1000, 2))
    if case.line == "positive":
        x = np.exp(np.broadcast_to(t, (len(t), 2)))
        return x, x * step
    return first + rest[0] * np.sinh(t), rest[0] * np.cosh(t) * step


def log_prob(distribution, points):
    return distribution.log_prob(torch.tensor(points)).detach().numpy()


def support(name):
    """Values and weights for sums and integrals alike."""
    if name in CONTINUOUS:
        return grid(name)
    values = np.broadcast_to(
        np.arange(DISCRETE[name].line, dtype=np.float64)[:, None], (DISCRETE[name].line, 2)
    )
    return values, np.ones_like(values)


def mean_of(name, distribution, function):
    """The mean of a function of values and logarithms of their probabilities, by integration or summation."""
    points, weights = support(name)
    logarithms = log_prob(distribution, points)
    with np.errstate(all="ignore"):
        terms = np.exp(logarithms) * function(points, logarithms) * weights
    return np.where(np.exp(logarithms) == 0, 0, terms).sum(0)


OTHERS = {  # parameters of q
    "Normal": {"loc": [0.0, 1.0], "scale": [1.5, 1.0]},
    "Laplace": {"loc": [0.0, 1.0], "scale": [1.5, 1.0]},
    "Exponential": {"rate": [1.0, 0.3]},
    "Uniform": {"low": [0.4, -3.0], "high": [0.9, 4.0]},
    "Bernoulli": {"probs": [0.6, 0.8]},
    "Categorical": {"probs": [[0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]},
}


def other(name):
    return getattr(D, name)(
        **{k: torch.tensor(v, dtype=torch.float64) for k, v in OTHERS[name].items()}, validate_args=False
    )
