"""Models and optimizers by name."""

from __future__ import annotations

from typing import Any

# the first learning rate that suits each optimizer, as a multiple of Adam's
_RATES = {
    "adam": 1.0,
    "adamw": 1.0,
    "adamax": 2.0,
    "nadam": 1.0,
    "radam": 1.0,
    "rmsprop": 0.3,
    "adagrad": 5.0,
    "adadelta": 300.0,
    "sgd": 10.0,
}
_CLASSES = {
    "adam": "Adam",
    "adamw": "AdamW",
    "adamax": "Adamax",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "sgd": "SGD",
}


def build_model(features: int, hidden: tuple[int, ...], outputs: int) -> Any:
    """A multi-layer perceptron with ReLU between its layers; no hidden sizes give a linear model."""
    from jitgrad import nn

    sizes = (features, *hidden, outputs)
    layers: list[Any] = []
    for k in range(len(sizes) - 1):
        if k:
            layers.append(nn.ReLU())
        layers.append(nn.Linear(sizes[k], sizes[k + 1]))
    return nn.Sequential(*layers)


def default_rate(optimizer: str, adam_rate: float) -> float:
    """The first learning rate of an optimizer where Adam's is `adam_rate`."""
    return min(adam_rate * _RATES[optimizer], 1.0)


def build_optimizer(name: str, model: Any, lr: float, weight_decay: float = 0.0) -> Any:
    """The optimizer called `name` for a model's parameters."""
    from jitgrad import optim

    options: dict[str, Any] = {"momentum": 0.9} if name == "sgd" else {}
    if weight_decay:
        options["weight_decay"] = weight_decay
    return getattr(optim, _CLASSES[name])(model.parameters(), lr=lr, **options)
