"""Einstein's summation: products of tensors summed over repeated letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from .._tensor import Tensor
from ._call import require_tensors
from .products import matmul, same_dtype

__all__ = ["einsum"]

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(equation: str, *operands: Any) -> Tensor:
    """Return the sum of products that an equation in Einstein's notation describes.

    Parameters
    ----------
    equation : str
        For example ``"bij,bjk->bik"``. A letter stands for a dimension, ``...`` for any number of them, which
        broadcast; letters that are missing after the arrow are summed over. Without an arrow the result has
        the letters that occur once, in alphabetical order.
    *operands : Tensor
        Also as one list or tuple.

    Raises
    ------
    RuntimeError
        If the equation is malformed or does not fit the operands.

    Notes
    -----
    Operands are combined from left to right. Each pair becomes one batched matrix product.

    Examples
    --------
    >>> einsum("ij,kj->ik", jg.ones(2, 3), jg.ones(4, 3)).shape
    torch.Size([2, 4])
    """
    if not isinstance(equation, str):
        raise TypeError("einsum(): the equation must be a string; PyTorch's sublist form is not supported")
    if len(operands) == 1 and isinstance(operands[0], Sequence):
        operands = tuple(operands[0])
    require_tensors("einsum", *operands)
    same_dtype("einsum", *operands)
    terms, result = _parsed(equation, operands)
    parts = [_plain(x, term, equation) for x, term in zip(operands, terms, strict=True)]
    _check_sizes(equation, parts)
    value, letters = parts[0]
    for k, (other, other_letters) in enumerate(parts[1:], 2):
        later = set(result).union(*(term for _, term in parts[k:]))
        value, letters = _combined(value, letters, other, other_letters, later)
    gone = [d for d, c in enumerate(letters) if c not in result]
    if gone:
        value = value.sum(gone)  # type: ignore[attr-defined]
        letters = [c for c in letters if c in result]
    order = [letters.index(c) for c in result]
    return value if order == list(range(len(order))) else value.permute(*order)  # type: ignore[attr-defined]


def _refuse(equation: str, why: str) -> NoReturn:
    raise RuntimeError(f"einsum(): {why}, in the equation {equation!r}")


def _parsed(equation: str, operands: Sequence[Any]) -> tuple[list[list[str]], list[str]]:
    """Letters of every operand and of the result; the dimensions under an ellipsis are '.0', '.1', ..."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    sides = left.split(",")
    if len(sides) != len(operands):
        _refuse(equation, f"expected {len(sides)} operands, but got {len(operands)}")
    broad = 0
    for side, x in zip(sides, operands, strict=True):
        named = len(side.replace("...", ""))
        if "..." in side:
            if named > x.ndim:
                _refuse(equation, f"the operand {side!r} has more letters than its {x.ndim} dimensions")
            broad = max(broad, x.ndim - named)
        elif named != x.ndim:
            _refuse(
                equation,
                f"number of subscripts in {side!r} ({named}) must match its operand's {x.ndim} dimensions",
            )
    terms = []
    for side, x in zip(sides, operands, strict=True):
        hidden = x.ndim - len(side.replace("...", ""))
        terms.append(_letters(equation, side, [f".{broad - hidden + d}" for d in range(hidden)]))
    every = [f".{d}" for d in range(broad)]
    if arrow:
        result = _letters(equation, right, every)
        known = {c for term in terms for c in term}
        for c in result:
            if c not in known or result.count(c) > 1:
                _refuse(equation, f"output subscript {c!r} must occur in an operand, and once in the output")
        return terms, result
    flat = [c for term in terms for c in term if c[0] != "."]
    return terms, every + sorted(c for c in set(flat) if flat.count(c) == 1)


def _letters(equation: str, side: str, hidden: list[str]) -> list[str]:
    before, ellipsis, after = side.partition("...")
    for c in before + after:
        if c not in LETTERS:
            _refuse(equation, f"subscripts must be in [a-zA-Z] or '...', found {c!r}")
    return [*before, *(hidden if ellipsis else []), *after]


def _plain(x: Any, letters: list[str], equation: str) -> tuple[Any, list[str]]:
    """The operand with the diagonal taken of letters that it has twice."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            i = letters.index(c)
            j = letters.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                _refuse(equation, f"subscript {c!r} is repeated for sizes {x.shape[i]} and {x.shape[j]}")
            x = x.diagonal(dim1=i, dim2=j)  # the diagonal becomes the last dimension
            letters = [d for k, d in enumerate(letters) if k not in (i, j)] + [c]
    return x, letters


def _check_sizes(equation: str, parts: list[tuple[Any, list[str]]]) -> None:
    sizes: dict[str, int] = {}
    for x, letters in parts:
        for c, n in zip(letters, x.shape, strict=True):
            known = sizes.setdefault(c, n)
            if n != known:
                if 1 not in (n, known):
                    _refuse(equation, f"subscript {c!r} has size {n}, which does not broadcast with {known}")
                sizes[c] = max(n, known)


def _combined(
    x: Any, x_letters: list[str], y: Any, y_letters: list[str], later: set[str]
) -> tuple[Any, list[str]]:
    """The product of two operands, summed over the letters that nobody needs later."""
    x, x_letters = _summed(x, x_letters, later | set(y_letters))
    y, y_letters = _summed(y, y_letters, later | set(x_letters))
    x_sizes, y_sizes = dict(zip(x_letters, x.shape, strict=True)), dict(zip(y_letters, y.shape, strict=True))
    both = [c for c in x_letters if c in y_sizes]
    batch = [c for c in both if c in later]
    depth = [c for c in both if c not in later]
    rows = [c for c in x_letters if c not in y_sizes]
    columns = [c for c in y_letters if c not in x_sizes]
    sizes = {c: max(x_sizes.get(c, 1), y_sizes.get(c, 1)) for c in [*x_letters, *y_letters]}
    for c in both:  # a size of zero is smaller than the one it broadcasts with
        if 0 in (x_sizes[c], y_sizes[c]):
            sizes[c] = 0
    left = _arranged(x, x_letters, (batch, rows, depth), sizes)
    right = _arranged(y, y_letters, (batch, depth, columns), sizes)
    product = matmul(left, right) if depth or not batch else _outer(left, right)
    letters = batch + rows + columns
    return product.reshape([sizes[c] for c in letters]), letters  # type: ignore[attr-defined]


def _outer(left: Any, right: Any) -> Any:
    # nothing is summed: elementwise products need no matrix multiply
    return left * right


def _summed(x: Any, letters: list[str], needed: set[str]) -> tuple[Any, list[str]]:
    gone = [d for d, c in enumerate(letters) if c not in needed]
    return (x.sum(gone), [c for c in letters if c in needed]) if gone else (x, letters)


def _arranged(x: Any, letters: list[str], groups: tuple[list[str], ...], sizes: dict[str, int]) -> Any:
    """`x` with its letters in this order, each group as one dimension."""
    order = [letters.index(c) for group in groups for c in group]
    if order != list(range(len(order))):
        x = x.permute(*order)
    wanted = [sizes[c] for group in groups for c in group]
    if list(x.shape) != wanted:
        x = x.expand(*wanted)
    shape = []
    for group in groups:
        total = 1
        for c in group:
            total *= sizes[c]
        shape.append(total)
    return x.reshape(shape)
