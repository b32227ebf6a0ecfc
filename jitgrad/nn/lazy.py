"""Layers that learn the size of their inputs from the first one: ``LazyLinear(10)``, ``LazyConv2d(8, 3)``.

Until then their parameters are `UninitializedParameter`. The first call, or loading weights, gives them their shapes;
they stay the same objects, and the first call turns the layer into an ordinary one.
"""

from __future__ import annotations

import inspect
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .parameter import Buffer, Parameter


class _Uninitialized:
    """What tensors without a shape have in common."""

    _becomes: type

    def __init__(self, *args: Any, **options: Any) -> None:
        """Everything is done in ``__new__``."""

    @property
    def shape(self) -> Any:
        """Not known yet."""
        raise RuntimeError(
            "shape: Can't access the shape of an uninitialized parameter or buffer; call the module with an "
            "input first, or load its weights"
        )

    def numel(self) -> int:
        """Not known yet."""
        raise ValueError(
            "numel: an uninitialized parameter or buffer has no number of elements yet; call the module with an "
            "input first, or load its weights"
        )

    nelement = numel

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor memory of a shape, and make it an ordinary one; the values are to be set."""
        self.data = T.empty(tuple(shape), device=device, dtype=dtype or self.dtype)  # type: ignore[attr-defined]
        self.__class__ = self._becomes  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)  # type: ignore[attr-defined]
        return memo[id(self)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet.

    Parameters
    ----------
    requires_grad : bool, default True
    device : optional
        Only the CPU.
    dtype : dtype, optional
    """

    _becomes = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        """See the class."""
        return Parameter.__new__(cls, T.empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer whose shape is not known yet.

    Parameters
    ----------
    requires_grad : bool, default False
    device : optional
        Only the CPU.
    dtype : dtype, optional
    persistent : bool, default True
        Whether the buffer is part of the module's ``state_dict``.
    """

    _becomes = Buffer

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        """See the class."""
        made = Buffer.__new__(cls, T.empty(0, device=device, dtype=dtype), persistent=persistent)
        return made.requires_grad_(requires_grad)


def _waiting(module: Module) -> dict[str, Any]:
    """The tensors of a layer that have no shape yet, by name."""
    own = {**module._parameters, **module._buffers}
    return {name: x for name, x in own.items() if isinstance(x, _Uninitialized)}


class _Lazy:
    """A layer that waits for its first input."""

    _becomes: type
    _size_name: str  # of the attribute that holds the input's size
    _place: int  # of that size in an input's shape, from the end where it is negative

    def _wait(self) -> None:
        """Let go of tensors that were made for an input of size 0, and wait for one that has a size."""
        module: Any = self
        for name in self._waiting_names():
            for kind, tensors in (
                (UninitializedParameter, module._parameters),
                (UninitializedBuffer, module._buffers),
            ):
                if tensors.get(name) is not None:
                    tensors[name] = kind(dtype=tensors[name].dtype)
        module.register_load_state_dict_pre_hook(_take_shapes)

    def forward(self, *args: Any, **options: Any) -> Any:
        """Look at the first input, become the ordinary layer, and be that."""
        if isinstance(self, _Lazy):  # a hook may keep this method for later
            self.initialize_parameters(args[0])
            self.__class__ = self._becomes  # type: ignore[assignment]
            if any((self._forward_pre_hooks, self._forward_hooks, self._backward_hooks)):
                self._watch()  # the hooks are called by the class
        return type(self).forward(self, *args, **options)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Convert the layer; a buffer that waits for its shape goes on waiting, in its new dtype."""
        waiting = {name: x for name, x in _waiting(self).items() if isinstance(x, Buffer)}  # type: ignore[arg-type]
        super()._apply(fn, recurse)  # type: ignore[misc]
        buffers = self._buffers  # type: ignore[attr-defined]
        for name, x in waiting.items():
            buffers[name] = type(x)(dtype=buffers[name].dtype, persistent=x.persistent)
        return self

    def _waiting_names(self) -> tuple[str, ...]:
        return ("weight",)

    def has_uninitialized_params(self) -> bool:
        """Whether there are tensors that have no shape yet."""
        return bool(_waiting(self))  # type: ignore[arg-type]

    def initialize_parameters(self, input: Tensor) -> None:
        """Give parameters and buffers the shapes that fit an input, and draw them."""
        size = input.shape[self._place]
        if not getattr(self, self._size_name):
            setattr(self, self._size_name, size)
        waiting = _waiting(self)  # type: ignore[arg-type]
        for name, x in waiting.items():
            x.materialize(self._shape_of(name, size))
        if waiting:
            self.reset_parameters()  # type: ignore[attr-defined]

    def _shape_of(self, name: str, size: int) -> tuple[int, ...]:
        """The shape of the tensor of that name for inputs of a size."""
        return (size,)


def _take_shapes(module: Any, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    """Before weights are loaded: take their shapes."""
    for name, x in _waiting(module).items():
        if prefix + name in state_dict:
            x.materialize(state_dict[prefix + name].shape)


class LazyLinear(_Lazy, Linear):
    """`Linear` that finds ``in_features`` at its first input.

    Parameters
    ----------
    out_features : int
    bias : bool, default True
    device : optional
        Only the CPU.
    dtype : dtype, optional
    """

    _becomes, _size_name, _place = Linear, "in_features", -1

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(1, out_features, bias, device, dtype)
        self.in_features = 0
        self._wait()

    def _waiting_names(self) -> tuple[str, ...]:
        return ("weight", "bias")

    def _shape_of(self, name: str, size: int) -> tuple[int, ...]:
        return (self.out_features, size) if name == "weight" else (self.out_features,)


class _LazyConvolution(_Lazy):
    """A convolution, or the transpose of one, that finds ``in_channels`` at its first input."""

    _size_name = "in_channels"

    def __init__(self, out_channels: int, *args: Any, **options: Any) -> None:
        super().__init__(0, out_channels, *args, **options)  # type: ignore[call-arg]
        self._place = -1 - self._spatial  # type: ignore[attr-defined]
        self._wait()

    def _waiting_names(self) -> tuple[str, ...]:
        return ("weight", "bias")

    def _shape_of(self, name: str, size: int) -> tuple[int, ...]:
        module: Any = self
        if name == "bias":
            return (module.out_channels,)
        outer, inner = (size, module.out_channels) if module.transposed else (module.out_channels, size)
        return (outer, inner // module.groups, *module.kernel_size)


class _LazyNorm(_Lazy):
    """A normalisation that finds ``num_features`` at its first input."""

    _size_name, _place = "num_features", 1

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        options = {} if bias else {"bias": bias}
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, **options)  # type: ignore[call-arg]
        self._wait()

    def _waiting_names(self) -> tuple[str, ...]:
        return ("weight", "bias", "running_mean", "running_var")


def _lazy(base: type, kind: type) -> type:
    """The lazy form of a layer."""
    doc = f"`{base.__name__}` without its first parameter, which the first input tells; see there."
    names: dict[str, Any] = {"_becomes": base, "__doc__": doc, "__module__": __name__}
    if kind is _LazyConvolution:
        takes = inspect.signature(base)
        names["__signature__"] = takes.replace(parameters=list(takes.parameters.values())[1:])
    return type(f"Lazy{base.__name__}", (kind, base), names)


LazyConv1d, LazyConv2d, LazyConv3d = (_lazy(c, _LazyConvolution) for c in (Conv1d, Conv2d, Conv3d))
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _lazy(c, _LazyConvolution) for c in (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
)
LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d = (
    _lazy(c, _LazyNorm) for c in (BatchNorm1d, BatchNorm2d, BatchNorm3d)
)
LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d = (
    _lazy(c, _LazyNorm) for c in (InstanceNorm1d, InstanceNorm2d, InstanceNorm3d)
)
