"""Walking the tape back from Python: seeds, the walk, and what it needs on its way."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from .._tensor import Tensor, handle_of, method, wrap
from ..dispatch import CONTEXT, demand
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_FLAGS, S_NUMEL, S_ROW, SLOT_WORDS
from ..kernels.arguments import MOST
from ..store import raise_out_of_memory, store
from .graph import (
    SECOND_TIME,
    GradientEdge,
    describe_stale,
    drop_freed_nodes,
    refuse_derivative,
)
from .hooks import Sights, run_accumulated, state_word
from .modes import no_grad
from .python_rows import deliver, run_python_row
from .turns import own_turn, turn
from .walking import Walking


def seed_of(root: Tensor, gradient: Any) -> int:
    """The slot of the cotangent with which a walk starts at `root`; its handle is the walk's."""
    at = root._slot * SLOT_WORDS
    if not store.slots[at + S_FLAGS] & layout.REQUIRES_GRAD:
        raise RuntimeError(
            "backward: element 0 of tensors does not require grad and does not have a grad_fn; set "
            "requires_grad=True on a leaf it is computed from, and compute it outside no_grad"
        )
    if store.slots[at + S_ROW] <= layout.FREED_ROW:
        raise RuntimeError(SECOND_TIME)
    if gradient is None:
        if store.slots[at + S_NUMEL] != 1:
            raise RuntimeError(
                f"backward: grad can be implicitly created only for scalar outputs, not for shape "
                f"{tuple(root.shape)}; pass gradient= of that shape, or reduce to one element first"
            )
        return demand("ones", root._slot)
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"backward: gradients can be either Tensors or None, but got {type(gradient).__name__}"
        )
    if gradient.shape != root.shape:
        raise RuntimeError(
            f"backward: Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has a "
            f"shape of {root.shape}; the gradient must have the output's shape"
        )
    if gradient.dtype is not root.dtype:
        gradient = gradient.to(root.dtype)  # type: ignore[attr-defined]
    return entries.retain(CONTEXT, gradient._slot)


@method
def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradient of this tensor into the leaves it was made from.

    Parameters
    ----------
    gradient : Tensor, optional
        Gradient with respect to this tensor, of its shape; may be left out for one element.
    retain_graph : bool
        Keep the rows, so that backward can run again.
    create_graph : bool
        Record the backward pass itself.
    inputs : sequence of Tensor
        Accumulate into these leaves only.
    """
    if inputs is None and not create_graph and (gradient is None or isinstance(gradient, Tensor)):
        seed = 0 if gradient is None else gradient._slot
        state = entries.backward(CONTEXT, self._slot, bool(retain_graph), seed)
        if state == 0:
            return
        if state > 0:
            try:
                _go_on(state, state_word(state, layout.W_STATUS), False)
            finally:
                entries.free_state(CONTEXT, state)
            return
    backward_many((self,), None if gradient is None else (gradient,), retain_graph, create_graph, inputs)


def backward_many(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of several tensors into their leaves; `torch.autograd.backward`.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        Where to start.
    grad_tensors : sequence of Tensor or None
        Their cotangents, of their shapes; None for tensors of one element.
    retain_graph, create_graph, inputs
        As for `Tensor.backward`.
    """
    roots, seeds = roots_and_seeds(tensors, grad_tensors)
    if inputs is not None:
        from .chosen import grad

        chosen = tensors_of(inputs)
        if not chosen:
            raise RuntimeError("backward: inputs argument to backward() cannot be empty")
        chosen = list({x._slot: x for x in chosen}.values())  # each counts once
        gradients = grad(roots, chosen, seeds, retain_graph, create_graph, allow_unused=True)
        found = [(x, g) for x, g in zip(chosen, gradients, strict=True) if g is not None]
        for x, g in found:
            _add_gradient(x, g, create_graph)
        for x, g in found:
            run_accumulated(x, g)
        return
    if create_graph:
        retain = True if retain_graph is None else bool(retain_graph)
        found = [(handle_of(slot), g) for slot, g in recorded(roots, seeds, None, retain).items()]
        for x, g in found:
            _add_gradient(x, g, True)
        for x, g in found:
            run_accumulated(x, g)
        return
    state = array("q", (layout.NO_ROW, 0, 0, bool(retain_graph), 0, 0, 0))
    with own_turn():
        walk_from(roots, seeds, state)


def _add_gradient(x: Tensor, g: Tensor, keeps_graph: bool) -> None:
    """Add to ``x.grad``: in place where no graph may need what was there, as a walk to all leaves does."""
    before = x.grad
    if keeps_graph or (before is not None and (before.requires_grad or _repeats(before))):
        x.grad = g if before is None else before + g  # type: ignore[operator]
        return
    with no_grad():
        if before is None:
            x.grad = g.clone()  # type: ignore[attr-defined]  # it may be another leaf's, too, or the caller's
        else:
            before.add_(g)  # type: ignore[attr-defined]


def _repeats(x: Tensor) -> bool:
    """Whether a dimension shows the same elements again and again, so that nothing can be added to each."""
    return any(step == 0 and size > 1 for size, step in zip(x.shape, x._strides(), strict=True))


def recorded(
    roots: Sequence[Tensor], seeds: Sequence[Any], chosen: Sequence[Tensor] | None, retain: bool
) -> dict[int, Tensor]:
    """Walk back and record it; gradients by the slots of their tensors."""
    from .higher import walk

    starts = [_recorded_seed(root, seed) for root, seed in zip(roots, seeds, strict=True)]
    with own_turn():
        if chosen is None:
            return walk(roots, starts, None, retain)
        with marked(roots, chosen):
            return walk(roots, starts, {x._slot for x in chosen}, retain)


def _recorded_seed(root: Tensor, gradient: Any) -> Tensor:
    """The cotangent of a root, with its history."""
    plain = wrap(seed_of(root, gradient))
    return gradient if isinstance(gradient, Tensor) and gradient.dtype is root.dtype else plain


def first_row() -> int:
    """The row of the tape at which walks to chosen tensors stop."""
    recording = store.recording_here
    return 0 if recording is None else recording.boundary


@contextlib.contextmanager
def marked(roots: Sequence[Tensor], chosen: Sequence[Tensor]) -> Iterator[None]:
    """Flag the chosen tensors, and every tensor that leads from them to the roots."""
    first = first_row()
    last = max([root._word(S_ROW) for root in roots], default=layout.NO_ROW)
    _mark(first, last, 1, chosen)
    try:
        yield
    finally:
        _mark(first, last, 0, chosen)


def _mark(first: int, last: int, on: int, chosen: Sequence[Tensor]) -> None:
    for start in range(0, len(chosen), MOST):
        few = chosen[start : start + MOST]
        whole = start + MOST >= len(chosen)  # all are flagged by then, or none is any more
        entries.mark_chosen(first, last if whole else layout.NO_ROW, on, few)


def tensors_of(given: Any) -> tuple[Tensor, ...]:
    """The tensors that a tensor, a gradient edge or a sequence of them stands for."""
    several = (given,) if isinstance(given, Tensor | GradientEdge) else tuple(given)
    return tuple(x.tensor if isinstance(x, GradientEdge) else x for x in several)


def roots_and_seeds(tensors: Any, gradients: Any) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """Where walks start, and the cotangents there or None."""
    roots = tensors_of(tensors)
    if gradients is None:
        return roots, (None,) * len(roots)
    seeds = (gradients,) if isinstance(gradients, Tensor) else tuple(gradients)
    if len(seeds) != len(roots):
        raise RuntimeError(f"backward: got {len(roots)} tensors and {len(seeds)} gradients")
    return roots, seeds


def walk_from(roots: Sequence[Tensor], gradients: Sequence[Any], state: array) -> None:
    """Make the walk of a state back from the roots, within the walk's turn."""
    address = state.buffer_info()[0]
    seeds: list[int] = []
    try:
        for root, gradient in zip(roots, gradients, strict=True):
            seeds.append(seed_of(root, gradient))
        state[layout.W_CURSOR] = max((root._word(S_ROW) for root in roots), default=layout.NO_ROW)
        for root in roots:
            deliver(address, root._slot, seeds.pop(0))
    except BaseException:
        for seed in seeds:
            entries.release(CONTEXT, seed)
        entries.abandon(CONTEXT, address)
        raise
    if roots:
        status = entries.begin_walk(CONTEXT, address, roots[0]._slot)
        if status != 0:
            _go_on(address, status, bool(state[layout.W_CAPTURE]))


def _go_on(address: int, status: int, capture: bool) -> None:
    """Continue a walk that stopped for Python, to its end or to an error."""
    with turn:
        finish(address, status, capture)


def finish(address: int, status: int, capture: bool) -> None:
    """Go on with a walk that stopped with a status, within its turn, to its end or to an error."""
    sights = Sights()
    try:
        with Walking() as walk:
            _walk_to_end(sights, address, status, capture)
            drop_freed_nodes()
            if walk.endings:
                with no_grad():
                    walk.end()
        sights.finish()
    except BaseException:
        entries.abandon(CONTEXT, address)
        raise
    finally:
        entries.end_walk(CONTEXT)


def _walk_to_end(sights: Sights, address: int, status: int, capture: bool) -> None:
    while status != 0:
        if status == layout.NEED_HOOKS:
            sights.look(address, capture)
        elif status == layout.NEED_PYTHON:
            offset = state_word(address, layout.W_CURSOR)
            if store.tape[offset + layout.T_OP] == layout.DEAD_OP:
                raise RuntimeError(SECOND_TIME)  # a walk in between has freed it
            run_python_row(address, offset, capture)
            entries.leave_row(CONTEXT, address, offset)
        elif not store.mend(status):
            raise_status(status)
        status = entries.walk(CONTEXT, address)


def raise_status(status: int) -> NoReturn:
    """Raise what a walk that cannot go on has met."""
    if status == layout.FREED:
        raise RuntimeError(SECOND_TIME)
    if status == layout.STALE:
        raise RuntimeError(describe_stale(store.detail()))
    if status == layout.NO_DERIVATIVE:
        refuse_derivative(store.tape[store.detail()[0] + layout.T_OP])
    if status == layout.OUT_OF_MEMORY:
        raise_out_of_memory()
    raise RuntimeError(f"backward: the engine stopped with status {status}")
