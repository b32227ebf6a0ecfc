"""``jitgrad train``: train a model on a data set and test it on rows that it has not seen."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from . import datasets, images, language, rows, text
from .curves import save_curves
from .datasets import Recipe
from .errors import INTERRUPTED, CommandError, extra, require
from .fitting import fit
from .models import default_rate
from .output import open_folder, save_weights
from .parser import IMAGES, MODELS, TEXTS
from .task import Plan, Task

DIVERGED = 1  # exit code when the loss is no longer a number


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    name = options.dataset
    kind, hidden = options.model or (default_model(name), None)
    check_request(name, kind, options.data)
    extra("tqdm", "tqdm")
    require("matplotlib", "matplotlib")
    data, recipe = load(name, kind, options.data)
    folder = open_folder(options.out, name)
    plan = _plan(options, kind, recipe, hidden)
    import jitgrad

    if options.threads:
        jitgrad.set_num_threads(options.threads)
    jitgrad.manual_seed(plan.seed)
    task = (language if name in TEXTS else rows).make_task(plan, data)
    print(_describe(plan, task), flush=True)
    interrupted = fit(plan, task)
    files = ["weights.npz", "curves.png"]
    save_weights(task.model, folder / files[0])
    save_curves(task.history, f"jitgrad: {plan.dataset}, {task.shape}", folder / files[1])
    print(task.result())
    files += task.finish(folder)
    return _report(task, interrupted, plan, folder, files)


def default_model(dataset: str) -> str:
    """The model that suits a data set."""
    return models_for(dataset)[0]


def models_for(dataset: str) -> tuple[str, ...]:
    """The models that a data set can be learnt by."""
    if dataset in TEXTS:
        return ("gpt", "lstm")
    return ("lenet5", "mlp", "linear") if dataset in IMAGES else ("mlp", "linear")


def check_request(dataset: str, model: str, data: str | None) -> None:
    """See that model and data go together, before anything is loaded.

    Raises
    ------
    CommandError
        When they do not.
    """
    fitting = models_for(dataset)
    if model not in fitting:
        suits = ", ".join(s for s in MODELS if s.partition(":")[0] in fitting)
        raise CommandError(f"model {model!r} does not suit {dataset}: choose from {suits}")
    if data is not None and dataset not in (*IMAGES, *TEXTS):
        raise CommandError(f"{dataset} is bundled with scikit-learn and takes no --data")


def load(dataset: str, model: str, data: str | None) -> tuple[Any, Recipe]:
    """A data set, and the training options that suit it."""
    if dataset in TEXTS:
        return text.load(data), text.RECIPES[model]
    if dataset not in IMAGES:
        return datasets.load(dataset), datasets.RECIPES[dataset]
    split = images.load(dataset, data)
    large = len(split.x_train) >= images.LARGE
    return split, (images.LARGE_RECIPES if large else images.RECIPES)[model]


def _plan(options: argparse.Namespace, kind: str, recipe: Recipe, hidden: tuple[int, ...] | None) -> Plan:
    optimizer = options.optimizer or recipe.optimizer
    return Plan(
        options.dataset,
        kind,
        recipe.hidden if hidden is None else hidden,
        options.epochs or recipe.epochs,
        options.batch_size or recipe.batch_size,
        options.lr or default_rate(optimizer, recipe.lr),
        optimizer,
        recipe.weight_decay if optimizer == recipe.optimizer else 0.0,
        options.seed,
        options.eager,
    )


def _describe(plan: Plan, task: Task) -> str:
    numbers = sum(p.numel() for p in task.model.parameters())
    decay = f", weight decay {plan.weight_decay:g}" if plan.weight_decay else ""
    return (
        f"{plan.dataset}: {task.data}\n"
        f"{task.shape} ({numbers} parameters), {plan.optimizer}, lr {plan.lr:g}{decay}, "
        f"batch {plan.batch_size}, {plan.epochs} epochs, seed {plan.seed}"
    )


def _report(task: Task, interrupted: bool, plan: Plan, folder: Path, files: list[str]) -> int:
    names = [str(folder / name) for name in files]
    print(f"wrote {', '.join(names[:-1])} and {names[-1]}")
    done, loss = len(task.history.train_loss), task.history.train_loss[-1]
    if interrupted:
        print(f"jitgrad train: interrupted in epoch {done} of {plan.epochs}", file=sys.stderr)
        return INTERRUPTED
    if not math.isfinite(loss):
        print(
            f"jitgrad train: the loss is {loss} after epoch {done}; use a lower --lr than {plan.lr:g}",
            file=sys.stderr,
        )
        return DIVERGED
    return 0
