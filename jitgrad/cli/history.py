"""What a run has measured, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """Loss and metric after each epoch, on training and on held-out rows.

    Attributes
    ----------
    loss_label, metric_label : str
        What they are, for people.
    """

    loss_label: str
    metric_label: str
    train_loss: list[float] = field(default_factory=list)
    train_metric: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_metric: list[float] = field(default_factory=list)

    def add(self, train: tuple[float, float], test: tuple[float, float]) -> None:
        """Add an epoch: (loss, metric) on training rows and on held-out rows."""
        self.train_loss.append(train[0])
        self.train_metric.append(train[1])
        self.test_loss.append(test[0])
        self.test_metric.append(test[1])
