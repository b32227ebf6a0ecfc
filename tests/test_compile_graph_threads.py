"""Threads that call one compiled function whose results have gradients: each walks back over values of its own."""

import threading

import pytest

import jitgrad as torch
from jitgrad.program.compiled import CompiledFunction
from jitgrad.program.program import Program


def cubed(x):
    return (x * x * x).sum()


def slope(x):
    return (3 * x.detach() * x.detach()).tolist()


def in_another_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# calls within a compiled call, after each of which another thread may come in
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"), [(Program, "refresh"), (Program, "release"), (CompiledFunction, "_use")]
)
def test_a_call_of_another_thread_in_the_middle(owner, name, recorded, monkeypatch):
    step = torch.compile(cubed)
    mine = torch.tensor([1.0, 2.0], requires_grad=True)
    others = torch.tensor([5.0, 7.0], requires_grad=True)
    kept = []
    if recorded:
        for _ in range(4):
            step(torch.ones(2, requires_grad=True)).backward()
    original = getattr(owner, name)

    def interrupted(self, *args):
        result = original(self, *args)
        if not kept and threading.current_thread() is threading.main_thread():
            kept.append(None)
            in_another_thread(lambda: kept.append(step(others)))
        return result

    monkeypatch.setattr(owner, name, interrupted)
    result = step(mine)
    monkeypatch.undo()
    step(torch.full((2,), 9.0, requires_grad=True))
    result.backward()
    assert mine.grad.tolist() == slope(mine)
    for found in kept[1:]:
        found.backward()
        assert others.grad.tolist() == slope(others)


def test_many_threads_at_once():
    step, wrong = torch.compile(cubed), []

    def work(k):
        for i in range(60):
            x = torch.full((4,), float(k + i), requires_grad=True)
            step(x).backward()
            if x.grad.tolist() != slope(x):
                wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
