"""What the compiler is told of this machine: vector width, register count, fused multiply-add.

Everything is read from Numba's code generator, so ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` steer our
kernels just as they steer Numba's own code. That is also how the tests force an AVX2 or a baseline target.
"""

from functools import cache
from typing import NamedTuple


class Host(NamedTuple):
    """The target of code generation.

    Attributes
    ----------
    cpu : str
        LLVM's name of the CPU.
    features : str
        LLVM's feature string.
    vector_bytes : int
        Width of the vector registers in bytes: 64, 32 or 16.
    vector_registers : int
        How many of them there are.
    fma : bool
        Whether a multiply-add is one instruction.
    x86 : bool
        Whether it is of that family.
    half_units : bool
        Whether its arithmetic units take vectors of 64 bytes in two halves.
    """

    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    fma: bool
    x86: bool
    half_units: bool = False

    def lanes(self, item_size: int) -> int:
        """Elements of ``item_size`` bytes that fill one vector register."""
        return self.vector_bytes // item_size

    def turns(self, item_size: int) -> bool:
        """Whether squares of such elements can be turned in registers, with masks for what is left at the edges."""
        return self.vector_bytes == 64 and item_size in (4, 8)


@cache
def host() -> Host:
    """Describe the target that Numba generates code for."""
    from .compiler import codegen

    triple, cpu, features = codegen().magic_tuple()
    have = {f[1:] for f in features.split(",") if f.startswith("+")}
    if "avx512f" in have and "avx512vl" in have:
        width, registers = 64, 32
    elif "avx" in have:
        width, registers = 32, 16
    elif triple.startswith(("aarch64", "arm64")):
        width, registers = 16, 32
    else:
        width, registers = 16, 16
    fma = "fma" in have or triple.startswith(("aarch64", "arm64"))
    return Host(cpu, features, width, registers, fma, triple.startswith("x86_64"), cpu == "znver4")
