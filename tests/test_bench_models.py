"""The workloads of ``benchmarks/models.py``: written down right, and the same eager and compiled."""

import numpy as np
import pytest
from bench_files import load

import jitgrad

models, workloads = load("models"), load("workloads")
RESNET_NUMBERS = 11_689_512  # trained in torchvision's resnet18


def losses(step, data, n):
    return [step(*data).item() for _ in range(n)]


@pytest.mark.parametrize("name", models.MODELS)
def test_first_values_are_given_for_every_parameter_and_repeat(name):
    described = models.MODELS[name]
    given = described.parameters()
    expected = {k: tuple(p.shape) for k, p in described.build(jitgrad).named_parameters()}
    assert {k: v.shape for k, v in given.items()} == expected
    again = described.parameters.__func__(described._replace(title="other"), 1)
    assert any(not np.array_equal(v, again[k]) for k, v in given.items())


def test_resnet_has_torchvisions_size():
    assert sum(v.size for v in models.MODELS["W10"].parameters().values()) == RESNET_NUMBERS


@pytest.mark.parametrize("name", ["W6", "W7", "W9"])
def test_the_compiled_step_is_the_eager_one_bit_for_bit(name):
    eager, compiled = (workloads.WORKLOADS[name](jitgrad) for _ in range(2))
    step = jitgrad.compile(compiled.step, fullgraph=True)
    expected = losses(eager.step, eager.data, 4)
    assert losses(step, compiled.data, 4) == expected
    assert expected[-1] < expected[0]


def test_libraries_begin_with_the_same_loss():
    torch = pytest.importorskip("torch")
    for name in (*workloads.NETWORKS, *models.MODELS):
        first = {library.__name__: workloads.WORKLOADS[name](library) for library in (jitgrad, torch)}
        ours, theirs = (w.forward(*w.data).item() for w in first.values())
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6), name
