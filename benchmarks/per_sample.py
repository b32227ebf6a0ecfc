"""Derivatives of each sample by itself, in jitgrad and in what is installed of PyTorch and JAX.

``python benchmarks/per_sample.py`` prints microseconds of a call, best of many in turns, one thread each: ``vmap`` of
``grad`` of a network's loss for its parameters, and ``vmap`` of ``hessian`` of a function of its input. JAX's are
jitted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SAMPLES = (16, 256, 1024)
SIZES = (16, 32, 4)  # of the network's layers
ROUNDS = 25
SECONDS = 0.02  # of each function in a round

Calls = dict[tuple[str, int], Callable[[], Any]]  # by what is differentiated, and samples


def arrays() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Parameters, inputs and targets of the most samples, float32."""
    draw = np.random.default_rng(0).standard_normal
    a, b, c = SIZES
    parameters = {"v": draw((a, b)) / 4, "p": draw(b), "w": draw((b, c)) / 4, "q": draw(c)}
    inputs, targets = draw((max(SAMPLES), a)), draw((max(SAMPLES), c))
    return {k: x.astype("f4") for k, x in parameters.items()}, inputs.astype("f4"), targets.astype("f4")


def calls(transforms: Any, tensor: Callable, tanh: Callable, sin: Callable, wrap: Callable) -> Calls:
    """What is measured, by a library's ``grad``, ``hessian`` and ``vmap`` and its elementwise functions."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        return ((tanh(x @ p["v"] + p["p"]) @ p["w"] + p["q"] - y) ** 2).mean()

    given, inputs, targets = arrays()
    parameters = {k: tensor(x) for k, x in given.items()}
    gradients = wrap(transforms.vmap(transforms.grad(loss), (None, 0, 0)))
    hessians = wrap(transforms.vmap(transforms.hessian(lambda x: (sin(x) * x).sum())))
    made: Calls = {}
    for n in SAMPLES:
        x, y = tensor(inputs[:n].copy()), tensor(targets[:n].copy())
        made["grad", n] = lambda x=x, y=y: gradients(parameters, x, y)
        made["hessian", n] = lambda x=x: hessians(x)
    return made


def of_jitgrad() -> Calls:
    """jitgrad's."""
    import jitgrad as torch

    torch.set_num_threads(1)
    return calls(torch.func, torch.from_numpy, torch.tanh, torch.sin, lambda f: f)


def of_torch() -> Calls:
    """PyTorch's."""
    import torch

    torch.set_num_threads(1)
    return calls(torch.func, torch.from_numpy, torch.tanh, torch.sin, lambda f: f)


def of_jax() -> Calls:
    """JAX's, jitted."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import jax
    import jax.numpy as jnp

    def finished(function: Callable) -> Callable:
        jitted = jax.jit(function)
        return lambda *given: jax.block_until_ready(jitted(*given))

    return calls(jax, jnp.asarray, jnp.tanh, jnp.sin, finished)


def best(call: Callable[[], Any]) -> float:
    """Seconds of the fastest call."""
    fastest, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def main() -> None:
    """Measure in turns and print a line for each call."""
    libraries: dict[str, Calls] = {}
    for name, make in (("jitgrad", of_jitgrad), ("PyTorch", of_torch), ("JAX jit", of_jax)):
        try:
            libraries[name] = make()
        except ImportError:
            print(f"{name}: not installed")
    cells = [(what, n, name) for name, made in libraries.items() for what, n in made]
    for what, n, name in cells:
        for _ in range(3):
            libraries[name][what, n]()
    found = dict.fromkeys(cells, float("inf"))
    for _ in range(ROUNDS):
        for what, n, name in cells:
            found[what, n, name] = min(found[what, n, name], best(libraries[name][what, n]))
    for what, n in libraries["jitgrad"]:
        times = ", ".join(f"{name} {1e6 * found[what, n, name]:.0f} us" for name in libraries)
        print(f"vmap({what}) of {n} samples: {times}")


if __name__ == "__main__":
    main()
