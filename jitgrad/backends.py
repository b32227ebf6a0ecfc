"""``torch.backends`` for scripts that ask what else there is: nothing but jitgrad's own kernels on the CPU.

Switches such as ``backends.cudnn.benchmark`` can be set and read, and change nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .dtypes import CPU, check_device, device

__path__: list[str] = []  # a package, all of whose modules are made here


class Backend(ModuleType):
    """A library of PyTorch's that jitgrad does not have; a module, as some scripts import it as one.

    Parameters
    ----------
    name : str
        Of the library.
    **switches
        The attributes that scripts set, and what they are at first.
    """

    def __init__(self, name: str, **switches: object) -> None:
        super().__init__(f"{__name__}.{name}")
        self.__dict__.update(switches)
        sys.modules[self.__name__] = self

    def is_available(self) -> bool:
        """False."""
        return False

    def is_built(self) -> bool:
        """False."""
        return False


cuda = Backend("cuda", matmul=Backend("cuda.matmul", allow_tf32=False))
cudnn = Backend("cudnn", enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
mps, mkl, openmp = map(Backend, ("mps", "mkl", "openmp"))
mkldnn = Backend("mkldnn", enabled=False)


def get_default_device() -> device:
    """The CPU."""
    return CPU


def set_default_device(device: Any) -> None:
    """Nothing for the CPU, where tensors are made anyway; other devices are refused."""
    if device is not None:
        check_device(device)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: equal calls give equal bits anyway, with any number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True."""
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Nothing: products of float32 are computed in float32."""


def get_float32_matmul_precision() -> str:
    """``"highest"``."""
    return "highest"
