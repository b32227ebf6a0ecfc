"""Einstein's summation: products of tensors summed over repeated letters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any, NamedTuple, NoReturn

from .._tensor import Tensor
from ._call import require_tensors
from ._dims import shape_of
from .products import matmul, same_dtype

__all__ = ["einsum"]

LETTERS = ascii_letters
_ORDERED = ascii_uppercase + ascii_lowercase  # as they follow one another in a result without an arrow


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Return the sum of products that an equation in Einstein's notation describes.

    Parameters
    ----------
    equation : str
        For example ``"bij,bjk->bik"``. A letter stands for a dimension, ``...`` for any number of them, which
        broadcast; letters that are missing after the arrow are summed over. Without an arrow the result has
        the letters that occur once, in alphabetical order.
    *operands : Tensor
        Also as one list or tuple.

    Instead of an equation, each operand may be followed by a list of numbers below 52, or of ``...``, that stand for
    its dimensions, and all by a list for the result: ``einsum(a, [0, 1], b, [2, 1], [0, 2])``.

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
        equation, *operands = _of_lists(equation, *operands)  # type: ignore[assignment]
    if len(operands) == 1 and isinstance(operands[0], Sequence):
        operands = tuple(operands[0])
    require_tensors("einsum", *operands)
    same_dtype("einsum", *operands)
    plan = _plan(equation, tuple(map(shape_of, operands)))
    value, *others = (_ready(x, view) for x, view in zip(operands, plan.operands, strict=True))
    for other, pair in zip(others, plan.pairs, strict=True):
        left, right = _ready(value, pair.left), _ready(other, pair.right)
        # where nothing is summed, elementwise products need no matrix multiply
        value = _ready(left * right if pair.outer else matmul(left, right), pair.result)
    return _ready(value, plan.result)


def _of_lists(*given: Any) -> tuple[Any, ...]:
    """The equation and the operands of the form with lists of numbers."""
    tensors, lists = given[: len(given) // 2 * 2 : 2], given[1::2]
    result = given[-1:] if len(given) % 2 else ()
    if not lists or not all(isinstance(numbers, list | tuple) for numbers in (*lists, *result)):
        raise TypeError(
            "einsum(): expected an equation as a string, or operands that are each followed by a list of numbers "
            f"for its dimensions, got {', '.join(type(x).__name__ for x in given)}"
        )
    terms = ",".join(map(_term, lists))
    return (f"{terms}->{_term(result[0])}" if result else terms, *tensors)


def _term(numbers: Sequence[Any]) -> str:
    for number in numbers:
        if number is not Ellipsis and not (isinstance(number, int) and 0 <= number < len(_ORDERED)):
            raise ValueError(f"einsum(): expected subscripts from 0 to 51 or ..., got {number!r}")
    return "".join("..." if number is Ellipsis else _ORDERED[number] for number in numbers)


class _View(NamedTuple):
    """What is done with an operand, in this order; None or nothing where it stays as it is."""

    diagonals: tuple[tuple[int, int], ...] = ()  # pairs of dimensions; their diagonal becomes the last one
    sums: tuple[int, ...] = ()
    order: tuple[int, ...] | None = None
    sizes: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None


class _Pair(NamedTuple):
    """How two operands become one."""

    left: _View
    right: _View
    outer: bool
    result: _View


class _Plan(NamedTuple):
    """All that an equation comes to for operands of certain shapes."""

    operands: list[_View]
    pairs: list[_Pair]
    result: _View


class _Named(NamedTuple):
    """A shape with a letter for each dimension."""

    letters: list[str]
    shape: tuple[int, ...]


def _ready(x: Any, view: _View) -> Any:
    for first, second in view.diagonals:
        x = x.diagonal(dim1=first, dim2=second)
    if view.sums:
        x = x.sum(view.sums)
    if view.order is not None:
        x = x.permute(view.order)
    if view.sizes is not None:
        x = x.expand(view.sizes)
    return x if view.shape is None else x.reshape(view.shape)


@lru_cache(1024)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> _Plan:
    terms, result = _parsed(equation, shapes)
    views, named = zip(
        *(_plain(shape, term, equation) for shape, term in zip(shapes, terms, strict=True)), strict=True
    )
    _check_sizes(equation, named)
    value, pairs = named[0], []
    for k, other in enumerate(named[1:], 2):
        later = set(result).union(*(x.letters for x in named[k:]))
        pair, value = _combined(value, other, later)
        pairs.append(pair)
    gone, value = _summed(value, set(result))
    order = tuple(value.letters.index(c) for c in result)
    return _Plan(
        list(views), pairs, _View(sums=gone, order=order if order != (*range(len(order)),) else None)
    )


def _refuse(equation: str, why: str) -> NoReturn:
    raise RuntimeError(f"einsum(): {why}, in the equation {equation!r}")


def _parsed(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """Letters of every operand and of the result; the dimensions under an ellipsis are '.0', '.1', ..."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    sides = left.split(",")
    if len(sides) != len(shapes):
        _refuse(equation, f"expected {len(sides)} operands, but got {len(shapes)}")
    broad = 0
    for side, shape in zip(sides, shapes, strict=True):
        named = len(side.replace("...", ""))
        if "..." in side:
            if named > len(shape):
                _refuse(equation, f"the operand {side!r} has more letters than its {len(shape)} dimensions")
            broad = max(broad, len(shape) - named)
        elif named != len(shape):
            _refuse(
                equation,
                f"number of subscripts in {side!r} ({named}) must match its operand's {len(shape)} dimensions",
            )
    terms = []
    for side, shape in zip(sides, shapes, strict=True):
        hidden = len(shape) - len(side.replace("...", ""))
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


def _plain(shape: tuple[int, ...], letters: list[str], equation: str) -> tuple[_View, _Named]:
    """An operand with the diagonal taken of letters that it has twice."""
    diagonals = []
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            i = letters.index(c)
            j = letters.index(c, i + 1)
            if shape[i] != shape[j]:
                _refuse(equation, f"subscript {c!r} is repeated for sizes {shape[i]} and {shape[j]}")
            diagonals.append((i, j))
            kept = [k for k in range(len(letters)) if k not in (i, j)]
            letters, shape = [letters[k] for k in kept] + [c], (*(shape[k] for k in kept), shape[i])
    return _View(tuple(diagonals)), _Named(letters, shape)


def _check_sizes(equation: str, operands: Sequence[_Named]) -> None:
    sizes: dict[str, int] = {}
    for letters, shape in operands:
        for c, n in zip(letters, shape, strict=True):
            known = sizes.setdefault(c, n)
            if n != known:
                if 1 not in (n, known):
                    _refuse(equation, f"subscript {c!r} has size {n}, which does not broadcast with {known}")
                sizes[c] = max(n, known)


def _combined(x: _Named, y: _Named, later: set[str]) -> tuple[_Pair, _Named]:
    """The product of two operands, summed over the letters that nobody needs later."""
    x_gone, x = _summed(x, later | set(y.letters))
    y_gone, y = _summed(y, later | set(x.letters))
    x_sizes, y_sizes = dict(zip(*x, strict=True)), dict(zip(*y, strict=True))
    both = [c for c in x.letters if c in y_sizes]
    batch = [c for c in both if c in later]
    depth = [c for c in both if c not in later]
    rows = [c for c in x.letters if c not in y_sizes]
    columns = [c for c in y.letters if c not in x_sizes]
    sizes = y_sizes | x_sizes
    for c in both:
        if x_sizes[c] == 1:
            sizes[c] = y_sizes[c]
    batches = [batch] if batch else []
    left, left_shape = _arranged(x, [*batches, rows, depth], sizes)
    right, right_shape = _arranged(y, [*batches, depth, columns], sizes)
    letters = batch + rows + columns
    result = _Named(letters, tuple(sizes[c] for c in letters))
    shape = result.shape if (*left_shape[:-1], right_shape[-1]) != result.shape else None
    outer = bool(batch) and not depth
    return _Pair(left._replace(sums=x_gone), right._replace(sums=y_gone), outer, _View(shape=shape)), result


def _summed(x: _Named, needed: set[str]) -> tuple[tuple[int, ...], _Named]:
    """The dimensions of an operand that nobody needs, and what is left without them."""
    gone = tuple(d for d, c in enumerate(x.letters) if c not in needed)
    kept = [d for d in range(len(x.letters)) if d not in gone]
    return gone, _Named([x.letters[d] for d in kept], tuple(x.shape[d] for d in kept))


def _arranged(x: _Named, groups: list[list[str]], sizes: dict[str, int]) -> tuple[_View, tuple[int, ...]]:
    """An operand with its letters in this order, each group as one dimension; and its shape then."""
    order = tuple(x.letters.index(c) for group in groups for c in group)
    have = tuple(x.shape[d] for d in order)
    wanted = tuple(sizes[c] for group in groups for c in group)
    shape = tuple(math.prod(sizes[c] for c in group) for group in groups)
    view = _View(
        order=order if order != (*range(len(order)),) else None,
        sizes=wanted if wanted != have else None,
        shape=shape if shape != wanted else None,
    )
    return view, shape
