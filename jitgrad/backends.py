"""``torch.backends`` for scripts that ask what else there is: nothing but jitgrad's own kernels on the CPU.

Switches such as ``backends.cudnn.benchmark`` can be set and read, and change nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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

    def version(self) -> None:
        """None: the library is not there."""


class Switched(Backend):
    """A library whose switches a ``with`` block sets, and puts back at its end."""

    @contextmanager
    def flags(self, **switches: Any) -> Iterator[None]:
        """Set switches, by their names, within a block."""
        before = self._set("flags", switches)
        try:
            yield
        finally:
            self.__dict__.update(before)

    def set_flags(self, **switches: Any) -> tuple[Any, ...]:
        """Set switches, in PyTorch with an underscore before their names; returns what they were."""
        return tuple(self._set("set_flags", {k.removeprefix("_"): v for k, v in switches.items()}).values())

    def _set(self, function: str, switches: dict[str, Any]) -> dict[str, Any]:
        known = {k: v for k, v in self.__dict__.items() if k[0] != "_" and not isinstance(v, ModuleType)}
        unknown = switches.keys() - known.keys()
        if unknown:
            raise TypeError(
                f"{self.__name__.removeprefix('jitgrad.')}.{function}() got an unexpected keyword argument "
                f"{min(unknown)!r}; expected {', '.join(known)}"
            )
        self.__dict__.update(switches)
        return {k: known[k] for k in switches}


class Cuda(Backend):
    """What scripts ask and tell PyTorch's attention kernels for CUDA."""

    def __init__(self) -> None:
        fast = {"allow_tf32": False, "fp32_precision": "none"}
        lower = dict.fromkeys(
            ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"), True
        )
        super().__init__("cuda", matmul=Backend("cuda.matmul", **fast, **lower))
        for kind in ("flash", "math", "mem_efficient", "cudnn"):
            setattr(self, f"{kind}_sdp_enabled", partial(self._is_enabled, kind))
            setattr(self, f"enable_{kind}_sdp", partial(self._enable, kind))

    @staticmethod
    def _is_enabled(kind: str) -> bool:
        return kind == "math"

    @staticmethod
    def _enable(kind: str, enabled: bool) -> None:
        """Nothing: `scaled_dot_product_attention` has one kernel."""

    @contextmanager
    def sdp_kernel(self, enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
                   enable_cudnn: bool = True) -> Iterator[None]:  # fmt: skip
        """Nothing within a block: there is one kernel."""
        yield


cuda = Cuda()
cudnn = Switched("cudnn", enabled=False, benchmark=False, benchmark_limit=10, deterministic=True,
                 allow_tf32=False, fp32_precision="none")  # fmt: skip
for _part in ("conv", "rnn"):
    setattr(cudnn, _part, Backend(f"cudnn.{_part}", fp32_precision="none"))
mkldnn = Switched("mkldnn", enabled=False, deterministic=True, allow_tf32=False, fp32_precision="none")
for _part in ("matmul", "conv", "rnn"):
    setattr(mkldnn, _part, Backend(f"mkldnn.{_part}", fp32_precision="none"))
nnpack = Switched("nnpack", enabled=False)
opt_einsum = Switched("opt_einsum", enabled=False, strategy=None)
quantized = Backend("quantized", engine="none", supported_engines=["none"])
mps, mkl, openmp, cusparselt, kleidiai = map(Backend, ("mps", "mkl", "openmp", "cusparselt", "kleidiai"))


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
