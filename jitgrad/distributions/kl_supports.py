"""Divergences where the second distribution has a logarithm or an exponential in its density, or less room.

As in `kl_moments`, D(p | q) = -H(p) - E_p[log q], here with the means of log x, exp(-x / s) and |x - m| under p.
Where p has values that q does not have, D is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .continuous_bernoulli import ContinuousBernoulli
from .distribution import Distribution
from .exponential import Exponential
from .gamma import Gamma
from .gumbel import Gumbel
from .kl import kl_divergence, register_kl
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .pareto import Pareto
from .poisson import Poisson
from .uniform import Uniform
from .utils import euler_constant


def _uniform_log(low: Tensor, high: Tensor) -> Tensor:
    """The mean of log x between two numbers; those below 0 count as 0."""
    low, high = low.clamp(min=0), high.clamp(min=0)
    return (T.xlogy(high, high) - T.xlogy(low, low)) / (high - low) - 1


MEAN_OF_LOG: dict[type, Callable] = {
    Beta: lambda p: T.digamma(p.concentration1) - T.digamma(p.concentration1 + p.concentration0),
    Exponential: lambda p: -euler_constant - p.rate.log(),
    Pareto: lambda p: p.scale.log() + 1 / p.alpha,
    Uniform: lambda p: _uniform_log(p.low, p.high),
}
# E_p[exp(-x / s)]
MEAN_OF_EXP: dict[type, Callable] = {
    Normal: lambda p, s: ((p.scale / s).square() / 2 - p.loc / s).exp(),
    Exponential: lambda p, s: p.rate / (p.rate + 1 / s),
    Gamma: lambda p, s: (p.rate / (p.rate + 1 / s)) ** p.concentration,
    Uniform: lambda p, s: s * ((-p.low / s).exp() - (-p.high / s).exp()) / (p.high - p.low),
}


def _unless_below(p: Distribution, bound: Tensor | float, found: Tensor) -> Tensor:
    """Infinite where p has values below a bound: of the families here, only the uniform one may."""
    return T.where(p.low < bound, math.inf, found) if isinstance(p, Uniform) else found


def _to_gamma(p: Distribution, q: Gamma) -> Tensor:
    a, b = q.concentration, q.rate
    mean = a * b.log() - T.lgamma(a) + (a - 1) * MEAN_OF_LOG[type(p)](p) - b * p.mean
    return _unless_below(p, 0.0, -mean - p.entropy())


def _to_gumbel(p: Distribution, q: Gumbel) -> Tensor:
    s = q.scale
    tail = (q.loc / s).exp() * MEAN_OF_EXP[type(p)](p, s)
    return s.log() + (p.mean - q.loc) / s + tail - p.entropy()


for _family in (Beta, Exponential, Pareto, Uniform):
    register_kl(_family, Gamma)(_to_gamma)
for _family in (Normal, Exponential, Gamma, Uniform):
    register_kl(_family, Gumbel)(_to_gumbel)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    apart = (p.loc - q.loc) / (math.sqrt(2) * p.scale)  # |x - m| is a folded normal number
    mean = p.scale * math.sqrt(2) * ((-apart.square()).exp() / math.sqrt(math.pi) + apart * T.erf(apart))
    return (2 * q.scale).log() + mean / q.scale - p.entropy()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return q.rate - p.probs * q.rate.log() - p.entropy()  # the factorials of 0 and 1 are 1


def _to_continuous_bernoulli(p: Distribution, q: ContinuousBernoulli) -> Tensor:
    found = T.softplus(q.logits) - q.logits * p.mean - q._log_scale() - p.entropy()
    return T.where((p.low < 0) | (p.high > 1), math.inf, found) if isinstance(p, Uniform) else found


def _unit_to_uniform(p: Distribution, q: Uniform) -> Tensor:
    return T.where((q.low > 0) | (q.high < 1), math.inf, (q.high - q.low).log() - p.entropy())


for _family in (Beta, ContinuousBernoulli, Uniform):
    register_kl(_family, ContinuousBernoulli)(_to_continuous_bernoulli)
for _family in (Beta, ContinuousBernoulli):
    register_kl(_family, Uniform)(_unit_to_uniform)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    a, b = q.concentration1, q.concentration0
    logs = (a - 1) * _uniform_log(p.low, p.high) + (b - 1) * _uniform_log(1 - p.high, 1 - p.low)
    found = T.lgamma(a) + T.lgamma(b) - T.lgamma(a + b) - logs - p.entropy()
    return T.where((p.low < 0) | (p.high > 1), math.inf, found)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Uniform, q: Exponential) -> Tensor:
    return _unless_below(p, 0.0, q.rate * p.mean - q.rate.log() - p.entropy())


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Uniform, q: Pareto) -> Tensor:
    mean = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _uniform_log(p.low, p.high)
    return _unless_below(p, q.scale, -mean - p.entropy())


def _infinite(p: Distribution, q: Distribution) -> Tensor:
    shape = T.broadcast_shapes(p.batch_shape, q.batch_shape)
    return T.full(shape, math.inf, dtype=p.mean.dtype)


for _family in (Normal, Laplace, Gumbel):
    for _narrower in (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform):
        register_kl(_family, _narrower)(_infinite)
for _family in (Exponential, Gamma, Pareto):
    for _narrower in (Beta, ContinuousBernoulli, Uniform):
        register_kl(_family, _narrower)(_infinite)
for _family in (Exponential, Gamma, Beta, ContinuousBernoulli):
    register_kl(_family, Pareto)(_infinite)
for _family in (Bernoulli, Binomial):
    register_kl(Poisson, _family)(_infinite)


def _by_covariance(p: Distribution, q: Distribution) -> Tensor:
    both = (MultivariateNormal(d.mean, covariance_matrix=d.covariance_matrix) for d in (p, q))  # type: ignore[attr-defined]
    return kl_divergence(*both)


register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)(_by_covariance)
register_kl(LowRankMultivariateNormal, MultivariateNormal)(_by_covariance)
register_kl(MultivariateNormal, LowRankMultivariateNormal)(_by_covariance)
