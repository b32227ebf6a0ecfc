"""``torch.backends`` for scripts that ask what else there is: nothing but jitgrad's own kernels on the CPU.

Switches such as ``backends.cudnn.benchmark`` can be set and read, and change nothing.
"""

from __future__ import annotations

from typing import Any

from .dtypes import CPU, check_device, device


class Backend:
    """A library of PyTorch's that jitgrad does not have.

    Parameters
    ----------
    **switches
        The attributes that scripts set, and what they are at first.
    """

    def __init__(self, **switches: object) -> None:
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """False."""
        return False

    def is_built(self) -> bool:
        """False."""
        return False


cuda = Backend(matmul=Backend(allow_tf32=False))
cudnn = Backend(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
mps, mkl, mkldnn, openmp = Backend(), Backend(), Backend(enabled=False), Backend()


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
