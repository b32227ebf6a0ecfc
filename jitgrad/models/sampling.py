"""Drawing the next token from a model's scores."""

from __future__ import annotations

from typing import Any

from .. import functions as T
from .._tensor import Tensor


def check_sampling(name: str, count: Any, temperature: float, top_k: int | None) -> None:
    """Refuse arguments with which nothing can be drawn, before anything runs."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ValueError(f"{name}: max_new_tokens must be a whole number from 0 on, got {count!r}")
    if not temperature >= 0:
        raise ValueError(f"{name}: temperature must be 0 (always the likeliest) or more, got {temperature!r}")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"{name}: top_k must be None or a whole number above 0, got {top_k!r}")


def check_tokens(name: str, tokens: Any) -> None:
    """Refuse anything but rows of whole numbers."""
    if not isinstance(tokens, Tensor):
        raise TypeError(f"{name}: expected a Tensor of tokens, got {type(tokens).__name__}")
    if tokens.ndim != 2 or tokens.dtype.is_floating_point:
        raise ValueError(
            f"{name}: expected whole numbers of shape (N, T), got {tokens.dtype.name} of shape "
            f"{tuple(tokens.shape)}"
        )


def draw(scores: Tensor, temperature: float, top_k: int | None, generator: Any) -> Tensor:
    """Draw one class for each row.

    Parameters
    ----------
    scores : Tensor
        Logits, (N, classes).
    temperature : float
        Divides them; 0 takes the likeliest class.
    top_k : int, optional
        Draw among so many of the likeliest only.
    generator : Generator, optional
        Source of the random numbers.

    Returns
    -------
    Tensor
        int64, (N, 1).
    """
    if temperature == 0:
        return scores.argmax(-1, keepdim=True)
    scores = scores / temperature
    if top_k is not None and top_k < scores.shape[-1]:
        least = T.topk(scores, top_k, -1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -float("inf"))
    return T.multinomial(scores.softmax(-1), 1, generator=generator)
