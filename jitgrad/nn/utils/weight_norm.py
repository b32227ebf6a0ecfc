"""Weight normalisation by names: a weight as a length ``weight_g`` and a direction ``weight_v``."""

from __future__ import annotations

from typing import TypeVar

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..module import Module
from ..parameter import Parameter
from ._computed import compute_attribute, computed_names, store_attribute

AnyModule = TypeVar("AnyModule", bound=Module)


def norm_except_dim(v: Tensor, dim: int) -> Tensor:
    """The 2-norms of the slices along a dimension, which the others keep with size 1; with -1 the norm of all."""
    if dim == -1:
        return v.norm(2)
    others = [d for d in range(v.ndim) if d != dim]
    return v.norm(2, others, keepdim=True) if others else v.abs()


def normalized_weight(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """``g v / |v|``, as Salimans and Kingma, *Weight Normalization* (2016), have it."""
    return v * (g / norm_except_dim(v, dim))


def checked_dim(name: str, weight: Tensor, dim: int | None) -> int:
    """The dimension counted from the front; -1 for all of the weight."""
    if dim is None or dim == -1:
        return -1
    if not -weight.ndim <= dim < weight.ndim:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-weight.ndim}, {weight.ndim - 1}], "
            f"but got {dim})"
        )
    return dim % weight.ndim


def weight_norm(module: AnyModule, name: str = "weight", dim: int | None = 0) -> AnyModule:
    """Replace a parameter by its length and its direction; the parameter is computed from both when it is read.

    Parameters
    ----------
    module : Module
    name : str, default 'weight'
        The parameter; ``name_g`` and ``name_v`` take its place.
    dim : int or None, default 0
        Slices along this dimension have a length each; with None the weight has one.

    Returns
    -------
    Module
        The module itself.

    Raises
    ------
    RuntimeError
        If the parameter is normalised already.
    """
    if name in computed_names(module):
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    weight = getattr(module, name)
    dim = checked_dim("weight_norm", weight, dim)
    with no_grad():
        g = Parameter(norm_except_dim(weight, dim).detach())
    v = Parameter(weight.detach())
    delattr(module, name)
    module.register_parameter(f"{name}_g", g)
    module.register_parameter(f"{name}_v", v)
    compute_attribute(
        module,
        name,
        lambda self: normalized_weight(getattr(self, f"{name}_v"), getattr(self, f"{name}_g"), dim),
    )
    return module


def remove_weight_norm(module: AnyModule, name: str = "weight") -> AnyModule:
    """Make the parameter an ordinary one again, with the value that it has.

    Raises
    ------
    ValueError
        If it is not normalised.
    """
    if name not in computed_names(module) or f"{name}_g" not in module._parameters:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    with no_grad():
        weight = getattr(module, name).detach()
    store_attribute(module, name)
    delattr(module, f"{name}_g")
    delattr(module, f"{name}_v")
    module.register_parameter(name, Parameter(weight))
    return module
