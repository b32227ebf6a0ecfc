"""Every workload on every peer that is installed: ``pytest benchmarks/test_workloads.py --benchmark-only``.

pytest-benchmark times the rounds, all in this process and on one thread; ``jitgrad bench`` is the fairer comparison,
because there the libraries run in processes of their own and take turns.
"""

from functools import cache

import pytest
from measure import PEERS
from workers import KINDS, Skip, number
from workloads import TITLES, WORKLOADS

LEFT_OUT = {
    "jitgrad-loop": "many steps in one call: test_compiled.py has them",
    "torch-compile": "needs a C++ compiler and seconds a workload",
    "jax-scan": "compiles for every number of steps",
}
LIBRARIES = [p.kind for p in PEERS if p.threads == 1]


@pytest.fixture(scope="module", params=LIBRARIES)
def peer(request):
    """A way to run steps."""
    if request.param in LEFT_OUT:
        pytest.skip(LEFT_OUT[request.param])
    try:
        return KINDS[request.param](1)
    except Exception as missing:
        pytest.skip(str(missing))


@cache
def _expected(name):
    """The loss of our eager step."""
    return number(KINDS["jitgrad"](1).begin(name)(1))


@pytest.mark.parametrize("name", WORKLOADS)
def test_training_step(benchmark, name, peer):
    try:
        advance = peer.begin(name)
    except Skip as reason:
        pytest.skip(str(reason))
    first = number(advance(1))
    assert first == pytest.approx(_expected(name), rel=1e-3), "not the same work"
    benchmark.group = f"{name} {TITLES[name]}"
    benchmark(advance, 1)
    assert number(advance(1)) <= first + 1e-6 or name in ("adds", "W11"), "training made the loss larger"
