"""Parameters with some of their entries held at zero: PyTorch's ``torch.nn.utils.prune``.

A pruned parameter ``weight`` is kept as the parameter ``weight_orig`` and the buffer ``weight_mask`` of ones and zeros;
``weight`` is their product, computed whenever it is read. What has been done to it stands among the module's forward
pre-hooks, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..module import Module
from ._pruning import (
    BasePruningMethod,
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    PruningContainer,
    RandomStructured,
    RandomUnstructured,
    hooks_for,
)

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


def identity(module: Module, name: str) -> Module:
    """Make a parameter ready to be pruned, with a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prune a share (float) or number (int) of a parameter's entries at random; returns the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prune a share (float) or number (int) of entries, those of the least absolute values; returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prune a share (float) or number (int) of slices along a dimension at random; returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: float | str,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune a share (float) or number (int) of slices along a dimension, those of the least n-norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune the entries of a parameter where a mask is zero; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune entries of several parameters, chosen among all of them.

    Parameters
    ----------
    parameters : iterable of (Module, str)
    pruning_method : type
        Such as `L1Unstructured`; of the type "unstructured".
    importance_scores : dict, optional
        From pairs of module and name to tensors to choose by in the parameters' place.
    **kwargs
        For the method.

    Raises
    ------
    TypeError
        If the parameters are no iterable, the scores no dict, or the method is not unstructured.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs, scores = list(parameters), {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f"Only 'unstructured' PRUNING_TYPE supported for the `pruning_method`. Found {pruning_method} of type "
            f"{method.PRUNING_TYPE}"
        )
    with no_grad():
        weights: list[Any] = [scores.get((m, name), getattr(m, name)) for m, name in pairs]
        weights = [w.detach() for w in weights]
        masks = [
            getattr(m, name + "_mask", T.ones_like(w)) for (m, name), w in zip(pairs, weights, strict=True)
        ]
        container = PruningContainer()
        container._tensor_name = method._tensor_name = "temp"
        container.add_pruning_method(method)
        flat = [T.cat([x.reshape(-1) for x in parts]) for parts in (weights, masks)]
        chosen = container.compute_mask(*flat).split([w.numel() for w in weights])
    for (module, name), weight, mask in zip(pairs, weights, chosen, strict=True):
        custom_from_mask(module, name, mask.view(weight.shape))


def remove(module: Module, name: str) -> Module:
    """Make a pruned parameter a plain one again, with zeros where it was pruned; returns the module.

    Raises
    ------
    ValueError
        If the parameter is not pruned.
    """
    hooks = hooks_for(module, name)
    if not hooks:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    for key, hook in hooks:
        hook.remove(module)
        module._remove_hook(key)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of a module within it, is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for m in module.modules()
        for hook in m._forward_pre_hooks.values()
    )
