"""`Module`, the base of everything that has parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import float32, float64
from jitgrad.store import store

from ._calls import NARROW_CALLS, call, call_with_one, inherits_narrow_call
from ._class_functions import leave_unbound
from ._registrar import Missing, Registrar
from ._registry import BUFFERS, PARAMETERS, note_change, put, set_plainly
from ._running_hooks import OF_ALL
from ._state import Stateful
from .hooks import Hooked, call_with_hooks
from .parameter import Parameter

Self = TypeVar("Self", bound="Module")


class Module(Registrar, Hooked, Stateful):
    """A part of a model: parameters, buffers, child modules, and a ``forward`` that uses them.

    Subclasses call ``super().__init__()``, assign parameters and modules as attributes, and
    define ``forward``; calling the module calls it.

    Attributes
    ----------
    training : bool
        True after construction and `train`, False after `eval`.
    """

    training: bool
    _one_input = False  # whether __call__(x) is just forward(x), as `Sequential` wants to know

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a subclass of a layer that has its own ``forward`` the general ``__call__`` back."""
        super().__init_subclass__(**kwargs)
        leave_unbound(cls)
        if "__getattr__" in cls.__dict__ and not issubclass(cls, Missing):
            cls.__bases__ = (*cls.__bases__, Missing)
        special = cls.__call__ in (*NARROW_CALLS, call_with_hooks)
        if special and "__call__" not in cls.__dict__ and not inherits_narrow_call(cls):
            cls.__call__ = call
        cls._one_input = cls.__call__ is call_with_one
        if OF_ALL.is_looked_for:
            OF_ALL.look(cls, cls._plain_calls, call_with_hooks)

    def __init__(self) -> None:
        super().__init__()
        set_plainly(self, "training", True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; every subclass defines its own."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    __call__ = call
    _plain_calls = (call, *NARROW_CALLS)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile `forward`, in place; takes what `jitgrad.compile` takes besides the module."""
        from jitgrad.program import compile

        compiled = compile(type(self).forward.__get__(self), *args, **kwargs)
        note_change(self, "forward", compiled)
        set_plainly(self, "forward", compiled)

    # ---------------------------------------------------------------- walking the tree

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct child modules with their names, each module once."""
        seen = set()
        for name, child in self._own_modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct child modules, each once."""
        for _, child in self.named_children():
            yield child

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it with their dotted names, parents first.

        Parameters
        ----------
        memo : set, optional
            Identities of modules to leave out; filled on the way.
        prefix : str
            What to put before every name.
        remove_duplicate : bool, default True
            Whether a module reached by two paths is yielded once only.
        """
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, child in self._own_modules.items():
            if child is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, below, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names, in the order they were added."""
        return self._named_members(PARAMETERS, prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers with their dotted names, in the order they were added."""
        return self._named_members(BUFFERS, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once; with ``recurse=False`` the module's own only."""
        return self._members(PARAMETERS, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once; with ``recurse=False`` the module's own only."""
        return self._members(BUFFERS, recurse)

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        whole = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in whole if recurse else [(prefix, self)]:
            for name, value in getattr(module, kind).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def _members(self, kind: str, recurse: bool) -> Iterator[Any]:
        found: dict[int, Any] = {}
        _gather(self, kind, recurse, found, set())
        return iter(found.values())

    def get_submodule(self, target: str) -> Module:
        """Return the module of a dotted name; the empty name is this module itself.

        Raises
        ------
        AttributeError
            If a part of the path is missing or is not a module.
        """
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter of a dotted name; AttributeError if there is none."""
        return self._get_member(target, PARAMETERS, "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer of a dotted name; AttributeError if there is none."""
        return self._get_member(target, BUFFERS, "a buffer")

    def _get_member(self, target: str, kind: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        if name not in getattr(owner, kind):
            raise AttributeError(f"`{name}` is not {what}")
        return getattr(owner, kind)[name]

    # ---------------------------------------------------------------- changing the whole tree

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below and then on this one; return this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode (or, with False, evaluation mode) here and below.

        Raises
        ------
        ValueError
            If ``mode`` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode is expected to be boolean, got {mode!r}")
        if self.training is not mode:
            set_plainly(self, "training", mode)
            store.structure_changed()
        for child in self._own_modules.values():
            if child is not None:
                child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Switch recording of gradients on or off for all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or with ``set_to_none=False`` fill them with 0."""
        for parameter in self._members(PARAMETERS, True):
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Convert the floating-point parameters and buffers, in place.

        Takes what ``Tensor.to`` takes: a dtype, a device (there is only the CPU) or another tensor.

        Raises
        ------
        TypeError
            If the dtype asked for is not a floating-point one.
        """
        # Two probes tell, whatever the spelling of the arguments, whether a dtype was asked for.
        single = T.empty(0, dtype=float32).to(*args, **kwargs)
        double = T.empty(0, dtype=float64).to(*args, **kwargs)
        if single.dtype != double.dtype:
            return self
        if not single.is_floating_point():
            raise TypeError(
                f"nn.Module.to only accepts floating point dtypes, but got desired dtype={single.dtype}"
            )
        return self._convert_floating(single.dtype)

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers to a dtype."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def float(self: Self) -> Self:
        """Convert the floating-point parameters and buffers to float32."""
        return self._convert_floating(float32)

    def double(self: Self) -> Self:
        """Convert the floating-point parameters and buffers to float64."""
        return self._convert_floating(float64)

    def cpu(self: Self) -> Self:
        """Return the module: everything is on the CPU already."""
        return self

    def cuda(self: Self, device: Any = None) -> Self:
        """Raise the engine's error for a device that does not exist."""
        return self.to("cuda" if device is None else device)

    def _convert_floating(self: Self, dtype: Any) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of every parameter (and its gradient) and buffer by ``fn`` of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for parameter in self._members(PARAMETERS, False):
                grad = parameter.grad
                parameter.grad = None
                parameter.data = fn(parameter.data)
                parameter.grad = None if grad is None else fn(grad)
            for name, buffer in self._own_buffers.items():
                if buffer is not None:
                    put(self, BUFFERS, name, fn(buffer))
        return self

    # ---------------------------------------------------------------- saving and loading

    # ---------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """Return what `repr` shows between the parentheses; subclasses override it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indented(repr(m))}" for name, m in self._own_modules.items()]
        if len(lines) > 1 or children:
            body = "\n  " + "\n  ".join(lines + children) + "\n"
        else:
            body = extra
        return f"{self._get_name()}({body})"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _gather(module: Module, kind: str, recurse: bool, found: dict[int, Any], visited: set[int]) -> None:
    """Collect members by identity, parents first, going round cycles."""
    visited.add(id(module))
    for value in getattr(module, kind).values():
        if value is not None:
            found[id(value)] = value
    if recurse:
        for child in module._own_modules.values():
            if child is None or id(child) in visited:
                continue
            if child._own_modules:
                _gather(child, kind, True, found, visited)
            else:  # most are layers without children; a call for each would double the time
                for value in getattr(child, kind).values():
                    if value is not None:
                        found[id(value)] = value
