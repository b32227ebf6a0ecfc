"""Sets of numbers, vectors and matrices: where parameters and values of distributions may lie.

>>> constraints.positive.check(torch.tensor([1.0, -1.0]))                         # doctest: +SKIP
tensor([True, False])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

__all__ = ["Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than",
           "greater_than_eq", "half_open_interval", "independent", "integer_interval", "interval", "is_dependent",
           "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative", "nonnegative_integer",
           "one_hot", "positive", "positive_definite", "positive_integer", "positive_semidefinite", "real",
           "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval"]  # fmt: skip

_NEAR = 1e-6  # how far sums of probabilities and symmetric elements may be apart


class Constraint:
    """A set in which values may lie.

    Attributes
    ----------
    is_discrete : bool
        Whether it is a set of separate values.
    event_dim : int
        The dimensions of one element: `check` has one answer for each element.
    """

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Where `value` lies in the set: a tensor of bool, without the last `event_dim` dimensions."""
        raise NotImplementedError(f"{type(self).__name__} has no check")

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        return f"{type(self).__name__.lstrip('_')}({bounds})"


class _Dependent(Constraint):
    """The set depends on the distribution's parameters or its parts."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> _Dependent:
        return _Dependent(is_discrete=is_discrete, event_dim=event_dim)

    def check(self, value: Tensor) -> Tensor:
        raise ValueError(
            "constraints.dependent: cannot determine validity; ask a distribution for its support"
        )


class _DependentProperty(property, _Dependent):
    """A property that gives a set which depends on the distribution; of the class it is a `dependent` set."""

    def __init__(self, fn: Callable | None = None, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        property.__init__(self, fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable) -> _DependentProperty:  # type: ignore[override]
        """As a decorator with arguments."""
        return _DependentProperty(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a set is only known for a distribution with parameters."""
    return isinstance(constraint, _Dependent)


class _Independent(Constraint):
    """Another set for each element along the last dimensions, all of which must hold."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        found = self.base_constraint.check(value)
        count = self.reinterpreted_batch_ndims
        if found.ndim < count:
            raise ValueError(
                f"constraints.independent: expected at least {self.event_dim} dimensions, got {value.ndim}"
            )
        return found.reshape(*found.shape[: found.ndim - count], -1).all(-1) if count else found

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Real(Constraint):
    def check(self, value: Tensor) -> Tensor:
        return value == value  # type: ignore[return-value]


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)  # type: ignore[operator]


class _GreaterThan(Constraint):
    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Tensor) -> Tensor:
        return value > self.lower_bound  # type: ignore[return-value]


class _GreaterThanEq(_GreaterThan):
    def check(self, value: Tensor) -> Tensor:
        return value >= self.lower_bound  # type: ignore[return-value]


class _LessThan(Constraint):
    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound  # type: ignore[return-value]


class _Interval(Constraint):
    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)  # type: ignore[operator]


class _HalfOpenInterval(_Interval):
    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value < self.upper_bound)  # type: ignore[operator]


class _IntegerInterval(_Interval):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & super().check(value)  # type: ignore[operator]


class _IntegerGreaterThan(_GreaterThanEq):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & super().check(value)  # type: ignore[operator]


class _Multinomial(Constraint):
    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)  # type: ignore[operator]


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < _NEAR)  # type: ignore[operator]


class _OneHot(Constraint):
    is_discrete, event_dim = True, 1

    def check(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)  # type: ignore[operator]


class _Matrix(Constraint):
    event_dim = 2


class _Square(_Matrix):
    def check(self, value: Tensor) -> Tensor:
        return value.new_full(value.shape[:-2], value.shape[-1] == value.shape[-2], dtype=bool)  # type: ignore


class _Symmetric(_Matrix):
    def check(self, value: Tensor) -> Tensor:
        return T.isclose(value, value.mT, atol=_NEAR).all(-1).all(-1)  # type: ignore[attr-defined]


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Tensor) -> Tensor:
        from jitgrad.linalg import eigvalsh

        value = value.detach()  # type: ignore[attr-defined]
        known = super().check(value) & value.isfinite().all(-1).all(-1)  # type: ignore[attr-defined]
        given = value.masked_fill(~known[..., None, None], 0.0)  # type: ignore[attr-defined]
        return known & (eigvalsh(given) >= 0).all(-1)  # type: ignore[operator]


class _PositiveDefinite(_Symmetric):
    def check(self, value: Tensor) -> Tensor:
        from jitgrad.linalg import cholesky_ex

        return super().check(value) & (cholesky_ex(value.detach()).info == 0)  # type: ignore[operator]


class _LowerTriangular(_Matrix):
    def check(self, value: Tensor) -> Tensor:
        return (value.tril() == value).all(-1).all(-1)  # type: ignore[attr-defined]


class _LowerCholesky(_LowerTriangular):
    def check(self, value: Tensor) -> Tensor:
        return super().check(value) & (value.diagonal(0, -2, -1) > 0).all(-1)  # type: ignore[attr-defined]


class _CorrCholesky(_LowerCholesky):
    def check(self, value: Tensor) -> Tensor:
        near = 10 * value.shape[-1] * _NEAR
        rows = (value.square().sum(-1).sqrt() - 1).abs() < near  # type: ignore[attr-defined]
        return super().check(value) & rows.all(-1)


class _Joined(Constraint):
    """A set for each of several parts of a value; it has as many dimensions as the part of most."""

    def __init__(self, cseq: Sequence[Constraint], dim: int) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}()"

    def _checks(self, parts: Sequence[Tensor]) -> list[Tensor]:
        if len(parts) != len(self.cseq):
            raise ValueError(
                f"constraints.stack: expected {len(self.cseq)} parts along dimension {self.dim}, got {len(parts)}"
            )
        return [c.check(part) for c, part in zip(self.cseq, parts, strict=True)]


class _Cat(_Joined):
    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise ValueError(
                f"constraints.cat: expected a length for each of {len(self.cseq)} sets, got {len(self.lengths)}"
            )

    def check(self, value: Tensor) -> Tensor:
        return T.cat(self._checks(value.split(self.lengths, self.dim)), self.dim)  # type: ignore[attr-defined]


class _Stack(_Joined):
    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        super().__init__(cseq, dim)

    def check(self, value: Tensor) -> Tensor:
        return T.stack(self._checks(value.unbind(self.dim)), self.dim)  # type: ignore[attr-defined]


dependent = _Dependent()
dependent_property = _DependentProperty
independent = _Independent
cat, stack = _Cat, _Stack
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive, nonnegative = _GreaterThan(0.0), _GreaterThanEq(0.0)
greater_than, greater_than_eq, less_than = _GreaterThan, _GreaterThanEq, _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval, half_open_interval = _Interval, _HalfOpenInterval
simplex = _Simplex()
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
square, symmetric = _Square(), _Symmetric()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()
