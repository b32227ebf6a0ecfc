"""Views with the dimensions in another order: permute, transpose, movedim and their kin.

As in `shape`, the engine takes plain arguments, and what it does not take is done step by step, or refused, here.
"""

from __future__ import annotations

from array import array
from numbers import Integral
from typing import Any

from .._tensor import Tensor
from ..dispatch import view_code
from ..engine.entry import entries
from ._call import require_tensors, tensor_of
from ._dims import by_name, dims_of, one_dim, shape_of, sizes_of
from .shape import NONE, attach_in_place, strided_view, view_words

__all__ = ["adjoint", "moveaxis", "movedim", "permute", "swapaxes", "swapdims", "t", "transpose"]

_PERMUTE, _TRANSPOSE, _T = view_code("permute"), view_code("transpose"), view_code("t")


def _permute_words(shape: tuple[int, ...], order: tuple[int, ...]) -> array:
    return view_words([(shape[d], d, 1, NONE) for d in order], [0] * len(shape), "permute")


def permute(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """A view with the dimensions in another order.

    Parameters
    ----------
    *args : int or tuple of int
        The dimensions of `input` in the new order.
    dims : tuple of int, optional
        The same, given by name.

    Raises
    ------
    RuntimeError
        When `dims` does not name every dimension once.
    """
    if dims is not None:
        args = by_name("permute", "dims", dims, args)
    made = entries.permuted(_PERMUTE, input, *args)
    return _permute_stepwise(input, args) if type(made) is int else made


def _permute_stepwise(input: Tensor, dims: tuple[Any, ...]) -> Tensor:
    shape = shape_of(tensor_of(input, "permute"))
    named = sizes_of(dims, "permute", "dims")
    order = tuple(one_dim(d, len(shape), "permute") for d in named)
    if len(order) != len(shape):
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {len(shape)} is not equal to len(dims) = {len(order)}"
        )
    if len(set(order)) != len(order):
        raise RuntimeError(f"permute: duplicate dims are not allowed, got {list(named)}")
    return strided_view(input, _permute_words(shape, order), "permute")


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged.

    Raises
    ------
    IndexError
        When there is no such dimension.
    """
    made = entries.transposed(_TRANSPOSE, input, dim0, dim1)
    return _transpose_stepwise(input, dim0, dim1) if type(made) is int else made


def _transpose_stepwise(input: Tensor, dim0: int, dim1: int) -> Tensor:
    shape = shape_of(tensor_of(input, "transpose"))
    first, second = (one_dim(d, len(shape), "transpose") for d in (dim0, dim1))
    if not shape:
        return input.view(())
    order = list(range(len(shape)))
    order[first], order[second] = second, first
    return strided_view(input, _permute_words(shape, tuple(order)), "transpose")


swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose` under NumPy's name."""
    return transpose(input, axis0, axis1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector as it is."""
    made = entries.permuted(_T, input, 1, 0)
    return _t_stepwise(input) if type(made) is int else made


def _t_stepwise(input: Tensor) -> Tensor:
    shape = shape_of(tensor_of(input, "t"))
    if len(shape) > 2:
        raise RuntimeError(
            f"t: t() expects a tensor with <= 2 dimensions, but self is {len(shape)}D; "
            "use .mT or transpose(-2, -1)"
        )
    order = tuple(range(len(shape)))[::-1]
    return strided_view(input, _permute_words(shape, order), "t")


def _reversed_dims(self: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    made = entries.permuted(_T, self, 1, 0)
    return _reversed_stepwise(self) if type(made) is int else made


def _reversed_stepwise(self: Tensor) -> Tensor:
    shape = shape_of(self)
    name = "t" if len(shape) == 2 else "permute"
    return strided_view(self, _permute_words(shape, tuple(range(len(shape)))[::-1]), name)


def _matrix_transpose(self: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    if dims_of(self) < 2:
        raise RuntimeError(
            "mT: tensor.mT is only supported on matrices or batches of matrices. "
            f"Got {dims_of(self)}-D tensor."
        )
    return transpose(self, -2, -1)


def _transpose_of_matrix(self: Tensor) -> Tensor:
    """The transpose of a matrix, and of nothing else."""
    if dims_of(self) != 2:
        raise RuntimeError(
            f"H: tensor.H is only supported on matrices (2-D tensors). Got {dims_of(self)}-D tensor. "
            "For batches of matrices, consider using tensor.mH"
        )
    return transpose(self, 0, 1)


def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged."""
    require_tensors("adjoint", input)
    return _matrix_transpose(input)


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the rest in order."""
    made = entries.moved(_PERMUTE, input, source, destination)
    return _movedim_stepwise(input, source, destination) if type(made) is int else made


def _movedim_stepwise(input: Tensor, source: Any, destination: Any) -> Tensor:
    dims = dims_of(tensor_of(input, "movedim"))
    sources = [source] if isinstance(source, Integral) else list(source)
    targets = [destination] if isinstance(destination, Integral) else list(destination)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({sources} dims) should contain the same "
            f"number of dims as destination ({targets} dims)"
        )
    sources = [one_dim(d, dims, "movedim") for d in sources]
    targets = [one_dim(d, dims, "movedim") for d in targets]
    if len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise RuntimeError(f"movedim: repeated dim in source ({sources}) or destination ({targets})")
    places = dict(zip(targets, sources, strict=True))
    rest = iter(d for d in range(dims) if d not in sources)
    return permute(input, [places[d] if d in places else next(rest) for d in range(dims)])


moveaxis = movedim


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])
Tensor.T = property(_reversed_dims)
Tensor.mT = Tensor.mH = property(_matrix_transpose)
Tensor.H = property(_transpose_of_matrix)
for _name in ("swapaxes", "swapdims", "t", "transpose"):
    attach_in_place(_name + "_", globals()[_name])
