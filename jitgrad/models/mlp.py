"""The multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from .. import nn


class MLP(nn.Sequential):
    """Linear layers with an activation between them.

    Parameters
    ----------
    in_features : int
        Numbers of a row, in its last dimension.
    hidden : sequence of int
        Sizes of the hidden layers; none of them gives a linear model.
    out_features : int
        Numbers that come out for a row.
    activation : callable
        Makes the module that stands behind every hidden layer.
    dropout : float
        Share of every hidden layer that is left out in training; no module is made for 0.

    Notes
    -----
    Input (..., in_features), output (..., out_features). The layers are numbered, as in any `Sequential`.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((in_features, *hidden)):
            layers += [nn.Linear(inputs, outputs), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(hidden[-1] if hidden else in_features, out_features))
        super().__init__(*layers)
