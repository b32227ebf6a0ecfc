"""What `jitgrad.linalg` computes, as methods of tensors and by the names of PyTorch's first releases: svd, qr."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from .._tensor import Tensor, method
from ._call import require_tensors

__all__ = ["qr", "svd"]


class SVD(NamedTuple):
    """Left singular vectors, singular values, descending, and right singular vectors, in the columns."""

    U: Tensor
    S: Tensor
    V: Tensor


@method
def svd(input: Tensor, some: bool = True) -> SVD:
    """`linalg.svd` with the right singular vectors in the columns; all of them when not `some`."""
    from ..linalg import svd as factors

    require_tensors("svd", input)
    u, s, vh = factors(input, full_matrices=not some)
    return SVD(u, s, vh.mT)


@method
def qr(input: Tensor, some: bool = True) -> Any:
    """`linalg.qr`, in its reduced form if `some`."""
    from ..linalg import qr as factors

    require_tensors("qr", input)
    return factors(input, "reduced" if some else "complete")


def _attach(name: str, module: str = "jitgrad.linalg") -> None:
    """A method that brings in `jitgrad.linalg`, which few programs use, when it is first called."""

    def run(self: Tensor, *args: Any, **options: Any) -> Any:
        if "out" in options:  # which the function has, and methods do not
            raise TypeError(f"{name}() got an unexpected keyword argument 'out'; linalg.{name} takes it")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function(self, *args, **options)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"See `linalg.{name}`."
    setattr(Tensor, name, run)


for _name in (
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "det",
    "inverse",
    "logdet",
    "matrix_exp",
    "pinverse",
    "slogdet",
):
    _attach(_name)
for _name in ("lu", "lu_solve", "triangular_solve"):
    _attach(_name, "jitgrad.linalg._older")
