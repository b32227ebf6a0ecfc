"""Normalised weights as parametrizations: PyTorch's ``torch.nn.utils.parametrizations``."""

from __future__ import annotations

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..functional import normalize
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import as_matrix, check_iterations, divided, random_direction, usual_dim
from .weight_norm import checked_dim, norm_except_dim, normalized_weight


def _tensor_of(module: Module, name: str) -> Tensor:
    """A parameter or buffer, by name."""
    tensor = getattr(module, name, None)
    if not isinstance(tensor, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return tensor


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
    weight = _tensor_of(module, name)
    made = _SpectralNorm(weight, n_power_iterations, usual_dim(module) if dim is None else dim, eps)
    return register_parametrization(module, name, made)


MAPS = ("matrix_exp", "cayley", "householder")


def _orthonormal(x: Tensor) -> Tensor:
    """The orthonormal factor of a tall matrix, with the signs that make the other one's diagonal positive."""
    from jitgrad.linalg import qr  # few programs need it

    q, r = qr(x)
    return q * r.diagonal(0, -2, -1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """A matrix with orthonormal columns, or rows, that is made of any matrix.

    It is Lezcano-Casado's (2019, Trivializations for gradient-based optimization on manifolds): a map from skew
    matrices, or reflections, times the matrix that was there at first.
    """

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = tuple(weight.shape), orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.shape[-2] < self.shape[-1]
        x = x.mT if wide else x
        q = _reflections(x) if self.orthogonal_map == "householder" else self._of_skew(x)
        if self.use_trivialization:
            q = self.base @ q
        return q.mT if wide else q

    def _of_skew(self, x: Tensor) -> Tensor:
        from jitgrad.linalg import matrix_exp, solve  # few programs need it

        rows, columns = x.shape[-2:]
        lower = (
            T.cat([x.tril(), x.new_zeros(*x.shape[:-1], rows - columns)], -1) if rows > columns else x.tril()
        )
        skew = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(skew)[..., :columns]
        unit = T.eye(rows, dtype=x.dtype)
        return solve(unit - 0.5 * skew, unit + 0.5 * skew)[..., :columns]

    def right_inverse(self, value: Tensor) -> Tensor:
        if tuple(value.shape) != self.shape:
            raise ValueError(
                f"orthogonal: Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape "
                f"{tuple(value.shape)}."
            )
        if not self.use_trivialization and self.orthogonal_map == "householder":
            with no_grad():
                wide = self.shape[-2] < self.shape[-1]
                found = _reflectors(value.mT if wide else value)
                return found.mT.contiguous() if wide else found
        if not self.use_trivialization:
            raise NotImplementedError(
                "orthogonal: It is not possible to assign to a weight made with use_trivialization=False; make it "
                "with True, or set its original"
            )
        with no_grad():
            tall = value.mT if self.shape[-2] < self.shape[-1] else value
            rows, columns = tall.shape[-2:]
            if rows > columns:
                tall = T.cat([tall, T.randn(*tall.shape[:-1], rows - columns, dtype=tall.dtype)], -1)
            self.base = _orthonormal(tall)
            # all maps take minus the unit matrix, of which only the diagonal is not zero, to plus or minus itself
            return -T.eye(*self.shape[-2:], dtype=value.dtype).expand(self.shape).clone()


def _reflections(x: Tensor) -> Tensor:
    from jitgrad.linalg import householder_product  # few programs need it

    vectors = x.tril(-1)
    tau = 2 / (1 + vectors.square().sum(-2))
    signs = x.detach().diagonal(0, -2, -1).trunc().unsqueeze(-2)
    return householder_product(vectors, tau) * signs


def _reflectors(value: Tensor) -> Tensor:
    """What `_reflections` makes the orthonormal factor of a tall matrix of."""

    def raw(a: np.ndarray) -> np.ndarray:
        packed, tau = np.linalg.qr(a, "raw")
        packed = packed.swapaxes(-1, -2).copy()
        k = np.arange(tau.shape[-1])
        # LAPACK leaves a column that needs no reflection; here it is reflected, which turns its sign around
        packed[..., k, k] = np.sign(packed[..., k, k]) * np.where(tau == 0, -1, 1)
        return packed

    from jitgrad.linalg._checks import by_numpy

    return by_numpy("qr", raw, value)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix orthonormal: its columns, or its rows where it has fewer.

    Parameters
    ----------
    module : Module
    name : str, default 'weight'
        A parameter of at least two dimensions; the last two are the matrix.
    orthogonal_map : str, optional
        ``"matrix_exp"`` (by default for square matrices), ``"cayley"`` or ``"householder"`` (for others).
    use_trivialization : bool, default True
        Start from the orthonormal matrix nearest to what is there, by a factor that is not trained. Without, the
        matrix that is there is taken for the map's argument, and nothing can be assigned.

    Returns
    -------
    Module
        The module itself.

    Raises
    ------
    ValueError
        If there is no such tensor, it has fewer than two dimensions, or the map is unknown.
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    return register_parametrization(
        module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True
    )
