"""Functions that make functions: each gives a derivative of the one it is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .._tensor import Tensor
from ..autograd.chosen import grad as gradients_of
from ..autograd.functional import jacobian_blocks, push_forward
from ..autograd.graph import leaves_behind
from ..autograd.modes import enable_grad, is_grad_enabled
from ..program.tree import flatten, unflatten

Positions = int | tuple[int, ...]


class Tree:
    """A nested structure taken apart into its tensors."""

    def __init__(self, value: Any) -> None:
        self.leaves: list[Tensor] = []
        self._form = flatten(value, self.leaves)

    def build(self, leaves: Any) -> Any:
        """The structure with other tensors in it."""
        return unflatten(self._form, iter(leaves))


def _tracked(value: Any) -> tuple[Any, list[Tensor]]:
    """The same structure with tensors whose gradients can be asked for, and those tensors."""
    tree = Tree(value)
    fresh = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in tree.leaves]  # type: ignore[attr-defined]
    return tree.build(fresh), fresh


def _finished(value: Any, given: list[Tensor], fresh: list[Tensor], outer: bool) -> Any:
    """Results without history, but for those that depend on something of the caller's, who records."""
    tree = Tree(value)
    kept = [x.requires_grad and _reaches_caller([x], given, fresh, outer) for x in tree.leaves]
    return tree.build([x if keep else x.detach() for x, keep in zip(tree.leaves, kept, strict=True)])


def _reaches_caller(results: list[Tensor], given: list[Tensor], fresh: list[Tensor], outer: bool) -> bool:
    """Whether the caller records and results depend on something of the caller's.

    That is an argument with a history (`given`), or what the function has closed over: any leaf behind the results
    that is not one of those made here (`fresh`).
    """
    if not outer or any(x.requires_grad for x in given):
        return outer
    return not leaves_behind([x for x in results if x.requires_grad]) <= {x._slot for x in fresh}


def _pick(args: tuple, argnums: Positions, name: str) -> tuple[int, ...]:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not chosen or any(not -len(args) <= k < len(args) for k in chosen):
        raise RuntimeError(f"{name}: got argnums={argnums}, but only {len(args)} positional inputs")
    return tuple(k % len(args) for k in chosen)


def _zeros_for(found: Any, leaves: list[Tensor]) -> list[Tensor]:
    return [x.new_zeros(x.shape) if g is None else g for g, x in zip(found, leaves, strict=True)]  # type: ignore[attr-defined]


def grad_and_value(func: Callable, argnums: Positions = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `func` for some arguments, and its value.

    Parameters
    ----------
    func : callable
        Returns a tensor of one element without dimensions (and, with `has_aux`, something else beside it).
    argnums : int or tuple of int
        Positions of the arguments, which may be nested tuples, lists and dicts of tensors.

    Returns
    -------
    callable
        ``(gradients, value)``, or ``(gradients, (value, aux))``.

    Raises
    ------
    RuntimeError
        When `func` does not return a tensor without dimensions.
    """

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        outer = is_grad_enabled()
        chosen = _pick(args, argnums, "grad")
        with enable_grad():
            moved, trees, leaves = list(args), [], []
            for k in chosen:
                moved[k], fresh = _tracked(args[k])
                trees.append(Tree(args[k]))
                leaves.append(fresh)
            result = func(*moved, **kwargs)
            value, aux = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.ndim:
                got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise RuntimeError(
                    f"grad: Expected {getattr(func, '__name__', 'f')} to return a scalar tensor (no dimensions), "
                    f"got {got}; reduce the result, for example with .sum()"
                )
            flat = [x for fresh in leaves for x in fresh]
            given = [x for tree in trees for x in tree.leaves]
            record, found = _reaches_caller([value], given, flat, outer), ()
            if value.requires_grad:
                found = gradients_of(value, flat, None, record or has_aux, record, allow_unused=True)
            each = iter(_zeros_for(found or (None,) * len(flat), flat))
            gradients = [
                tree.build([next(each) for _ in fresh]) for tree, fresh in zip(trees, leaves, strict=True)
            ]
        answer = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        shown = value if record else value.detach()
        return answer, (shown, _finished(aux, given, flat, outer)) if has_aux else shown

    return run


def grad(func: Callable, argnums: Positions = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `func`, and with `has_aux` what it returns; see `grad_and_value`."""
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        gradients, value = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return run


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> Any:
    """The value of `func`, and the function from a cotangent of it to those of the arguments.

    Returns
    -------
    value, pull_back (, aux)
        ``pull_back(cotangent)`` gives a tuple with one entry for each argument.
    """
    outer = is_grad_enabled()
    with enable_grad():
        tracked = [_tracked(x) for x in primals]
        result = func(*(moved for moved, _ in tracked))
        value, aux = result if has_aux else (result, None)
    trees, flat = [Tree(x) for x in primals], [x for _, fresh in tracked for x in fresh]
    outputs = Tree(value)
    given = [x for tree in trees for x in tree.leaves]

    def pull_back(cotangent: Any, retain_graph: bool = True, create_graph: bool | None = None) -> tuple:
        cotangents = Tree(cotangent).leaves
        if [g.shape for g in cotangents] != [y.shape for y in outputs.leaves]:
            raise RuntimeError(
                f"vjp: expected cotangents of shapes {[tuple(y.shape) for y in outputs.leaves]}, got "
                f"{[tuple(g.shape) for g in cotangents]}"
            )
        keep = is_grad_enabled() if create_graph is None else create_graph
        live = [(y, g) for y, g in zip(outputs.leaves, cotangents, strict=True) if y.requires_grad]
        found: Any = (None,) * len(flat)
        if live:
            ys, gs = zip(*live, strict=True)
            record = _reaches_caller(list(ys), [*given, *gs], flat, keep)
            found = gradients_of(ys, flat, gs, retain_graph, record, allow_unused=True)
        each = iter(_zeros_for(found, flat))
        return tuple(tree.build([next(each) for _ in tree.leaves]) for tree in trees)

    shown, extra = _finished((value, aux), given, flat, outer)
    return (shown, pull_back, extra) if has_aux else (shown, pull_back)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, has_aux: bool = False) -> Any:
    """The value of `func`, and how it changes when the arguments move along `tangents`.

    Returns
    -------
    value, tangent (, aux)
        The tangent has the structure of the value.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or len(primals) != len(tangents):
        raise RuntimeError("jvp: Expected primals and tangents to be tuples of the same length")
    outer = is_grad_enabled()
    with enable_grad():
        tracked = [_tracked(x) for x in primals]
        result = func(*(moved for moved, _ in tracked))
        value, aux = result if has_aux else (result, None)
        flat = tuple(x for _, fresh in tracked for x in fresh)
        vs = tuple(x for t in tangents for x in Tree(t).leaves)
        if [v.shape for v in vs] != [x.shape for x in flat]:
            raise RuntimeError(
                f"jvp: tangents must have the shapes of the primals, {[tuple(x.shape) for x in flat]}, got "
                f"{[tuple(v.shape) for v in vs]}"
            )
        tree, given = Tree(value), [x for p in primals for x in Tree(p).leaves]
        record = _reaches_caller(tree.leaves, [*given, *vs], list(flat), outer)
        moved = tree.build(push_forward(tuple(tree.leaves), flat, vs, record))
    value, aux = _finished((value, aux), given, list(flat), outer)
    return (value, moved, aux) if has_aux else (value, moved)


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """The value of `func`, and the linear function that is its derivative there.

    Returns
    -------
    value, push_forward
        ``push_forward(*tangents)`` gives what `jvp` gives, without running `func` again; it takes tangents of the
        structure and shapes of `primals`.
    """
    outer = is_grad_enabled()
    with enable_grad():
        tracked = [_tracked(x) for x in primals]
        value = func(*(moved for moved, _ in tracked))
    flat = tuple(x for _, fresh in tracked for x in fresh)
    given, outputs = [x for p in primals for x in Tree(p).leaves], Tree(value)

    def push(*tangents: Any) -> Any:
        vs = tuple(x for t in tangents for x in Tree(t).leaves)
        if [v.shape for v in vs] != [x.shape for x in flat]:
            raise RuntimeError(
                f"linearize: tangents must have the shapes of the primals, {[tuple(x.shape) for x in flat]}, got "
                f"{[tuple(v.shape) for v in vs]}"
            )
        with enable_grad():  # kept for the next call, also where this one is not recorded
            moved = outputs.build(push_forward(tuple(outputs.leaves), flat, vs, True))
        return _finished(moved, [*given, *vs], list(flat), is_grad_enabled())

    return _finished(value, given, list(flat), outer), push


def jacrev(
    func: Callable, argnums: Positions = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable:
    """A function that returns the Jacobian, by one walk back for each element of the value.

    `chunk_size`, which must be positive, is accepted: no more than one walk is under way at a time.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"jacrev: chunk_size should be None or greater than 0, got {chunk_size}")
    return _jacobian(func, argnums, has_aux, "reverse-mode")


def jacfwd(
    func: Callable, argnums: Positions = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """A function that returns the Jacobian, by one product for each element of the arguments."""
    return _jacobian(func, argnums, has_aux, "forward-mode")


def _jacobian(func: Callable, argnums: Positions, has_aux: bool, strategy: str) -> Callable:
    @wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        outer = is_grad_enabled()
        chosen = _pick(args, argnums, "jacobian")
        trees, moved, fresh = [Tree(args[k]) for k in chosen], list(args), []
        with enable_grad():
            for k in chosen:
                moved[k], leaves = _tracked(args[k])
                fresh += leaves
            result = func(*moved, **kwargs)
            value, aux = result if has_aux else (result, None)
            given, outputs = [x for tree in trees for x in tree.leaves], _outputs(value)
            record = _reaches_caller(outputs.leaves, given, fresh, outer)
            blocks = jacobian_blocks(tuple(outputs.leaves), tuple(fresh), record, strategy=strategy)
        rows = []
        for row in blocks:
            each = iter(row)
            parts = [tree.build([next(each) for _ in tree.leaves]) for tree in trees]
            rows.append(parts[0] if isinstance(argnums, int) else tuple(parts))
        answer = outputs.build(rows)
        return (answer, _finished(aux, given, fresh, outer)) if has_aux else answer

    return run


def _outputs(value: Any) -> Tree:
    tree = Tree(value)
    if not tree.leaves:
        raise RuntimeError(f"jacobian: expected the function to return tensors, got {type(value).__name__}")
    return tree


def hessian(func: Callable, argnums: Positions = 0) -> Callable:
    """A function that returns the Hessian of `func`."""
    return jacfwd(jacrev(func, argnums), argnums)
