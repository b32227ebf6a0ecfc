"""The networks in other libraries that differentiate on a tape or learn by themselves.

autograd and MyGrad differentiate NumPy code, tinygrad compiles kernels for a captured step, micrograd knows scalars
only, and scikit-learn brings a ready-made multilayer perceptron. Where a library has no optimizer, it gets that of
``numpy_steps.py``. Each peer is imported when it is asked for, so that the others need not be there.
"""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import model_peers
import numpy as np
from models import MODELS
from numpy_steps import Update, model_optimizer, optimizer
from workloads import (
    MOMENTUM,
    NETWORKS,
    RATES,
    SCALING,
    Network,
    network,
    numbers,
    scalar_chain,
    scalar_start,
)

Advance = Callable[[int], Any]
DEEP = 1 << 29  # bytes of stack


def version(package: str) -> str:
    """A library's name and version."""
    return f"{package} {importlib.metadata.version(package)}"


HAS = {
    "micrograd": ("W1",),
    "sklearn": (*NETWORKS, *SCALING),
    "tinygrad": (*NETWORKS, *SCALING, "W6", "W7", "W9", "W10", "W11"),
    "mygrad": (*NETWORKS, *SCALING, "W6", "W7", "W10", "W11"),
    "autograd": (*NETWORKS, *SCALING, "W6", "W7", "W9", "W10", "W11"),
}
WHY = {
    ("micrograd", ""): "it knows scalars only, and neither tanh nor logarithm",
    ("sklearn", ""): "it knows multilayer perceptrons only",
    ("mygrad", "W9"): "it has no erf",
}


def lacks(peer: str, name: str) -> str:
    """Why a peer does not run a workload; nothing if it does."""
    if name in HAS[peer]:
        return ""
    return WHY.get((peer, name)) or WHY.get((peer, "")) or "not written for this peer"


def tinygrad_device() -> None:
    """An error in one line where tinygrad finds nothing to compile with."""
    from tinygrad import Tensor

    try:
        (Tensor([1.0]) + 1).realize()
    except Exception as error:
        raise RuntimeError(f"it cannot compile for this processor, which needs clang ({error})") from error


def _repeat(step: Callable[[], Any]) -> Advance:
    def advance(n: int) -> Any:
        loss = None
        for _ in range(n):
            loss = step()
        return loss

    return advance


def deep(function: Callable[[], Any]) -> Any:
    """The result of a function that recurses far."""
    depth, size = sys.getrecursionlimit(), threading.stack_size(DEEP)
    sys.setrecursionlimit(1_000_000)
    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function).result()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(depth)


def _start(name: str) -> tuple[Network, list[np.ndarray], np.ndarray, np.ndarray]:
    given = numbers(name)
    parameters = [a.copy() for weight, bias in given.layers for a in (weight.T, bias)]
    return network(name), parameters, given.x, given.y


def autograd(name: str) -> Advance:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    if name in MODELS:
        return _autograd_model(name)
    if name == "W11":
        both_of = value_and_grad(lambda v: scalar_chain(v, anp.tanh))
        return _repeat(lambda: both_of(scalar_start())[0])
    described, parameters, x, y = _start(name)
    activation = anp.tanh if described.activation == "tanh" else lambda h: anp.maximum(h, 0)
    rows = np.arange(len(y))

    def loss(p: list[Any]) -> Any:
        h = x
        for k in range(0, len(p), 2):
            h = anp.dot(h, p[k]) + p[k + 1]
            h = activation(h) if k + 2 < len(p) else h
        if described.loss == "mse":
            return anp.mean((h - y) ** 2)
        return anp.mean(logsumexp(h, axis=1) - h[rows, y])

    both, update = value_and_grad(loss), optimizer(described.optimizer, parameters)

    def step() -> Any:
        value, gradients = both(parameters)
        update(gradients)
        return value

    return _repeat(step)


def _autograd_model(name: str) -> Advance:
    from autograd import value_and_grad

    p, x, y, loss = model_peers.start(name)
    library, keys = model_peers.autograd(), list(p)
    both = value_and_grad(lambda values: loss(library, dict(zip(keys, values, strict=True)), x, y))
    values = list(p.values())
    update = model_optimizer(name, values)

    def step() -> Any:
        value, gradients = both(values)
        update(gradients)
        return value

    return _repeat(step)


def mygrad(name: str) -> Advance:
    """MyGrad."""
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    if name in MODELS:
        return _mygrad_model(name)
    if name == "W11":
        number = mg.tensor(np.float32(scalar_start()))

        def chain() -> Any:
            y = scalar_chain(number, mg.tanh)
            y.backward()
            number.null_grad()
            return y.data

        return _repeat(chain)
    described, parameters, x, y = _start(name)
    tensors = [mg.tensor(p, copy=False) for p in parameters]
    activation = mg.tanh if described.activation == "tanh" else relu

    def loss_of() -> Any:
        h: Any = x
        for k in range(0, len(tensors), 2):
            h = mg.matmul(h, tensors[k]) + tensors[k + 1]
            h = activation(h) if k + 2 < len(tensors) else h
        return mg.mean((h - y) ** 2) if described.loss == "mse" else softmax_crossentropy(h, y)

    return _mygrad_steps(loss_of, tensors, optimizer(described.optimizer, [t.data for t in tensors]))


def _mygrad_model(name: str) -> Advance:
    import mygrad as mg

    p, x, y, loss = model_peers.start(name)
    library = model_peers.mygrad()
    named = {key: mg.tensor(value, copy=False) for key, value in p.items()}
    update = model_optimizer(name, [t.data for t in named.values()])
    return _mygrad_steps(lambda: loss(library, named, x, y), list(named.values()), update)


def _mygrad_steps(loss_of: Callable[[], Any], tensors: list[Any], update: Update) -> Advance:
    import mygrad as mg

    def step() -> Any:
        loss = loss_of()
        loss.backward()
        gradients = [t.grad for t in tensors]
        for t in tensors:
            t.null_grad()
        with mg.mem_guard_off:
            update(gradients)
        return loss.data

    return _repeat(step)


def tinygrad(name: str) -> Advance:
    """tinygrad, the step captured by TinyJit."""
    from tinygrad import Tensor

    def ready(a: np.ndarray) -> Any:
        return Tensor(a.astype(np.int32) if a.dtype.kind == "i" else a).realize()

    def trained(a: np.ndarray) -> Any:
        return Tensor(a).contiguous().realize().is_param_()

    if name == "W11":
        return _tinygrad_chain(ready(np.float32([scalar_start()])).is_param_())
    if name in MODELS:
        p, x, y, loss = model_peers.start(name)
        library, named = model_peers.tinygrad(), {key: trained(value) for key, value in p.items()}
        inputs, target = ready(x), ready(y)
        momentum = MOMENTUM if MODELS[name].optimizer == "SGD" else 0.0
        return _tinygrad_steps(
            lambda: loss(library, named, inputs, target),
            list(named.values()),
            MODELS[name].optimizer,
            momentum,
        )
    described, parameters, x, y = _start(name)
    tensors, inputs, target = [trained(p) for p in parameters], ready(x), ready(y)

    def loss_of() -> Any:
        h = inputs
        for k in range(0, len(tensors), 2):
            h = h.dot(tensors[k]) + tensors[k + 1]
            if k + 2 < len(tensors):
                h = h.tanh() if described.activation == "tanh" else h.relu()
        if described.loss == "mse":
            return ((h - target) ** 2).mean()
        return h.sparse_categorical_crossentropy(target)

    return _tinygrad_steps(loss_of, tensors, described.optimizer)


def _tinygrad_steps(
    loss_of: Callable[[], Any], tensors: list[Any], kind: str, momentum: float = 0.0
) -> Advance:
    from tinygrad import Context, TinyJit
    from tinygrad.nn.optim import SGD, Adam

    rate = RATES[kind]
    update = Adam(tensors, lr=rate) if kind == "Adam" else SGD(tensors, lr=rate, momentum=momentum)

    @TinyJit
    def step() -> Any:
        update.zero_grad()
        loss = loss_of()
        loss.backward()
        return loss.realize(*update.schedule_step())

    def advance(n: int) -> Any:
        loss = None
        with Context(TRAINING=1):
            for _ in range(n):
                loss = step()
        assert loss is not None
        return loss.item()

    return advance


TOGETHER = 5  # turns of W11's chain in one kernel; with many more tinygrad compiles for minutes, as with none


def _tinygrad_chain(x: Any) -> Advance:
    from tinygrad import TinyJit

    @TinyJit
    def step() -> Any:
        turns = 0

        def tanh(y: Any) -> Any:
            nonlocal turns
            turns += 1
            return y.tanh() if turns % TOGETHER else y.tanh().contiguous()

        x.grad = None
        y = scalar_chain(x, tanh)
        y.sum().backward()
        return y.realize(x.grad)

    def advance(n: int) -> Any:
        return deep(lambda: [step() for _ in range(n)][-1].item())

    return advance


def micrograd(name: str) -> Advance:
    """micrograd; of our networks only the linear one has operations that it knows."""
    from micrograd.engine import Value

    _, parameters, x, y = _start(name)
    (weight,), (bias,) = (p.ravel() for p in parameters)
    w, b = Value(float(weight)), Value(float(bias))
    pairs = [(float(a[0]), float(c[0])) for a, c in zip(x, y, strict=True)]

    def step() -> float:
        w.grad = b.grad = 0.0
        loss = sum(((w * a + b - c) ** 2 for a, c in pairs), Value(0.0)) * (1 / len(pairs))
        loss.backward()
        w.data -= RATES["SGD"] * w.grad
        b.data -= RATES["SGD"] * b.grad
        return loss.data

    return _repeat(step)


def sklearn(name: str) -> Advance:
    """scikit-learn's MLP, one `partial_fit` a step."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    described, parameters, x, y = _start(name)
    classes = described.loss == "cross_entropy"
    # its loss is half the squared error, summed over outputs: plain SGD has to take steps twice as long for that
    rate = RATES[described.optimizer] * (2 if described.optimizer == "SGD" else 1)
    model = (MLPClassifier if classes else MLPRegressor)(
        hidden_layer_sizes=described.sizes[1:-1],
        activation=described.activation,
        solver=described.optimizer.lower(),
        alpha=0,
        batch_size=described.batch,
        learning_rate_init=rate,
        shuffle=False,
        momentum=0,
        nesterovs_momentum=False,
    )
    more = {"classes": np.arange(described.sizes[-1])} if classes else {}
    target = y if classes or y.shape[1] > 1 else y.ravel()
    model.partial_fit(x, target, **more)  # makes its arrays
    for array, values in zip(
        [*model.coefs_, *model.intercepts_], parameters[::2] + parameters[1::2], strict=True
    ):
        array[:] = values
    del model._optimizer  # begins anew

    def step() -> float:
        model.partial_fit(x, target, **more)
        return model.loss_ * (1 if classes else 2)

    return _repeat(step)
