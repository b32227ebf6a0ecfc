"""What a function returned while it was recorded, and what a replay of it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..._tensor import Tensor
from ...engine.layout import IS_VIEW, NO_ROW, S_FLAGS, S_ROW, S_STORAGE
from ...store import store
from ...ways_out import MAKE_LEAF
from ..remade import Parts
from ..tree import LEAF, flatten, unflatten
from .recording import Recording


class Form(NamedTuple):
    """What a function returns, but for the tensors that it computes.

    Attributes
    ----------
    tree, outputs, again
        As those of `Returned`.
    one : list of (int, int)
        Numbers of arguments that must be one tensor, as one of them is returned.
    single : bool
        Whether it is one computed tensor without a graph, and nothing else.
    """

    tree: Any
    outputs: list[Any]
    again: list[tuple[int, int]]
    one: list[tuple[int, int]]
    single: bool

    def value(self, results: list[Tensor], arguments: list[Tensor]) -> Any:
        """What the function would have returned, with the results of a replay on these arguments in it."""
        if self.single:
            return results[0]
        given = iter(results)
        leaves = [next(given) if x is None else _leaf_of(x, arguments) for x in self.outputs]
        for number, earlier in self.again:
            leaves[number] = leaves[earlier]
        return unflatten(self.tree, iter(leaves))


def _leaf_of(output: Any, arguments: list[Tensor]) -> Tensor:
    """A tensor that is returned and not computed; see `Returned.outputs`."""
    if isinstance(output, int):
        return arguments[output]
    return output if isinstance(output, Tensor) else output()


class Returned:
    """What a function returned while it was recorded.

    Parameters
    ----------
    arguments : list of Tensor
        What it was called with.
    reachable : callable
        Gives the tensors that it can reach by Python.
    was_there : callable
        Whether an object that is no tensor was there before it ran.

    Attributes
    ----------
    tree : object
        Description of the value apart from its tensors.
    leaves : list of Tensor
        The tensors themselves.
    outputs : list
        For each tensor: the number of the argument that it is, the tensor when it is from outside, a function that
        makes it when it is one without the history, as ``p.data`` makes, or None.
    again : list of (int, int)
        The tensors that are an earlier one once more: the number of each, and of the earlier one.
    sources : list of Tensor
        The computed ones, contiguous, in the recording's memory.
    graph : dict
        Those computed ones that still need their graph, by their number among the sources.
    unsure : bool
        Whether it is not known yet if something else than that graph holds tensors that were computed.
    """

    def __init__(
        self,
        arguments: list[Tensor],
        reachable: Callable[[], Iterable[Tensor]] = tuple,
        was_there: Callable[[Any], bool] = lambda value: False,
    ) -> None:
        self._arguments, self._reachable, self._object_was_there = arguments, reachable, was_there
        self.tree: Any = None
        self.leaves: list[Tensor] = []
        self.outputs: list[Any] = []
        self.again: list[tuple[int, int]] = []
        self.sources: list[Tensor] = []
        self.graph: dict[int, Tensor] = {}
        self.unsure = False

    def take(self, value: Any, recording: Recording) -> None:
        """Sort a returned value; to be called while it is still being recorded."""
        self.tree = flatten(value, self.leaves, Parts(self._object_was_there))
        computed: dict[int, tuple[int, Tensor]] = {}  # by id: number among the tensors, and source
        for number, x in enumerate(self.leaves):
            if id(x) in computed:
                earlier, source = computed[id(x)]
                self.outputs.append(None)
                self.again.append((number, earlier))
                self.sources.append(source)
                continue
            known = self._number_of(x)
            if known is not None or self._was_there(x, recording.number):
                self.outputs.append(self._from_outside(x) if known is None else known)
                continue
            source = x
            if x._word(S_ROW) >= 0:
                self.graph[len(self.sources)] = x
                source = x.detach()
            elif x.requires_grad and x.is_leaf:
                # a copy of it would not be what the rest of the step was computed from
                reason = "returns a tensor that it has made and asked for gradients (requires_grad)"
                recording.spoil(reason, MAKE_LEAF)
            self.outputs.append(None)
            self.sources.append(owned(source, recording.number))
            computed[id(x)] = number, self.sources[-1]

    def _number_of(self, x: Tensor) -> int | None:
        """The number of the argument that a tensor is, if it is one."""
        for k, a in enumerate(self._arguments):
            if a is x:
                return k
        return None

    def _was_there(self, x: Tensor, number: int) -> bool:
        """Whether a tensor was there before the step, and is not made anew in every call."""
        if store.storage_word(x._word(S_STORAGE), "owner") == number:
            return False
        reachable = list(self._reachable())
        if any(x is t for t in reachable):
            return True
        if x._word(S_FLAGS) & IS_VIEW or x._word(S_ROW) != NO_ROW or self._is_part(x):
            return False
        beside = [t for t in reachable if t._word(S_STORAGE) == x._word(S_STORAGE)]
        return not beside or any(x._shows_as(t) for t in beside)  # a part goes where the whole goes

    def _from_outside(self, x: Tensor) -> Tensor | Callable[[], Tensor]:
        """What gives a tensor that was there: itself, or a function that detaches the one whose memory it shows.

        That may lie elsewhere by the next call, and every call makes a tensor of its own.
        """
        shown = [t for t in self._reachable() if x._shows_as(t)]
        if not shown or any(x is t for t in self._reachable()):
            return x
        source, with_gradient = shown[0], x.requires_grad
        return lambda: source.detach().requires_grad_(with_gradient)  # type: ignore[attr-defined]

    def _is_part(self, x: Tensor) -> bool:
        """Whether a tensor shows the memory of an argument."""
        return any(x._word(S_STORAGE) == a._word(S_STORAGE) for a in self._arguments)

    def form(self) -> Form:
        """The same without the tensors that were computed."""
        single = self.tree == LEAF and self.outputs == [None] and not self.graph
        return Form(self.tree, self.outputs, self.again, [] if single else self._one(), single)

    def _one(self) -> list[tuple[int, int]]:
        """Arguments that are returned, and the others that are the same tensor: pairs of numbers."""
        arguments, given = self._arguments, {k for k in self.outputs if isinstance(k, int)}
        return [(k, j) for k in given for j, x in enumerate(arguments) if j != k and x is arguments[k]]

    def handles(self) -> list[int]:
        """The slots of the tensors that are kept here."""
        return [x._slot for x in {id(t): t for t in (*self.leaves, *self.sources)}.values()]

    def forget(self) -> None:
        """Let go of the tensors that were computed."""
        self.leaves, self.sources, self.graph = [], [], {}


def owned(x: Tensor, number: int) -> Tensor:
    """A tensor of the same values in contiguous memory of the recording with that number."""
    owner = store.storage_word(x._word(S_STORAGE), "owner")
    return x if owner == number and x.is_contiguous() else x.detach().clone().contiguous()  # type: ignore[attr-defined]
