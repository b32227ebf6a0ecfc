"""Convolutions layer by layer: ``python benchmarks/convolutions.py [threads]``, one thread by default.

The layers of LeNet-5 (W6 of `workloads`) and of ResNet-18 on one image of 64x64. Prints microseconds and GF/s of
the forward pass alone, and there and back with the gradient of the input, of the weights, and of both, beside
PyTorch's when it is there. Each figure is the best of a quarter of a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

# images, channels, size, filters, kernel, stride, padding
LAYERS = {
    "LeNet-5 first": (32, 1, 28, 6, 5, 1, 0),
    "LeNet-5 second": (32, 6, 12, 16, 5, 1, 0),
    "ResNet-18 first": (1, 3, 64, 64, 7, 2, 3),
    "ResNet-18 16x16": (1, 64, 16, 64, 3, 1, 1),
    "ResNet-18 to 8x8": (1, 64, 16, 128, 3, 2, 1),
    "ResNet-18 8x8": (1, 128, 8, 128, 3, 1, 1),
    "ResNet-18 beside": (1, 64, 16, 128, 1, 2, 0),
    "ResNet-18 to 4x4": (1, 128, 8, 256, 3, 2, 1),
    "ResNet-18 4x4": (1, 256, 4, 256, 3, 1, 1),
    "ResNet-18 to 2x2": (1, 256, 4, 512, 3, 2, 1),
    "ResNet-18 2x2": (1, 512, 2, 512, 3, 1, 1),
}
SECONDS = 0.25
KINDS = {"forward": (), "and input": (0,), "and weight": (1,), "and both": (0, 1)}


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest run."""
    run()
    fastest, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def figures(torch: Any, layer: tuple[int, ...]) -> dict[str, float]:
    """Seconds of each kind, forward and back."""
    n, c, size, o, k, stride, padding = layer
    rng = np.random.default_rng(0)
    x, w = (torch.tensor(rng.standard_normal(s, np.float32)) for s in ((n, c, size, size), (o, c, k, k)))
    convolve = torch.nn.functional.conv2d
    g = torch.tensor(rng.standard_normal(tuple(convolve(x, w, None, stride, padding).shape), np.float32))
    found = {}
    for kind, wanted in KINDS.items():
        for place, t in enumerate((x, w)):
            t.requires_grad_(place in wanted)

        def run(wanted: tuple = wanted) -> None:
            y = convolve(x, w, None, stride, padding)
            if wanted:
                x.grad = w.grad = None
                y.backward(g)

        found[kind] = best(run)
    return found


def main() -> None:
    """Print the table."""
    import jitgrad

    libraries = {"jitgrad": jitgrad}
    try:
        import torch

        libraries["PyTorch"] = torch
    except ImportError:
        pass
    for module in libraries.values():
        module.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for name, layer in LAYERS.items():
        n, c, size, o, k, stride, padding = layer
        out = (size + 2 * padding - k) // stride + 1
        flops = 2 * n * o * out * out * c * k * k
        print(f"{name}: {n} x {c}x{size}x{size}, {o} of {k}x{k}, {flops / 1e6:.1f} Mflop")
        for library, module in libraries.items():
            cells = [
                f"{kind} {seconds * 1e6:7.1f} us {flops * (1 + len(KINDS[kind])) / seconds / 1e9:4.0f} GF/s"
                for kind, seconds in figures(module, layer).items()
            ]
            print(f"    {library:8s} " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
