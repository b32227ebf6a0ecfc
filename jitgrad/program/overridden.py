"""Methods of the user's that code of others calls, because it lets classes made from its own define them."""

from __future__ import annotations

import functools

from .._tensor import Tensor
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from .patches import function_of
from .user_code import is_users


@functools.cache
def _members(kind: type) -> frozenset[str]:
    """Names of what a class of others lets classes made from it define, and calls itself."""
    if kind is object or issubclass(kind, (Module, Optimizer, Tensor)):  # which are looked at by other names
        return frozenset()
    return frozenset(n for n, x in vars(kind).items() if not n.startswith("__") and callable(function_of(x)))


def called_by_others(kind: type) -> set[str]:
    """What code of others may call of a user's class, such as the ``backward`` of a `Function`."""
    return {n for base in kind.__mro__ if not is_users(base.__module__) for n in _members(base)}
