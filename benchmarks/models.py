"""The workloads that are more than layers in a row of `Linear`: convolutional, recurrent, attention, ResNet-18.

Each model is written once, as an ordinary PyTorch user writes it; `torch` is PyTorch or jitgrad. Parameters carry the
names of PyTorch's ``state_dict``. Their first values and the data are made with NumPy (`Model.parameters`,
`Model.data`), so that other libraries begin with the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

Shapes = dict[str, tuple[tuple[int, ...], float]]  # of parameters, with the bound of their first values
ONES = -1.0  # in place of a bound
HIDDEN, TIME = 32, 20  # of the LSTM
VOCABULARY, WIDTH, POSITIONS, HEADS = 27, 16, 16, 4  # of the GPT


class Model(NamedTuple):
    """A model and how it is trained, always on one batch."""

    title: str
    build: Callable[[Any], Any]  # a module, from the library
    shapes: Callable[[], Shapes]
    data: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    loss: str  # "mse", "cross_entropy" or "difference"
    optimizer: str
    steps: int  # that may be timed from the first parameters on, see `workloads.NETWORKS`
    few: int = 16  # steps of the shortest measurement
    warm_up: int = 10  # steps after which losses are compared

    def parameters(self, seed: int = 0) -> dict[str, np.ndarray]:
        """First values by name; the same arrays for every call, not to be written."""
        return _values(self.shapes, seed)


@cache
def _values(shapes: Callable[[], Shapes], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = {}
    for name, (shape, bound) in shapes().items():
        if bound in (0.0, ONES):
            values[name] = np.full(shape, -bound, np.float32)
        else:
            values[name] = (bound * (2 * rng.random(shape, np.float32) - 1)).astype(np.float32)
    return values


def _affine(name: str, *shape: int) -> Shapes:
    """Weight and bias of a linear or convolutional layer, PyTorch's default bounds."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return {f"{name}.weight": (shape, bound), f"{name}.bias": (shape[:1], bound)}


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": ((size,), ONES), f"{name}.bias": ((size,), 0.0)}


# W6: LeNet-5 ----------------------------------------------------------------------------------------


def lenet(torch: Any) -> Any:
    """LeNet-5 for images of 28x28."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def _lenet_shapes() -> Shapes:
    return {
        **_affine("0", 6, 1, 5, 5),
        **_affine("3", 16, 6, 5, 5),
        **_affine("7", 120, 256),
        **_affine("9", 84, 120),
        **_affine("11", 10, 84),
    }


def _images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((32, 1, 28, 28), np.float32), rng.integers(0, 10, 32)


# W7: LSTM -------------------------------------------------------------------------------------------


def lstm(torch: Any) -> Any:
    """An LSTM whose last output goes through a linear layer."""
    nn = torch.nn

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(16, HIDDEN)
            self.head = nn.Linear(HIDDEN, 1)

        def forward(self, x: Any) -> Any:
            outputs, _ = self.lstm(x)
            return self.head(outputs[-1])

    return Last()


def _lstm_shapes() -> Shapes:
    bound = 1 / math.sqrt(HIDDEN)
    return {
        "lstm.weight_ih_l0": ((4 * HIDDEN, 16), bound),
        "lstm.weight_hh_l0": ((4 * HIDDEN, HIDDEN), bound),
        "lstm.bias_ih_l0": ((4 * HIDDEN,), bound),
        "lstm.bias_hh_l0": ((4 * HIDDEN,), bound),
        **_affine("head", 1, HIDDEN),
    }


def _sequences(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((TIME, 16, 16), np.float32), rng.standard_normal((16, 1), np.float32)


# W9: a GPT ------------------------------------------------------------------------------------------


def gpt(torch: Any) -> Any:
    """One pre-norm block of causal attention and a GELU network, between embeddings and a linear head."""
    nn, functional = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
            self.proj = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            batch, time, width = x.shape
            qkv = self.qkv(x).view(batch, time, 3, HEADS, width // HEADS)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.proj(y.transpose(1, 2).reshape(batch, time, width))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Embedding(POSITIONS, WIDTH)
            self.norm1 = nn.LayerNorm(WIDTH)
            self.attention = Attention()
            self.norm2 = nn.LayerNorm(WIDTH)
            self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
            self.head = nn.Linear(WIDTH, VOCABULARY)

        def forward(self, tokens: Any) -> Any:
            x = self.tokens(tokens) + self.positions.weight
            x = x + self.attention(self.norm1(x))
            x = x + self.mlp(self.norm2(x))
            return self.head(x).flatten(0, 1)

    return GPT()


def _gpt_shapes() -> Shapes:
    return {
        "tokens.weight": ((VOCABULARY, WIDTH), 1.0),
        "positions.weight": ((POSITIONS, WIDTH), 1.0),
        **_norm("norm1", WIDTH),
        **_affine("attention.qkv", 3 * WIDTH, WIDTH),
        **_affine("attention.proj", WIDTH, WIDTH),
        **_norm("norm2", WIDTH),
        **_affine("mlp.0", 4 * WIDTH, WIDTH),
        **_affine("mlp.2", WIDTH, 4 * WIDTH),
        **_affine("head", VOCABULARY, WIDTH),
    }


def _text(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    text = rng.integers(0, VOCABULARY, (16, POSITIONS + 1))
    return np.ascontiguousarray(text[:, :-1]), text[:, 1:].ravel()


# W10: ResNet-18 -------------------------------------------------------------------------------------

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and stride of the first block
CLASSES = 1000


def resnet18(torch: Any) -> Any:
    """ResNet-18, laid out and named as torchvision's."""
    nn = torch.nn

    def conv(inputs: int, outputs: int, size: int, stride: int) -> Any:
        return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = conv(inputs, outputs, 3, stride)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = conv(outputs, outputs, 3, 1)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            shortcut = x if self.downsample is None else self.downsample(x)
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += shortcut
            return self.relu(out)

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = conv(3, 64, 7, 2)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, 2, padding=1)
            inputs = 64
            for k, (outputs, stride) in enumerate(STAGES, 1):
                blocks = Block(inputs, outputs, stride), Block(outputs, outputs, 1)
                setattr(self, f"layer{k}", nn.Sequential(*blocks))
                inputs = outputs
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(512, CLASSES)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(self.avgpool(x).flatten(1))

    return ResNet()


def _resnet_shapes() -> Shapes:
    def conv(name: str, outputs: int, inputs: int, size: int) -> Shapes:
        # the variance of He's normal initialisation by what goes out, which torchvision uses
        return {f"{name}.weight": ((outputs, inputs, size, size), math.sqrt(6 / (outputs * size * size)))}

    shapes = conv("conv1", 64, 3, 7) | _norm("bn1", 64)
    inputs = 64
    for k, (outputs, stride) in enumerate(STAGES, 1):
        for j in range(2):
            block = f"layer{k}.{j}"
            shapes |= conv(f"{block}.conv1", outputs, inputs, 3) | _norm(f"{block}.bn1", outputs)
            shapes |= conv(f"{block}.conv2", outputs, outputs, 3) | _norm(f"{block}.bn2", outputs)
            if j == 0 and (stride != 1 or inputs != outputs):
                down = f"{block}.downsample"
                shapes |= conv(f"{down}.0", outputs, inputs, 1) | _norm(f"{down}.1", outputs)
            inputs = outputs
    return shapes | _affine("fc", CLASSES, 512)


def _picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((1, 3, 64, 64), np.float32), rng.random((1, CLASSES), np.float32)


MODELS = {
    "W6": Model("LeNet-5, batch 32, Adam", lenet, _lenet_shapes, _images, "cross_entropy", "Adam", 300),
    "W7": Model(
        "LSTM(16, 32), 20 steps, batch 16, Adam", lstm, _lstm_shapes, _sequences, "mse", "Adam", 1_000
    ),
    "W9": Model("small GPT, 16 x 16 tokens, Adam", gpt, _gpt_shapes, _text, "cross_entropy", "Adam", 1_000),
    "W10": Model(
        "ResNet-18, one image of 64x64, SGD with momentum",
        resnet18,
        _resnet_shapes,
        _picture,
        "difference",
        "SGD",
        40,
        few=2,
        warm_up=2,  # this loss has no bottom: it falls tenfold a step at first, and so do differences of rounding grow
    ),
}


def batch(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The inputs and targets that a model is trained on."""
    return MODELS[name].data(np.random.default_rng(seed + 1))
