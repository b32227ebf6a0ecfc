"""How the tests compare a compiled function with the function itself: bit for bit, on twins of everything."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as torch
from jitgrad import nn
from jitgrad.store import store

STEPS = 6

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "SGD dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "SGD nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "SGD maximize": ("SGD", {"lr": 0.01, "maximize": True, "weight_decay": 0.1}),
    "Adam": ("Adam", {"lr": 0.01}),
    "Adam amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    "Adam maximize": ("Adam", {"lr": 0.01, "maximize": True, "betas": (0.5, 0.7)}),
    "Adam decoupled": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "AdamW": ("AdamW", {"lr": 0.01}),
    "AdamW amsgrad": ("AdamW", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    "Adamax": ("Adamax", {"weight_decay": 0.1}),
    "Adamax maximize": ("Adamax", {"maximize": True}),
    "NAdam": ("NAdam", {"weight_decay": 0.1}),
    "NAdam decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    "RAdam": ("RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    "RAdam decoupled": ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop centered": ("RMSprop", {"centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    "RMSprop maximize": ("RMSprop", {"maximize": True, "momentum": 0.5}),
    "Adagrad": ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1}),
    "Adagrad start": ("Adagrad", {"initial_accumulator_value": 0.3, "maximize": True}),
    "Adadelta": ("Adadelta", {"weight_decay": 0.1}),
    "Adadelta maximize": ("Adadelta", {"maximize": True, "rho": 0.5}),
    "ASGD": ("ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 2}),
    "ASGD maximize": ("ASGD", {"maximize": True, "weight_decay": 0.1}),
    "Rprop": ("Rprop", {"lr": 0.05}),
    "Rprop maximize": ("Rprop", {"maximize": True, "step_sizes": (0.01, 0.02)}),
}


def bits(value: Any) -> Any:
    """A value with every tensor in it replaced by its dtype, shape and bytes."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value), [bits(item) for item in value]
    return value


def state_of(*owners: Any) -> Any:
    """Parameters with gradients and buffers of modules, states of optimizers, gradients of tensors."""
    found: list[Any] = []
    for owner in owners:
        if isinstance(owner, nn.Module):
            found += [(name, bits(p), bits(p.grad)) for name, p in owner.named_parameters()]
            found += [(name, bits(b)) for name, b in owner.named_buffers()]
        elif isinstance(owner, torch.Tensor):
            found += [bits(owner), bits(owner.grad)]
        else:
            found.append(bits(owner.state_dict()))
    return found


def random_state() -> Any:
    return bits(torch.get_rng_state())


class Scene:
    """A step and everything that it works on.

    Attributes
    ----------
    step : callable
    inputs : callable
        From the number of a call to the step's arguments.
    owners : tuple
        Modules, optimizers and tensors whose state the step changes.
    """

    def __init__(self, step: Callable, inputs: Callable[[int], tuple], *owners: Any) -> None:
        self.step, self.inputs, self.owners = step, inputs, owners

    def call(self, step: Callable, number: int) -> Any:
        """What one call returned and left behind."""
        result = step(*self.inputs(number))
        return bits(result), state_of(*self.owners), random_state()


def history(build: Callable[[], Scene], compiled: str, between: Callable | None = None) -> tuple[list, Any]:
    """What every call returned and left behind, and the compiled function.

    Parameters
    ----------
    compiled : str
        A letter for each call: ``c`` for a compiled one, ``e`` for an eager one.
    between : callable, optional
        Called with the scene and the number of the call to come.
    """
    torch.manual_seed(7)
    scene = build()
    # sums over a batch in pieces round otherwise
    step = torch.compile(scene.step, fullgraph=True, options={"partial_sums": False})
    found = []
    for k, letter in enumerate(compiled):
        if between is not None:
            between(scene, k)
        found.append(scene.call(step if letter == "c" else scene.step, k))
    return found, step


def assert_same(
    build: Callable[[], Scene],
    pattern: str = "c" * STEPS,
    between: Callable | None = None,
    programs: int = 2,
) -> torch.Tensor:
    """Assert that calls of a compiled step leave what eager calls leave; returns the compiled step.

    `programs` is how many may be recorded, so that the others are known to have been replayed.
    """
    eager, _ = history(build, "e" * len(pattern), between)
    found, step = history(build, pattern, between)
    for k, (a, b) in enumerate(zip(eager, found, strict=True)):
        assert a == b, f"call {k} ({pattern})"
    assert 1 <= len(step.programs) <= programs
    return step


def batches(*shapes: tuple[int, ...], dtype: Any = None, count: int = STEPS) -> Callable[[int], tuple]:
    """Arguments of random numbers, others for every call."""
    made = [
        tuple(torch.randn(*shape, dtype=dtype or torch.float32) for shape in shapes) for _ in range(count)
    ]
    return lambda k: made[k % count]


def training_step(model: Any, optimizer: Any, loss: Callable | None = None) -> Callable:
    """The usual step."""
    criterion = loss or nn.functional.mse_loss

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        value = criterion(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def outputs_step(model: Any, optimizer: Any, loss: Callable) -> Callable:
    """A step whose loss is one of the outputs alone."""

    def step(x: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(model(x))
        value.backward()
        optimizer.step()
        return value

    return step


def small_model(dtype: Any = None) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4, dtype=dtype), nn.Tanh(), nn.Linear(4, 2, dtype=dtype))


def regression(
    kind: str = "Adam", dtype: Any = None, model: nn.Module | None = None, **options: Any
) -> Scene:
    """A small network, or another of 3 inputs and 2 outputs, an optimizer and batches."""
    model = model or small_model(dtype)
    optimizer = getattr(torch.optim, kind)(model.parameters(), **options)
    inputs = batches((5, 3), (5, 2), dtype=dtype)
    return Scene(training_step(model, optimizer), inputs, model, optimizer)


def values_for(make: Callable, dtype: Any, seed: int) -> torch.Tensor:
    """A tensor of one of the kinds of inputs in nn_cases."""
    values = np.asarray(make(np.random.default_rng(seed)))
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind == "i" else dtype)


def drawn(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    """Tensors of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=generator) for s in shapes]


def warnings_of(function: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a call returned, and the warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    return result, [str(w.message) for w in caught]


def readings(
    make: Callable[[], Any],
    change: Callable[[Any, float], Any],
    read: Callable[[Any], Any],
    compiled: bool,
    changes: int,
) -> list[float]:
    """What a step reads of what `make` gives: in three calls, and after each of so many changes."""
    source = make()

    def step(x):
        return x * read(source)

    step = torch.compile(step) if compiled else step
    found = [step(torch.ones(1)).item(), step(torch.ones(1)).item(), step(torch.ones(1)).item()]
    for k in range(changes):
        change(source, k + 2.0)
        found.append(step(torch.ones(1)).item())
    return found


def counters() -> dict[str, int]:
    """Memory and rows in use."""
    return {name: store.field(name) for name in ("bytes", "live_rows", "free_slots", "walks", "recording")}
