"""The picture of a run: loss and accuracy (or R squared) by epoch, on training and held-out rows."""

from __future__ import annotations

from pathlib import Path

from .errors import extra
from .history import History

TRAIN, TEST = "#1f6fb4", "#d1601f"


def save_curves(history: History, title: str, path: Path) -> None:
    """Draw `history` into a PNG file.

    Raises
    ------
    CommandError
        When matplotlib is not installed.
    """
    extra("matplotlib", "matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    _panel(left, history.train_loss, history.test_loss, history.loss_label)
    _panel(right, history.train_metric, history.test_metric, history.metric_label)
    losses = history.train_loss + history.test_loss
    if max(losses) > 10 * min(losses) > 0:
        left.set_yscale("log")
    figure.savefig(path, dpi=120)


def _panel(axes, train: list[float], test: list[float], label: str) -> None:
    epochs = range(1, len(train) + 1)
    marker = "o" if len(train) <= 15 else ""
    for values, colour, rows in ((train, TRAIN, "train"), (test, TEST, "test (held out)")):
        axes.plot(epochs, values, color=colour, marker=marker, markersize=4, label=rows)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.set_title(f"{label}: train {train[-1]:.4g}, test {test[-1]:.4g} at the end", fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
