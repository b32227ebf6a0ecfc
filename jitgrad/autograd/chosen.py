"""Gradients of chosen tensors, which touch no ``.grad``: one compiled call where nothing is in the way."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..user_frames import warn
from .backward import finish, first_row, marked, recorded, roots_and_seeds, tensors_of, walk_from
from .graph import GradientEdge
from .hooks import state_word
from .turns import own_turn, turn


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of outputs with respect to inputs, without touching any ``.grad``.

    Only rows on a path from an input to an output are walked.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
    grad_outputs : Tensor, None or a sequence of them
        The cotangents of the outputs, of their shapes; None for outputs of one element.
    retain_graph : bool
        Keep the rows; by default what `create_graph` is.
    create_graph : bool
        Record the walk itself, so that the gradients can be differentiated.
    only_inputs : bool
        Accepted as in PyTorch, which ignores it: no ``.grad`` is touched in any case.
    allow_unused : bool
        Give None for an input that was not used.
    is_grads_batched : bool
        The cotangents have a first dimension more; the walk is made for each, and gradients are stacked.
    materialize_grads : bool
        Give zeros for an input that was not used.

    Returns
    -------
    tuple of Tensor
        One gradient an input, of its shape.

    Raises
    ------
    RuntimeError
        When an input was not used, unless `allow_unused`.
    ValueError
        When such an input is to have both zeros and an error.
    """
    if not only_inputs:
        warn(
            "grad: only_inputs argument is deprecated and is ignored now (defaults to True); use backward() to "
            "accumulate gradients elsewhere",
            FutureWarning,
        )
    if materialize_grads and allow_unused is not None and not allow_unused:
        raise ValueError(
            "grad: Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            f"allow_unused={allow_unused}"
        )
    refusal = TypeError if inputs is None else RuntimeError
    outputs, inputs = _listed(outputs), _listed(inputs)
    _require_tensors("outputs", outputs, TypeError)
    _require_tensors("inputs", inputs, refusal)
    if grad_outputs is not None:
        grad_outputs = _listed(grad_outputs)
    if not (create_graph or is_grads_batched):
        results = _at_once(outputs, inputs, grad_outputs, retain_graph)
        if results is not None:
            return _complete(results, inputs, allow_unused, materialize_grads)
    roots, seeds = roots_and_seeds(outputs, grad_outputs)
    if is_grads_batched:
        options = {
            "create_graph": create_graph,
            "allow_unused": allow_unused,
            "materialize_grads": materialize_grads,
        }
        return _grad_of_each(roots, inputs, seeds, bool(retain_graph or create_graph), options)
    chosen = tensors_of(inputs)
    for x in chosen:
        if not x.requires_grad:
            raise RuntimeError("grad: One of the differentiated Tensors does not require grad")
    found: Mapping[int, Tensor | None]
    if create_graph:
        retain = True if retain_graph is None else bool(retain_graph)
        found = recorded(roots, seeds, chosen, retain)
    else:
        with own_turn():
            found = _capture(roots, seeds, chosen, bool(retain_graph))
    return _complete(tuple(found.get(x._slot) for x in chosen), chosen, allow_unused, materialize_grads)


def _complete(
    results: tuple[Tensor | None, ...], chosen: Sequence[Tensor], allow_unused: Any, materialize: bool
) -> tuple[Tensor | None, ...]:
    """The results of `grad`, after a look for inputs that were not used."""
    for k, result in enumerate(results):
        if result is None and materialize:
            zeros = (x.new_zeros(x.shape) if g is None else g for x, g in zip(chosen, results, strict=True))  # type: ignore[attr-defined]
            return tuple(zeros)
        if result is None and not allow_unused:
            raise RuntimeError(
                "grad: One of the differentiated Tensors appears to not have been used in the graph "
                f"(input {k}). Set allow_unused=True if this is the desired behavior"
            )
    return results


def _at_once(
    outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any] | None, retain: Any
) -> tuple[Tensor | None, ...] | None:
    """The gradients of one output by one compiled call, or None with nothing changed where that is not enough."""
    seed = seeds[0] if seeds else None
    if len(outputs) != 1 or (seeds is not None and len(seeds) != 1) or not isinstance(seed, Tensor | None):
        return None
    first = first_row()
    start = 0 if seed is None else seed._slot
    found = entries.gradients(first, outputs[0], 1 if retain else 0, start, inputs)
    if type(found) is tuple:
        return found
    if found >= layout.STATUSES:
        return None
    with turn:
        entries.hold_tape(CONTEXT)
        try:
            finish(-found, state_word(-found, layout.W_STATUS), True)
        finally:
            found = entries.captured(-found, first, inputs)
            entries.end_walk(CONTEXT)
    return found


def _listed(given: Any) -> Sequence[Any]:
    """A tensor or edge, None, or several of them as a list or tuple."""
    if type(given) in (list, tuple):
        return given
    return (given,) if given is None or isinstance(given, Tensor | GradientEdge) else tuple(given)


def _require_tensors(name: str, given: Sequence[Any], error: type[Exception]) -> None:
    """An exception for outputs or inputs that can have no gradients."""
    for x in given:
        if not isinstance(x, Tensor | GradientEdge):
            raise error(
                f"grad: expected {name} to be a Tensor or a sequence of Tensors, got {type(x).__name__}"
            )


def _grad_of_each(
    roots: Sequence[Tensor], inputs: Any, seeds: Sequence[Any], retain: bool, options: dict[str, Any]
) -> tuple[Tensor | None, ...]:
    from ..functions.joining import stack

    sizes = {len(seed) if isinstance(seed, Tensor) and seed.ndim else None for seed in seeds}
    fits = all(isinstance(s, Tensor) and s.shape[1:] == r.shape for s, r in zip(seeds, roots, strict=True))
    if not fits or len(sizes) != 1:
        raise RuntimeError(
            "grad: with is_grads_batched=True every grad_output needs a batch dimension before its output's "
            f"dimensions, of one size; outputs {[tuple(r.shape) for r in roots]}, grad_outputs "
            f"{[tuple(s.shape) if isinstance(s, Tensor) else s for s in seeds]}"
        )
    (count,) = sizes
    each = []
    for k in range(count or 0):
        last = k + 1 == count
        each.append(grad(roots, inputs, [s[k] for s in seeds], retain or not last, **options))
    return tuple(None if g[0] is None else stack(list(g)) for g in zip(*each, strict=True))


def _capture(
    roots: Sequence[Tensor], seeds: Sequence[Any], chosen: Sequence[Tensor], retain: bool
) -> dict[int, Tensor | None]:
    """Walk back to the chosen tensors only; their gradients by slot."""
    found: dict[int, Tensor | None] = {}
    with marked(roots, chosen):
        try:
            walk_from(roots, seeds, array("q", (layout.NO_ROW, 0, 0, retain, 1, 0, 0)))
        finally:
            for x in chosen:
                if x._slot not in found:
                    slot = entries.take_cotangent(CONTEXT, x._slot)
                    found[x._slot] = wrap(slot) if slot else None
    return found
