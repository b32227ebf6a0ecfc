"""Section: matrix products from 4 to 512 against NumPy's BLAS and PyTorch, float32, one thread.

Squares of many sizes, among them those just beyond a multiple of a vector; and rows x inner x columns of every
combination of a few sizes.

Calls from Python: in small ones the way to the product is most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from cells import Cell
from children import run, tell
from timing import rounds_of

SECTION = "products"
SIZES = (
    4,
    5,
    6,
    7,
    8,
    12,
    15,
    16,
    17,
    24,
    31,
    32,
    33,
    48,
    63,
    64,
    65,
    96,
    127,
    128,
    129,
    192,
    255,
    256,
    257,
    384,
    512,
)
SHORT_SIZES = (4, 16, 64, 256)
SIDES = (4, 32, 128, 512)
OBLONG = [s for s in product(SIDES, repeat=3) if len(set(s)) > 1]
LIBRARIES = ("jitgrad", "numpy", "torch")


def cells(plan: Any) -> Iterator[Cell | str]:
    """GF/s of every size in every library."""
    for library in LIBRARIES:
        if plan.wants(library):
            found, reason = run("products.py", library, *_cases(plan.short))
            yield from found
            if reason:
                yield f"{library}: {reason}"


def _cases(short: bool) -> list[str]:
    squares = [f"{n}x{n}" for n in (SHORT_SIZES if short else SIZES)]
    return squares if short else squares + ["x".join(map(str, s)) for s in OBLONG]


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    library, *cases = arguments
    rng = np.random.default_rng(0)
    for case in cases:
        sides = tuple(map(int, case.split("x")))
        rows, inner, columns = sides if len(sides) == 3 else (*sides, sides[0])
        a, b = (rng.standard_normal(s, np.float32) for s in ((rows, inner), (inner, columns)))
        expected = a.astype(np.float64) @ b
        multiply: Any = np.matmul
        if library != "numpy":
            import importlib

            torch = importlib.import_module(library)
            torch.set_num_threads(1)
            a, b, multiply = torch.from_numpy(a), torch.from_numpy(b), torch.matmul
        np.testing.assert_allclose(np.asarray(multiply(a, b)), expected, rtol=1e-3, atol=1e-3)
        times = rounds_of(lambda x=a, y=b, f=multiply: f(x, y))
        yield Cell(SECTION, case, library, "GF/s", [2 * rows * inner * columns / t / 1e9 for t in times])
    if library == "jitgrad":
        from jitgrad.program.show.peaks import multiply_add_peak

        yield Cell(SECTION, "peak in registers", library, "GF/s", [multiply_add_peak("float32")])


if __name__ == "__main__":
    tell(measured)
