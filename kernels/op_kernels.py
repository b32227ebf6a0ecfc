"""From a declared operation to the address of its kernel."""

from __future__ import annotations

from . import abi, compiler
from .table import ARRAYS, OPS, Build, Op, stem


def compile_kernel(code: int, variant: int, dtype: int) -> int:
    """The address of a kernel: variant 0 is forward, 1 and up go back to each operand.

    Of an operation on whole arrays 1 goes back to all of them, and BOTH goes there and back. Of an elementwise one
    `with_slope` BOTH makes the result and the derivative.

    Raises
    ------
    NotImplementedError
        When the operation is not declared for `dtype`.
    """
    op = OPS[code]
    if dtype not in op.dtypes:
        known = " or ".join(abi.DTYPE_NAMES[d] for d in op.dtypes)
        raise NotImplementedError(
            f"{op.name}: not implemented for {abi.DTYPE_NAMES[dtype]}; expected {known}"
        )
    symbol = f"{stem(op)}.{variant}.{abi.DTYPE_NAMES[dtype]}"
    for provide in op.requires:
        provide(dtype)
    if op.kind == ARRAYS:
        build = (op.forward, op.backward, op.both)[variant]
        assert build is not None
        if op.identity:
            return _compile_users(op, symbol, build, dtype)
        return compiler.kernel(symbol, lambda: build(symbol, dtype))
    from .op_loops import build_variant

    return compiler.native(symbol, lambda: build_variant(op, symbol, variant, dtype), True, op.cached)


def _compile_users(op: Op, symbol: str, build: Build, dtype: int) -> int:
    """A kernel from a user's function: its loops are plain, and Numba may refuse it."""
    from numba.core.errors import NumbaError

    try:
        return compiler.kernel(symbol, lambda: build(symbol, dtype), op.cached, vectorize=True)
    except MemoryError:
        raise RuntimeError(
            f"{op.name}: its function makes an array, which a kernel cannot do; let it fill another result, which "
            "the caller drops, in place of temporary memory"
        ) from None
    except NumbaError as error:
        raise RuntimeError(
            f"{op.name}: Numba cannot compile its kernel for {abi.DTYPE_NAMES[dtype]}: {error}"
        ) from error
