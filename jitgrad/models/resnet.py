"""Residual networks for images of any size, with torchvision's names, so that its weights load."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from .. import functions as T
from .. import nn
from .._tensor import Tensor
from ..serialization import load

WIDTHS = (64, 128, 256, 512)


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (at stride 1), without bias."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Parameters
    ----------
    inplanes, planes : int
        Channels that come in and go out.
    stride : int
        Of the first convolution.
    downsample : Module, optional
        What makes the shortcut fit; without it the input is added as it is.
    norm_layer : callable
        Makes a normalisation from a number of channels.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of `planes` channels."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(out + shortcut)


class ResNet(nn.Module):
    """A residual network of four stages.

    Parameters
    ----------
    block : type
        `BasicBlock`, or one with the same arguments and an ``expansion``.
    layers : sequence of int
        Blocks of each stage.
    num_classes : int
        Classes to tell apart.
    zero_init_residual : bool
        Start the last normalisation of each block at 0, so that blocks begin as identities.
    norm_layer : callable, optional
        Makes a normalisation from a number of channels; ``BatchNorm2d`` by default.

    Notes
    -----
    Input (N, 3, H, W), output (N, num_classes). After He, Zhang, Ren and Sun, "Deep residual learning for image
    recognition", 2015.
    """

    def __init__(
        self,
        block: Any,
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes = WIDTHS[0]
        self.conv1 = nn.Conv2d(3, self.inplanes, 7, 2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._stage(block, WIDTHS[0], layers[0], 1)
        self.layer2 = self._stage(block, WIDTHS[1], layers[1], 2)
        self.layer3 = self._stage(block, WIDTHS[2], layers[2], 2)
        self.layer4 = self._stage(block, WIDTHS[3], layers[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(WIDTHS[3] * block.expansion, num_classes)
        initialise(self, zero_init_residual)

    def _stage(self, block: Any, planes: int, blocks: int, stride: int) -> nn.Sequential:
        norm, outputs = self._norm_layer, planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != outputs:
            downsample = nn.Sequential(conv1x1(self.inplanes, outputs, stride), norm(outputs))
        made = [block(self.inplanes, planes, stride, downsample, norm_layer=norm)]
        self.inplanes = outputs
        made += [block(outputs, planes, norm_layer=norm) for _ in range(1, blocks)]
        return nn.Sequential(*made)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(T.flatten(self.avgpool(x), 1))


def initialise(model: nn.Module, zero_residual: bool = False) -> None:
    """Draw the convolutions' weights from He's normal distribution; normalisations start as identities."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if zero_residual and isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)


def resnet18(*, weights: str | os.PathLike | None = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1,000 classes.

    Parameters
    ----------
    weights : path, optional
        A file of weights to load, for example the one that torchvision's ``resnet18`` downloads.
    progress : bool
        Accepted as in torchvision; nothing is downloaded.
    **options
        As `ResNet` takes them: ``num_classes``, ``zero_init_residual``, ``norm_layer``.
    """
    return _with_weights(ResNet(BasicBlock, (2, 2, 2, 2), **options), weights)


def resnet34(*, weights: str | os.PathLike | None = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet-34: 21,797,672 parameters with 1,000 classes; see `resnet18`."""
    return _with_weights(ResNet(BasicBlock, (3, 4, 6, 3), **options), weights)


def _with_weights(model: ResNet, weights: str | os.PathLike | None) -> ResNet:
    if weights is not None:
        model.load_state_dict(load(weights, map_location="cpu"))
    return model
