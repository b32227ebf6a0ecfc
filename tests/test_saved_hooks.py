"""Hooks on the values that wait for the walk back."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from custom_functions import Cube, Exp
from usage import usage

import jitgrad as torch
from jitgrad.autograd import graph
from jitgrad.autograd.graph import save_on_cpu, saved_tensors_hooks


def leaf(values):
    return torch.tensor(values, requires_grad=True)


# the operations, and how many values each of them keeps
CASES = {
    "mul": (lambda x: x * x, 2),
    "exp": (lambda x: x.exp(), 1),
    "add": (lambda x: x + x, 0),
    "number": (lambda x: x * 3.0, None),
    "sum": (lambda x: x.sum(), 0),
    "prod": (lambda x: x.prod(0), None),
    "softmax": (lambda x: torch.softmax(x, 1), 1),
    "matmul": (lambda x: x @ x, 2),
    "linear": (lambda x: torch.nn.functional.linear(x, x), 2),
    "view": (lambda x: x.reshape(4)[1:], 0),
    "dropout": (lambda x: torch.nn.Dropout(0.5)(x), None),
    "sort": (lambda x: x.sort(0)[0], None),
    "recurrent": (lambda x: torch.nn.LSTM(2, 3, num_layers=2, bidirectional=True)(x)[0], None),
    "custom of an input": (Cube.apply, 1),
    "custom of an output": (Exp.apply, 1),
    "chain": (lambda x: (Cube.apply(x).tanh() * Exp.apply(x)).softmax(0), None),
}


def as_array(t):
    return t.numpy().copy()


@pytest.mark.parametrize("name", CASES)
def test_values_go_through_both_hooks_and_gradients_are_the_same(name):
    function, count = CASES[name]
    values = [[0.5, -1.0], [2.0, 1.5]]
    results = []
    packed, unpacked = [], []
    for hooked in (False, True):
        torch.manual_seed(0)
        x = leaf(values)
        if hooked:
            with saved_tensors_hooks(
                lambda t: packed.append(tuple(t.shape)) or as_array(t),
                lambda a: unpacked.append(a.shape) or torch.tensor(a),
            ):
                y = function(x)
        else:
            y = function(x)
        weights = torch.arange(1.0, 1.0 + y.numel()).reshape(y.shape)
        (y * weights).sum().backward()
        results.append(x.grad.tolist())
    assert results[0] == results[1]
    assert sorted(packed) == sorted(unpacked)
    if count is not None:
        assert len(packed) == count


@pytest.mark.parametrize("name", ["mul", "exp", "custom of an input", "custom of an output", "chain"])
def test_gradients_of_gradients_through_packed_values(name):
    function, _ = CASES[name]

    def hooked(x):
        with saved_tensors_hooks(as_array, torch.tensor):
            return function(x)

    x = torch.tensor([[0.3, -0.4], [0.2, 0.7]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(hooked, (x,))


def test_what_unpack_returns_is_what_the_walk_reads():
    x = leaf([2.0, 3.0])
    with saved_tensors_hooks(lambda t: t, lambda t: t * 10):
        y = x * x
    y.sum().backward()
    assert x.grad.tolist() == [40.0, 60.0]


def test_memory_of_packed_values_is_given_back():
    x = leaf([[1.0] * 64] * 64)
    kept = []
    for hooks in ((as_array, torch.tensor), None):
        before = usage().bytes
        if hooks:
            with saved_tensors_hooks(*hooks):
                y = (x * 2).exp().tanh().sum()
        else:
            y = (x * 2).exp().tanh().sum()
        kept.append(usage().bytes - before)
        del y
    assert kept[0] < kept[1] / 4


def test_packed_values_go_with_their_graph():
    class Thing:
        pass

    x = leaf([1.0])
    before = usage()
    found = []
    for walked in (True, False):
        thing = Thing()
        with saved_tensors_hooks(lambda t, thing=thing: (t, thing), lambda p: p[0]):
            y = x.exp()
        found.append(weakref.ref(thing))
        del thing
        if walked:
            y.backward()
            x.grad = None
        del y
        gc.collect()
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        pass
    assert usage() == before
    assert found[0]() is None
    assert found[1]() is None


def test_a_graph_that_is_kept_unpacks_again():
    x, log = leaf([2.0]), []
    with saved_tensors_hooks(lambda t: t, lambda t: log.append(1) or t):
        y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    assert len(log) == 2


def test_hooks_nest_and_the_innermost_counts():
    x, log = leaf([2.0]), []
    with saved_tensors_hooks(lambda t: log.append("outer") or t, lambda t: t):
        a = x.exp()
        with saved_tensors_hooks(lambda t: log.append("inner") or t, lambda t: t):
            b = x.exp()
        c = x.exp()
    d = x.exp()
    (a + b + c + d).backward()
    assert log == ["outer", "inner", "outer"]


def test_hooks_see_detached_values_and_record_nothing():
    x, log = leaf([2.0]), []

    def pack(t):
        log.append((t.requires_grad, torch.is_grad_enabled(), (t * 2).requires_grad))
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        (x * x).sum().backward()
    assert set(log) == {(False, False, False)}


def test_other_threads_do_not_see_the_hooks():
    log, found = [], []

    def other():
        x = leaf([2.0])
        x.exp().backward()
        found.append(x.grad.item())

    with saved_tensors_hooks(lambda t: log.append(1) or t, lambda t: t):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert log == []
    assert found == [pytest.approx(np.exp(2.0))]


@pytest.mark.parametrize(
    ("pack", "unpack", "error", "message"),
    [
        (lambda t: t, lambda t: 3.0, TypeError, "expected to be a Tensor but got result of type float"),
        (lambda t: t, lambda t: t[:1], RuntimeError, "expected float32 of shape .2."),
        (lambda t: t, lambda t: t.double(), RuntimeError, "returned float64"),
        (lambda t: t, lambda t: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_what_unpack_may_not_do(pack, unpack, error, message):
    x = leaf([1.0, 2.0])
    with saved_tensors_hooks(pack, unpack):
        y = x.exp()
    before = usage()
    for _ in range(2):
        with pytest.raises(error, match=message):
            y.sum().backward(retain_graph=True)
    assert x.grad is None
    assert usage() == before


def test_an_error_in_pack_passes_through():
    x = leaf([1.0, 2.0])
    before = usage()
    for bad in (lambda t: 1 / 0, lambda t: t.add_(1)):
        with saved_tensors_hooks(bad, lambda t: t), pytest.raises((ZeroDivisionError, RuntimeError)):
            x.exp()
    assert usage() == before
    x = leaf([1.0, 2.0])
    x.exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


def test_save_on_cpu_changes_nothing():
    x = leaf([1.0, 2.0])
    with save_on_cpu(pin_memory=True):
        (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_disabled_hooks():
    with (
        graph.disable_saved_tensors_hooks("not here"),
        pytest.raises(RuntimeError, match="not here"),
        saved_tensors_hooks(lambda t: t, lambda t: t),
    ):
        pass
    with saved_tensors_hooks(lambda t: t, lambda t: t):
        pass


def test_mutation_of_saved_tensors_is_refused():
    with pytest.raises(RuntimeError, match="clone"):
        graph.allow_mutation_on_saved_tensors()


# edges and versions ---------------------------------------------------------------------------------


def test_gradient_edges_stand_for_tensors():
    x = leaf([2.0])
    h = x * 3
    edge, root = graph.get_gradient_edge(h), graph.get_gradient_edge(h * h)
    assert edge.node == h.grad_fn
    assert edge.output_nr == 0
    (g,) = torch.autograd.grad(root, edge, torch.ones(1))
    assert g.item() == 12.0
    assert graph.get_gradient_edge(x).node.variable.data_ptr() == x.data_ptr()
    with pytest.raises(RuntimeError, match="does not require"):
        graph.get_gradient_edge(torch.ones(1))


def test_edges_of_several_outputs():
    x = leaf([3.0, 1.0])
    a, b = torch.unbind(x * 2)
    edges = [graph.get_gradient_edge(t) for t in (a, b)]
    found = torch.autograd.grad(a * 5 + b * 7, edges)
    assert [g.item() for g in found] == [5.0, 7.0]


def test_incremented_versions_make_saved_values_stale():
    x = leaf([2.0])
    h = x * 1
    y = h * h
    graph.increment_version(h)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("kind", ["linear", "recurrent"])
def test_compiled_steps_with_packed_values(kind):
    def run(wrap):
        torch.manual_seed(0)
        layer = torch.nn.Linear(2, 3) if kind == "linear" else torch.nn.GRU(2, 3)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        x = torch.randn(4, 2, 2)

        def step(x):
            optimizer.zero_grad()
            with saved_tensors_hooks(lambda t: t * 2, lambda t: t / 2):
                y = layer(x)
                loss = ((y if kind == "linear" else y[0]).tanh() ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        call = wrap(step)
        return [call(x).item() for _ in range(5)], call

    compiled, call = run(torch.compile)
    assert compiled == run(lambda f: f)[0]
    assert len(call.programs) == 1
