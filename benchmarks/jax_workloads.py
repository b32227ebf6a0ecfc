"""The networks of `workloads` in JAX: a whole training step under one ``jit``, and many under ``lax.scan``.

Written as a JAX user would write them: pure functions of parameters and optimizer state, weights as (inputs,
outputs), Adam as optax has it, buffers donated. Same initial numbers and same formulas as the PyTorch steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax_models import JAX_MODELS, data
from jax_models import start as start_model
from models import MODELS
from workloads import (
    FACTOR,
    MOMENTUM,
    NETWORKS,
    RATES,
    SCALING,
    SHIFT,
    STEPS,
    TURNS,
    Network,
    network,
    numbers,
    scalar_start,
)

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
State = tuple[Any, ...]
NAMES = [*(name for name in STEPS if name in (*NETWORKS, *SCALING, *JAX_MODELS)), "W11"]


def version() -> str:
    """JAX's version."""
    return f"JAX {jax.__version__}"


def _output(network: Network, layers: Any, x: Any) -> Any:
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[network.activation]
    for weight, bias in layers[:-1]:
        x = activation(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def _loss(network: Network, layers: Any, x: Any, y: Any) -> Any:
    output = _output(network, layers, x)
    if network.loss == "mse":
        return jnp.mean((output - y) ** 2)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1)
    return -jnp.mean(chosen)


def _sgd(state: State, gradients: Any) -> State:
    (layers,) = state
    return (jax.tree.map(lambda p, g: p - RATES["SGD"] * g, layers, gradients),)


def _momentum(state: State, gradients: Any) -> State:
    layers, moved = state
    moved = jax.tree.map(lambda m, g: MOMENTUM * m + g, moved, gradients)
    return jax.tree.map(lambda p, m: p - RATES["SGD"] * m, layers, moved), moved


def _adam(state: State, gradients: Any) -> State:
    layers, mean, square, count = state
    count = count + 1
    mean = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, gradients)
    square = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, square, gradients)
    mean_part, square_part = 1 - BETA1**count, 1 - BETA2**count

    def move(p: Any, m: Any, v: Any) -> Any:
        return p - RATES["Adam"] * (m / mean_part) / (jnp.sqrt(v / square_part) + EPSILON)

    return jax.tree.map(move, layers, mean, square), mean, square, count


def _start(name: str) -> State:
    """New parameters and optimizer state, each in memory of its own, because steps are given it for good."""
    layers: Any
    if name in JAX_MODELS:
        layers = start_model(name)
        if MODELS[name].optimizer == "SGD":
            return layers, jax.tree.map(jnp.zeros_like, layers)
    else:
        layers = [(jnp.array(w.T), jnp.array(b)) for w, b in numbers(name).layers]
        if network(name).optimizer == "SGD":
            return (layers,)
    mean, square = (jax.tree.map(jnp.zeros_like, layers) for _ in range(2))
    return layers, mean, square, jnp.zeros((), jnp.float32)


def _problem(name: str) -> tuple[Callable[..., Any], Any, Any]:
    """The loss as a function of parameters and batch, and the batch."""
    if name in JAX_MODELS:
        return JAX_MODELS[name].loss, *data(name)
    described, given = network(name), numbers(name)
    target = given.y.astype("int32") if described.loss == "cross_entropy" else given.y
    return partial(_loss, described), jnp.array(given.x), jnp.array(target)


@cache
def _functions(name: str) -> tuple[Callable[..., Any], Callable[..., Any], Any, Any]:
    """The step, the scan over steps, and the batch."""
    loss_of, x, y = _problem(name)
    if name in JAX_MODELS:
        update = {"SGD": _momentum, "Adam": _adam}[MODELS[name].optimizer]
    else:
        update = {"SGD": _sgd, "Adam": _adam}[network(name).optimizer]

    def step(state: State, x: Any, y: Any) -> tuple[State, Any]:
        loss, gradients = jax.value_and_grad(loss_of)(state[0], x, y)
        return update(state, gradients), loss

    def steps(state: State, x: Any, y: Any, n: int) -> tuple[State, Any]:
        return lax.scan(lambda carried, _: step(carried, x, y), state, None, length=n)

    once = jax.jit(step, donate_argnums=0)
    many = jax.jit(steps, static_argnums=3, donate_argnums=0)
    return once, many, x, y


def per_step(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps, each a call of the jitted step, and gives the last loss."""
    if name == "W11":
        return _scalars_per_step()
    once, _, x, y = _functions(name)
    state = _start(name)

    def advance(n: int) -> float:
        nonlocal state
        for _ in range(n):
            state, loss = once(state, x, y)
        jax.block_until_ready(state)
        return loss

    return advance


def scan(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps in one call, compiled for that `n`, and gives the last loss."""
    if name == "W11":
        return _scalars_scanned()
    _, many, x, y = _functions(name)
    state = _start(name)

    def advance(n: int) -> float:
        nonlocal state
        state, losses = many(state, x, y, n)
        jax.block_until_ready(state)
        return losses[-1]

    return advance


def _chain(x: Any) -> Any:
    """W11 as a loop that JAX can differentiate: unrolled, it would compile for minutes."""
    return lax.scan(lambda y, _: (jnp.tanh(y * FACTOR + SHIFT), None), x, None, length=TURNS)[0]


_both = jax.jit(jax.value_and_grad(_chain))


def _scalars_per_step() -> Callable[[int], float]:
    x = jnp.float32(scalar_start())

    def advance(n: int) -> float:
        for _ in range(n):
            y, _ = jax.block_until_ready(_both(x))
        return y

    return advance


@cache
def _scalars_scanned() -> Callable[[int], float]:
    def turn(x: Any, _: Any) -> tuple[Any, Any]:
        y, g = jax.value_and_grad(_chain)(x)
        return x + 0 * g, y  # waits for the gradient

    many = jax.jit(lambda x, n: lax.scan(turn, x, None, length=n)[1][-1], static_argnums=1)
    x = jnp.float32(scalar_start())
    return lambda n: jax.block_until_ready(many(x, n))
