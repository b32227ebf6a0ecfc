"""The Kullback-Leibler divergence of pairs of distributions for which there is a formula.

Formulas without another source follow from the definition, the mean of ``p.log_prob - q.log_prob`` under p.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ..user_frames import warn
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .exponential import Exponential
from .independent import Independent
from .laplace import Laplace
from .normal import Normal
from .uniform import Uniform
from .utils import sum_last

__all__ = ["kl_divergence", "register_kl"]

Rule = Callable[[Any, Any], Tensor]
RULES: dict[tuple[type, type], Rule] = {}


def register_kl(type_p: type[Distribution], type_q: type[Distribution]) -> Callable[[Rule], Rule]:
    """Declare the function that follows as the divergence of distributions of two types.

    It also holds for their subclasses that have none of their own.

    Raises
    ------
    TypeError
        If a type is not a subclass of `Distribution`.
    """
    for given in (type_p, type_q):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(f"register_kl: expected a subclass of Distribution, got {given!r}")

    def declare(rule: Rule) -> Rule:
        RULES[type_p, type_q] = rule
        return rule

    return declare


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Return the mean of ``p.log_prob(x) - q.log_prob(x)``, where x is drawn from p.

    Parameters
    ----------
    p, q : Distribution
        Their batches broadcast.

    Returns
    -------
    Tensor, in the shape of the batch
        Infinite where p has values that q does not have.

    Raises
    ------
    NotImplementedError
        If no formula was registered for the types.
    """
    return _rule_for(type(p), type(q))(p, q)


def _rule_for(type_p: type, type_q: type) -> Rule:
    """The rule for the nearest types; with a warning when p's and q's nearest ones are not one rule's."""
    fitting = [pair for pair in RULES if issubclass(type_p, pair[0]) and issubclass(type_q, pair[1])]
    if not fitting:
        raise NotImplementedError(
            f"kl_divergence: no formula for {type_p.__name__} and {type_q.__name__}; register_kl takes one"
        )
    steps = {
        (base_p, base_q): (type_p.__mro__.index(base_p), type_q.__mro__.index(base_q))
        for base_p, base_q in fitting
    }
    near_p = min(fitting, key=lambda pair: steps[pair])
    near_q = min(fitting, key=lambda pair: steps[pair][::-1])
    if RULES[near_p] is not RULES[near_q]:
        warn(
            f"kl_divergence: ambiguous for {type_p.__name__} and {type_q.__name__}; "
            f"register_kl({near_p[0].__name__}, {near_q[1].__name__}) decides",
            RuntimeWarning,
        )
    return RULES[near_p]


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio - 1 - ratio.log() + ((p.loc - q.loc) / q.scale).square())


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    """Gil, Alajaji and Linder (2013), Rényi divergence measures for univariate distributions, table 2."""
    distance, ratio = (p.loc - q.loc).abs(), p.scale / q.scale
    return distance / q.scale + ratio * (-distance / p.scale).exp() - ratio.log() - 1


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    outside = (p.low < q.low) | (p.high > q.high)
    return T.where(outside, math.inf, ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    # the logarithm of 1 - sigmoid(x) is that of sigmoid(-x)
    success = _share(p.probs, q.probs, T.logsigmoid(p.logits) - T.logsigmoid(q.logits))
    failure = _share(1 - p.probs, 1 - q.probs, T.logsigmoid(-p.logits) - T.logsigmoid(-q.logits))
    return success + failure


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return _share(p.probs, q.probs, p.logits - q.logits).sum(-1)


def _share(p: Tensor, q: Tensor, difference: Tensor) -> Tensor:
    """A value's part: 0 where p never has it, infinite where only q never does."""
    part = T.where(q == 0, math.inf, p * difference)
    return T.where(p == 0, 0.0, part)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "kl_divergence: Independent needs the same reinterpreted_batch_ndims for both, got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return sum_last(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
