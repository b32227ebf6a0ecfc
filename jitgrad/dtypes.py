"""Dtypes, devices and sizes: the small value types of PyTorch's front."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from .kernels import abi
from .layouts import layout


class dtype:
    """The type of a tensor's elements. Instances are singletons: ``jitgrad.float32`` and so on.

    Attributes
    ----------
    code : int
        Its code in the engine's tables.
    name : str
        For example ``float32``.
    itemsize : int
        Bytes of one element.
    numpy : numpy.dtype
        The same type for NumPy.
    """

    __slots__ = ("code", "is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, code: int) -> None:
        self.code = code
        self.name = abi.DTYPE_NAMES[code]
        self.itemsize = abi.ITEM_SIZES[code]
        self.numpy = abi.NUMPY_DTYPES[code]
        self.is_floating_point = code in (abi.FLOAT32, abi.FLOAT64)

    is_complex = False

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple:
        return _dtype_of_code, (self.code,)


DTYPES = tuple(dtype(code) for code in range(abi.N_DTYPES))
bool_, uint8, int32, int64, float32, float64 = DTYPES
BY_NUMPY = {d.numpy: d for d in DTYPES}
_CONVERTED = {"float16": float32, "int8": int32, "int16": int32, "uint16": int32, "uint32": int64}


class AbsentDtype:
    """A dtype that PyTorch has and jitgrad has not: scripts may name it and compare with it, tensors cannot have it.

    Attributes
    ----------
    name : str
    itemsize : int
        Bytes of one element.
    is_floating_point, is_complex : bool
    """

    __slots__ = ("is_complex", "is_floating_point", "itemsize", "name")

    def __init__(self, name: str, itemsize: int) -> None:
        self.name, self.itemsize = name, itemsize
        self.is_floating_point = name.startswith(("float", "bfloat"))
        self.is_complex = name.startswith("complex")

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple:
        return ABSENT.__getitem__, (self.name,)


_ABSENT_NAMES = {
    1: "int8 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu qint8 quint8",
    2: "float16 bfloat16 int16 uint16",
    4: "uint32 complex32 qint32",
    8: "uint64 complex64",
    16: "complex128",
}
ABSENT = {name: AbsentDtype(name, size) for size, names in _ABSENT_NAMES.items() for name in names.split()}
ABSENT |= {
    short: ABSENT[name]
    for short, name in (
        ("half", "float16"),
        ("short", "int16"),
        ("chalf", "complex32"),
        ("cfloat", "complex64"),
        ("cdouble", "complex128"),
    )
}


def _dtype_of_code(code: int) -> dtype:
    return DTYPES[code]


class _Defaults:
    floating = float32


def set_default_dtype(d: dtype) -> None:
    """Set the floating dtype of new tensors made from Python floats: float32 or float64."""
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: expected torch.float32 or torch.float64, got {d!r}")
    from .store import store  # which needs this module itself

    _Defaults.floating = d
    store.set_field("default_dtype", d.code)
    store.structure_changed()


def get_default_dtype() -> dtype:
    """The floating dtype of new tensors made from Python floats."""
    return _Defaults.floating


def to_dtype(value: Any, caller: str) -> dtype:
    """Accept a jitgrad dtype, a NumPy dtype, or one of Python's number types."""
    if isinstance(value, dtype):
        return value
    if value is float:
        return float64
    if value is int:
        return int64
    if value is bool:
        return bool_
    try:
        return BY_NUMPY[np.dtype(value)]
    except (TypeError, ValueError, KeyError):
        known = ", ".join(d.name for d in DTYPES)
        raise TypeError(f"{caller}: expected a dtype among {known}; got {value!r}") from None


def numpy_to_dtype(array_dtype: np.dtype, caller: str) -> dtype:
    """The dtype that holds a NumPy array's values; narrow types widen, others are refused."""
    known = BY_NUMPY.get(array_dtype)
    if known is not None:
        return known
    wider = _CONVERTED.get(array_dtype.name)
    if wider is None:
        names = ", ".join(d.name for d in DTYPES)
        raise TypeError(f"{caller}: can't convert np.ndarray of type {array_dtype}; supported are {names}")
    return wider


def category(d: dtype) -> int:
    """0 for bool, 1 for integers, 2 for floating point: the first key of type promotion."""
    if d.is_floating_point:
        return 2
    return 0 if d is bool_ else 1


def number_category(value: Any) -> int:
    """The category of a Python number."""
    if isinstance(value, bool):
        return 0
    return 1 if isinstance(value, int) else 2


def promote_types(a: dtype, b: dtype) -> dtype:
    """The dtype of a result of two tensors with dimensions, as PyTorch defines it."""
    try:
        return DTYPES[max(a.code, b.code)]
    except AttributeError:
        names = f"{type(a).__name__} and {type(b).__name__}"
        raise TypeError(f"promote_types(): both arguments must be torch.dtype, not {names}") from None


class Size(tuple):
    """The shape of a tensor: a tuple of ints."""

    __slots__ = ()

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __add__(self, other: tuple) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Any:
        if not isinstance(other, tuple):
            return NotImplemented  # a list that is extended goes on by itself
        return Size(other + tuple(self))

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item


_DEVICE_TYPES = (
    "cpu",
    "cuda",
    "hip",
    "hpu",
    "ipu",
    "lazy",
    "maia",
    "meta",
    "mps",
    "mtia",
    "vulkan",
    "xla",
    "xpu",
)


class device:
    """The name of a place where tensors may live, which may be asked for; jitgrad computes on the CPU only.

    Parameters
    ----------
    type : str or device
        Such as ``"cpu"`` or ``"cuda:0"``.
    index : int, optional
        The number after the colon.

    Raises
    ------
    RuntimeError
        If it is no such name.
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            type = str(type)
        if not isinstance(type, str):
            _refuse_device(repr(type))
        kind, colon, number = type.partition(":")
        if kind not in _DEVICE_TYPES:
            raise RuntimeError(
                f"device: expected one of {', '.join(_DEVICE_TYPES)} device type, got {type!r}"
            )
        if colon and (index is not None or not (number.isascii() and number.isdigit())):
            raise RuntimeError(f"device: invalid device string: {type!r}; expected a type, or type:index")
        self.type = kind
        self.index = int(number) if colon else index

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


def _refuse_device(name: str) -> NoReturn:
    raise RuntimeError(
        f"device {name} is not available: jitgrad computes on the CPU; "
        "use device='cpu' or leave the argument out"
    )


CPU = device("cpu")


def check_layout(name: str, value: Any) -> None:
    """Accept the layout that all tensors have, refuse the others that PyTorch has."""
    if value is not None and value is not layout.strided:
        raise RuntimeError(
            f"{name}: expected layout=torch.strided, got {value}; tensors are dense, leave it away"
        )


def check_device(value: Any) -> None:
    """Accept any spelling of the CPU, refuse everything else."""
    if value is not None and value is not CPU and device(value).type != "cpu":
        _refuse_device(repr(str(value)))
