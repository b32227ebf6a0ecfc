"""scikit-learn's bundled data sets, split and standardised, and the training options that suit each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .errors import extra

TEST_SHARE = 0.2
SPLIT_SEED = 1  # the split is part of the data set: --seed does not change which rows are held out


@dataclass(frozen=True)
class Recipe:
    """Training options that suit a data set, for Adam unless another optimizer is named.

    Attributes
    ----------
    weight_decay : float
        Of this optimizer only; others have their own meaning of it.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "adam"
    weight_decay: float = 0.0
    one_scale: bool = False  # standardise all columns by one deviation: they share a unit, as pixels do


RECIPES = {
    "digits": Recipe((128, 64), 30, 32, 3e-3, one_scale=True),
    "iris": Recipe((16,), 60, 16, 1e-2),
    "wine": Recipe((16,), 40, 16, 1e-2),
    "breast_cancer": Recipe((16,), 30, 32, 5e-3),
    "diabetes": Recipe((16,), 40, 32, 3e-3),
}


@dataclass(frozen=True)
class Split:
    """Rows and targets of a data set.

    Attributes
    ----------
    x_train, x_test : ndarray
        float32, (rows, features) or (rows, channels, height, width), standardised by the training rows.
    y_train, y_test : ndarray
        Class numbers, int64, (rows,); or float32, (rows, 1), standardised by the training rows.
    classes : int
        How many classes; 0 for regression.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int

    @property
    def features(self) -> int:
        """Numbers of a row."""
        return math.prod(self.x_train.shape[1:])

    @property
    def flat(self) -> Split:
        """The same with one dimension for all numbers of a row."""
        x_train, x_test = (x.reshape(len(x), self.features) for x in (self.x_train, self.x_test))
        return replace(self, x_train=x_train, x_test=x_test)

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for a row."""
        return self.classes or 1


def load(name: str) -> Split:
    """Load a data set by its name in `RECIPES`.

    Raises
    ------
    CommandError
        When scikit-learn is not installed.
    """
    x, y, classes = (digits_file() if name == "digits" else None) or _from_package(name)
    train, test = split_rows(y, classes)
    x = standardised(x, x[train], RECIPES[name].one_scale)
    if classes:
        y = y.astype(np.int64)
    else:
        y = standardised(y.astype(np.float32)[:, None], y[train].astype(np.float32)[:, None], False)
    return Split(x[train], y[train], x[test], y[test], classes)


def digits_file() -> tuple[np.ndarray, np.ndarray, int] | None:
    """The rows, targets and classes in scikit-learn's file of digits, or None if it does not lie where it did.

    Importing the package, which brings SciPy's statistics, takes longer than the training.
    """
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if file is None or not file.is_file():
        return None
    table = np.loadtxt(file, np.float32, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64), 10


def _from_package(name: str) -> tuple[np.ndarray, np.ndarray, int]:
    bunch: Any = getattr(extra("sklearn.datasets", "scikit-learn"), f"load_{name}")()
    classes = 0 if name == "diabetes" else len(bunch.target_names)
    return np.asarray(bunch.data, np.float32), np.asarray(bunch.target), classes


def split_rows(y: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for testing; every class gives the same share of its rows."""
    rng = np.random.default_rng(SPLIT_SEED)
    groups = [np.flatnonzero(y == c) for c in range(classes)] or [np.arange(len(y))]
    held = [rng.permutation(rows)[: round(TEST_SHARE * len(rows))] for rows in groups]
    test = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), test), test


def standardised(values: np.ndarray, train: np.ndarray, one_scale: bool) -> np.ndarray:
    """Values with the mean and deviation of the training rows taken out, as float32."""
    centre = train.mean(axis=0, dtype=np.float64)
    deviation = (train - centre).std(axis=None if one_scale else 0)
    deviation = np.where(deviation < 1e-6, 1.0, deviation)  # a constant column stays 0
    return np.ascontiguousarray((values - centre) / deviation, np.float32)
