"""The binary interface between the engine and the kernels: dtypes and the layout of a call record.

A kernel is a native function ``void kernel(int64 *record, int64 part, int64 parts)``. The record holds
everything it needs, so a program is a list of records and a replay is a walk over them. With ``parts > 1``
the same record is run by several threads, and each call writes its own share of the output; the shares are
cut by output element, never through a sum, so the result does not depend on ``parts``.

Two layouts share one header. A *nest* is a loop nest over one iteration space with several operand streams
(elementwise operations, reductions, optimizer updates). *Arrays* describe whole operands one by one.
Integers are 64-bit; floating attributes are stored by their bits.
"""

from struct import Struct

import numpy as np

MAX_DIMS = 8
WORD = 8

# dtype codes: the order is the order of promotion within PyTorch's rules
BOOL, UINT8, INT32, INT64, FLOAT32, FLOAT64 = range(6)
N_DTYPES = 6
NUMPY_DTYPES = tuple(np.dtype(n) for n in ("bool", "uint8", "int32", "int64", "float32", "float64"))
DTYPE_NAMES = tuple(d.name for d in NUMPY_DTYPES)
ITEM_SIZES = tuple(d.itemsize for d in NUMPY_DTYPES)

# header, common to both layouts
R_KERNEL = 0  # address of the kernel
R_WORDS = 1  # words in this record, so that a walk can step over it
R_LAYOUT = 2  # one of the NEST_* classes below, or ARRAYS
R_COUNT = 3  # streams of a nest, or arrays
R_ATTRS = 4  # word at which the attributes begin, counted from the record's start
R_NUMEL = 5  # iteration points of a nest; elements of the first output otherwise
R_DIMS = 6  # dimensions of a nest
R_FLAGS = 7  # FLAG_* bits

FLAG_ACCUMULATE = 1  # add to the output instead of overwriting it

# layout classes of a nest, by the strides of its innermost dimension
NEST_CONTIGUOUS = 0  # every stream steps by one element
NEST_BROADCAST = 1  # every input stream steps by one or zero, every output by one
NEST_STRIDED = 2  # anything else
ARRAYS = 3
PLAIN = 4  # words as the kernel says, see kernels/program_rows.py

# nest: sizes, then per stream an address and strides in elements, outermost dimension first
N_SIZES = 8
N_STREAMS = N_SIZES + MAX_DIMS
STREAM_WORDS = 1 + MAX_DIMS

# arrays: per array address, dtype, dims, numel, shape, strides in elements; address 0 means absent
A_ARRAYS = 8
ARRAY_WORDS = 4 + 2 * MAX_DIMS
ARRAY_ADDRESS = 0
ARRAY_DTYPE = 1
ARRAY_DIMS = 2
ARRAY_NUMEL = 3
ARRAY_SHAPE = 4
ARRAY_STRIDES = 4 + MAX_DIMS

# what negative indices do, as an attribute says it, and what an index out of range is, as a report says it
COUNT_FROM_END, INDEX_ERROR, RUNTIME_ERROR = range(3)


HEADER_WORDS = N_SIZES


def plain_record(kernel: int, words: list[int]) -> list[int]:
    """A PLAIN record of the kernel at an address; the words come behind the header."""
    head = [0] * HEADER_WORDS
    head[R_KERNEL], head[R_WORDS], head[R_LAYOUT] = kernel, HEADER_WORDS + len(words), PLAIN
    head[R_ATTRS] = HEADER_WORDS
    return head + words


_FLOAT, _WORD = Struct("d"), Struct("q")


def float_bits(value: float) -> int:
    """The bits of a float64 as a signed 64-bit integer, the form in which attributes travel."""
    return _WORD.unpack(_FLOAT.pack(float(value)))[0]


def bits_float(bits: int) -> float:
    """The inverse of `float_bits`."""
    return _FLOAT.unpack(_WORD.pack(bits))[0]
