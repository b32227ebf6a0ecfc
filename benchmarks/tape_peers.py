"""The networks in other libraries that differentiate on a tape or learn by themselves.

autograd and MyGrad differentiate NumPy code, tinygrad compiles kernels for a captured step, micrograd knows scalars
only, and scikit-learn brings a ready-made multilayer perceptron. Where a library has no optimizer, it gets that of
``numpy_steps.py``. Each peer is imported when it is asked for, so that the others need not be there.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy_steps import optimizer
from workloads import RATES, Network, network, numbers

Advance = Callable[[int], Any]


def version(package: str) -> str:
    """A library's name and version."""
    return f"{package} {importlib.metadata.version(package)}"


def _repeat(step: Callable[[], Any]) -> Advance:
    def advance(n: int) -> Any:
        loss = None
        for _ in range(n):
            loss = step()
        return loss

    return advance


def _start(name: str) -> tuple[Network, list[np.ndarray], np.ndarray, np.ndarray]:
    given = numbers(name)
    parameters = [a.copy() for weight, bias in given.layers for a in (weight.T, bias)]
    return network(name), parameters, given.x, given.y


def autograd(name: str) -> Advance:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

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


def mygrad(name: str) -> Advance:
    """MyGrad."""
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    described, parameters, x, y = _start(name)
    tensors = [mg.tensor(p, copy=False) for p in parameters]
    activation = mg.tanh if described.activation == "tanh" else relu
    update = optimizer(described.optimizer, [t.data for t in tensors])

    def step() -> Any:
        h: Any = x
        for k in range(0, len(tensors), 2):
            h = mg.matmul(h, tensors[k]) + tensors[k + 1]
            h = activation(h) if k + 2 < len(tensors) else h
        loss = mg.mean((h - y) ** 2) if described.loss == "mse" else softmax_crossentropy(h, y)
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
    from tinygrad import Context, Tensor, TinyJit
    from tinygrad.nn.optim import SGD, Adam

    described, parameters, x, y = _start(name)
    tensors = [Tensor(p).contiguous().realize().is_param_() for p in parameters]
    rate = RATES[described.optimizer]
    update = Adam(tensors, lr=rate) if described.optimizer == "Adam" else SGD(tensors, lr=rate)
    inputs, target = Tensor(x).realize(), Tensor(y.astype(np.int32) if y.ndim == 1 else y).realize()

    @TinyJit
    def step() -> Any:
        h = inputs
        for k in range(0, len(tensors), 2):
            h = h.dot(tensors[k]) + tensors[k + 1]
            if k + 2 < len(tensors):
                h = h.tanh() if described.activation == "tanh" else h.relu()
        loss = (
            ((h - target) ** 2).mean()
            if described.loss == "mse"
            else h.sparse_categorical_crossentropy(target)
        )
        update.zero_grad()
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
