"""``jitgrad train``: train a model on a bundled data set and test it on held-out rows."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .curves import save_curves
from .datasets import RECIPES, Split, load
from .errors import INTERRUPTED, extra, require
from .history import History
from .interrupts import Interrupts
from .models import build_model, build_optimizer, default_rate
from .output import open_folder, save_weights

DIVERGED = 1  # exit code when the loss is no longer a number
REFRESH = 0.1  # seconds between two drawings of the bar, so that drawing costs nothing


@dataclass(frozen=True)
class Plan:
    """What a run does, every default filled in."""

    dataset: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    seed: int
    eager: bool


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    extra("tqdm", "tqdm")
    require("matplotlib", "matplotlib")
    split = load(options.dataset)
    folder = open_folder(options.out, options.dataset)
    plan = _plan(options)
    import jitgrad

    if options.threads:
        jitgrad.set_num_threads(options.threads)
    jitgrad.manual_seed(plan.seed)
    model = build_model(split.features, plan.hidden, split.outputs)
    print(_describe(plan, split, model), flush=True)
    history, interrupted = fit(plan, split, model)
    save_weights(model, folder / "weights.npz")
    save_curves(history, f"jitgrad: {plan.dataset}, {_shape(plan, split)}", folder / "curves.png")
    return _report(history, interrupted, plan, folder)


def compiled_epochs(
    model: Any,
    loss_function: Callable[[Any, Any], Any],
    optimizer: Any,
    tensors: tuple[Any, Any],
    batch_size: int,
) -> Callable[[Callable[[int], Any]], None]:
    """What trains one epoch in compiled code: a function that takes what to call with the steps done.

    Parameters
    ----------
    model, loss_function, optimizer
        As in any PyTorch script: ``loss_function(model(x), y)``.
    tensors : pair of Tensor
        Rows and targets.
    batch_size : int
        Rows of a step.
    """
    import jitgrad

    @jitgrad.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda tick: step.run(*tensors, batch_size=batch_size, shuffle=True, progress=tick)


def train_epoch(
    model: Any,
    loss_function: Callable[[Any, Any], Any],
    optimizer: Any,
    batches: Iterable[tuple[Any, Any]],
    after_step: Callable[[], bool],
) -> bool:
    """Train on every batch once.

    Parameters
    ----------
    model, loss_function, optimizer
        As in any PyTorch script: ``loss_function(model(x), y)``.
    batches : iterable of (Tensor, Tensor)
        Rows and targets of each step.
    after_step : callable
        Called after each step; True stops the epoch.

    Returns
    -------
    bool
        Whether all batches were used.
    """
    for x, y in batches:
        optimizer.zero_grad()
        loss_function(model(x), y).backward()
        optimizer.step()
        if after_step():
            return False
    return True


def fit(plan: Plan, split: Split, model: Any) -> tuple[History, bool]:
    """Train `model` in place; returns what was measured, and whether Ctrl-C stopped it."""
    from jitgrad import from_numpy, nn
    from jitgrad.optim.lr_scheduler import CosineAnnealingLR
    from jitgrad.utils.data import DataLoader, TensorDataset

    loss_function = nn.CrossEntropyLoss() if split.classes else nn.MSELoss()
    optimizer = build_optimizer(plan.optimizer, model, plan.lr)
    schedule = CosineAnnealingLR(optimizer, T_max=plan.epochs)
    train = from_numpy(split.x_train), from_numpy(split.y_train)
    test = from_numpy(split.x_test), from_numpy(split.y_test)
    compiled = compiled_epochs(model, loss_function, optimizer, train, plan.batch_size)
    loader = DataLoader(TensorDataset(*train), batch_size=plan.batch_size, shuffle=True)
    history = History(*(("cross-entropy loss", "accuracy") if split.classes else ("squared error", "R²")))
    with Interrupts() as interrupts, Progress(plan.epochs, len(loader)) as progress:

        def after_step() -> bool:
            progress.step()
            return interrupts.asked

        for _ in range(plan.epochs):
            model.train()
            progress.start_epoch()
            if plan.eager:
                complete = train_epoch(model, loss_function, optimizer, loader, after_step)
            else:
                complete = interrupts.run(lambda: compiled(progress.step))
            progress.end_epoch()
            schedule.step()
            history.add(
                evaluate(model, loss_function, *train, split.classes),
                evaluate(model, loss_function, *test, split.classes),
            )
            progress.show(history)
            if not complete or interrupts.asked or not math.isfinite(history.train_loss[-1]):
                break
        return history, interrupts.asked


def evaluate(model: Any, loss_function: Any, x: Any, y: Any, classes: int) -> tuple[float, float]:
    """Loss and metric of a model on rows: the share of right classes, or R squared for regression."""
    from jitgrad import no_grad

    model.eval()
    with no_grad():
        output = model(x)
        loss = loss_function(output, y).item()
    output, y = output.numpy(), y.numpy()
    if classes:
        return loss, float((output.argmax(axis=1) == y).mean())
    return loss, float(1 - ((output - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


class Progress:
    """The progress bar of a run, and the time of its steps without the first epoch's compiling."""

    def __init__(self, epochs: int, steps: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(
            total=epochs * steps, mininterval=REFRESH, unit="step", desc="first step", file=sys.stderr
        )
        self.epochs, self.epoch = epochs, 0
        self.steps, self.seconds = 0, 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()
        if self.steps:
            print(
                f"{self.steps} steps in {self.seconds:.2f} s: {1e6 * self.seconds / self.steps:.0f} us a step"
            )

    def start_epoch(self) -> None:
        """Note that an epoch begins."""
        self.epoch += 1
        self.first, self.begun = self.bar.n, time.perf_counter()

    def step(self, steps: int = 1) -> None:
        """Note that steps are done."""
        self.bar.update(steps)

    def end_epoch(self) -> None:
        """Note that an epoch is over; the first one compiles kernels and is not timed."""
        if self.epoch > 1:
            self.seconds += time.perf_counter() - self.begun
            self.steps += self.bar.n - self.first

    def show(self, history: History) -> None:
        """Put an epoch's figures beside the bar; they are drawn when the bar is."""
        name = "acc" if history.metric_label == "accuracy" else history.metric_label
        self.bar.set_description_str(f"epoch {self.epoch}/{self.epochs}", refresh=False)
        self.bar.set_postfix_str(
            f"loss {history.train_loss[-1]:.4f}, {name} {history.train_metric[-1]:.3f}, "
            f"test {name} {history.test_metric[-1]:.3f}",
            refresh=False,
        )


def _plan(options: argparse.Namespace) -> Plan:
    recipe = RECIPES[options.dataset]
    hidden = options.model[1]
    return Plan(
        options.dataset,
        recipe.hidden if hidden is None else hidden,
        options.epochs or recipe.epochs,
        options.batch_size or recipe.batch_size,
        options.lr or default_rate(options.optimizer, recipe.lr),
        options.optimizer,
        options.seed,
        options.eager,
    )


def _shape(plan: Plan, split: Split) -> str:
    kind = "mlp" if plan.hidden else "linear"
    return f"{kind} {'-'.join(map(str, (split.features, *plan.hidden, split.outputs)))}"


def _describe(plan: Plan, split: Split, model: Any) -> str:
    numbers = sum(p.numel() for p in model.parameters())
    target = f"{split.classes} classes" if split.classes else "one number to predict"
    return (
        f"{plan.dataset}: {len(split.x_train)} rows to train on, {len(split.x_test)} held out, "
        f"{split.features} features, {target}\n"
        f"{_shape(plan, split)} ({numbers} parameters), {plan.optimizer}, lr {plan.lr:g}, "
        f"batch {plan.batch_size}, {plan.epochs} epochs, seed {plan.seed}"
    )


def _report(history: History, interrupted: bool, plan: Plan, folder: Path) -> int:
    metric, loss = history.test_metric[-1], history.test_loss[-1]
    measured = f"{100 * metric:.2f} %" if history.metric_label == "accuracy" else f"{metric:.3f}"
    print(f"test {history.metric_label}: {measured} (test loss {loss:.4f})")
    print(f"wrote {folder / 'weights.npz'} and {folder / 'curves.png'}")
    done = len(history.train_loss)
    if interrupted:
        print(f"jitgrad train: interrupted in epoch {done} of {plan.epochs}", file=sys.stderr)
        return INTERRUPTED
    if not math.isfinite(history.train_loss[-1]):
        print(
            f"jitgrad train: the loss is {history.train_loss[-1]} after epoch {done}; "
            f"use a lower --lr than {plan.lr:g}",
            file=sys.stderr,
        )
        return DIVERGED
    return 0
