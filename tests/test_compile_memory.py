"""Memory of compiled functions: replays allocate nothing, and what a program has kept comes back."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from compile_cases import Scene, assert_same, batches, bits, small_model, state_of, training_step

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.compiled import MAX_PROGRAMS
from jitgrad.store import store

X, Y = (5, 3), (5, 2)


def settle():
    gc.collect()
    store.drop_externals()


def steps():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters())
    classes = torch.tensor([0, 1, 1, 0, 1])

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), classes) + (model(x) * y).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def test_replays_allocate_nothing_but_results():
    step = torch.compile(steps(), fullgraph=True)
    x, y = torch.randn(*X), torch.randn(*Y)
    for _ in range(4):
        step(x, y)
    names = ("allocations", "system_allocations", "bytes", "rows", "live_rows", "free_slots")
    before = {name: store.field(name) for name in names}
    for _ in range(1000):
        step(x, y)
    after = {name: store.field(name) for name in names}
    assert after["allocations"] - before["allocations"] == 1000  # the results
    del before["allocations"], after["allocations"]
    assert after == before
    assert len(step.programs) <= 2


def test_replays_without_results_allocate_nothing():
    w = torch.zeros(3)

    def step(x):
        w.add_(x * 2)

    step = torch.compile(step, fullgraph=True)
    x = torch.ones(3)
    for _ in range(3):
        step(x)
    before = store.field("allocations")
    for _ in range(100):
        step(x)
    assert store.field("allocations") == before
    assert w.tolist() == [206, 206, 206]


def used_once(make, calls=4):
    """Compile, call and drop a function that `make` returns with its arguments."""
    function, arguments = make()
    step = torch.compile(function)
    results = [step(*arguments) for _ in range(calls)]
    del step, results


def training():
    return steps(), (torch.randn(*X), torch.randn(*Y))


def inference():
    model = small_model()
    return lambda x: model(x).detach(), (torch.randn(*X),)


def with_graph():
    model = small_model()
    return model, (torch.randn(*X),)


def constants():
    return lambda x: (x + torch.tensor([1.0, 2.0, 3.0]), torch.from_numpy(x.shape and ARRAY)), (
        torch.ones(3),
    )


def eager():
    return lambda x: x * x.sum().item(), (torch.ones(3),)


ARRAY = torch.ones(3).numpy().copy()


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("make", [training, inference, with_graph, constants, eager])
def test_dropping_a_compiled_function_gives_its_memory_back(make):
    for _ in range(2):
        used_once(make)
        settle()
    names = ("bytes", "live_rows", "free_slots")
    before = {name: store.field(name) for name in names}
    externals = len(store.externals)
    for _ in range(3):
        used_once(make)
        settle()
    assert {name: store.field(name) for name in names} == before
    assert len(store.externals) == externals


def test_gradients_and_results_survive_their_program():
    model = small_model()
    step = torch.compile(training_step(model, torch.optim.SGD(model.parameters(), lr=0.1)))
    x, y = torch.randn(*X), torch.randn(*Y)
    losses = [step(x, y) for _ in range(3)]
    kept = bits(losses), state_of(model)
    del step
    settle()
    scribbles = [torch.full((n,), 7.0) for n in range(1, 40) for _ in range(20)]
    assert (bits(losses), state_of(model)) == kept
    del scribbles


def test_number_of_programs_is_bounded():
    step = torch.compile(lambda x: x * 2 + 1)
    sizes = list(range(1, MAX_PROGRAMS + 4))
    for n in sizes * 2:
        assert step(torch.ones(n)).tolist() == [3.0] * n
        assert len(step.programs) <= MAX_PROGRAMS
    settle()
    before = store.field("bytes")
    for n in sizes:
        step(torch.ones(n))
    settle()
    assert abs(store.field("bytes") - before) < 4096


def test_the_program_used_last_is_kept_longest():
    step = torch.compile(lambda x: x * 2)
    favourite = torch.ones(100)
    step(favourite)
    first = step.programs[0]
    for n in range(1, 3 * MAX_PROGRAMS):
        step(torch.ones(n))
        step(favourite)
    assert step.programs[0] is first


def test_a_compiled_function_does_not_keep_itself():
    model = small_model()
    step = torch.compile(training_step(model, torch.optim.SGD(model.parameters(), lr=0.1)))
    step(torch.randn(*X), torch.randn(*Y))
    reference = weakref.ref(step)
    program = weakref.ref(step.programs[0])
    del step
    assert reference() is None and program() is None


def test_more_slots_and_storages_are_made_between_calls():
    """Tables that grow or move must not matter to a program."""

    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        made = Scene(training_step(model, optimizer), batches(X, Y), model, optimizer)
        made.others = []
        return made

    def grow(scene, k):
        if k == 3:
            scene.others = [torch.zeros(1) for _ in range(6000)]

    assert_same(build, between=grow)


# threads ---------------------------------------------------------------------------------------------------


def test_recording_while_another_thread_runs_eagerly():
    """Neither sees the other: the program has only its own rows, the thread gets its own results."""
    stop, failures, rounds = threading.Event(), [], []

    def work():
        w = torch.full((3,), 2.0, requires_grad=True)
        while not stop.is_set():
            x = torch.ones(3) * 3
            (w * x).sum().backward()
            if w.grad.tolist() != [3, 3, 3] or (x + 1).sum().item() != 12:
                failures.append(w.grad.tolist())
            w.grad = None
            rounds.append(1)

    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        inner = training_step(model, optimizer)

        def step(x, y):
            for _ in range(5):
                value = inner(x, y)
            return value

        return Scene(step, batches(X, Y), model, optimizer)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            assert_same(build, "cccc")
    finally:
        stop.set()
        thread.join()
    assert failures == [] and len(rounds) > 10


def test_two_threads_with_compiled_functions_of_their_own():
    found, errors = {}, []

    def work(seed):
        try:
            w = torch.full((4,), float(seed))
            step = torch.compile(lambda x: (x * w).exp().sum(), fullgraph=True)
            found[seed] = [step(torch.full((4,), k / 10)).item() for k in range(50)]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for seed, values in found.items():
        w = torch.full((4,), float(seed))
        assert values == [(torch.full((4,), k / 10) * w).exp().sum().item() for k in range(50)]


def test_threads_that_call_one_compiled_function():
    w = torch.arange(4.0)
    step = torch.compile(lambda x: (x * w).sum())
    errors = []

    def work(k):
        x = torch.full((4,), float(k))
        errors.extend(k for _ in range(200) if step(x).item() != 6.0 * k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_mode_of_another_thread():
    """no_grad belongs to a thread, so a program recorded without it does not fit one with it."""
    model = small_model()
    step = torch.compile(lambda x: (lambda y: (y.detach(), y.requires_grad))(model(x)))
    x = torch.ones(*X)
    assert step(x)[1] is True
    seen = []

    def work():
        with torch.no_grad():
            seen.extend(step(x)[1] for _ in range(2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, False]
    assert step(x)[1] is True
