"""What is to be learnt, whatever it is: a model, its loss, and how to measure and describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .history import History

Measured = tuple[float, float]  # loss and metric


@dataclass(frozen=True)
class Plan:
    """What a run does, every default filled in.

    Attributes
    ----------
    dataset, model : str
        As the user names them.
    hidden : tuple of int
        Hidden sizes of an ``mlp``.
    """

    dataset: str
    model: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    weight_decay: float
    seed: int
    eager: bool


@dataclass
class Task:
    """A model and its data.

    Attributes
    ----------
    model : Module
        Trained in place.
    train : pair of Tensor
        Rows and targets.
    loss : callable
        The loss of a batch of rows and targets.
    measure : callable
        Loss and metric of the model, on training rows and on held-out rows.
    history : History
        Where they are kept.
    data, shape : str
        For people: what the data are, and what the model is.
    result : callable
        The line that says how well it went in the end.
    finish : callable
        Prints and writes into a folder what the task has besides; gives the names of the files.
    """

    model: Any
    train: tuple[Any, Any]
    loss: Callable[[Any, Any], Any]
    measure: Callable[[], tuple[Measured, Measured]]
    history: History
    data: str
    shape: str
    result: Callable[[], str]
    finish: Callable[[Path], list[str]]
