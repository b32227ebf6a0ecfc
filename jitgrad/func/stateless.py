"""`functional_call`: a module as a function of its parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from .._tensor import Tensor
from ..functions import stack
from ..nn._registry import BUFFERS, PARAMETERS, set_plainly
from ..nn._swaps import swaps


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other tensors in the place of its parameters and buffers.

    Parameters
    ----------
    module : nn.Module
    parameter_and_buffer_dicts : dict or sequence of dict
        From names, as in ``named_parameters()``, to tensors.
    args : tuple or anything
        Positional arguments; what is no tuple is the only one.
    kwargs : dict, optional
    tie_weights : bool
        Replace a parameter under all its names when one of them is given.
    strict : bool
        Raise when a parameter or buffer is not given.

    Raises
    ------
    KeyError
        When a name is not one of the module's.
    RuntimeError
        With `strict`, when a name is not one of the module's, or one of these is missing.
    """
    given = parameter_and_buffer_dicts
    tables = (given,) if isinstance(given, Mapping) else tuple(given)
    wanted: dict[str, Tensor] = {}
    for table in tables:
        for name, value in table.items():
            if name in wanted:
                raise ValueError(f"functional_call: {name!r} appears in several dictionaries")
            wanted[name] = value
    places = _places(module)
    unknown = [name for name in wanted if name not in places]
    if unknown:
        raise (RuntimeError if strict else KeyError)(
            f"functional_call: {type(module).__name__} has no parameter or buffer {unknown}"
        )
    missing = [name for name in places if name not in wanted]
    if strict and missing:
        raise RuntimeError(f"functional_call: missing key(s): {missing}")
    positional = args if isinstance(args, tuple) else () if args is None else (args,)
    with _swapped(places, _with_ties(places, wanted) if tie_weights else wanted):
        return module(*positional, **(kwargs or {}))


def stack_module_state(models: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and buffers of modules that are alike, each stacked along a new first dimension.

    With `vmap` and `functional_call` they are run as one. The stacked parameters are leaves of their own.

    Parameters
    ----------
    models : sequence of nn.Module

    Returns
    -------
    (dict, dict)
        Parameters and buffers by name.

    Raises
    ------
    RuntimeError
        If there are no modules, or they differ in class or mode.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: expected at least one model, got 0")
    first = models[0]
    if any(type(m) is not type(first) or m.training is not first.training for m in models):
        raise RuntimeError(
            "stack_module_state: expected models of one class, all in training mode or all not"
        )
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    stacked = {
        name: stack([p[name].detach() for p in parameters]).requires_grad_(x.requires_grad)
        for name, x in parameters[0].items()
    }
    return stacked, {name: stack([b[name] for b in buffers]) for name in buffers[0]}


Place = tuple[Any, str, str]  # module, registry, name in it


def _places(module: Any) -> dict[str, Place]:
    found = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for kind in (PARAMETERS, BUFFERS):
            for name, value in getattr(owner, kind).items():
                if value is not None:
                    found[f"{path}.{name}" if path else name] = (owner, kind, name)
    return found


def _held(place: Place) -> Tensor:
    owner, kind, name = place
    return getattr(owner, kind)[name]


def _with_ties(places: dict[str, Place], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    by_tensor = {id(_held(places[name])): value for name, value in wanted.items()}
    tied = {name: by_tensor[id(_held(p))] for name, p in places.items() if id(_held(p)) in by_tensor}
    return tied | wanted


@contextlib.contextmanager
def _swapped(places: dict[str, Place], wanted: dict[str, Tensor]) -> Iterator[None]:
    """Put tensors in place without counting that as changes: afterwards everything is as before."""
    before = {name: _held(places[name]) for name in wanted}
    with swaps():
        try:
            for name, value in wanted.items():
                _hold(places[name], value)
            yield
        finally:
            for name, value in before.items():
                _hold(places[name], value)


def _hold(place: Place, value: Tensor) -> None:
    owner, kind, name = place
    getattr(owner, kind)[name] = value
    set_plainly(owner, name, value)
