"""Matrix products on one thread: ``pytest benchmarks/test_matmul.py --benchmark-only``.

The shapes are those of `workloads`: for each linear layer forward, and the gradients of its input and weight.
Small ones measure the way to the multiply as much as the multiply.
"""

from __future__ import annotations

import importlib
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

# rows, outputs and inputs of linear layers
LAYERS = {
    "W2": (8, 16, 16),
    "W3": (32, 64, 64),
    "W3 last": (32, 10, 32),
    "W4": (64, 128, 784),
    "W5": (256, 64, 64),
    "W8": (10_000, 16, 32),
    "W9": (256, 64, 16),
    "square": (512, 512, 512),
}
LIBRARIES = ("jitgrad", "numpy", "torch")


def operands(kind: str, rows: int, outputs: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    x, w, g = (r.standard_normal(s, np.float32) for s in ((rows, inputs), (outputs, inputs), (rows, outputs)))
    return {"forward": (x, w.T), "input gradient": (g, w), "weight gradient": (g.T, x)}[kind]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["forward", "input gradient", "weight gradient"])
@pytest.mark.parametrize("layer", LAYERS)
def test_matmul(benchmark, layer, kind, library):
    a, b = operands(kind, *LAYERS[layer])
    expected = a @ b
    multiply = np.matmul
    if library != "numpy":
        torch = importlib.import_module(library) if library == "jitgrad" else pytest.importorskip(library)
        torch.set_num_threads(1)
        # a transposed view, as the layer has it, not a copy in another order
        a, b = (torch.tensor(x.T.copy()).t() if x.flags.f_contiguous else torch.tensor(x) for x in (a, b))
        multiply = torch.matmul
    benchmark.group = f"{layer} {kind} {'x'.join(map(str, (*expected.shape, a.shape[1])))}"
    benchmark.extra_info["flop"] = 2 * expected.size * a.shape[1]
    result = benchmark(multiply, a, b)
    np.testing.assert_allclose(np.asarray(result), expected, rtol=1e-3, atol=1e-2)
