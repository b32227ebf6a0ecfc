"""Copies in the place of arguments that share memory with tensors which the function can reach otherwise.

A record names memory: it could not tell what the function reads through such an argument from what it reads by
itself. From a copy it can, and as long as nothing writes to that memory, a copy is as good. The program is then
replayed on the argument itself, if it does not use the other tensor; compiled code looks at that in every call.
"""

from __future__ import annotations

from typing import Any

from ..._tensor import Tensor
from ...engine.layout import S_STORAGE
from ..remade import Parts
from ..tree import flatten, unflatten


def copies_of(arguments: list[Tensor], reachable: list[Tensor]) -> list[Tensor] | None:
    """The arguments, with copies of those that are in a storage with a reachable tensor; None where no copy will do.

    It will not for what has gradients or attributes, what is not contiguous, and several in one storage.
    """
    others = {t._word(S_STORAGE) for t in reachable}
    shared = [x for x in arguments if x._word(S_STORAGE) in others]
    apart = len({x._word(S_STORAGE) for x in shared}) == len(shared)
    if not apart or any(
        type(x) is not Tensor or x.requires_grad or x.__dict__ or not x.is_contiguous() for x in shared
    ):
        return None
    ids = {id(x) for x in shared}
    return [_copy(x) if id(x) in ids else x for x in arguments]


def _copy(x: Any) -> Any:
    """The values of a contiguous tensor, with its strides: those of dimensions of size one may be any."""
    return x.clone().as_strided(x.shape, x._strides())


def with_tensors(value: Any, tensors: list[Tensor], others: list[Tensor], parts: Parts | None = None) -> Any:
    """A nested value, also within objects that `parts` takes apart, with `others` in the place of `tensors`."""
    replaced = {id(x): y for x, y in zip(tensors, others, strict=True)}
    leaves: list[Tensor] = []
    form = flatten(value, leaves, parts)
    return unflatten(form, iter([replaced.get(id(x), x) for x in leaves]))


def versions_of(tensors: list[Tensor]) -> list[int]:
    """What tells whether somebody has written to them."""
    return [x._version for x in tensors]
