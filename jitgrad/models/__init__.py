"""Whole models: what tutorials train, with the names and initialisation that PyTorch's users know."""

from .gpt import GPT
from .lenet import LeNet5
from .lstm import LSTMLanguageModel
from .mlp import MLP
from .resnet import BasicBlock, ResNet, resnet18, resnet34
from .resnet_cifar import CifarResNet, resnet20

__all__ = [
    "GPT",
    "MLP",
    "BasicBlock",
    "CifarResNet",
    "LSTMLanguageModel",
    "LeNet5",
    "ResNet",
    "resnet18",
    "resnet20",
    "resnet34",
]
