"""Probability distributions with PyTorch's names: samples, logarithms of densities, entropies, divergences.

>>> policy = Categorical(logits=model(observation))                              # doctest: +SKIP
>>> action = policy.sample()                                                     # doctest: +SKIP
>>> loss = -(policy.log_prob(action) * reward).mean()                            # doctest: +SKIP

All are made of jitgrad's functions, so they have gradients of any order and run in compiled steps.
"""

from .distribution import Distribution
from .bernoulli import Bernoulli
from .categorical import Categorical
from .cauchy import Cauchy
from .exponential import Exponential
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .log_normal import LogNormal
from .normal import Normal
from .uniform import Uniform
from .kl import kl_divergence, register_kl

__all__ = [
    "Bernoulli",
    "Categorical",
    "Cauchy",
    "Distribution",
    "Exponential",
    "Geometric",
    "Gumbel",
    "HalfNormal",
    "Independent",
    "Laplace",
    "LogNormal",
    "Normal",
    "Uniform",
    "kl_divergence",
    "register_kl",
]
