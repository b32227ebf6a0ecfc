"""Where the parameters and values of each distribution lie: its ``arg_constraints`` and ``support``."""

from __future__ import annotations

from typing import Any

from . import constraints as C

_REAL_SCALE = {"loc": C.real, "scale": C.positive}
_TRIALS = {"probs": C.unit_interval, "logits": C.real}
_CLASSES = {"probs": C.simplex, "logits": C.real_vector}
_RATE = {"concentration": C.positive, "rate": C.positive}
_MATRICES = {
    "covariance_matrix": C.positive_definite,
    "precision_matrix": C.positive_definite,
    "scale_tril": C.lower_cholesky,
}


def _below(d: Any) -> Any:
    return C.integer_interval(0, d.total_count)


def _of_classes(d: Any) -> Any:
    weights = next(vars(d)[name] for name in ("probs", "logits") if name in vars(d))
    return C.integer_interval(0, weights.shape[-1] - 1)


def _of_transformed(d: Any) -> Any:
    """The set of the last function's values; PyTorch's, too, takes no account of the base."""
    if not d.transforms:
        return d.base_dist.support
    found = d.transforms[-1].codomain
    missing = len(d.event_shape) - found.event_dim
    return C.independent(found, missing) if missing > 0 else found


def _of_independent(d: Any) -> Any:
    found = d.base_dist.support
    count = d.reinterpreted_batch_ndims
    return C.independent(found, count) if count else found


def _of_wishart(d: Any) -> dict[str, Any]:
    return {"df": C.greater_than(d.event_shape[-1] - 1), **_MATRICES}


# name of the class: sets of its parameters or a property, and the set of its values or a function that finds it
SETS: dict[str, tuple[Any, Any]] = {
    "Bernoulli": (_TRIALS, C.boolean),
    "Beta": ({"concentration1": C.positive, "concentration0": C.positive}, C.unit_interval),
    "Binomial": ({"total_count": C.nonnegative_integer, **_TRIALS}, _below),
    "Categorical": (_CLASSES, _of_classes),
    "Cauchy": (_REAL_SCALE, C.real),
    "Chi2": ({"df": C.positive}, C.nonnegative),
    "ContinuousBernoulli": (_TRIALS, C.unit_interval),
    "Dirichlet": ({"concentration": C.independent(C.positive, 1)}, C.simplex),
    "Exponential": ({"rate": C.positive}, C.nonnegative),
    "FisherSnedecor": ({"df1": C.positive, "df2": C.positive}, C.positive),
    "Gamma": (_RATE, C.nonnegative),
    "GeneralizedPareto": (
        {"loc": C.real, "scale": C.positive, "concentration": C.real},
        lambda d: C.interval(d.loc, d._end()),
    ),
    "Geometric": (_TRIALS, C.nonnegative_integer),
    "Gumbel": (_REAL_SCALE, C.real),
    "HalfCauchy": ({"scale": C.positive}, C.nonnegative),
    "HalfNormal": ({"scale": C.positive}, C.nonnegative),
    "Independent": ({}, _of_independent),
    "InverseGamma": (_RATE, C.positive),
    "Kumaraswamy": ({"concentration1": C.positive, "concentration0": C.positive}, C.unit_interval),
    "LKJCholesky": ({"concentration": C.positive}, C.corr_cholesky),
    "Laplace": (_REAL_SCALE, C.real),
    "LogNormal": (_REAL_SCALE, C.positive),
    "LogisticNormal": (_REAL_SCALE, C.simplex),
    "LowRankMultivariateNormal": (
        {
            "loc": C.real_vector,
            "cov_factor": C.independent(C.real, 2),
            "cov_diag": C.independent(C.positive, 1),
        },
        C.real_vector,
    ),
    "MixtureSameFamily": ({}, lambda d: d.component_distribution.support),
    "Multinomial": (_CLASSES, lambda d: C.multinomial(d.total_count)),
    "MultivariateNormal": ({"loc": C.real_vector, **_MATRICES}, C.real_vector),
    "NegativeBinomial": (
        {"total_count": C.greater_than_eq(0), "probs": C.half_open_interval(0.0, 1.0), "logits": C.real},
        C.nonnegative_integer,
    ),
    "Normal": (_REAL_SCALE, C.real),
    "OneHotCategorical": (_CLASSES, C.one_hot),
    "Pareto": ({"alpha": C.positive, "scale": C.positive}, lambda d: C.greater_than_eq(d.scale)),
    "Poisson": ({"rate": C.nonnegative}, C.nonnegative_integer),
    "RelaxedBernoulli": (_TRIALS, C.unit_interval),
    "RelaxedOneHotCategorical": (_CLASSES, C.simplex),
    "StudentT": ({"df": C.positive, **_REAL_SCALE}, C.real),
    "TransformedDistribution": ({}, _of_transformed),
    "Uniform": ({"low": C.dependent, "high": C.dependent}, lambda d: C.interval(d.low, d.high)),
    "VonMises": ({"loc": C.real, "concentration": C.positive}, C.real),
    "Weibull": ({"scale": C.positive, "concentration": C.positive}, C.positive),
    "Wishart": (property(_of_wishart), C.positive_definite),
}
# name of the transform: where it is defined, and where its values lie
MAPS: dict[str, tuple[Any, Any]] = {
    "AbsTransform": (C.real, C.positive),
    "AffineTransform": (C.real, C.real),
    "CorrCholeskyTransform": (C.real_vector, C.corr_cholesky),
    "ExpTransform": (C.real, C.positive),
    "LowerCholeskyTransform": (C.independent(C.real, 2), C.lower_cholesky),
    "PositiveDefiniteTransform": (C.independent(C.real, 2), C.positive_definite),
    "PowerTransform": (C.positive, C.positive),
    "SigmoidTransform": (C.real, C.unit_interval),
    "SoftmaxTransform": (C.real_vector, C.simplex),
    "SoftplusTransform": (C.real, C.positive),
    "StickBreakingTransform": (C.real_vector, C.simplex),
    "TanhTransform": (C.real, C.interval(-1.0, 1.0)),
}


def attach(space: dict[str, Any]) -> None:
    """Give the classes of the package their sets."""
    for name, (parameters, values) in SETS.items():
        space[name].arg_constraints = parameters
        known = isinstance(values, C.Constraint)
        space[name].support = values if known else C.dependent_property(values)
    for name, (domain, codomain) in MAPS.items():
        space[name].domain, space[name].codomain = domain, codomain
