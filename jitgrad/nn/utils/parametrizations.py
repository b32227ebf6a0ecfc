"""Normalised weights as parametrizations: PyTorch's ``torch.nn.utils.parametrizations``."""

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..functional import normalize
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, check_iterations, divided, random_direction, usual_dim
from .weight_norm import checked_dim, norm_except_dim, normalized_weight


class _WeightNorm(Module):
    """``g v / |v|`` of a length and a direction."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normalized_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a parameter a length (``original0``) times a direction (``original1``).

    Parameters
    ----------
    module : Module
    name : str, default 'weight'
    dim : int or None, default 0
        Slices along this dimension have a length each; with None the weight has one.

    Returns
    -------
    Module
        The module itself.
    """
    weight = getattr(module, name, None)
    if isinstance(weight, Tensor):
        dim = checked_dim("weight_norm", weight, dim)
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iteration finds."""

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        dims = weight.ndim
        if not -dims <= dim < dims:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-dims}, {dims - 1}] but got {dim})"
            )
        check_iterations(n_power_iterations)
        self.dim = dim % dims
        self.eps = eps
        if dims > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = as_matrix(weight, self.dim)
                self.register_buffer("_u", random_direction(matrix.shape[0], weight, eps))
                self.register_buffer("_v", random_direction(matrix.shape[1], weight, eps))
            self._iterate(matrix, 15)

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with no_grad():
            for _ in range(count):
                self._u.copy_(normalize(T.mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(T.mv(matrix.t(), self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        if self.training:
            self._iterate(as_matrix(weight.detach(), self.dim), self.n_power_iterations)
        return divided(weight, self._u, self._v, self.dim)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Make a parameter its original divided by the original's largest singular value.

    Parameters
    ----------
    module : Module
    name : str, default 'weight'
    n_power_iterations : int, default 1
        Steps by which every reading improves the singular vectors while training.
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
    ValueError
        If the module has no such tensor, or ``n_power_iterations`` is not positive.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    made = _SpectralNorm(weight, n_power_iterations, usual_dim(module) if dim is None else dim, eps)
    return register_parametrization(module, name, made)
