"""Recording and walking from several Python threads, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest
from custom_functions import Twice
from usage import usage

import jitgrad as torch


def together(work, count=4):
    """Run ``work(k)`` in `count` threads that begin at one moment; raises what any of them raised."""
    barrier = threading.Barrier(count)
    errors = []

    def body(k):
        try:
            barrier.wait(30)
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(k,)) for k in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # switch as often as possible
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(before)
    if errors:
        raise errors[0]


def test_each_thread_its_own_graph():
    found = {}

    def work(k):
        for turn in range(200):
            x = torch.full((8,), float(k + 1), requires_grad=True)
            y = ((x * x + turn).sin() * x).sum()
            expected = torch.autograd.grad(y, x, retain_graph=True)[0]
            y.backward()
            assert x.grad.tolist() == expected.tolist()
        found[k] = x.grad.tolist()

    before = usage()
    together(work)
    for k in range(4):
        x = torch.full((8,), float(k + 1), requires_grad=True)
        ((x * x + 199).sin() * x).sum().backward()
        assert found[k] == x.grad.tolist()
    del x
    found.clear()
    assert usage() == before


def test_a_leaf_shared_by_all_threads_gets_every_gradient():
    w = torch.zeros(3, requires_grad=True)
    turns = 300

    def work(k):
        for _ in range(turns):
            (w * float(2**k)).sum().backward()

    together(work)
    assert w.grad.tolist() == [turns * 15.0] * 3


def test_custom_functions_in_all_threads_with_a_shared_leaf():
    w = torch.zeros(2, requires_grad=True)
    turns = 60

    def work(k):
        for _ in range(turns):
            Twice.apply(w * 1.0).sum().backward()
            (g,) = torch.autograd.grad(Twice.apply(w * 3.0).sum(), w)
            assert g.tolist() == [6.0, 6.0]

    before = usage()
    together(work)
    assert w.grad.tolist() == [turns * 4 * 2.0] * 2
    w.grad = None
    assert usage() == before


def test_graph_recorded_in_one_thread_and_walked_in_another():
    x = torch.ones(4, requires_grad=True)
    made = {}

    def record(k):
        made[k] = (x * float(k)).sum()

    together(record)
    together(lambda k: made[k].backward())
    assert x.grad.tolist() == [6.0] * 4


def test_tables_grow_while_threads_record():
    held = {}

    def work(k):
        x = torch.ones(1, requires_grad=True)
        held[k] = [x * float(j) for j in range(3000)]

    before = usage()
    together(work)
    for k in range(4):
        assert [y.item() for y in held[k][::500]] == [float(j) for j in range(0, 3000, 500)]
    held.clear()
    assert usage() == before


def run_script(text: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_child_of_a_fork_records_and_walks():
    out = run_script(
        """
        import os, sys
        import jitgrad as torch

        x = torch.ones(3, requires_grad=True)
        y = (x * 3).sin().sum()          # half-way through a graph
        child = os.fork()
        if child == 0:
            y.backward()
            z = torch.nn.functional.linear(torch.ones(4, 3), torch.ones(2, 3, requires_grad=True))
            z.exp().sum().backward()     # needs kernels that the parent has not loaded
            with torch.no_grad():
                assert not torch.is_grad_enabled()
            print("child", [round(v, 4) for v in x.grad.tolist()], flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert x.grad is None
        y.backward()
        print("parent", [round(v, 4) for v in x.grad.tolist()])
        """
    )
    assert out.splitlines() == ["child [-2.97, -2.97, -2.97]", "parent [-2.97, -2.97, -2.97]"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_fork_before_the_engine_is_loaded():
    out = run_script(
        """
        import os
        import jitgrad as torch

        child = os.fork()
        x = torch.ones(2, requires_grad=True)
        (x * x).sum().backward()
        if child == 0:
            os._exit(0 if x.grad.tolist() == [2.0, 2.0] else 1)
        _, status = os.waitpid(child, 0)
        print(status, x.grad.tolist())
        """
    )
    assert out.strip() == "0 [2.0, 2.0]"


def test_process_that_holds_tensors_and_errors_to_the_end_exits_cleanly():
    run_script(
        """
        import threading
        import jitgrad as torch

        class Holder: pass

        holder = Holder()
        holder.x = torch.ones(3, requires_grad=True)
        holder.y = holder.x * 2
        holder.me = holder.x.me = holder
        try:
            holder.y.backward()
        except RuntimeError as error:
            holder.error = error
        keep = torch.ones(5).numpy()
        thread = threading.Thread(target=lambda: setattr(holder, "z", holder.y.sum()))
        thread.start(); thread.join()
        holder.z.backward()
        """
    )


def test_operations_run_one_after_the_other():
    torch.set_num_interop_threads(4)
    assert torch.get_num_interop_threads() == 1
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(RuntimeError, match="set_num_interop_threads"):
            torch.set_num_interop_threads(wrong)
