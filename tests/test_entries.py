"""Which of the engine's compiled calls come with which: what a training does not need is not compiled for it."""

import subprocess
import sys

import pytest

from jitgrad.engine.entry import GROUPS

EAGER = """
import jitgrad as torch
from jitgrad import nn
from jitgrad.engine.entry import entries

model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

x, y = torch.randn(6, 3), torch.randn(6, 1)
for _ in range(3):
    step(x, y).item()
"""
COMPILED = """
step = torch.compile(step)
for _ in range(5):
    step(x, y).item()
step.run(x, y, batch_size=3, epochs=2, shuffle=True)
"""
REPORT = "print(*vars(entries))"


@pytest.mark.parametrize(
    ("code", "unneeded"),
    [(EAGER, ("later", "team", "program")), (EAGER + COMPILED, ("later",))],
    ids=["eager", "compiled"],
)
def test_a_training_step_loads_no_group_that_it_does_not_need(code, unneeded):
    run = [sys.executable, "-P", "-c", code + REPORT]
    output = subprocess.run(run, check=True, capture_output=True, text=True, timeout=300).stdout
    loaded = set(output.split())
    assert "backward" in loaded
    assert {group for group, names in GROUPS.items() if loaded & set(names)} & set(unneeded) == set()
