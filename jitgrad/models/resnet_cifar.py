"""Residual networks for small images, such as CIFAR's of 32x32."""

from __future__ import annotations

from typing import Any

from .. import functions as T
from .. import nn
from .._tensor import Tensor
from .resnet import BasicBlock, conv3x3, initialise

WIDTHS = (16, 32, 64)


class Shortcut(nn.Module):
    """Every second pixel, and channels of zeros before and after: a shortcut without parameters.

    Parameters
    ----------
    more : int
        Channels to add on either side.
    """

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """The input at half its size."""
        x = x[:, :, ::2, ::2]
        zeros = T.zeros(x.shape[0], self.more, *x.shape[2:], dtype=x.dtype)
        return T.cat([zeros, x, zeros], 1)


class CifarResNet(nn.Module):
    """A residual network of three stages of 16, 32 and 64 channels, with shortcuts without parameters.

    Parameters
    ----------
    blocks : int
        Blocks of each stage; the network has 6 times as many layers, and 2.
    num_classes : int
        Classes to tell apart.
    in_channels : int
        Channels of the images.

    Notes
    -----
    Input (N, in_channels, H, W), output (N, num_classes). Section 4.2 of He, Zhang, Ren and Sun, "Deep residual
    learning for image recognition", 2015, with option A.
    """

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, WIDTHS[0])
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], blocks)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], blocks)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], blocks)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[2], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(T.flatten(self.avgpool(x), 1))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    changes = inputs != outputs
    shortcut = Shortcut((outputs - inputs) // 2) if changes else None
    first = BasicBlock(inputs, outputs, 2 if changes else 1, shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(1, blocks)))


def resnet20(num_classes: int = 10, **options: Any) -> CifarResNet:
    """ResNet-20: 269,722 parameters with 10 classes."""
    return CifarResNet(3, num_classes, **options)
