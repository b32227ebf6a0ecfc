"""The training steps that are measured, each written once for every library with PyTorch's front.

A workload is a function ``build(torch, seed)`` that returns ``step``: a call of it clears the gradients, runs
the model forward, computes the loss, walks back and lets the optimizer step; it returns the loss. `torch` is the
module to use: PyTorch, or jitgrad. Data and parameters are made with NumPy, so that both see the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

Step = Callable[[], Any]


def _normal(torch: Any, rng: np.random.Generator, *shape: int) -> Any:
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def _set_parameters(torch: Any, model: Any, rng: np.random.Generator) -> None:
    """PyTorch's default initialisation of Linear layers, drawn by NumPy."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear):
                bound = 1 / np.sqrt(layer.in_features)
                for p in layer.parameters():
                    values = rng.uniform(-bound, bound, tuple(p.shape)).astype(np.float32)
                    p.copy_(torch.from_numpy(values))


def _training_step(model: Any, loss_function: Any, optimizer: Any, x: Any, y: Any) -> Step:
    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _mlp(torch: Any, sizes: tuple[int, ...], activation: str) -> Any:
    nn = torch.nn
    layers: list[Any] = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        if k:
            layers.append(getattr(nn, activation)())
        layers.append(nn.Linear(a, b))
    return nn.Sequential(*layers)


def _regression(
    torch: Any, seed: int, sizes: tuple[int, ...], batch: int, activation: str, optimizer: str
) -> Step:
    rng = np.random.default_rng(seed)
    model = _mlp(torch, sizes, activation)
    _set_parameters(torch, model, rng)
    x, y = _normal(torch, rng, batch, sizes[0]), _normal(torch, rng, batch, sizes[-1])
    return _training_step(model, torch.nn.MSELoss(), _optimizer(torch, optimizer, model), x, y)


def _classification(torch: Any, seed: int, sizes: tuple[int, ...], batch: int) -> Step:
    rng = np.random.default_rng(seed)
    model = _mlp(torch, sizes, "ReLU")
    _set_parameters(torch, model, rng)
    x = _normal(torch, rng, batch, sizes[0])
    y = torch.from_numpy(rng.integers(0, sizes[-1], batch))
    return _training_step(model, torch.nn.CrossEntropyLoss(), _optimizer(torch, "Adam", model), x, y)


def _optimizer(torch: Any, name: str, model: Any) -> Any:
    if name == "SGD":
        return torch.optim.SGD(model.parameters(), lr=1e-2)
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def linreg(torch: Any, seed: int = 0) -> Step:
    """W1: linear regression of one number on one number, batch 4."""
    return _regression(torch, seed, (1, 1), 4, "Tanh", "SGD")


def tiny(torch: Any, seed: int = 0) -> Step:
    """W2: 2-16-16-1 with tanh, batch 8."""
    return _regression(torch, seed, (2, 16, 16, 1), 8, "Tanh", "Adam")


def digits(torch: Any, seed: int = 0) -> Step:
    """W3: 64-64-32-10 with relu, batch 32."""
    return _classification(torch, seed, (64, 64, 32, 10), 32)


def mnist(torch: Any, seed: int = 0) -> Step:
    """W4: 784-128-10 with relu, batch 64."""
    return _classification(torch, seed, (784, 128, 10), 64)


def pinn(torch: Any, seed: int = 0) -> Step:
    """W5: 1-64-64-64-1 with tanh, batch 256."""
    return _regression(torch, seed, (1, 64, 64, 64, 1), 256, "Tanh", "Adam")


def matexp(torch: Any, seed: int = 0) -> Step:
    """W8: 4-32-16-4 with tanh learns the exponential of 2x2 matrices, full batch of 10,000."""
    rng = np.random.default_rng(seed)
    model = _mlp(torch, (4, 32, 16, 4), "Tanh")
    _set_parameters(torch, model, rng)
    matrices = rng.standard_normal((10_000, 2, 2)).astype(np.float32)
    x = torch.from_numpy(matrices.reshape(-1, 4).copy())
    y = torch.from_numpy(_exponentials(matrices).reshape(-1, 4))
    return _training_step(model, torch.nn.MSELoss(), _optimizer(torch, "Adam", model), x, y)


def _exponentials(matrices: np.ndarray) -> np.ndarray:
    """Matrix exponentials by scaling and squaring of the Taylor series, enough for entries of order one."""
    scaled = matrices.astype(np.float64) / 64
    term = np.broadcast_to(np.eye(2), scaled.shape).copy()
    total = term.copy()
    for k in range(1, 13):
        term = term @ scaled / k
        total += term
    for _ in range(6):
        total = total @ total
    return total.astype(np.float32)


def adds(torch: Any, seed: int = 0) -> Step:
    """A chain of 1,000 additions of 16 floats, forward and backward."""
    rng = np.random.default_rng(seed)
    x = _normal(torch, rng, 16)
    x.requires_grad_()
    one, ones = _normal(torch, rng, 16), torch.ones(16)

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(1000):
            y = y + one
        y.backward(ones)
        return y.detach().sum()

    return step


def scalars(torch: Any, seed: int = 0) -> Step:
    """W11: a chain of 10,000 scalar operations (add, mul, tanh in turn), forward and backward."""
    rng = np.random.default_rng(seed)
    x = torch.tensor(float(rng.standard_normal()), requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(3334):
            y = (y * 0.9 + 0.1).tanh()
        y.backward()
        return y

    return step


WORKLOADS: dict[str, Callable[..., Step]] = {
    "W1": linreg,
    "W2": tiny,
    "W3": digits,
    "W4": mnist,
    "W5": pinn,
    "W8": matexp,
    "W11": scalars,
    "adds": adds,
}
