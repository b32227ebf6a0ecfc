"""The base of all optimizers: parameter groups, state, saving and loading, hooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.store import store

from ..user_frames import warn
from ..ways_out import OUTSIDE
from ._hooks import Hooked
from ._load import cast_state, check_groups
from ._watch import ParamGroup, WatchedList

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
ParamsT = Params  # PyTorch's name, which optimizers of one's own import


class _Required:
    """The default of a hyper-parameter that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer(Hooked):
    """Base class of optimizers; subclass it and define ``step`` to write your own.

    Parameters
    ----------
    params : iterable
        Parameters (leaf tensors), or ``(name, parameter)`` pairs, or dicts that each describe a group:
        ``{"params": [...], "lr": 0.1}``. The dicts are copied; change the groups of an existing optimizer
        through `param_groups`.
    defaults : dict
        Hyper-parameters for groups that do not give their own.

    Attributes
    ----------
    param_groups : list of dict
        The groups, as in PyTorch. Hyper-parameters and the list under ``"params"`` may be changed at any
        time.
    state : mapping
        What the optimizer remembers of each parameter, by parameter.

    Raises
    ------
    ValueError
        If there are no parameters, if one is not a leaf or is in two groups, or if a hyper-parameter is
        outside its range.
    TypeError
        If `params` is a tensor or a set, or holds something that is not a tensor.

    Notes
    -----
    A parameter listed twice in one group gives a warning, and is updated once in a step.
    """

    #: whether ``step`` of this class notes that it ran (lr schedulers warn when called before it)
    _notes_steps = False
    _opt_called = False
    _version = 0  # counts structural changes, for programs that recorded what an optimizer does

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                "but got a Tensor; write [tensor] to optimize one"
            )
        self._prepare(dict(defaults))
        given = {k: v for k, v in defaults.items() if v is not required}
        self._check_group(given)
        groups: Any = params if isinstance(params, dict) else list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if isinstance(groups, dict):
            raise TypeError("params must be a list of groups, got one dict; write [group]")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _prepare(self, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: Any = defaultdict(dict)
        self._groups: list[ParamGroup] = WatchedList((), self._groups_changed)
        self._make_hooks()

    # groups ---------------------------------------------------------------------------------------

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups."""
        return self._groups  # type: ignore[return-value]

    @param_groups.setter
    def param_groups(self, groups: Iterable[dict[str, Any]]) -> None:
        adopted = [g if isinstance(g, ParamGroup) else ParamGroup(g, self) for g in groups]
        self._groups = WatchedList(adopted, self._groups_changed)
        self._groups_changed()

    def _groups_changed(self) -> None:
        """Called after the list of groups changed."""
        self._restructured()

    def _group_changed(self, group: ParamGroup, key: str) -> None:
        """Called after ``group[key]`` changed."""
        if key == "params":
            self._restructured()

    def _restructured(self) -> None:
        """Have compiled programs look anew: parameters, groups or entries of the state have come or gone."""
        self._version += 1
        store.structure_changed()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``"params"``: a tensor or an ordered collection of tensors or of (name, tensor) pairs; other
            keys are hyper-parameters, the defaults are used for those that are missing.

        Raises
        ------
        TypeError, ValueError
            As in the constructor.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        if "params" not in param_group:
            raise KeyError("params")
        group = dict(param_group)
        group.update(_named_params(group["params"]))
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            group.setdefault(name, default)
        self._check_group(group)
        self._check_params(group)
        self._groups.append(ParamGroup(group, self))

    def _check_group(self, group: dict[str, Any], ranges: bool = True) -> None:
        """Raise an error if hyper-parameters cannot be used; what a user's optimizer takes is its own matter."""

    def _check_params(self, group: dict[str, Any]) -> None:
        for i, p in enumerate(group["params"]):
            if not isinstance(p, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__} (params[{i}])"
                )
            if not (p.is_leaf or p.retains_grad):
                raise ValueError(
                    f"can't optimize a non-leaf Tensor (params[{i}] is the result of an operation; "
                    "pass the tensors it was made from, or its .detach().requires_grad_())"
                )
        new = {id(p) for p in group["params"]}
        if len(new) != len(group["params"]):
            warn(
                "optimizer contains a parameter group with duplicate parameters; "
                "each is updated once in a step"
            )
        for other in self._groups:
            if ("param_names" in group) != ("param_names" in other):
                raise ValueError(
                    "all optimizer param groups should be with/without names: "
                    "give (name, tensor) pairs in every group or in none"
                )
            if any(id(p) in new for p in other["params"]):
                raise ValueError("some parameters appear in more than one parameter group")

    def _parameters(self) -> Iterator[Tensor]:
        for group in self._groups:
            yield from group["params"]

    # gradients and steps --------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool
            Set ``.grad`` to None (the default), which a following `step` skips; otherwise fill with zeros.
        """
        if set_to_none:
            for p in self._parameters():
                p.grad = None
            return
        with no_grad():
            for p in self._parameters():
                gradient = p.grad
                if gradient is None:
                    continue
                if gradient.requires_grad:
                    p.grad = gradient = gradient.detach()  # not in place: it may be a view
                gradient.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters from their gradients.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model anew (with gradients) and returns the loss, which `step` returns.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    # saving and loading ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state in PyTorch's form: parameters are numbered in the order of the groups.

        Returns
        -------
        dict
            ``"state"``: number -> dict of tensors (live: copy them to keep a moment);
            ``"param_groups"``: the groups with numbers under ``"params"``.
        """
        self._tell("saving")
        number: dict[int, int] = {}
        groups = []
        position = 0
        for group in self._groups:
            for offset, p in enumerate(group["params"]):
                number.setdefault(id(p), position + offset)
            position += len(group["params"])
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [number[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {number.get(id(k), k): _plain(v) for k, v in self.state.items()}
        return self._pass_through("saved", {"state": state, "param_groups": groups})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, from this library or from PyTorch.

        State tensors are copied and cast to the dtype of their parameter. Foreign tensors are taken through
        NumPy. Nothing is changed when an error is raised.

        Parameters
        ----------
        state_dict : dict
            The saved state.

        Raises
        ------
        ValueError
            If the groups or the shapes do not fit this optimizer's.
        TypeError
            If a hyper-parameter is not a number.
        KeyError
            If "state" or "param_groups" is missing.
        """
        if self._hooks["loading"]:
            state_dict = self._pass_through("loading", dict(state_dict))
        saved_groups = [dict(g) for g in state_dict["param_groups"]]
        check_groups(self._groups, saved_groups)
        owners: dict[Any, Tensor] = {}
        for saved, group in zip(saved_groups, self._groups, strict=True):
            owners.update(zip(saved["params"], group["params"], strict=True))
        state = {}
        for key, entry in state_dict["state"].items():
            p = owners.get(key)
            if p is None:
                state[key] = entry
                continue
            self._check_state(p, entry, key)
            state[p] = cast_state(p, entry)
        hyper = [{k: deepcopy(v) for k, v in g.items() if k != "params"} for g in saved_groups]
        for group in hyper:
            self._check_group(group, ranges=False)
        self._set_state(state)
        for group, entries in zip(self._groups, hyper, strict=True):
            group.update(entries)
        self._tell("loaded")

    def _check_state(self, param: Tensor, entry: Any, number: Any) -> None:
        """Raise ValueError if a saved state cannot be that of `param`."""

    def _set_state(self, state: dict[Any, Any]) -> None:
        self.state = defaultdict(dict, state)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": {p: _plain(entry) for p, entry in self.state.items()},
            "param_groups": [dict(g, params=list(g["params"])) for g in self._groups],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_groups" not in self.__dict__:
            self._prepare(dict(state.get("defaults", {})))
        for key, value in state.items():
            if key == "state":
                self._set_state(value)
            else:
                setattr(self, key, value)

    def __repr__(self) -> str:
        if store.recording is not None:
            store.recording.read(f"{type(self).__name__}.__repr__", OUTSIDE)
        texts = []
        for i, group in enumerate(self._groups):
            entries = [f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"]
            texts.append(f"Parameter Group {i}\n{''.join(entries)}")
        return f"{type(self).__name__} (\n" + "\n".join(texts) + ")"


def _plain(entry: Any) -> Any:
    return dict(entry) if isinstance(entry, dict) else entry


def _named_params(params: Any) -> dict[str, Any]:
    """The entries ``"params"`` and, when names were given, ``"param_names"`` of a group."""
    if isinstance(params, Tensor):
        return {"params": [params]}
    if isinstance(params, set | frozenset):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors "
            "in sets will change between runs. Please use a list instead."
        )
    members = list(params)
    named = [m for m in members if isinstance(m, tuple)]
    if not named:
        return {"params": members}
    if len(named) != len(members):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return {"params": [p for _, p in named], "param_names": [name for name, _ in named]}
