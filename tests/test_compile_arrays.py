"""Arrays of NumPy that a step makes tensors of, and reads or writes by itself as well."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import warnings_of

import jitgrad as torch


def read_twice(x, values):
    return x * torch.from_numpy(values) + float(values.sum())


def chosen(x, values):
    shown = torch.from_numpy(values)
    return x * shown if values[0] > 3 else x + shown


@pytest.mark.parametrize("function", [read_twice, chosen])
def test_an_array_that_the_step_makes_a_tensor_of_and_reads_itself(function):
    def run(step):
        values, found = np.ones(3, np.float32), []
        for k in range(8):
            values[:] = k
            found.append(step(torch.ones(3), values).tolist())
        return found

    assert run(torch.compile(function)) == run(function)


def test_an_array_that_the_step_makes_a_tensor_of_and_writes_itself():
    def run(compiled):
        values = np.ones(3, np.float32)

        def step(x):
            values[:] += 1
            return x * torch.from_numpy(values)

        step = torch.compile(step) if compiled else step
        return [step(torch.ones(3)).tolist() for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False) and len(warned) == 1


def test_an_array_that_a_replay_writes_is_not_looked_at():
    values = np.ones(3, np.float32)

    def step(x):
        torch.from_numpy(values).add_(x)
        return x * 2

    step = torch.compile(step, fullgraph=True)
    for k in range(5):
        step(torch.ones(3))
        assert values.tolist() == [k + 2.0] * 3
    assert len(step.programs) == 1
