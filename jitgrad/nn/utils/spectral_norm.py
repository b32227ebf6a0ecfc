"""Spectral normalisation by names: a weight ``weight_orig`` divided by its largest singular value.

The singular value is found by power iteration, as in Miyato and others, *Spectral Normalization* (2018): the
buffers ``weight_u`` and ``weight_v`` hold the singular vectors found so far, and every forward while training
improves them.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..functional import normalize
from ..module import Module
from ..parameter import Parameter
from ._computed import compute_attribute, computed_names, store_attribute

AnyModule = TypeVar("AnyModule", bound=Module)


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with a dimension first and all others as one."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def random_direction(size: int, like: Tensor, eps: float) -> Tensor:
    """A vector of length 1, its direction drawn at random."""
    return normalize(T.randn(size, dtype=like.dtype), dim=0, eps=eps)


def divided(weight: Tensor, u: Tensor, v: Tensor, dim: int) -> Tensor:
    """The weight by ``u . W v``; of u and v copies are kept, for the next forward changes them in place."""
    u, v = u.clone(), v.clone()
    return weight / T.dot(u, T.mv(as_matrix(weight, dim), v))


def usual_dim(module: Module) -> int:
    """The dimension of a weight's outputs: the second one of transposed convolutions."""
    return int(any(base.__name__.startswith("ConvTranspose") for base in type(module).__mro__))


def check_iterations(count: int) -> None:
    """ValueError unless the number of power iterations is positive."""
    if count <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={count}")


class SpectralNorm:
    """The hook that improves the singular vectors before every forward while training."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        check_iterations(n_power_iterations)
        self.name, self.dim = name, dim
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def compute_weight(self, module: Any) -> Tensor:
        """The normalised weight."""
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        return divided(weight, u, v, self.dim)

    def __call__(self, module: Any, inputs: Any) -> None:
        """Improve the module's singular vectors, in place, if it is being trained."""
        if not module.training:
            return
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        with no_grad():
            matrix = as_matrix(weight, self.dim)
            for _ in range(self.n_power_iterations):
                v.copy_(normalize(T.mv(matrix.t(), u), dim=0, eps=self.eps))
                u.copy_(normalize(T.mv(matrix, v), dim=0, eps=self.eps))


def spectral_norm(
    module: AnyModule,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> AnyModule:
    """Divide a parameter by its largest singular value whenever it is read.

    Parameters
    ----------
    module : Module
    name : str, default 'weight'
        The parameter; ``name_orig``, ``name_u`` and ``name_v`` take its place.
    n_power_iterations : int, default 1
        Steps by which every forward improves the singular vectors while training.
    eps : float, default 1e-12
        The least length by which a vector is divided.
    dim : int, optional
        The dimension of the outputs; by default 0, for transposed convolutions 1.

    Returns
    -------
    Module
        The module itself.

    Raises
    ------
    RuntimeError
        If the parameter is normalised already.
    ValueError
        If it is None, or ``n_power_iterations`` is not positive.
    """
    if name in computed_names(module):
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, usual_dim(module) if dim is None else dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    with no_grad():
        height, width = as_matrix(weight, hook.dim).shape
        u, v = (random_direction(size, weight, eps) for size in (height, width))
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    compute_attribute(module, name, partial(SpectralNorm.compute_weight, hook))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: AnyModule, name: str = "weight") -> AnyModule:
    """Make the parameter an ordinary one again, with the value that it has.

    Raises
    ------
    ValueError
        If it is not normalised.
    """
    hooks = module._forward_pre_hooks
    found = next((n for n, h in hooks.items() if isinstance(h, SpectralNorm) and h.name == name), None)
    if found is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    with no_grad():
        weight = getattr(module, name).detach()
    module._remove_hook(found)
    store_attribute(module, name)
    for end in ("u", "v", "orig"):
        delattr(module, f"{name}_{end}")
    module.register_parameter(name, Parameter(weight))
    return module
