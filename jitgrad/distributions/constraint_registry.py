"""Transforms from unconstrained numbers into the sets of `constraints`.

`biject_to` gives one that has an inverse and a density, for inference; `transform_to` the simplest one, for
optimization: it may have more numbers than the set has dimensions.

>>> scale = transform_to(Normal.arg_constraints["scale"])(torch.zeros(3))         # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints as C
from .transforms import (
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StackTransform,
    StickBreakingTransform,
    Transform,
    identity_transform,
)

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """From kinds of sets to makers of transforms into them."""

    def __init__(self) -> None:
        self._makers: dict[type, Callable[[Any], Transform]] = {}

    def register(self, constraint: Any, factory: Callable[[Any], Transform] | None = None) -> Any:
        """Have `factory` make the transform for the kind of `constraint`; without it, a decorator.

        Parameters
        ----------
        constraint : Constraint or subclass
        factory : callable, optional
            From a set of this kind to a `Transform`.

        Raises
        ------
        TypeError
            If `constraint` is none.
        """
        if factory is None:
            return lambda made: self.register(constraint, made)
        kind = type(constraint) if isinstance(constraint, C.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, C.Constraint):
            raise TypeError(
                f"register: expected constraint to be a Constraint subclass or instance, got {constraint!r}"
            )
        self._makers[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Transform:
        """Return the transform into a set.

        Raises
        ------
        NotImplementedError
            If none has been registered for its kind.
        """
        maker = self._makers.get(type(constraint))
        if maker is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints; register() a transform for them"
            )
        return maker(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _above(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.lower_bound, 1)])


def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, int | float) and isinstance(high, int | float) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


def _positive_or_above(constraint: Any) -> Transform:
    bound = constraint.lower_bound
    return ExpTransform() if isinstance(bound, int | float) and bound == 0 else _above(constraint)


for _registry in (biject_to, transform_to):
    _registry.register(C.real, lambda constraint: identity_transform)
    _registry.register(C.greater_than, _positive_or_above)
    _registry.register(C.greater_than_eq, _positive_or_above)
    _registry.register(
        C.less_than, lambda c: ComposeTransform([ExpTransform(), AffineTransform(c.upper_bound, -1)])
    )
    _registry.register(C.interval, _between)
    _registry.register(C.half_open_interval, _between)
    _registry.register(C.corr_cholesky, lambda constraint: CorrCholeskyTransform())
    _registry.register(
        C.independent,
        lambda c, registry=_registry: IndependentTransform(
            registry(c.base_constraint), c.reinterpreted_batch_ndims
        ),
    )
    _registry.register(
        C.cat,
        lambda c, registry=_registry: CatTransform([registry(part) for part in c.cseq], c.dim, c.lengths),
    )
    _registry.register(
        C.stack, lambda c, registry=_registry: StackTransform([registry(part) for part in c.cseq], c.dim)
    )
biject_to.register(C.simplex, lambda constraint: StickBreakingTransform())
transform_to.register(C.simplex, lambda constraint: SoftmaxTransform())
transform_to.register(C.lower_cholesky, lambda constraint: LowerCholeskyTransform())
transform_to.register(C.positive_definite, lambda constraint: PositiveDefiniteTransform())
transform_to.register(C.positive_semidefinite, lambda constraint: PositiveDefiniteTransform())
