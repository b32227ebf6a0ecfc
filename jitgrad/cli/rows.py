"""Classifying rows or images, and predicting a number for a row."""

from __future__ import annotations

from typing import Any

from .datasets import Split
from .history import History
from .models import build_model
from .task import Measured, Plan, Task

CHUNK = 1000  # rows that are evaluated at once
MEASURED = 10_000  # training rows that are evaluated at most


def make_task(plan: Plan, split: Split) -> Task:
    """The model for a data set, and how to train it."""
    from jitgrad import from_numpy, models, nn

    if plan.model == "lenet5":
        model, shape = models.LeNet5(split.classes), "LeNet-5"
    else:
        split = split.flat
        model = build_model(split.features, plan.hidden, split.outputs)
        shape = f"{plan.model} {'-'.join(map(str, (split.features, *plan.hidden, split.outputs)))}"
    loss_function = nn.CrossEntropyLoss() if split.classes else nn.MSELoss()
    train = from_numpy(split.x_train), from_numpy(split.y_train)
    test = from_numpy(split.x_test), from_numpy(split.y_test)
    history = History(*(("cross-entropy loss", "accuracy") if split.classes else ("squared error", "R²")))

    def measure() -> tuple[Measured, Measured]:
        some = train[0][:MEASURED], train[1][:MEASURED]
        return tuple(evaluate(model, loss_function, *rows, split.classes) for rows in (some, test))

    def result() -> str:
        metric, loss = history.test_metric[-1], history.test_loss[-1]
        measured = f"{100 * metric:.2f} %" if split.classes else f"{metric:.3f}"
        return f"test {history.metric_label}: {measured} (test loss {loss:.4f})"

    target = f"{split.classes} classes" if split.classes else "one number to predict"
    counts = f"{len(split.x_train)} rows to train on, {len(split.x_test)} held out"
    data = f"{counts}, {split.features} features, {target}"
    return Task(
        model,
        train,
        lambda x, y: loss_function(model(x), y),
        measure,
        history,
        data,
        shape,
        result,
        lambda folder: [],
    )


def evaluate(model: Any, loss_function: Any, x: Any, y: Any, classes: int) -> Measured:
    """Loss and metric of a model on rows: the share of right classes, or R squared for regression."""
    from jitgrad import cat, no_grad

    with no_grad():
        output = cat([model(x[at : at + CHUNK]) for at in range(0, len(x), CHUNK)])
        loss = loss_function(output, y).item()
    output, y = output.numpy(), y.numpy()
    if classes:
        return loss, float((output.argmax(axis=1) == y).mean())
    return loss, float(1 - ((output - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
