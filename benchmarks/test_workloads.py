"""Every training step on every library with PyTorch's front: ``pytest benchmarks --benchmark-only``.

pytest-benchmark times the rounds; ``benchmarks/compare.py`` is the fairer comparison, because there the libraries
run in processes of their own and take turns.
"""

import importlib

import pytest
from workloads import WORKLOADS

LIBRARIES = ("jitgrad", "torch")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", WORKLOADS)
def test_training_step(benchmark, name, library):
    torch = importlib.import_module(library) if library == "jitgrad" else pytest.importorskip(library)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    step = WORKLOADS[name](torch)
    first = step().item()
    benchmark.group = f"{name} {WORKLOADS[name].__name__}"
    benchmark(step)
    torch.set_num_threads(before)
    assert step().item() <= first + 1e-6 or name in ("adds", "W11"), "training made the loss larger"
