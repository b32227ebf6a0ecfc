"""The base of all distributions: shapes, samples, and checks of parameters and values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from typing import Any, NoReturn

from jitgrad._tensor import Tensor
from jitgrad.autograd import enable_grad, no_grad
from jitgrad.dtypes import Size
from jitgrad.functions import exp
from jitgrad.store import store

from ._requirements import REAL, Requirement
from .constraints import dependent
from .utils import broadcast_all, lazy_property

__all__ = ["Distribution"]


class Distribution:
    """The base of all distributions.

    A sample has the shape ``sample_shape + batch_shape + event_shape``: that many draws from a batch of
    distributions, each of which draws an event at once. `log_prob` and `entropy` have a value for each event.

    Parameters
    ----------
    batch_shape : sequence of int
        The common shape of the parameters.
    event_shape : sequence of int
        The shape of one event; ``()`` for numbers.
    validate_args : bool, optional
        Whether to look if parameters, and values given to `log_prob` and `cdf`, are possible. By default as
        `set_default_validate_args` says: yes, unless Python runs with ``-O``.

    Raises
    ------
    ValueError
        If a parameter is not what the distribution needs.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    _requirements: dict[str, Requirement] = {}  # by the names of the parameters
    _support = REAL
    arg_constraints: dict[str, Any] = {}  # by the names of the parameters, see `_sets`
    support: Any = dependent

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._lasting = store.recording_here is None
        if validate_args is not None:
            self._validate_args = validate_args
        for name, parameter in self._parameters().items():
            self._check_parameter(name, parameter, self._requirements[name])

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Set whether distributions check their arguments when they are not told.

        Raises
        ------
        ValueError
            If `value` is not a bool.
        """
        if not isinstance(value, bool):
            raise ValueError(f"set_default_validate_args: expected True or False, got {value!r}")
        Distribution._validate_args = value

    # shapes ---------------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """The common shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one event."""
        return self._event_shape

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The same distribution with its parameters expanded to another batch shape, without copies.

        Parameters
        ----------
        batch_shape : sequence of int
        _instance : Distribution, optional
            What the ``expand`` of a class below passes on, to be filled in; see `_get_checked_instance`.

        Raises
        ------
        RuntimeError
            If a dimension of another size than 1 would have to change.
        """
        expanded = self._copied(batch_shape, _instance)
        for name, parameter in self._parameters().items():
            own = parameter.shape[len(self._batch_shape) :]  # what a parameter has for each distribution
            setattr(expanded, name, parameter.expand(expanded._batch_shape + own))
        return expanded

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """What the ``expand`` of a user's class fills in: an empty instance, unless a class below brings its own.

        Raises
        ------
        NotImplementedError
            If a class below it has an ``__init__`` of its own, but no ``expand``.
        """
        kind: Any = type(self)
        if _instance is None and kind.__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"{kind.__name__}: a subclass of {cls.__name__} that defines its own __init__ needs an expand(), too"
            )
        return kind.__new__(kind) if _instance is None else _instance

    def _validate_sample(self, value: Any) -> None:
        """`_check_value` by the name that the ``log_prob`` of a user's class calls."""
        self._check_value(value)

    def _copied(self, batch_shape: Sequence[int], _instance: Any) -> Any:
        """A copy, or `_instance` filled with what this has, of another batch shape."""
        copied = copy(self) if _instance is None else _instance
        if _instance is not None:
            vars(copied).update(vars(self))
        for name in [
            name for name in vars(copied) if isinstance(getattr(type(copied), name, None), lazy_property)
        ]:
            delattr(copied, name)  # it was computed for the shape from before
        copied._batch_shape = Size(batch_shape)
        copied._lasting = store.recording_here is None
        return copied

    def _broadcast(self, **parameters: Any) -> tuple[Tensor, ...]:
        """Parameters as tensors of their common shape, see `broadcast_all`."""
        for name, given in parameters.items():
            if not isinstance(given, Tensor | int | float):
                raise ValueError(
                    f"{type(self).__name__}: expected parameter {name} to be a number or a Tensor, got "
                    f"{type(given).__name__}"
                )
        return broadcast_all(*parameters.values())

    def _parameters(self) -> dict[str, Tensor]:
        """Parameters that are there by now: of probabilities and logits, one may not have been asked for."""
        return {name: vars(self)[name] for name in self._requirements if name in vars(self)}

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size(sample_shape) + self._batch_shape + self._event_shape

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """For what is computed when it is first asked for, and then stays.

        It has a gradient, although a sample may ask first. And where a step that is being recorded asks a
        distribution that it has not made, it is no part of the step: replays find it there.
        """
        with enable_grad(), store.outside_recording() if self._lasting else nullcontext():
            yield

    # samples --------------------------------------------------------------------------------------------

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw without a gradient.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many draws.

        Returns
        -------
        Tensor, shape ``sample_shape + batch_shape + event_shape``
        """
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int) -> Tensor:
        """Draw `n` times: ``sample((n,))`` by its older name, which warns."""
        warnings.warn("sample_n is an older name: use sample((n,))", UserWarning, stacklevel=2)
        return self.sample((n,))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw as `sample`, with a gradient with respect to the parameters (Kingma and Welling, 2014).

        Raises
        ------
        NotImplementedError
            If `has_rsample` is False.
        """
        self._lacks("rsample")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first dimension.

        Parameters
        ----------
        expand : bool, default True
            Repeat them for the whole batch; otherwise the batch's dimensions have size 1.

        Raises
        ------
        NotImplementedError
            If `has_enumerate_support` is False.
        """
        self._lacks("enumerate_support")

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        values = values.reshape(-1, *(1,) * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    # what is known of it --------------------------------------------------------------------------------

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability at `value`.

        Parameters
        ----------
        value : Tensor
            Its shape broadcasts with ``batch_shape + event_shape``.

        Returns
        -------
        Tensor, in the broadcast shape without the event's dimensions

        Raises
        ------
        ValueError
            If `value` does not fit the shape, or (checked as `validate_args` says) is not possible.
        """
        self._lacks("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`; shapes and errors are those of `log_prob`."""
        self._lacks("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`: from probabilities to values."""
        self._lacks("icdf")

    def entropy(self) -> Tensor:
        """The mean of ``-log_prob``, in nats, in the shape of the batch."""
        self._lacks("entropy")

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        return exp(self.entropy())

    @property
    def mean(self) -> Tensor:
        """The mean; nan where there is none."""
        self._lacks("mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value; nan where there is not one alone."""
        self._lacks("mode")

    @property
    def variance(self) -> Tensor:
        """The mean of the squared distance from the mean."""
        self._lacks("variance")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def _lacks(self, what: str) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no {what}")

    # checks ---------------------------------------------------------------------------------------------

    def _reads_values(self) -> bool:
        """Whether checks of values are asked for and possible.

        A step that is being recorded must not decide by values: its replays would not see others. So a
        compiled step checks shapes only, in the call that records it, too.
        """
        return self._validate_args and store.recording is None

    def _check_parameter(self, name: str, parameter: Tensor, requirement: Requirement) -> None:
        if self._reads_values():
            requirement.check(f"{type(self).__name__}: expected parameter {name}", parameter)

    def _check_value(self, value: Any) -> None:
        """Refuse a value whose shape does not fit or, where values may be read, that is not possible."""
        if not self._validate_args:
            return
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: expected value to be a Tensor, got {type(value).__name__}")
        expected = self._extended_shape()
        for own, other in zip(reversed(value.shape), reversed(expected), strict=False):
            if own != other and 1 not in (own, other):
                raise ValueError(
                    f"{name}: expected value to broadcast with the shape {tuple(expected)} of batch and "
                    f"event, got {tuple(value.shape)}"
                )
        if self._reads_values():
            self._requirement_of_values().check(f"{name}: expected value", value)

    def _requirement_of_values(self) -> Requirement:
        return self._support

    def __repr__(self) -> str:
        told = (f"{name}: {x if x.numel() == 1 else x.shape}" for name, x in self._parameters().items())
        return f"{type(self).__name__}({', '.join(told)})"
