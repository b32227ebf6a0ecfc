"""Saving and loading a state_dict: everything is compared first, and only a perfect match changes anything."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._running_hooks import LOAD, LOAD_PRE, STATE, STATE_PRE, Hooks
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


EXTRA = "_extra_state"  # the key of what `Stateful.get_extra_state` gives


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


class _Plan:
    """What a `load_state_dict` will do, once it is known that nothing is wrong."""

    def __init__(self) -> None:
        self.copies: list[_Copy] = []
        self.extras: list[tuple[Module, Any]] = []
        self.expected: set[str] = set()
        self.compared: set[str] = set()  # the prefixes of the modules whose members were looked for

    def compare(
        self, owner: Module, prefix: str, state_dict: Mapping[str, Any], missing: list, wrong: list
    ) -> None:
        """Plan what a module itself takes from ``state_dict``."""
        self.compared.add(prefix)
        for name, current in own_state(owner):
            key = prefix + name
            self.expected.add(key)
            if key not in state_dict:
                if name not in owner._optional_state:
                    missing.append(key)
                continue
            value = state_dict[key]
            problem = _problem(key, current, value)
            if problem is None:
                self.copies.append(_Copy(owner, name, current, value))
            else:
                wrong.append(problem)
        if type(owner).set_extra_state is not Stateful.set_extra_state:
            key = prefix + EXTRA
            self.expected.add(key)
            if key in state_dict:
                self.extras.append((owner, state_dict[key]))
            else:
                missing.append(key)

    def carry_out(self, assign: bool) -> None:
        """Do it."""
        _carry_out(self.copies, assign)
        for owner, value in self.extras:
            owner.set_extra_state(value)


_RUNNING: ContextVar[_Plan | None] = ContextVar("running", default=None)  # to which the modules' methods add


def load(module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Compare ``state_dict`` with the module's state and copy it in if nothing is wrong."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"load_state_dict: expected a mapping of names to tensors, got {type(state_dict).__name__}; "
            "pass what state_dict() returned"
        )
    missing: list[str] = []
    unexpected: list[str] = []
    mismatches: list[str] = []
    rest = (True, missing, unexpected, mismatches)
    owners = list(module.named_modules(remove_duplicate=False))
    about = _Metadata(state_dict)
    state_dict = OrderedDict(state_dict)  # which hooks and the modules' own methods may change
    if any(owner._hooks is not None for _, owner in owners):
        _run_before(owners, state_dict, about, (strict, *rest[1:]))
    plan = _Plan()
    before = _RUNNING.set(plan)
    try:
        for prefix, owner in owners:
            owner._load_from_state_dict(state_dict, f"{prefix}." if prefix else "", about.of(prefix), *rest)
    finally:
        _RUNNING.reset(before)
    prefixes = {f"{prefix}." if prefix else "" for prefix, _ in owners}
    unexpected += [
        key for key in state_dict if key not in plan.expected and _owner_of(key, prefixes) in plan.compared
    ]
    _raise_if_wrong(module, missing, unexpected, mismatches, strict)
    plan.carry_out(assign)
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


def _owner_of(key: str, prefixes: set[str]) -> str:
    """The prefix of the innermost module to which a key could belong."""
    while key and key not in prefixes:
        key = key[: key.rstrip(".").rfind(".") + 1]
    return key


class _Metadata:
    """What a state_dict tells of the modules that have saved it."""

    def __init__(self, state_dict: Any) -> None:
        self._by_name = getattr(state_dict, "_metadata", {})

    def of(self, name: str) -> dict[str, Any]:
        """What it tells of one module, by the module's name: its version, if that is known."""
        return dict(self._by_name.get(name, {}))


def _run_before(owners: list[tuple[str, Module]], state_dict: Any, about: _Metadata, rest: tuple) -> None:
    """Run the hooks that may change a state_dict before it is compared."""
    for prefix, owner in owners:
        hooks = () if owner._hooks is None else list(owner._hooks.of(LOAD_PRE).values())
        for hook in hooks:
            arguments = (state_dict, f"{prefix}." if prefix else "", about.of(prefix), *rest)
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


class Stateful:
    """The part of `Module` that saves and loads state."""

    _hooks: Hooks | None
    _own_modules: dict[str, Any]
    _version = 1  # of what a class saves; `_load_from_state_dict` is told that of the state to be loaded

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Return all parameters and persistent buffers by dotted name.

        Parameters
        ----------
        destination : dict, optional
            A dictionary to fill instead of a new one.
        prefix : str
            What to put before every key.
        keep_vars : bool, default False
            Return the parameters themselves. By default the values are detached; in both
            cases they share memory with the module.

        Notes
        -----
        Its attribute ``_metadata`` tells the ``_version`` of every module's class by the module's name.
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata  # type: ignore[attr-defined]
        hooks = self._hooks
        for hook in () if hooks is None else list(hooks.of(STATE_PRE).values()):
            hook.function(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._own_modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in () if hooks is None else list(hooks.of(STATE).values()):
            changed = hook.function(self, destination, prefix, metadata)
            destination = destination if changed is None else changed
        return destination

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy the values of a `state_dict` into this module; all of them, or on an error none.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            The values, by dotted name.
        strict : bool, default True
            Whether missing and unexpected keys are errors.
        assign : bool, default False
            Make the given tensors the module's own instead of copying their values.

        Returns
        -------
        IncompatibleKeys
            A pair of lists, ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        TypeError
            If ``state_dict`` is not a mapping.
        RuntimeError
            Naming every missing or unexpected key (if ``strict``) and every shape that differs.
        """
        return load(self, state_dict, strict, assign)  # type: ignore[arg-type]

    def get_extra_state(self) -> Any:
        """What to save beside parameters and buffers: define it together with `set_extra_state`.

        Raises
        ------
        RuntimeError
            Where a class has not defined it.
        """
        raise RuntimeError(
            f"get_extra_state: {type(self).__name__} defines set_extra_state alone; define both, or none"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` gave from a state_dict that is loaded.

        Raises
        ------
        RuntimeError
            Where a class has not defined it.
        """
        raise RuntimeError(
            f"set_extra_state: {type(self).__name__} defines get_extra_state alone; define both, or none"
        )

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put the module's own state, the children's left out, into a dictionary; a class may do more."""
        for name, value in own_state(self):  # type: ignore[arg-type]
            destination[prefix + name] = value if keep_vars else value.detach()
        if type(self).get_extra_state is not Stateful.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take the module's own state, the children's left out, from a dictionary; a class may change it before.

        Values are copied when all modules have taken theirs and nothing is wrong.
        """
        plan = _RUNNING.get()
        if plan is None:
            raise RuntimeError("_load_from_state_dict: call load_state_dict, which calls it for every module")
        plan.compare(self, prefix, state_dict, missing_keys, error_msgs)  # type: ignore[arg-type]
