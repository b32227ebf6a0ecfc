"""Draws by probabilities that tensors hold: bernoulli and multinomial."""

from __future__ import annotations

import math
import sys
from typing import Any

from .._tensor import Tensor, method
from ..dtypes import int64
from ..kernels import BY_NAME
from ._call import require_tensors
from ._checks import within
from ._out import make_out, takes_alike_out
from ._random import check_floating, make_random, threshold_of
from .generator import Generator
from .random import rand, rand_like

__all__ = ["bernoulli", "multinomial"]

BERNOULLI = BY_NAME["random_bernoulli"]
_check_probabilities = within(
    0.0, 1.0, RuntimeError, "bernoulli: expects all probabilities to be in [0, 1]", nan_as=math.inf
)
_check_each_weight = within(
    0.0,
    sys.float_info.max,
    RuntimeError,
    "multinomial: probability tensor contains either `inf`, `nan` or element < 0",
    nan_as=math.inf,
)
_check_is_positive = within(
    1.0,
    1.0,
    RuntimeError,
    "multinomial: invalid multinomial distribution (sum of probabilities <= 0)",
    nan_as=0.0,
)


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """Return ones and zeros; ``input`` holds the probability of each one.

    Parameters
    ----------
    input : Tensor
    p : float, optional
        One probability for all; then only the shape and dtype of ``input`` count.
    out : Tensor, optional
        Takes the numbers, of any dtype, and is returned.

    Raises
    ------
    RuntimeError
        If a probability is not between 0 and 1, or ``input`` is not floating.
    """
    require_tensors("bernoulli", input)
    if out is not None:
        drawn = bernoulli(input, p, generator=generator)
        return make_out("bernoulli", lambda own: drawn.to(own), out, None)  # type: ignore[attr-defined]
    if p is not None:
        words = (threshold_of("bernoulli", p),)
        return make_random(BERNOULLI, generator, input.dtype, tuple(input.shape), words)
    check_floating("bernoulli", input)
    chances = input.detach() if input.requires_grad else input
    _check_probabilities(chances)
    return (rand_like(chances, generator=generator) < chances).to(input.dtype)  # type: ignore[operator]


Tensor.bernoulli = bernoulli  # type: ignore[attr-defined]


@takes_alike_out
@method
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Draw indices, each with a probability proportional to its weight.

    Parameters
    ----------
    input : Tensor, shape (n,) or (m, n)
        Weights, not negative, with a positive sum in each row.
    num_samples : int
        Draws a row.
    replacement : bool, default False
        Whether an index may be drawn again.

    Returns
    -------
    Tensor of int64, shape (num_samples,) or (m, num_samples)

    Raises
    ------
    RuntimeError
        If the weights are wrong, or fewer than draws without replacement.
    """
    require_tensors("multinomial", input)
    check_floating("multinomial", input)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, got {tuple(input.shape)}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}")
    from ..autograd import no_grad

    with no_grad():
        weights = input.detach().double()  # type: ignore[attr-defined]
        _check_weights(weights, num_samples, replacement)
        if replacement:
            return _drawn_again(weights, num_samples, generator)
        # an exponential race: index i arrives at a time of rate w[i], and the first ones win; a weight of zero
        # arrives after all others
        times = weights.new_empty(weights.shape).exponential_(generator=generator) / weights
        return times.topk(num_samples, -1, largest=False).indices


def _check_weights(weights: Any, num_samples: int, replacement: bool) -> None:
    _check_each_weight(weights)
    _check_is_positive((weights.sum(-1) > 0).double())
    if replacement:
        return
    if num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: "
            f"{num_samples} > {weights.shape[-1]}"
        )


def _drawn_again(weights: Any, num_samples: int, generator: Generator | None) -> Tensor:
    from . import searchsorted

    if not weights.numel():  # no rows: others without weights have been refused
        return weights.new_empty((*weights.shape[:-1], num_samples), dtype=int64)
    totals = weights.cumsum(-1)
    places = rand(*weights.shape[:-1], num_samples, generator=generator, dtype=weights.dtype)
    total = totals[..., -1:]
    found = searchsorted(totals, places * total, right=True)
    # a place may round up to the total itself: the weight that reaches it takes it
    return found.minimum(searchsorted(totals, total))
