"""``torch.utils.dlpack``: memory shared with other libraries."""

from enum import IntEnum

from ..functions.exchange import from_dlpack as from_dlpack
from ..functions.exchange import to_dlpack as to_dlpack

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(IntEnum):
    """DLPack's numbers of the kinds of memory that scripts ask for; tensors here are in the CPU's."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLMetal = 8
    kDLROCM = 10
    kDLCUDAManaged = 13
