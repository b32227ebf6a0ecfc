"""More formulas of the Kullback-Leibler divergence; see `jitgrad.distributions.kl`.

Those of the gamma, beta and Dirichlet distributions are from Gil, Alajaji and Linder (2013), Rényi divergence
measures for univariate distributions, table 2.
"""

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad import linalg
from jitgrad._tensor import Tensor

from .beta import Beta
from .binomial import Binomial
from .cauchy import Cauchy
from .dirichlet import Dirichlet
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .kl import kl_divergence, register_kl
from .log_normal import LogNormal
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_last
from .wishart import Wishart


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + T.lgamma(b)
        - T.lgamma(a)
        + (a - b) * T.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1, keepdim=True)
    constants = T.lgamma(total).squeeze(-1) - T.lgamma(b.sum(-1)) - (T.lgamma(a) - T.lgamma(b)).sum(-1)
    return constants + ((a - b) * (T.digamma(a) - T.digamma(total))).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    return _dirichlet(p._both, q._both)


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return T.xlogy(p.rate, p.rate) - T.xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    difference = p.probs * (p.logits - q.logits) + T.log1p(-p.probs) - T.log1p(-q.probs)
    found = p.total_count * difference
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "kl_divergence: no formula for Binomial of fewer trials and Binomial of more"
        )
    return T.where(p.total_count > q.total_count, math.inf, found)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - T.log1p(-q.probs) / p.probs - q.logits


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return kl_divergence(p._categorical, q._categorical)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)  # both halves have the same


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)  # a function that is one to one changes nothing


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("kl_divergence: TransformedDistribution needs the same transforms for both")
    events = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_last(kl_divergence(p.base_dist, q.base_dist), events)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, distance = p.scale / q.scale, (q.loc - p.loc) / q.scale
    mean = (distance + T.lgamma(ratio + 1)).exp()
    return mean - ratio.log() - distance + ratio * euler_constant - (1 + euler_constant)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    """Chyzak and Nielsen (2019), A closed-form formula for the divergence between Cauchy distributions."""
    numerator = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return numerator.log() - (4 * p.scale * q.scale).log()


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    distance = q.alpha * (p.scale / q.scale).log()
    ratio = q.alpha / p.alpha
    return T.where(p.scale < q.scale, math.inf, distance - ratio.log() + ratio - 1)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    square = ((p.high + p.low - 2 * q.loc) / 2).square() + width.square() / 12
    return 0.5 * (2 * math.pi * q.scale.square()).log() - width.log() + 0.5 * square / q.scale.square()


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: expected vectors of one length, got {p.event_shape[0]} and {q.event_shape[0]}"
        )
    factor = q._unbroadcasted_scale_tril
    spread = linalg.solve_triangular(factor, p._unbroadcasted_scale_tril, upper=False).square().sum((-1, -2))
    apart = linalg.solve_triangular(factor, (q.loc - p.loc).unsqueeze(-1), upper=False).square().sum((-1, -2))
    return q._logarithm_of_root() - p._logarithm_of_root() + 0.5 * (spread + apart - p.event_shape[0])


@register_kl(Wishart, Wishart)
def _wishart(p: Wishart, q: Wishart) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"kl_divergence: expected matrices of one size, got {p.event_shape[0]} and {q.event_shape[0]} rows"
        )
    size = p.event_shape[0]
    inner = linalg.solve_triangular(q._unbroadcasted_scale_tril, p._unbroadcasted_scale_tril, upper=False)
    roots = q._logarithm_of_root() - p._logarithm_of_root()
    constants = T.mvlgamma(0.5 * q.df, size) - T.mvlgamma(0.5 * p.df, size)
    spread = 0.5 * p.df * (inner.square().sum((-1, -2)) - size)
    return q.df * roots + constants + spread + 0.5 * (p.df - q.df) * p._multivariate_digamma()
