"""How a module treats its attributes: parameters, buffers and child modules are registered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad._tensor import Tensor
from jitgrad.store import store

from ._registry import (
    BUFFERS,
    KINDS,
    MODULES,
    PARAMETERS,
    Members,
    check_name,
    delete_plainly,
    drop,
    note_change,
    put,
    read_plainly,
    set_plainly,
)
from ._running_hooks import OF_ALL
from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module


class Missing:
    """The last base of modules whose class has a ``__getattr__``, which may call this one by ``super()``.

    Only such classes get it: CPython 3.11 reads every attribute slowly where a class has a ``__getattr__``.
    """

    def __getattr__(self, name: str) -> Any:
        """Return the member of that name; AttributeError if there is none."""
        for kind in KINDS:
            members = read_plainly(self, kind)
            if members is not None and name in members:
                return members[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


class Registrar:
    """The base of `Module` that decides what an assigned, registered or deleted attribute is."""

    # None until Registrar.__init__ has run, so that assigning too early is noticed
    _own_parameters: dict[str, Any] = None  # type: ignore[assignment]
    _own_buffers: dict[str, Any] = None  # type: ignore[assignment]
    _own_modules: dict[str, Any] = None  # type: ignore[assignment]
    _transient: frozenset[str] = frozenset()  # names of the buffers that are not saved
    _optional_state: frozenset[str] = frozenset()  # names of the members that a state_dict need not have

    _changes = 0  # how often a recorded program may have to look again

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        for kind in KINDS:
            set_plainly(self, kind, {})

    @property
    def _parameters(self) -> Members:
        return Members(self, PARAMETERS)

    @property
    def _buffers(self) -> Members:
        return Members(self, BUFFERS)

    @property
    def _modules(self) -> Members:
        return Members(self, MODULES)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._assign(PARAMETERS, "parameters", name, value)
        elif isinstance(value, Registrar):
            self._assign(MODULES, "module", name, value)
        elif isinstance(value, Buffer):
            self._assign(BUFFERS, "buffers", name, value)
            self._mark(name, value.persistent)
        else:
            kind = self._kind_of(name)
            if kind is None:
                if name != "training":
                    note_change(self, name, value)
                elif value is not self.training:
                    store.structure_changed()
                set_plainly(self, name, value)
            else:
                _check_replacement(kind, name, value)
                put(self, kind, name, _through_hooks(self, kind, name, value))

    def _kind_of(self, name: str) -> str | None:
        """Say which registry has a name."""
        if self._own_parameters is None:
            return None
        if name in self._own_parameters:
            return PARAMETERS
        if name in self._own_modules:
            return MODULES
        return BUFFERS if name in self._own_buffers else None

    def _assign(self, kind: str, what: str, name: str, value: Any) -> None:
        """Make ``value`` the member ``name`` of the given kind, whatever the name was before."""
        if self._own_parameters is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        before = self._kind_of(name)
        if before is not kind:
            if kind is not MODULES:
                check_name(what, name)
                # a property that cannot be read yet does not stand in the way, as in PyTorch
                if hasattr(type(self), name) and hasattr(self, name):
                    raise KeyError(f"attribute '{name}' already exists")
            if kind is PARAMETERS:
                _check_leaf(name, value)
        value = _through_hooks(self, kind, name, value)
        if before is not kind and before is not None:
            drop(self, before, name)
        put(self, kind, name, value)

    def _mark(self, name: str, persistent: bool) -> None:
        """Note whether a buffer is saved."""
        if persistent == (name in self._transient):
            changed = self._transient - {name} if persistent else self._transient | {name}
            set_plainly(self, "_transient", changed)

    def __delattr__(self, name: str) -> None:
        kind = self._kind_of(name)
        if kind is None:
            note_change(self, name, None)
            delete_plainly(self, name)
        else:
            drop(self, kind, name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A shallow copy must not share the registries: the two modules' members may part ways.
        for name, value in state.items():
            set_plainly(self, name, dict(value) if name in KINDS else value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or reserve its name with None.

        Raises
        ------
        TypeError
            If ``param`` is neither a `Parameter` nor None, or the name is not a string.
        KeyError
            If the name is empty, contains a dot or is taken.
        ValueError
            If ``param`` is the result of an operation.
        """
        self._check_new(PARAMETERS, "parameter", name)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                    "(nn.Parameter or None required)"
                )
            _check_leaf(name, param)
        put(self, PARAMETERS, name, _through_hooks(self, PARAMETERS, name, param))

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is kept and saved with the module but not trained.

        Parameters
        ----------
        name : str
            The attribute under which it is reached.
        tensor : Tensor or None
            None reserves the name; such a buffer is not saved.
        persistent : bool, default True
            Whether the buffer is part of `state_dict`.

        Raises
        ------
        TypeError
            If ``tensor`` is neither a Tensor nor None, or the name is not a string.
        KeyError
            If the name is empty, contains a dot or is taken.
        """
        self._check_new(BUFFERS, "buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        put(self, BUFFERS, name, _through_hooks(self, BUFFERS, name, tensor))
        self._mark(name, bool(persistent))

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, or reserve its name with None.

        Raises
        ------
        TypeError
            If ``module`` is neither a `Module` nor None, or the name is not a string.
        KeyError
            If the name is empty, contains a dot or is taken.
        """
        self._check_new(MODULES, "module", name)
        if module is not None and not isinstance(module, Registrar):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        put(self, MODULES, name, _through_hooks(self, MODULES, name, module))

    def register_module(self, name: str, module: Module | None) -> None:
        """Do the same as `add_module`."""
        self.add_module(name, module)

    def _check_new(self, kind: str, what: str, name: str) -> None:
        if self._own_parameters is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        check_name(what, name)
        if name not in getattr(self, kind) and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")


WANTED = {
    PARAMETERS: ("parameter", "nn.Parameter or None"),
    MODULES: ("child module", "nn.Module or None"),
    BUFFERS: ("buffer", "Tensor, nn.Buffer or None"),
}


def _check_replacement(kind: str, name: str, value: Any) -> None:
    """Refuse a plain value where a member is, except None, and a Tensor where a buffer is."""
    if value is None or (kind is BUFFERS and isinstance(value, Tensor)):
        return
    what, wanted = WANTED[kind]
    raise TypeError(f"cannot assign '{type(value).__name__}' as {what} '{name}' ({wanted} expected)")


MEMBERS: dict[str, type] = {PARAMETERS: Parameter, MODULES: Registrar, BUFFERS: Tensor}


def _through_hooks(module: Registrar, kind: str, name: str, value: Any) -> Any:
    """What the registration hooks of all modules make of a new member; parameters' hooks are not shown None."""
    if not OF_ALL.is_told or (value is None and kind is PARAMETERS):
        return value
    for hook in list(OF_ALL.of(kind).values()):
        changed = hook.function(module, name, value)
        if changed is None:
            continue
        if not isinstance(changed, MEMBERS[kind]):
            what, wanted = WANTED[kind]
            raise TypeError(
                f"registration hook of {what} '{name}': expected it to return {wanted}, "
                f"got {type(changed).__name__}"
            )
        if kind is PARAMETERS:
            _check_leaf(name, changed)
        value = changed
    return value


def _check_leaf(name: str, parameter: Parameter) -> None:
    if parameter.grad_fn is not None:
        raise ValueError(
            f"Cannot assign non-leaf Tensor to parameter '{name}': a parameter must be created "
            "explicitly; to express it by another tensor, compute the value in forward()"
        )
