"""Peers of the benchmark suite: the same work in every library, and what is said of those that cannot."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from bench_files import load

import jitgrad

children, energy, measure, models, steps, workers, workloads = map(
    load, ("children", "energy", "measure", "models", "steps", "workers", "workloads")
)
OTHERS = ("autograd", "mygrad", "micrograd", "sklearn")  # tinygrad compiles for seconds


def ours(name, count):
    built = workloads.workload(name, jitgrad)
    for _ in range(count):
        loss = built.step(*built.data)
    # norms over four values make differences of rounding large
    return pytest.approx(loss.item(), rel=measure.TOLERANCE if name == "W10" else 2e-4)


def after(kind, name, count):
    return workers.number(workers.KINDS[kind](1).begin(name)(count))


def few(name):
    """Steps after which losses are still alike."""
    return min(3, models.MODELS[name].warm_up) if name in models.MODELS else 3


# the same work --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*workloads.NETWORKS, *models.MODELS])
def test_numpy_by_hand_does_the_same_work(name):
    if name == "W9":
        pytest.importorskip("scipy", reason="NumPy has no erf")
    assert after("numpy", name, few(name)) == ours(name, few(name))


@pytest.mark.parametrize(
    "name", ["W1", "W3", "W7", *(pytest.param(name, marks=pytest.mark.slow) for name in ("W6", "W9", "W10"))]
)
def test_numba_loops_do_the_same_work(name):
    assert after("numba", name, few(name)) == ours(name, few(name))


@pytest.mark.parametrize("kind", ["numpy", "numba"])
def test_the_chain_of_scalars_ends_at_the_same_number(kind):
    assert after(kind, "W11", 1) == ours("W11", 1)


@pytest.mark.parametrize(
    ("start", "chain", "function"),
    [(workloads.scalar_start(), workloads.scalar_chain, "tanh"), (0.5, load("tapes").chain, "relu")],
)
def test_chains_of_scalars_keep_values_and_gradients_normal(start, chain, function):
    values = []

    def kept(x):
        x = getattr(x, function)()
        x.retain_grad()
        values.append(x)
        return x

    x = jitgrad.tensor(start, requires_grad=True)
    chain(x, kept).backward()
    numbers = np.array([(v.item(), v.grad.item()) for v in (x, *values)], np.float32)
    assert (numbers > np.finfo(np.float32).tiny).all()
    assert len(values) > 3000


@pytest.mark.parametrize("peer", OTHERS)
def test_other_libraries_do_the_same_work(peer):
    pytest.importorskip(peer)
    kind = workers.KINDS[peer](1)
    for name in ("W1", "W3", "W6", "W7", "W9", "W10"):
        try:
            advance = kind.begin(name)
        except workers.Skip:
            continue
        assert workers.number(advance(2)) == ours(name, 2), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W6", "W7", "W9", "W10"])
def test_models_in_jax_begin_with_the_same_loss(name):
    pytest.importorskip("jax")
    assert after("jax", name, 1) == ours(name, 1)


@pytest.mark.parametrize(("size", "stride", "edge"), [(3, 1, 0), (3, 2, 1), (5, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("axis", [1, 2])
def test_the_way_back_from_windows_is_their_transpose(size, stride, edge, axis):
    module, rng = load("windows"), np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 7, 6)).astype(np.float32)
    seen = module.windows(x, size, stride, edge, axis=axis)
    weights = rng.standard_normal(seen.shape).astype(np.float32)
    back = module.gather(weights, x.shape, stride, edge, axis)
    assert back.shape == x.shape
    assert (back * x).sum() == pytest.approx((seen * weights).sum(), rel=1e-4, abs=1e-3)


def test_what_recurses_far_has_a_stack_for_it():
    peers, limit = load("tape_peers"), sys.getrecursionlimit()

    def depth(n):
        return 1 + depth(n - 1) if n else 0

    def fails():
        raise ValueError("said")

    assert peers.deep(lambda: depth(50_000)) == 50_000
    with pytest.raises(ValueError, match="said"):
        peers.deep(fails)
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("shape", ["chain", "tree"])
def test_tapes_have_as_many_operations_as_they_say(shape):
    tapes = load("tapes")

    class Counted:
        count = 0

        def operation(self, other):
            Counted.count += 1
            return self

        __add__ = __mul__ = operation

    tapes.SHAPES[shape](Counted(), lambda x: x + 0)
    assert Counted.count == tapes.OPERATIONS


# what cannot be -------------------------------------------------------------------------------------


def test_every_library_says_which_workloads_it_lacks():
    peers = load("tape_peers")
    for peer in workers.OTHERS:
        lacking = {name: peers.lacks(peer, name) for name in workloads.WORKLOADS}
        assert not lacking["W1"]
        assert lacking["adds"]
    assert peers.lacks("sklearn", "W10") == "it knows multilayer perceptrons only"
    assert peers.lacks("mygrad", "W9") == "it has no erf"


def test_a_workload_that_a_peer_lacks_is_a_note():
    class Process:
        peer = measure.Peer("a peer", "micrograd")
        hello = {"version": "1"}

        def ask(self, name):
            return {"skip": "it knows scalars only"}

    result = measure.begin("W3", [Process()])
    measure.take_round(result, [Process()])
    assert result.skipped == {"micrograd-1": "it knows scalars only"}
    assert not result.rounds


def test_a_process_that_was_ended_begins_a_workload_anew():
    class Process:
        peer = measure.Peer("a peer", "tinygrad")

        def __init__(self):
            self.answers = [{"loss": 1.0}, {"loss": 1.0}, {"seconds": 2.0}, {"seconds": 3.0}]

        def ask(self, name):
            return self.answers.pop(0)

    process = Process()
    result = measure.begin("W1", [process])
    for _ in range(2):
        measure.take_round(result, [process])
    assert result.rounds == {"tinygrad-1": [2.0, 3.0]}


ANSWERS = """
import json, sys, time
print(json.dumps({"version": "1"}), flush=True)
for line in sys.stdin:
    time.sleep(60 if line.strip() == "slow" else 0)
    print(json.dumps({"loss": 1.0}), flush=True)
"""


def test_a_peer_that_compiles_for_too_long_is_a_note_and_goes_on(monkeypatch):
    class Process(measure.Process):
        def _begin(self):
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen([sys.executable, "-c", ANSWERS], **pipes)
            self.hello = self._read()

    process = Process(measure.Peer("a peer", "tinygrad"), sys.executable)
    try:
        assert process.ask("fast") == {"loss": 1.0}
        monkeypatch.setattr(measure, "FIRST_STEPS", 0.2)
        assert process.ask("slow") == {"skip": "compiling and the first steps took more than 0.2 s"}
        monkeypatch.undo()
        assert process.ask("fast") == {"loss": 1.0}
        assert process.hello == {"version": "1"}
    finally:
        process.stop()


def test_different_losses_are_shown_but_not_compared():
    cells = load("cells")
    found = [
        cells.Cell("steps", "W1", "jitgrad-loop-1", "s", [1e-6, 3e-6]),
        cells.Cell("steps", "W1", "torch-1", "s", [5e-6, 5e-6], cells.OTHER_WORK),
    ]
    shown = steps.markdown(found)
    assert "| 5 (other work) |" in shown
    assert "| 2 |" in shown  # the middle round
    assert "Ratios" not in shown


def test_a_library_that_is_not_here_runs_under_the_other_interpreter():
    assert children.interpreter("jitgrad", "other") == sys.executable
    assert children.interpreter("tuned", "other") == sys.executable
    assert children.interpreter("numpy", "other") == sys.executable
    assert importlib.util.find_spec("no_such_library") is None
    assert children.interpreter("no_such_library", "other") == "other"


def test_programs_beside_an_interpreter_are_found_first():
    assert children.environment(1, "/somewhere/bin/python")["PATH"].startswith("/somewhere/bin")


# energy ---------------------------------------------------------------------------------------------


def counter(folder, microjoules, span=1000):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")


def test_energy_is_that_of_all_packages_also_when_a_counter_begins_anew(tmp_path):
    for k in range(2):
        counter(tmp_path / f"intel-rapl:{k}", 900)
    counter(tmp_path / "intel-rapl:0:0", 5)  # a part of the first
    meter = energy.Meter(tmp_path)
    assert not meter.reason
    before = meter.read()
    counter(tmp_path / "intel-rapl:0", 950)
    counter(tmp_path / "intel-rapl:1", 100)
    assert meter.joules(before) == pytest.approx(250e-6)


def test_a_machine_that_does_not_tell_its_energy_is_said_to(tmp_path):
    assert "is not there" in energy.Meter(tmp_path / "none").reason
    assert "no package" in energy.Meter(tmp_path).reason
    assert energy.Meter(tmp_path).joules([]) == 0


# operations on arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", load("array_ops").ARRAY_OPS)
def test_operations_on_arrays_run_forward_and_backward(name):
    import numpy as np

    ops, make = load("ops"), load("array_ops").ARRAY_OPS[name]
    case = make(jitgrad, 1024, np.random.default_rng(0))
    ways = ops._ways(case.call, [jitgrad.from_numpy(a) for a in case.arrays], True)
    assert set(ways) == {"forward", "backward"}
    for function in ways.values():
        function()
        function()


def test_a_convolution_counts_its_multiply_adds():
    import numpy as np

    case = load("array_ops").ARRAY_OPS["conv2d"](jitgrad, 2048, np.random.default_rng(0))
    assert case.multiply_adds == 2 * 16 * 16 * 8 * 4 * 3 * 3
