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
from workloads import NETWORKS, RATES, SCALING, STEPS, Network, network, numbers

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
State = tuple[Any, ...]
NAMES = [name for name in STEPS if name in (*NETWORKS, *SCALING, *JAX_MODELS)]


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
    update = _sgd if name not in JAX_MODELS and network(name).optimizer == "SGD" else _adam

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
    _, many, x, y = _functions(name)
    state = _start(name)

    def advance(n: int) -> float:
        nonlocal state
        state, losses = many(state, x, y, n)
        jax.block_until_ready(state)
        return losses[-1]

    return advance
