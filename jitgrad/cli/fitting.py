"""Going through the epochs of a task: compiled or eager, with a progress bar, and to the first Ctrl-C."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from .history import History
from .interrupts import Interrupts
from .models import build_optimizer
from .task import Plan, Task

REFRESH = 0.1  # seconds between two drawings of the bar, so that drawing costs nothing


def fit(plan: Plan, task: Task) -> bool:
    """Train a task's model in place and measure it after each epoch; returns whether Ctrl-C stopped it."""
    from jitgrad.optim.lr_scheduler import CosineAnnealingLR
    from jitgrad.utils.data import DataLoader, TensorDataset

    model, history = task.model, task.history
    optimizer = build_optimizer(plan.optimizer, model, plan.lr, plan.weight_decay)
    schedule = CosineAnnealingLR(optimizer, T_max=plan.epochs)
    compiled = compiled_epochs(task.loss, optimizer, task.train, plan.batch_size)
    loader = DataLoader(TensorDataset(*task.train), batch_size=plan.batch_size, shuffle=True)
    with Interrupts() as interrupts, Progress(plan.epochs, len(loader)) as progress:

        def after_step() -> bool:
            progress.step()
            return interrupts.asked

        for _ in range(plan.epochs):
            model.train()
            progress.start_epoch()
            if plan.eager:
                complete = train_epoch(task.loss, optimizer, loader, after_step)
            else:
                complete = interrupts.run(lambda: compiled(progress.step))
            progress.end_epoch()
            schedule.step()
            model.eval()
            history.add(*task.measure())
            progress.show(history)
            if not complete or interrupts.asked or not math.isfinite(history.train_loss[-1]):
                break
        return interrupts.asked


def compiled_epochs(
    loss_of: Callable[[Any, Any], Any],
    optimizer: Any,
    tensors: tuple[Any, Any],
    batch_size: int,
) -> Callable[[Callable[[int], Any]], None]:
    """What trains one epoch in compiled code: a function that takes what to call with the steps done.

    Parameters
    ----------
    loss_of : callable
        The loss of rows and targets.
    optimizer : Optimizer
        Of the model's parameters.
    tensors : pair of Tensor
        Rows and targets.
    batch_size : int
        Rows of a step.
    """
    import jitgrad

    @jitgrad.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda tick: step.run(*tensors, batch_size=batch_size, shuffle=True, progress=tick)


def train_epoch(
    loss_of: Callable[[Any, Any], Any],
    optimizer: Any,
    batches: Iterable[tuple[Any, Any]],
    after_step: Callable[[], bool],
) -> bool:
    """Train on every batch once.

    Parameters
    ----------
    loss_of : callable
        The loss of rows and targets.
    optimizer : Optimizer
        Of the model's parameters.
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
        loss_of(x, y).backward()
        optimizer.step()
        if after_step():
            return False
    return True


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
