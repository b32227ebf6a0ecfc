"""Parameters that are functions of others: PyTorch's ``torch.nn.utils.parametrize``.

What a parametrization makes of its originals is computed whenever the attribute is read, unless it is `cached`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from .._swaps import swaps
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter
from ._computed import compute_attribute, plain_class, store_attribute

_depth = 0  # of `cached` blocks
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor once only within the block."""
    global _depth
    _depth += 1
    try:
        with swaps():  # a program reads the tensor that is there once, or computes it in every call
            yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _set(original: Tensor, value: Tensor) -> None:
    """Give a tensor that stays the same object other values, perhaps of another shape."""
    with no_grad():
        if original.shape == value.shape:
            original.copy_(value)
        else:
            original.data = value.detach().clone()


def _same_kind(what: str, before: Tensor, after: Any) -> None:
    """ValueError unless `after` is a tensor of the dtype and shape of `before`."""
    if not isinstance(after, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
    for attribute in ("dtype", "shape"):
        old, new = getattr(before, attribute), getattr(after, attribute)
        if old != new:
            raise ValueError(
                f"Registering a parametrization may not change the {attribute} of the tensor, unless `unsafe` "
                f"flag is enabled.\nunparametrized {attribute}: {old}\n{what} {attribute}: {new}"
            )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and its originals.

    Attributes
    ----------
    original : Tensor
        What the first of them is given, or ``original0``, ``original1`` and so on when it takes several.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new = self._inverted(original)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        self._check_originals(original, new)
        before = original.detach().clone()
        if self.is_tensor:
            _set(original, new)
            _register(self, "original", original)
        else:
            for k, each in enumerate(new):
                made = each.detach().clone()
                if isinstance(original, Parameter):
                    made = Parameter(made, original.requires_grad)
                _register(self, f"original{k}", made)
        if not unsafe:
            try:
                with no_grad():
                    _same_kind("parametrized", before, self())
            except Exception:
                if self.is_tensor:  # leave everything as it was
                    _set(original, before)
                raise

    def _check_originals(self, original: Tensor, new: Any) -> None:
        for k, each in enumerate([new] if self.is_tensor else new):
            if not isinstance(each, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {k} of the sequence with type {type(each).__name__}."
                )
        if self.is_tensor and new.dtype != original.dtype:
            raise ValueError(
                "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
            )

    def _inverted(self, value: Any) -> Any:
        """What the originals must be for the parametrized tensor to be `value`."""
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                with suppress(NotImplementedError):
                    value = module.right_inverse(value)
        return value

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{k}") for k in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes ``value``.

        Raises
        ------
        ValueError
            If the parametrizations' ``right_inverse`` gives another number of tensors, or other dtypes.
        """
        with no_grad():
            new = self._inverted(value)
            given = [new] if isinstance(new, Tensor) else list(new)
            originals = self._originals()
            if len(given) != len(originals):
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {len(originals)}. "
                    f"Got {len(given)}."
                )
            for original, each in zip(originals, given, strict=True):
                if each.dtype != original.dtype:
                    raise ValueError(
                        f"'right_inverse' must give tensors of dtype {original.dtype}. Got {each.dtype}."
                    )
            for original, each in zip(originals, given, strict=True):
                _set(original, each)

    def forward(self) -> Tensor:
        """Compute the parametrized tensor."""
        modules = list(self)
        result = modules[0](*self._originals())
        for module in modules[1:]:
            result = module(result)
        return result


def _read(name: str) -> Any:
    def read(self: Any) -> Tensor:
        made = self.parametrizations[name]
        if not _depth:
            return made()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = made()
        return _cache[key]

    return read


def _write(name: str) -> Any:
    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return write


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Make a parameter or buffer of a module a function of its former value.

    Parameters
    ----------
    module : Module
    tensor_name : str
        The parameter's or buffer's name; reading it gives ``parametrization(original)`` from now on.
    parametrization : Module
        Its ``right_inverse``, if it has one, finds the original for a value; a tuple makes several originals.
    unsafe : bool, default False
        Whether dtype and shape may change.

    Returns
    -------
    Module
        The module itself, with the parametrization under ``parametrizations``.

    Raises
    ------
    ValueError
        If there is no such tensor, or the parametrization does not keep dtype and shape.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        known = module.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            _same_kind(f"parametrization(module.{tensor_name}).", value, parametrization(value))
        known.append(parametrization)
        known.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        compute_attribute(module, tensor_name, _read(tensor_name), _write(tensor_name), "Parametrized")
        module.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one of the given tensor."""
    known = getattr(module, "parametrizations", None)
    if not isinstance(known, ModuleDict):
        return False
    return len(known) > 0 if tensor_name is None else tensor_name in known


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Make a parametrized tensor an ordinary parameter or buffer again.

    Parameters
    ----------
    leave_parametrized : bool, default True
        Whether it keeps the value that it has; otherwise it gets the original.

    Raises
    ------
    ValueError
        If it is not parametrized, or there is no single original to go back to.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    known = module.parametrizations[tensor_name]
    if known.is_tensor:
        original = known.original
        if leave_parametrized:
            _set(original, getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of "
            "a sequence of tensors."
        )
    store_attribute(module, tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module.parametrizations
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it was parametrized."""
    return plain_class(module)
