"""The tensor: a Python handle on a slot of the engine.

A `Tensor` holds one integer. Values, shape, gradient and history live in the engine's tables; properties read
them there. Most methods are ordinary functions of `jitgrad.functions`, attached by `method`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ._values import Values
from .dispatch import CONTEXT, demand, insist
from .dtypes import CPU, DTYPES, Size, device, dtype
from .engine import layout
from .engine.entry import entries
from .engine.layout import (
    CONTIGUOUS,
    REQUIRES_GRAD,
    S_ADDRESS,
    S_DIMS,
    S_DTYPE,
    S_FLAGS,
    S_NUMEL,
    S_ROW,
    S_SHAPE,
    S_STORAGE,
    SLOT_WORDS,
)
from .layouts import layout as element_layout
from .layouts import memory_format as formats
from .store import store
from .ways_out import OUTSIDE

if TYPE_CHECKING:
    from .operator_types import Operators as _Base
else:
    _Base = Values

F = TypeVar("F", bound=Callable)
NUMBERS = (float, int, bool)
_CHANNELS_LAST = {formats.channels_last: 4, formats.channels_last_3d: 5}  # dimensions


class Tensor(_Base):
    """A multi-dimensional array that remembers how it was made, as PyTorch's.

    Make one with `jitgrad.tensor`, `jitgrad.zeros` and their kin. ``Tensor(2, 3)`` is an uninitialised one of these
    sizes, and ``Tensor([2, 3])`` one of these values, in the default dtype. ``Tensor(x)`` of a tensor is a view of it.
    """

    __slots__ = ("__dict__", "__weakref__", "_slot")
    __array_priority__ = 1000
    _slot: int

    def __init__(self, *args: Any, **options: Any) -> None:
        from .typed import from_sizes_or_data

        if hasattr(self, "_slot"):  # made by a subclass's __new__, which was called with these
            return
        if options:
            raise TypeError(
                f"Tensor() got an unexpected keyword argument {next(iter(options))!r}; use tensor()"
            )
        made = from_sizes_or_data("Tensor", args, None)
        self._slot = entries.retain(CONTEXT, made._slot)

    # what the tables say: scripts ask for the commonest so often that these read the words themselves ----------

    def _word(self, field: int) -> int:
        return store.slots[self._slot * SLOT_WORDS + field]

    @property
    def shape(self) -> Size:
        """Sizes of the dimensions."""
        return Size(entries.sizes(self))

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return Size(entries.sizes(self))
        words, at = store.slots, self._slot * SLOT_WORDS
        if type(dim) is int and 0 <= dim < words[at + S_DIMS]:
            return words[at + S_SHAPE + dim]
        return self.shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """Steps in elements from one index to the next, for every dimension or one."""
        strides = entries.steps(self)
        if store.recording is not None and 1 in (self.shape if dim is None else (self.shape[dim],)):
            store.recording.asks_place(self, "stride")  # guards take any along a dimension of size 1
        return strides if dim is None else strides[dim]

    def _strides(self) -> tuple[int, ...]:
        return entries.steps(self)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return store.slots[self._slot * SLOT_WORDS + S_DIMS]

    def dim(self) -> int:
        """Number of dimensions."""
        return store.slots[self._slot * SLOT_WORDS + S_DIMS]

    ndimension = dim

    def numel(self) -> int:
        """Number of elements."""
        return store.slots[self._slot * SLOT_WORDS + S_NUMEL]

    nelement = numel

    @property
    def dtype(self) -> dtype:
        """Type of the elements."""
        return DTYPES[store.slots[self._slot * SLOT_WORDS + S_DTYPE]]

    @property
    def device(self) -> device:
        """Always the CPU."""
        return CPU

    is_cpu = True
    # what scripts ask before they go on with an ordinary tensor, as optimizers of their own do of gradients
    is_cuda = is_sparse = is_sparse_csr = is_quantized = is_meta = is_mps = is_nested = is_mkldnn = False
    layout = element_layout.strided
    name = None

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def element_size(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order without gaps, or with the channels last if that is asked for."""
        if memory_format in _CHANNELS_LAST:
            dims = _CHANNELS_LAST[memory_format]
            return self.ndim == dims and self.permute(0, *range(2, dims), 1).is_contiguous()  # type: ignore[attr-defined]
        return store.slots[self._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS != 0

    def data_ptr(self) -> int:
        """Address of the first element."""
        if store.recording is not None:
            store.recording.asks_place(self, "data_ptr")
        return self._word(S_ADDRESS)

    def storage_offset(self) -> int:
        """Elements in memory before the first one."""
        if store.recording is not None:
            store.recording.asks_place(self, "storage_offset")
        start = int(store.storage_table[self._word(S_STORAGE)]["address"])
        return (self._word(S_ADDRESS) - start) // self.dtype.itemsize if start else 0

    @property
    def _version(self) -> int:
        if store.recording is not None:
            store.recording.read("_version", OUTSIDE)
        return store.version(self._slot)

    # gradient ---------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded, so that a gradient can flow to it."""
        return store.slots[self._slot * SLOT_WORDS + S_FLAGS] & REQUIRES_GRAD != 0

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch the recording of operations on this leaf on or off; returns the tensor itself."""
        words, at = store.slots, self._slot * SLOT_WORDS
        if not requires_grad and store.recording is None and not words[at + S_FLAGS] & REQUIRES_GRAD:
            return self  # there is no history, either
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(
                f"requires_grad_: only Tensors of floating point dtype can require gradients, got "
                f"{self.dtype.name}; convert it first, for example with .float()"
            )
        if not requires_grad and not self.is_leaf:
            raise RuntimeError(
                "requires_grad_: you can only change requires_grad flags of leaf variables; "
                "use detach() to get a tensor without history"
            )
        if requires_grad and self._word(S_FLAGS) & layout.INFERENCE and not _in_inference_mode():
            raise RuntimeError(
                "requires_grad_: setting requires_grad=True on an inference tensor outside InferenceMode "
                "is not allowed; clone() it first"
            )
        if store.recording is not None:
            store.recording.switches(self)
        if bool(requires_grad) == self.requires_grad:
            return self
        if self._word(layout.S_LINKS) or "_asking" in self.__dict__:
            from .switching import switch

            switch(self, bool(requires_grad))
        else:
            entries.set_flag(CONTEXT, self._slot, layout.REQUIRES_GRAD, bool(requires_grad))
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor, or it asks for no gradient, as integers never do."""
        if store.recording is not None:
            store.recording.asks_history(self, "is_leaf")
        words, at = store.slots, self._slot * SLOT_WORDS
        return words[at + S_ROW] == layout.NO_ROW or not words[at + S_FLAGS] & REQUIRES_GRAD

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have accumulated here, or None."""
        found = entries.gradient(self)
        return None if type(found) is int else found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            entries.set_grad(CONTEXT, self._slot, 0)
            return
        if not isinstance(value, Tensor):
            raise TypeError(f"grad: assigned grad expected to be a Tensor or None but got {type(value)}")
        if value.shape != self.shape or value.dtype is not self.dtype:
            raise RuntimeError(
                f"grad: assigned grad has {value.dtype.name} data of shape {tuple(value.shape)}; "
                f"expected {self.dtype.name} of shape {tuple(self.shape)}"
            )
        entries.set_grad(CONTEXT, self._slot, value._slot)

    @grad.deleter
    def grad(self) -> None:
        entries.set_grad(CONTEXT, self._slot, 0)

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, or None for a leaf."""
        from .autograd.graph import node_of

        if store.recording is not None:
            store.recording.asks_history(self, "grad_fn")
        return node_of(self)

    def retain_grad(self) -> None:
        """Keep the gradient of a tensor that is not a leaf in ``.grad``."""
        if not self.requires_grad:
            raise RuntimeError("retain_grad: can't retain_grad on Tensor that has requires_grad=False")
        if not self.is_leaf:
            entries.set_flag(CONTEXT, self._slot, layout.RETAIN_GRAD, True)

    @property
    def retains_grad(self) -> bool:
        """Whether ``.grad`` is kept though this is not a leaf."""
        if store.recording is not None:
            store.recording.asks_history(self, "retains_grad")
        return bool(self._word(S_FLAGS) & layout.RETAIN_GRAD)

    def detach(self) -> Tensor:
        """The same values without the history."""
        made = entries.detached(self)
        return insist("detached", self) if type(made) is int else made

    def detach_(self) -> Tensor:
        """Drop this tensor's history.

        Raises
        ------
        RuntimeError
            For a view, which follows the history of its base.
        """
        if self._word(S_FLAGS) & layout.IS_VIEW:
            raise RuntimeError("detach_: Can't detach views in-place. Use detach() instead")
        if not self.is_leaf:
            self._become(demand("without_history", self._slot))
        return self

    def is_inference(self) -> bool:
        """Whether the tensor was made under ``inference_mode``."""
        return bool(self._word(S_FLAGS) & layout.INFERENCE)

    @property
    def data(self) -> Tensor:
        """The same values without the history; writes are not seen by saved-value checks in PyTorch."""
        shown = self.detach()
        if store.recording is not None:
            store.recording.shows(shown, self)
        return shown

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
        if self._shows_as(value):  # as after `x.data -= y`, which has been written by now
            if store.recording is not None and not store.recording.has_shown(value, self):
                store.recording.moved(self, self._slot)  # as it would where they are not yet in one place
            return
        if store.recording is not None:
            if store.recording.takes_over(self, value):
                return
            store.recording.moved(self, self._slot)
        entries.adopt(CONTEXT, self._slot, value._slot)
        store.structure_changed()

    def _memory(self) -> tuple[int, int]:
        """Which memory this tensor shows, and from where on."""
        return self._word(S_STORAGE), self._word(S_ADDRESS)

    def _form(self) -> list[int]:
        """How it shows it: dtype, sizes and strides, also of a lazy layer's tensor, which has no `shape` yet."""
        words, at, dims = store.slots, self._slot * SLOT_WORDS, self._word(layout.S_DIMS)
        starts = (at + layout.S_SHAPE, at + layout.S_STRIDES)
        return [self._word(layout.S_DTYPE), *(int(words[k + d]) for k in starts for d in range(dims))]

    def _shows_as(self, other: Tensor) -> bool:
        """Whether two tensors show the same memory in the same way."""
        return self._memory() == other._memory() and self._form() == other._form()

    def _become(self, slot: int) -> None:
        """Point this handle at another slot, whose handle it takes over."""
        before, self._slot = self._slot, slot
        if before != slot:
            store.structure_changed()
            store.tell_moved(before)
            if store.recording is not None:
                store.recording.moved(self, before)
            words = store.slots
            written = words[slot * SLOT_WORDS + S_STORAGE] == words[before * SLOT_WORDS + S_STORAGE]
            if written and words[slot * SLOT_WORDS + S_ROW] >= 0:
                from .aliases import follow

                follow(self)
            entries.release(CONTEXT, before)

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> Any:
        if store.recording is not None:
            store.recording.misses(self, name)
        raise AttributeError(
            f"'{type(self).__name__}' object has no attribute '{name}'; "
            "jitgrad has PyTorch's names for what it can do, and this is not among them"
        )


def _in_inference_mode() -> bool:
    from .autograd.modes import is_inference_mode_enabled

    return is_inference_mode_enabled()


def _install_finalizer(finalize: Callable) -> None:
    # Looking up __del__ on a dying tensor calls `finalize` from C; what it returns, Python then calls in vain.
    # A method would cost a Python frame for every tensor that goes.
    Tensor.__del__ = property(finalize)  # type: ignore[attr-defined]
    # at the end of the process the compiled code and the tables go before the last tensors do
    atexit.register(_remove_finalizer)


def _remove_finalizer() -> None:
    if "__del__" in vars(Tensor):
        del Tensor.__del__


entries.context = CONTEXT
entries.handle_type = Tensor
entries.finalizer = _install_finalizer

_new = Tensor.__new__


def wrap(slot: int) -> Tensor:
    """A Tensor for a slot, taking over the handle that the engine counted for the caller."""
    tensor = _new(Tensor)
    tensor._slot = slot
    return tensor


def handle_of(slot: int) -> Tensor:
    """One more Tensor for a slot that something else holds, too."""
    tensor = _new(Tensor)
    tensor._slot = entries.retain(CONTEXT, slot)
    return tensor


def method(function: F) -> F:
    """Attach a function whose first parameter is a tensor as the method of that name."""
    setattr(Tensor, function.__name__, function)
    return function
