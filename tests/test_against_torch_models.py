"""The same weights in PyTorch give the same outputs, gradients, running statistics and updates."""

import io

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import models

torch = pytest.importorskip("torch")

import torch_twins as twins  # noqa: E402

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.standard_normal(shape)


def tokens(*shape):
    return RNG.integers(0, 11, shape)


CASES = {
    "mlp": (lambda: models.MLP(7, (12, 9), 5), lambda: twins.mlp(7, (12, 9), 5), images(6, 7)),
    "lenet": (models.LeNet5, twins.LeNet5, images(3, 1, 28, 28)),
    "resnet18": (models.resnet18, lambda: twins.ResNet((2, 2, 2, 2)), images(2, 3, 64, 64)),
    "resnet20": (models.resnet20, lambda: twins.CifarResNet(3), images(2, 3, 16, 16)),
    "gpt": (lambda: models.GPT(11, 8, 2, 2, 16), lambda: twins.GPT(11, 8, 2, 2, 16), tokens(3, 8)),
    "short gpt": (lambda: models.GPT(11, 8, 1, 4, 16), lambda: twins.GPT(11, 8, 1, 4, 16), tokens(2, 5)),
    "lstm": (lambda: Scores(11, 6, 10, 2), lambda: twins.LSTMLanguageModel(11, 6, 10, 2), tokens(3, 7)),
}


class Scores(models.LSTMLanguageModel):
    def forward(self, tokens):
        return super().forward(tokens)[0]


def pair(name, dtype):
    """Model, twin with the same weights, and the batch for each."""
    make, make_twin, data = CASES[name]
    jg.manual_seed(0)
    model, twin = make(), make_twin()
    file = io.BytesIO()
    jg.save(model.state_dict(), file)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    model, twin = model.to(getattr(jg, dtype)), twin.to(getattr(torch, dtype))
    data = data.astype(dtype) if data.dtype == np.float64 else data
    return model, twin, jg.tensor(data), torch.tensor(data)


def close(ours, theirs, tolerance, floor=1e-30):
    """Equal up to a share of the largest value, or of `floor` where all should be 0."""
    theirs = theirs.detach().numpy()
    scale = max(floor, np.abs(theirs).max())
    np.testing.assert_allclose(ours.detach().numpy() / scale, theirs / scale, rtol=0, atol=tolerance)


def test_the_names_of_resnet18_are_torchvisions():
    names = list(models.resnet18(num_classes=10).state_dict())
    assert names == list(twins.ResNet((2, 2, 2, 2), 10).state_dict())
    assert list(models.resnet34(num_classes=10).state_dict()) == list(
        twins.ResNet((3, 4, 6, 3), 10).state_dict()
    )


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, "float64" if name.startswith("resnet") else "float32") for name in CASES]
)
def test_two_training_steps_agree(name, dtype):
    model, twin, x, there = pair(name, dtype)
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    mine = jg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    theirs = torch.optim.SGD(twin.parameters(), lr=0.01, momentum=0.9)
    for _ in range(2):
        mine.zero_grad(), theirs.zero_grad()
        y, expected = model(x), twin(there)
        close(y, expected, tolerance)
        weights = RNG.standard_normal(expected.shape).astype(dtype) / expected.numel()
        (y * jg.tensor(weights)).sum().backward()
        (expected * torch.tensor(weights)).sum().backward()
        floor = 0.01 * max(q.grad.abs().max().item() for q in twin.parameters())  # a key's bias has no effect
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            close(p.grad, q.grad, 30 * tolerance, floor)
        mine.step(), theirs.step()
    for key, value in model.state_dict().items():
        close(value, twin.state_dict()[key], 30 * tolerance, 1e-3)
    model.eval(), twin.eval()
    with jg.no_grad(), torch.no_grad():
        close(model(x), twin(there), 30 * tolerance)


@pytest.mark.parametrize("name", ["resnet18", "lenet"])
def test_outputs_agree_in_single_precision(name):
    model, twin, x, there = pair(name, "float32")
    model.eval(), twin.eval()
    with jg.no_grad(), torch.no_grad():
        close(model(x), twin(there), 1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_the_initial_weights_have_torchvisions_distributions(name):
    """He's normal distribution by the outputs of a convolution; identities in the normalisations."""
    jg.manual_seed(1)
    model = CASES[name][0]()
    for key, value in model.state_dict().items():
        values = value.numpy()
        if values.ndim == 4:
            deviation = np.sqrt(2 / (values.shape[0] * values.shape[2] * values.shape[3]))
            assert abs(values.std() / deviation - 1) < 5 / np.sqrt(2 * values.size), key
            assert abs(values.mean()) < 5 * deviation / np.sqrt(values.size), key
        elif "bn" in key or "downsample.1" in key:
            assert (values == (1 if key.endswith(("weight", "var")) else 0)).all(), key
        elif key == "fc.weight":
            assert np.abs(values).max() <= 1 / np.sqrt(values.shape[1])
