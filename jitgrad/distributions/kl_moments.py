"""Divergences between families, where the second asks for no more than moments of the first.

D(p | q) = -H(p) - E_p[log q]. The logarithm of a normal density is quadratic and that of an exponential one linear
in x, so E_p[log q] takes the mean and the variance of p, or its mean alone. Where a moment is infinite, D is, too.
"""

from __future__ import annotations

import math

from .._tensor import Tensor
from .beta import Beta
from .continuous_bernoulli import ContinuousBernoulli
from .distribution import Distribution
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import register_kl
from .laplace import Laplace
from .normal import Normal
from .pareto import Pareto


def _to_normal(p: Distribution, q: Normal) -> Tensor:
    spread = (p.variance + (p.mean - q.loc).square()) / (2 * q.scale.square())
    return q.scale.log() + 0.5 * math.log(2 * math.pi) + spread - p.entropy()


def _to_exponential(p: Distribution, q: Exponential) -> Tensor:
    return q.rate * p.mean - q.rate.log() - p.entropy()


for _family in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto):
    register_kl(_family, Normal)(_to_normal)
for _family in (Beta, ContinuousBernoulli, Gamma, Pareto):
    register_kl(_family, Exponential)(_to_exponential)
