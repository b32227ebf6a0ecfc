"""LeNet-5, with the rectifiers and maximum pooling of today's versions."""

from __future__ import annotations

from .. import functions as T
from .. import nn
from .._tensor import Tensor
from ..nn import functional as F


class LeNet5(nn.Module):
    """Two convolutions of 5x5 with pooling, then three linear layers: for images of 28x28.

    Parameters
    ----------
    num_classes : int
        Classes to tell apart.
    in_channels : int
        Channels of the images.

    Notes
    -----
    Input (N, in_channels, 28, 28), output (N, num_classes). After LeCun, Bottou, Bengio and Haffner,
    "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = T.flatten(x, 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
