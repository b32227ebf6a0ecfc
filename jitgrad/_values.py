"""How a tensor's values come out: as Python numbers and lists, NumPy arrays, text, copies and pickles."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .dispatch import CONTEXT
from .dtypes import BY_NUMPY
from .engine.entry import entries
from .engine.layout import (
    CONTIGUOUS,
    REQUIRES_GRAD,
    S_ADDRESS,
    S_DIMS,
    S_DTYPE,
    S_FLAGS,
    S_SHAPE,
    S_STRIDES,
    SLOT_WORDS,
)
from .kernels.abi import ITEM_SIZES, NUMPY_DTYPES
from .store import store
from .ways_out import BRANCH

if TYPE_CHECKING:
    from ._tensor import Tensor

ADDRESSES = 1 << 62  # more bytes than any tensor has: its sizes say how many of them an array shows


class Values:
    """The part of `Tensor` that reads values and hands them out."""

    __slots__ = ()

    def item(self) -> Any:
        """The only element as a Python number."""
        value = entries.item(self)
        if value is None:
            raise RuntimeError(
                f"item: a Tensor with {self.numel()} elements cannot be converted to Scalar; shape "
                f"{tuple(self.shape)}, expected one element. Use tolist(), or reduce it first"
            )
        if store.recording is not None:
            store.recording.read("item")
        return value

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array on the same memory, which stays valid as long as the array is held."""
        if store.slots[self._slot * SLOT_WORDS + S_FLAGS] & REQUIRES_GRAD and not force:
            raise RuntimeError(
                "numpy: can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead"
            )
        return _array_on(self.detach())

    def __dlpack__(self, **options: Any) -> Any:
        """The memory, for other libraries: see `from_dlpack`; BufferError where they would miss the history."""
        if store.slots[self._slot * SLOT_WORDS + S_FLAGS] & REQUIRES_GRAD:
            raise BufferError(
                "__dlpack__: Can't export tensors that require gradient: other libraries do not know its history. "
                "Use tensor.detach()"
            )
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """The CPU, as DLPack numbers it."""
        return 1, 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array_ = self.numpy()
        return array_ if dtype is None and not copy else np.array(array_, dtype=dtype, copy=copy)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        if store.recording is not None:
            store.recording.read("tolist")
        return entries.nested(self)

    def _number(self) -> Any:
        """`item`, which Python's own conversions refuse with another exception."""
        value = entries.item(self)
        if value is None:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars; got {self.numel()} elements of "
                f"shape {tuple(self.shape)}. Use tolist(), or reduce it first"
            )
        if store.recording is not None:
            store.recording.read("item")
        return value

    def __float__(self) -> float:
        return float(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self._number())

    def __bool__(self) -> bool:
        value = entries.item(self)
        if value is None:
            raise RuntimeError(
                f"bool: Boolean value of Tensor with {self.numel()} values is ambiguous; use any() or all()"
            )
        if store.recording is not None:
            store.recording.read("bool", BRANCH)
        return bool(value)

    def __len__(self) -> int:
        words, at = store.slots, self._slot * SLOT_WORDS
        if not words[at + S_DIMS]:
            raise TypeError("len() of a 0-d tensor")
        return words[at + S_SHAPE]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))  # type: ignore[attr-defined]

    def __delitem__(self, index: Any) -> None:
        raise TypeError(
            "Tensor does not support deleting items; index what is to remain, or assign to the items"
        )

    def __contains__(self, value: Any) -> bool:
        found = self == value
        if not isinstance(found, Values):
            raise RuntimeError(f"in: a tensor contains tensors and numbers only, not {type(value).__name__}")
        return bool(found.any())  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        from .printing import tensor_repr

        return tensor_repr(self)

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and not isinstance(self, _parameter_type()):
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        if not self.is_leaf:
            raise RuntimeError(
                "copy: only Tensors created explicitly by the user (graph leaves) support deepcopy and pickle; "
                "detach() it first"
            )
        values = _array_on(self.detach()).copy()
        attributes = {k: v for k, v in self.__dict__.items() if k != "_hooks"}
        return _rebuild, (type(self), values, self.requires_grad, attributes or None)

    def __copy__(self) -> Tensor:
        """A leaf on the same memory, which asks for gradients as the tensor does, with its attributes."""
        made = self.detach()
        if type(self) is not type(made):
            made = made.as_subclass(type(self))  # type: ignore[attr-defined]
        made.__dict__.update({k: v for k, v in self.__dict__.items() if k != "_hooks"})
        return made.requires_grad_() if self.requires_grad else made

    def __deepcopy__(self, memo: dict) -> Tensor:
        rebuild, arguments = self.__reduce_ex__(2)
        made = memo[id(self)] = rebuild(*arguments)
        if self.grad is not None:
            made.grad = self.grad.clone()  # type: ignore[attr-defined]
        return made

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return _tensors_of(array)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """What NumPy's functions of elements give: tensors, as in PyTorch, or the arrays of ``out``."""
        if method == "__call__" and len(inputs) == 2 and _is_number(inputs[0]) and not options:
            same = _OPERATORS.get(ufunc.__name__)
            if same is not None:  # `np.sqrt(2.0) * x` is ours, gradient and all
                return same(inputs[0].item(), self)
        if "out" in options:
            return getattr(ufunc, method)(*_plain(inputs), **options | {"out": _plain(options["out"])})
        made = getattr(ufunc, method)(*_plain(inputs), **options)
        return _tensors_of(made) if method in ("__call__", "reduce") else made


# what the operators of NumPy's scalars call
_OPERATORS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, np.generic | np.ndarray) and value.ndim == 0


def _plain(values: tuple) -> tuple:
    return tuple([x.numpy() if isinstance(x, Values) else x for x in values])


def _tensors_of(made: Any) -> Any:
    """Tensors on arrays that NumPy has made; arrays of dtypes that tensors cannot have stay what they are."""
    if isinstance(made, tuple):
        return tuple([_tensors_of(x) for x in made])
    array_ = np.asarray(made)
    if array_.dtype not in BY_NUMPY:
        return made
    from .functions.from_data import from_numpy

    return from_numpy(array_)


class _Memory(ctypes.c_char * ADDRESSES):
    """The memory from an address on, for an array of NumPy's; it keeps the tensor, and so what it shows, alive."""

    tensor: Tensor


def _array_on(tensor: Tensor) -> np.ndarray:
    """An array on a tensor's memory."""
    if store.recording is not None:
        store.recording.read("numpy")
    words, at = store.slots, tensor._slot * SLOT_WORDS
    code, strides = words[at + S_DTYPE], None
    if not words[at + S_FLAGS] & CONTIGUOUS:
        item = ITEM_SIZES[code]
        strides = tuple([item * s for s in words[at + S_STRIDES : at + S_STRIDES + words[at + S_DIMS]]])
    memory = _Memory.from_address(words[at + S_ADDRESS])
    memory.tensor = tensor
    return np.ndarray(entries.sizes(tensor), NUMPY_DTYPES[code], memory, 0, strides)


def _parameter_type() -> type:
    from .nn.parameter import Parameter

    return Parameter


def _rebuild(kind: type, values: np.ndarray, requires_grad: bool, attributes: dict | None) -> Tensor:
    from .functions.from_data import tensor

    source = tensor(values)  # held by a name until the new handle is counted
    made = kind.__new__(kind)
    made._slot = entries.retain(CONTEXT, source._slot)
    if requires_grad:
        made.requires_grad_()
    if attributes:
        made.__dict__.update(attributes)
    return made
