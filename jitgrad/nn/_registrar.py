"""How a module treats its attributes: parameters, buffers and child modules are registered by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad._tensor import Tensor

from ._registry import BUFFERS, KINDS, MODULES, PARAMETERS, Members, check_name, forget
from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module


class Registrar:
    """The base of `Module` that decides what an assigned, registered or deleted attribute is.

    Every attribute lives in the instance's ``__dict__`` (see `_registry`), so reading needs no code here.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        for kind in KINDS:
            self.__dict__[kind] = {}

    @property
    def _parameters(self) -> Members:
        return Members(self.__dict__, PARAMETERS)

    @property
    def _buffers(self) -> Members:
        return Members(self.__dict__, BUFFERS)

    @property
    def _modules(self) -> Members:
        return Members(self.__dict__, MODULES)

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        if isinstance(value, Parameter):
            self._assign(PARAMETERS, "parameters", name, value)
        elif isinstance(value, Registrar):
            self._assign(MODULES, "module", name, value)
        elif isinstance(value, Buffer):
            self._assign(BUFFERS, "buffers", name, value, value.persistent)
        elif PARAMETERS in state and (
            name in state[PARAMETERS] or name in state[MODULES] or name in state[BUFFERS]
        ):
            self._reassign(name, value)
        else:
            object.__setattr__(self, name, value)

    def _assign(self, kind: str, what: str, name: str, value: Any, flag: bool = True) -> None:
        """Make ``value`` the member ``name`` of the given kind, whatever the name was before."""
        state = self.__dict__
        if kind not in state:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if name not in state[kind]:
            if kind is not MODULES:
                check_name(what, name)
                if hasattr(type(self), name):
                    raise KeyError(f"attribute '{name}' already exists")
            if kind is PARAMETERS:
                _check_leaf(name, value)
        forget(state, name, keep=kind)
        state[kind][name] = flag
        state[name] = value

    def _reassign(self, name: str, value: Any) -> None:
        """Put a plain value where a member is: None everywhere, a Tensor where a buffer is."""
        state = self.__dict__
        if value is not None:
            found = type(value).__name__
            if name in state[PARAMETERS]:
                raise TypeError(
                    f"cannot assign '{found}' as parameter '{name}' (nn.Parameter or None expected)"
                )
            if name in state[MODULES]:
                raise TypeError(
                    f"cannot assign '{found}' as child module '{name}' (nn.Module or None expected)"
                )
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{found}' as buffer '{name}' (Tensor, nn.Buffer or None expected)"
                )
        state[name] = value

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for kind in KINDS:
            self.__dict__.get(kind, {}).pop(name, None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A shallow copy must not share the registries: the two modules' members may part ways.
        self.__dict__.update(state)
        for kind in KINDS:
            if kind in state:
                self.__dict__[kind] = dict(state[kind])

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
        self._enter(PARAMETERS, name, param)

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
        self._enter(BUFFERS, name, tensor, bool(persistent))

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
        self._enter(MODULES, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Do the same as `add_module`."""
        self.add_module(name, module)

    def _check_new(self, kind: str, what: str, name: str) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        check_name(what, name)
        if name not in self.__dict__[kind] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def _enter(self, kind: str, name: str, value: Any, flag: bool = True) -> None:
        self.__dict__[kind][name] = flag
        self.__dict__[name] = value


def _check_leaf(name: str, parameter: Parameter) -> None:
    if parameter.grad_fn is not None:
        raise ValueError(
            f"Cannot assign non-leaf Tensor to parameter '{name}': a parameter must be created "
            "explicitly; to express it by another tensor, compute the value in forward()"
        )
