"""Compiled steps with recurrent layers equal eager ones."""

from __future__ import annotations

import pytest
from compile_cases import Scene, assert_same, batches, training_step
from recurrent_cases import LAYERS, make

import jitgrad as torch
from jitgrad import nn

DTYPES = [torch.float32, torch.float64]


class Last(nn.Module):
    """A network whose last output goes through a linear layer."""

    def __init__(self, name: str, dtype, **more) -> None:
        super().__init__()
        self.body = make(name, 3, 5, dtype, **more)
        features = self.body.proj_size or 5
        self.head = nn.Linear(features * (2 if self.body.bidirectional else 1), 1, dtype=dtype)

    def forward(self, x):
        y, _ = self.body(x)
        return self.head(y[:, -1] if self.body.batch_first else y[-1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_step(name, dtype):
    def build():
        model = Last(name, dtype)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        batch = (2, 4) if model.body.batch_first else (4, 2)
        inputs = batches((*batch, 3), (2, 1), dtype=dtype)
        return Scene(training_step(model, optimizer), inputs, model, optimizer)

    assert_same(build)


def test_compiled_step_with_dropout_and_states():
    def build():
        model = make("LSTM three layers", dtype=torch.float32, dropout=0.3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x, h, c):
            optimizer.zero_grad()
            y, (h, c) = model(x, (h, c))
            loss = y.square().mean() + (h * c).sum()
            loss.backward()
            optimizer.step()
            return loss, h, c

        return Scene(step, batches((4, 2, 3), (3, 2, 5), (3, 2, 5)), model, optimizer)

    assert_same(build)


def test_compiled_step_of_a_loss_that_reads_no_output():
    """The walk is needed for its gradients though nothing reads its outputs."""

    def build():
        model = make("GRU", dtype=torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            model(x)[0].sum().backward()
            optimizer.step()

        return Scene(step, batches((4, 2, 3)), model, optimizer)

    assert_same(build)
