"""What parameters and values of distributions must satisfy, and the refusal of those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jitgrad._tensor import Tensor


class Requirement(NamedTuple):
    """A condition on every element of a tensor.

    Attributes
    ----------
    text : str
        What is required, to follow "expected x to be".
    holds : callable
        From a tensor to a tensor of bool, of a shape to which the tensor broadcasts.
    """

    text: str
    holds: Callable[[Tensor], Tensor]

    def check(self, what: str, x: Tensor) -> None:
        """Raise ValueError when an element does not satisfy this; `what` names the tensor."""
        x = x.detach()
        satisfied = self.holds(x)
        if not bool(satisfied.all()):
            wrong = x.masked_select(~satisfied)[0].item()
            raise ValueError(f"{what} of shape {tuple(x.shape)} to be {self.text}, got {wrong}")


REAL = Requirement("a number, not nan", lambda x: x == x)
POSITIVE = Requirement("greater than 0", lambda x: x > 0)
NOT_NEGATIVE = Requirement("at least 0", lambda x: x >= 0)
PROBABILITY = Requirement("from 0 to 1", lambda x: (x >= 0) & (x <= 1))
POSITIVE_PROBABILITY = Requirement("greater than 0 and at most 1", lambda x: (x > 0) & (x <= 1))
ZERO_OR_ONE = Requirement("0 or 1", lambda x: (x == 0) | (x == 1))
COUNT = Requirement("a whole number from 0", lambda x: (x >= 0) & (x % 1 == 0))
WEIGHT = Requirement("weights from 0 with a positive, finite sum", lambda x: x >= 0)
SIMPLEX = Requirement(
    "probabilities that sum to 1 along the last dimension",
    lambda x: (x >= 0).all(-1, keepdim=True) & ((x.sum(-1, keepdim=True) - 1).abs() < 1e-6),
)
