"""Loading a state_dict: everything is compared first, and only a perfect match changes anything."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from .hooks import LOAD, LOAD_PRE
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` returns: the keys that found no partner."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


class _Copy(NamedTuple):
    """One planned assignment: ``owner.name``, now ``current``, receives ``value``."""

    owner: Module
    name: str
    current: Tensor
    value: Tensor


def own_state(module: Module) -> list[tuple[str, Tensor]]:
    """List a module's own parameters and persistent buffers, the children's left out."""
    members = list(module._own_parameters.items())
    members += [pair for pair in module._own_buffers.items() if pair[0] not in module._transient]
    return [pair for pair in members if pair[1] is not None]


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Compare ``state_dict`` with the module's state and copy it in if nothing is wrong."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    copies: list[_Copy] = []
    missing: list[str] = []
    unexpected: list[str] = []
    mismatches: list[str] = []
    expected = set()
    owners = list(module.named_modules(remove_duplicate=False))
    if any(owner._hooks is not None for _, owner in owners):
        state_dict = OrderedDict(state_dict)
        _run_before(owners, state_dict, (strict, missing, unexpected, mismatches))
    for prefix, owner in owners:
        for name, current in own_state(owner):
            key = f"{prefix}.{name}" if prefix else name
            expected.add(key)
            if key not in state_dict:
                if name not in owner._optional_state:
                    missing.append(key)
                continue
            value = state_dict[key]
            problem = _problem(key, current, value)
            if problem is None:
                copies.append(_Copy(owner, name, current, value))
            else:
                mismatches.append(problem)
    unexpected += [key for key in state_dict if key not in expected]
    _raise_if_wrong(module, missing, unexpected, mismatches, strict)
    _carry_out(copies, assign)
    result = IncompatibleKeys(missing, unexpected)
    for _, owner in owners:
        for hook in () if owner._hooks is None else list(owner._hooks.of(LOAD).values()):
            if hook.function(owner, result) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values; if incompatible_keys need to be modified, it should be done inplace."
                )
    if strict:  # hooks may have found something
        _raise_if_wrong(module, missing, unexpected, mismatches, strict)
    return result


def _run_before(owners: list[tuple[str, Module]], state_dict: Any, rest: tuple) -> None:
    """Run the hooks that may change a state_dict before it is compared."""
    for prefix, owner in owners:
        hooks = () if owner._hooks is None else list(owner._hooks.of(LOAD_PRE).values())
        for hook in hooks:
            arguments = (state_dict, f"{prefix}." if prefix else "", {}, *rest)
            hook.function(*(owner, *arguments) if hook.with_module else arguments)


def _problem(key: str, current: Tensor, value: Any) -> str | None:
    """Say why ``value`` cannot become ``current``, or return None."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected a Tensor from checkpoint but '
            f"received {type(value)}; make it one with tensor(...)."
        )
    if value.shape != current.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
            f"the shape in current model is {current.shape}."
        )
    return None


def _raise_if_wrong(
    module: Module,
    missing: list[str],
    unexpected: list[str],
    mismatches: list[str],
    strict: bool,
) -> None:
    lines = list(mismatches)
    if strict and unexpected:
        lines.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    if strict and missing:
        lines.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if lines:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(lines)
        )


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _carry_out(copies: list[_Copy], assign: bool) -> None:
    if assign:
        for owner, name, current, value in copies:
            if isinstance(value, Parameter):
                value.requires_grad_(current.requires_grad)
            elif isinstance(current, Parameter):
                value = Parameter(value, requires_grad=current.requires_grad)
            setattr(owner, name, value)
        return
    with no_grad():
        for _, _, current, value in copies:
            current.copy_(value)
