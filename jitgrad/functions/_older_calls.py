"""The order of arguments from PyTorch's early years, with factors before the tensors: ``x.add_(-lr, grad)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._tensor import NUMBERS, Tensor
from ..user_frames import warn


def factors_by_name(
    name: str, given: tuple[Any, ...], first: tuple[str, ...], count: int, *named: float
) -> dict[str, Any]:
    """The factors that a call of old has before its tensors, by their names; it warns that they are there.

    Parameters
    ----------
    name : str
        The function, for messages.
    given : tuple
        Its arguments after the input: the factors, then the tensors.
    first : tuple of str
        The names of the factors.
    count : int
        How many tensors there are.
    *named : float
        The factors as they came by name, 1 where they did not.

    Raises
    ------
    TypeError
        If there are too many arguments, a factor came both ways, or what should be one is none.
    """
    factors, now = given[: len(first)], ", ".join(f"{key}=..." for key in first)
    if len(given) != len(first) + count or not all(map(_is_factor, factors)):
        got = ", ".join(type(x).__name__ for x in given)
        raise TypeError(
            f"{name}(): expected {count} arguments after the input, got {len(given)} ({got}); "
            f"give factors by name: {now}"
        )
    if any(factor != 1 for factor in named):
        raise TypeError(f"{name}(): got multiple values for a factor; give each once, by name")
    # without the values, which may be others in every step: Python shows the same text once a line
    warn(f"{name}(): a factor before the tensors is an order of old; give it by name, after them: {now}")
    return dict(zip(first, factors, strict=True))


def _is_factor(value: Any) -> bool:
    return not value.ndim if isinstance(value, Tensor) else isinstance(value, NUMBERS)


def older_product(function: Callable[..., Tensor], *given: Any, beta: float, alpha: float) -> Tensor:
    """Call a sum with a product as it was called: (beta, input, alpha, one, other), or with input first.

    The last two factors may be one, which is beta.

    Raises
    ------
    TypeError
        As `factors_by_name`.
    """
    input, rest = (
        (given[0], given[1:]) if isinstance(given[0], Tensor) else (given[1], (given[0], *given[2:]))
    )
    names = ("beta", "alpha")[: max(1, len(rest) - 2)]
    factors = factors_by_name(function.__name__, rest, names, 2, beta, alpha)
    return function(input, *rest[-2:], **factors)
