"""What has to be as it was for a program to run: Python's world, modules and optimizers, and settings."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator
from typing import Any

from ..._tensor import Tensor
from ...autograd.notes import hook_keys
from ...dispatch import CONTEXT
from ...dtypes import get_default_dtype
from ...engine.entry import entries
from ...engine.layout import S_STORAGE
from ...functions import default_generator
from ...nn._registrar import set_plainly
from ...nn._running_hooks import OF_ALL
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...store import store
from ...subnormal import flushes
from ...ways_out import MAKE_OUTSIDE, MAKE_RESULT, OUTSIDE, PASS_IN
from ..spoiled import Spoiled
from .found import Found, members_of
from .ran import Ran
from .search import search
from .world import World

_ALIKE = "is called with tensors that share memory, and are not views of one that needs no gradient"
_SHARED = "is called with a tensor that shares memory with one that it uses otherwise"


class Guards:
    """What a program was recorded with: of Python's world, of modules and optimizers, and of settings.

    Parameters
    ----------
    function : callable
        The recorded function.
    arguments : iterable
        What it was called with, apart from tensors.
    ran : Ran, optional
        The code that has run in its calls.

    Attributes
    ----------
    refused : Spoiled or None
        Why Python cannot be looked at.
    codes : set of code, or None
        No other code has been looked into.
    modes : list of (Module, bool)
        The modules that the function leaves in another mode than it finds them in, and which: as ``model.eval()`` does.
    """

    def __init__(self, function: Any, arguments: list[Any], ran: Ran | None = None) -> None:
        self.refused: Spoiled | None = None
        self.codes = ran.codes if ran is not None and ran.can_see else None
        try:
            found = search([function, *arguments, *OF_ALL.functions()], ran)
        except Spoiled as reason:
            found, self.refused = Found(set()), reason
        self.world = World(found)
        self.objects = self.world.objects
        self.states = [state_of(x) for x in self.objects]
        self.arguments = arguments
        self.modes: list[tuple[Module, bool]] = []
        self._structure = -1  # counts what has changed in modules and optimizers; -1 for not known
        self._layouts: list[tuple[Tensor, tuple]] | None = None
        self._slots: array | None = None  # of the tensors that these are the layouts of
        self._settings: Any = None

    def arguments_are(self, arguments: list[Any]) -> bool:
        """Whether these are the arguments that are not tensors."""
        known = self.arguments
        return len(known) == len(arguments) and all(map(operator.is_, known, arguments))

    def serve_again(self) -> bool:
        """Whether these, which hold, can guard another recording; if not, Python has to be looked at anew."""
        if self._layouts is None or self.world.has_written or self.modes:
            return False
        self._structure = store.structure
        return True

    def standing(self) -> list[Any]:
        """What tells, after the function has run, whether it has drawn from generators of Python and NumPy."""
        return self.world.standing()

    def check_made(self, made: list[Any]) -> None:
        """Raise Spoiled when one of the objects whose lasting memory was made on the way does not outlive the step."""
        if made and self.refused is None:
            lasting = [*self.world.own, default_generator]
            lasting += [p for x in self.objects for p in getattr(x, "_plans", None) or ()]
            if any(all(x is not y for y in lasting) for x in made):
                raise Spoiled("makes an optimizer or a generator of its own", MAKE_OUTSIDE, None, False)

    def settled(self, number: int, before: list[Any]) -> Guards:
        """After the function has run: these, or what they have become on the way.

        Parameters
        ----------
        number : int
            By which the recording is known.
        before : list
            What `standing` said before the function ran.

        Raises
        ------
        Spoiled
            If the function has changed what it depends on.
        """
        if self.refused is not None:
            raise self.refused
        world = self.world.without_written_arrays(number)
        world.check_untouched(before)
        if self._nothing_changed and world is self.world and self._settings == _settings():
            return self
        again: Guards = object.__new__(Guards)  # other programs may be guarded by these as they are
        again.__dict__ |= self.__dict__
        again.modes = self._modes_left()
        again.world, again._settings = world, _settings()
        again._structure = -1 if again.modes else store.structure
        again.states = [
            state if isinstance(x, Module) else state_of(x)
            for x, state in zip(self.objects, self.states, strict=True)
        ]
        again._layouts = [(t, _layout_of(t)) for t in self._tensors()]
        again._slots = array("q", [t._slot for t, _ in again._layouts])
        return again

    def _modes_left(self) -> list[tuple[Module, bool]]:
        """See `modes`; raises Spoiled when the function has changed anything else about a module."""
        left: dict[int, tuple[Module, bool]] = {}
        for x, before in zip(self.objects, self.states, strict=True):
            if not isinstance(x, Module) or (after := state_of(x)) == before:
                continue
            if [*map(_but_mode, after)] != [*map(_but_mode, before)]:
                raise Spoiled(f"changes the module {type(x).__name__}", OUTSIDE, None, False)
            left |= {
                id(m): (m, m.training)
                for m, was in zip(x.modules(), before, strict=True)
                if m.training != was[1]
            }
        return [*left.values()]

    def leave(self) -> None:
        """After a replay: put modules into the modes that the function leaves them in."""
        for module, mode in self.modes:
            set_plainly(module, "training", mode)
        if self.modes:
            store.structure_changed()

    def was_there(self, value: Any) -> bool:
        """Whether an object was there before the function ran, or cannot change."""
        return self.world.holds_object(value) or any(value is y for y in self.arguments)

    def check_returned(self, values: list[Any]) -> None:
        """Raise Spoiled when a function returns an object of its own making: a replay would return it again."""
        for x in values if self.refused is None else ():
            if not self.was_there(x):
                raise Spoiled(f"returns an object that it has made ({type(x).__name__})", MAKE_RESULT)

    def compare_attributes(self, missed: list[tuple[Tensor, str]], arguments: list[Tensor]) -> None:
        """Compare what the function has `missed` at tensors; raise Spoiled when it names what arguments have."""
        if missed:
            self.world.compare_missed(missed)
        for x in arguments:
            for name in vars(x):
                if name in self.world.words:
                    reason = f"may use an attribute that an argument has ({name})"
                    raise Spoiled(reason, PASS_IN, None, False)

    @property
    def compares(self) -> bool:
        """Whether the function asks if tensors are certain ones."""
        return self.world.compares

    def identities(self, arguments: list[Tensor]) -> list[int] | None:
        """Which arguments are one tensor, and which (-1) one that can be reached otherwise; None where nobody asks."""
        if not self.compares:
            return None
        known = {id(t): -1 for t in self.reachable()}
        return [known.setdefault(id(x), k) for k, x in enumerate(arguments)]

    def shared_memory(self, arguments: list[Tensor]) -> str | None:
        """Why a recording with these arguments could not tell what it reads through them, or None."""
        given = array("q", [x._slot for x in arguments])
        others = self._slots if self._nothing_changed else array("q", [t._slot for t in self._tensors()])
        assert others is not None
        found = entries.share_memory(
            CONTEXT, given.buffer_info()[0], len(given), others.buffer_info()[0], len(others)
        )
        return (None, _ALIKE, _SHARED)[found]

    def storages(self, arguments: list[Tensor]) -> set[int]:
        """The storages of arguments and of the tensors that the function can reach by Python."""
        return {t._word(S_STORAGE) for t in (*arguments, *self.reachable())}

    def reachable(self) -> list[Tensor]:
        """The tensors that the function can reach by Python; those of other guards while nothing has changed."""
        return [t for t, _ in self._layouts or ()] if self._nothing_changed else list(self._tensors())

    @property
    def _nothing_changed(self) -> bool:
        """Whether all modules and optimizers are certain to be as they were found."""
        return self._structure == store.structure

    def _tensors(self) -> Iterator[Tensor]:
        yield from (t for t, _ in self.world.tensors)
        yield from members_of(self.objects)

    @property
    def world_to_check(self) -> World | None:
        """What of Python's world must be looked at before every call; None for nothing."""
        return self.world if self.world.needs_python else None

    def tensor_ids(self) -> set[int]:
        """Ids of the tensors that the function can reach by Python."""
        return {id(t) for t, _ in self.world.tensors}

    def world_holds(self) -> bool:
        """Whether everything that code can read of Python's is as it was."""
        return self.world.changed() is None

    def check_untouched(self, before: list[Any]) -> None:
        """Raise Spoiled when code has changed what it can reach, or drawn from generators: `standing` before it ran."""
        self.world.check_untouched(before)

    def changed(self) -> str | None:
        """What is not as it was found: a name, or a module or optimizer."""
        name = self.world.changed()
        if name is not None:
            return name
        pairs = zip(self.objects, self.states, strict=True)
        return next((f"a {type(x).__name__}" for x, state in pairs if state_of(x) != state), None)

    def objects_hold(self) -> bool:
        """Whether the modules and optimizers are in the state they were in, and tensors where they were."""
        if any(state_of(x) != s for x, s in zip(self.objects, self.states, strict=True)):
            return False
        if self._settings != _settings():
            return False
        return all(_layout_of(t) == layout for t, layout in self._layouts or ())


def _settings() -> tuple:
    """What holds for all: default dtype and flushing of this thread, for numbers from Python; hooks of all modules."""
    return get_default_dtype(), flushes(), OF_ALL.keys


def _layout_of(x: Tensor) -> tuple:
    return x._slot, x.shape, x._strides(), hook_keys(x._slot)


def state_of(value: Any) -> tuple:
    """What of a module or optimizer decides which kernels run on what."""
    if isinstance(value, Optimizer):
        return (getattr(value, "_version", 0), *(key for key, _ in value.step_hooks()))
    return tuple((id(m), m.training, m._changes, *map(id, m._own_modules.values())) for m in value.modules())


def _but_mode(state: tuple) -> tuple:
    """Of a module's part in `state_of`: everything but whether it trains."""
    return state[0], *state[2:]
