"""Every training step on every library with PyTorch's front: ``pytest benchmarks --benchmark-only``.

pytest-benchmark times the rounds; ``benchmarks/compare.py`` is the fairer comparison, because there the libraries
run in processes of their own and take turns.
"""

import importlib

import pytest
from workloads import TITLES, WORKLOADS

LIBRARIES = ("jitgrad", "torch")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", WORKLOADS)
def test_training_step(benchmark, name, library):
    torch = importlib.import_module(library) if library == "jitgrad" else pytest.importorskip(library)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    workload = WORKLOADS[name](torch)
    first = workload.step(*workload.data).item()
    benchmark.group = f"{name} {TITLES[name]}"
    benchmark(workload.step, *workload.data)
    torch.set_num_threads(before)
    last = workload.step(*workload.data).item()
    assert last <= first + 1e-6 or name in ("adds", "W11"), "training made the loss larger"
