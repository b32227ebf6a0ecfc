"""When a program's rows are rewritten, and what recordings of one function have in common."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from compile_cases import training_step

import jitgrad as torch
from jitgrad import nn
from jitgrad.engine.layout import OWN, SPAN_BEGIN, SPAN_END, SPAN_STORAGE, SPAN_USE, USED, WRITTEN
from jitgrad.kernels.abi import R_COUNT, R_KERNEL, R_LAYOUT
from jitgrad.program.log.rows import rows_of
from jitgrad.program.log.survey import known
from jitgrad.program.program import RECORDED, REPLAYS, RUNNING


def batch(size: int, number: int = 0):
    rng = np.random.default_rng(100 * size + number)
    return [torch.from_numpy(rng.standard_normal((size, n)).astype(np.float32)) for n in (6, 3)]


def network():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3))
    return model, torch.optim.Adam(model.parameters(), lr=0.01)


def compiled(function):
    """With sums over the batch in one piece, as eager steps make them."""
    return torch.compile(function, fullgraph=True, options={"partial_sums": False})


def is_rewritten(program) -> bool:
    """Whether it runs the rewritten records; `recorded` may also ask for Python because the team wants workers."""
    made = program._rewritten
    return made is not None and program._tables.field("table") == made.segments.ctypes.data


def test_rows_are_rewritten_after_some_replays_and_no_step_differs():
    (model, optimizer), (twin, other) = network(), network()
    step, eager = compiled(training_step(model, optimizer)), training_step(twin, other)
    for k in range(REPLAYS + 6):
        data = batch(70, k)
        assert step(*data).item() == eager(*data).item()
        assert is_rewritten(step.programs[0]) == (k > REPLAYS)
    assert len(step.programs) == 1
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_calls_that_do_not_fit_count_for_nothing():
    step = torch.compile(lambda x: (x * 2).sum(), fullgraph=True)
    sizes = [3, 4, 5]
    for n in sizes * 2:
        assert step(torch.ones(n)).item() == 2 * n
    assert [is_rewritten(p) for p in step.programs] == [False] * 3
    for n in sizes * REPLAYS:
        assert step(torch.ones(n)).item() == 2 * n
    assert [is_rewritten(p) for p in step.programs] == [True] * 3


def test_memory_of_the_recorded_arguments_may_be_used_again():
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.standard_normal((300, 64)).astype(np.float32))

    def step(x):
        return torch.tanh(torch.tanh(nn.functional.linear(x, weight)) * x.sum()).sum()

    replayed = torch.compile(step, fullgraph=True)
    replayed(torch.from_numpy(rng.standard_normal((256, 64)).astype(np.float32)))
    gc.collect()
    for _ in range(REPLAYS + 4):
        x = torch.from_numpy(rng.standard_normal((256, 64)).astype(np.float32))
        assert replayed(x).item() == step(x).item()
        del x
        gc.collect()
    assert is_rewritten(replayed.programs[0])


def test_rows_that_run_just_now_are_not_replaced():
    step = torch.compile(lambda x: torch.tanh(x + 1).sum(), fullgraph=True)
    x = torch.ones(5)
    expected = step(x).item()
    program = step.programs[0]
    program._header[RUNNING] = 1
    assert len(program.rows) and not is_rewritten(program)
    assert not program.ready([x])
    program._header[RUNNING] = 0
    assert program.ready([x]) and is_rewritten(program)
    assert step(x).item() == expected


def test_a_program_whose_call_asked_for_workers_goes_through_python_once():
    step = torch.compile(lambda x: torch.tanh(x + 1).sum(), fullgraph=True)
    x = torch.ones(5)
    values = {step(x).item() for _ in range(REPLAYS + 3)}
    program = step.programs[0]
    program._header[RECORDED] = 1  # as compiled code leaves it then
    values |= {step(x).item() for _ in range(2)}
    assert len(values) == 1 and step.programs == [program]
    assert is_rewritten(program) and program._header[RECORDED] == 0


def test_looking_at_a_program_rewrites_it_and_calls_go_on():
    model, optimizer = network()
    twin, other = network()
    step, eager = compiled(training_step(model, optimizer)), training_step(twin, other)
    for k in range(5):
        data = batch(70, k)
        assert step(*data).item() == eager(*data).item()
        if k == 1:
            assert len(step.programs[0].rows) > 3
    losses = step.loop(4, *data)
    assert losses.tolist() == [eager(*data).item() for _ in range(4)]


def test_what_changes_between_recordings_is_seen_by_all_programs():
    settings = {"scale": 2.0}
    layer = nn.Dropout(0.5)

    def step(x):
        return layer(x).sum() * settings["scale"]

    layer.eval()
    replayed = torch.compile(step, fullgraph=True)
    sizes = (3, 4, 5)
    for scale in (2.0, 3.0, 2.0):
        settings["scale"] = scale
        for n in sizes:
            assert replayed(torch.ones(n)).item() == n * scale
    layer.train()
    for n in sizes:
        assert replayed(torch.full((n,), 1.0)).item() % (2 * settings["scale"]) == 0
    layer.eval()
    for n in sizes:
        assert replayed(torch.ones(n)).item() == n * settings["scale"]


def test_arrays_made_tensors_in_the_step_are_read_anew_by_all_programs():
    values = np.ones(4, np.float32)
    replayed = torch.compile(lambda x: (x.sum() * torch.from_numpy(values)).sum(), fullgraph=True)
    for factor in (1, 3, 5):
        values[:] = factor
        for n in (2, 3, 4):
            assert replayed(torch.ones(n)).item() == n * 4 * factor


def test_a_later_recording_that_draws_random_numbers_is_refused():
    def step(x):
        return x.sum() * (np.random.standard_normal() if len(x) > 3 else 1.0)

    replayed = torch.compile(step, fullgraph=True)
    replayed(torch.ones(2))
    replayed(torch.ones(3))
    for _ in range(2):  # the second number of a pair comes from no change of the generator
        with pytest.raises(RuntimeError, match="random"):
            replayed(torch.ones(4))


def test_a_later_recording_that_changes_a_variable_is_refused():
    seen = []

    def step(x):
        if len(x) > 3:
            seen.append(1)
        return x.sum()

    replayed = torch.compile(step, fullgraph=True)
    replayed(torch.ones(2))
    replayed(torch.ones(3))
    with pytest.raises(RuntimeError, match="changes a value"):
        replayed(torch.ones(4))


def test_arguments_that_share_memory_with_what_is_used_otherwise_are_seen_in_every_recording():
    weight = torch.ones(4)
    replayed = torch.compile(lambda x: (x.mul_(2) * weight[: len(x)]).sum(), fullgraph=True)
    replayed(torch.ones(2))
    replayed(torch.ones(3))
    assert replayed(weight).item() == 16  # eagerly, to see whether it writes
    with pytest.raises(RuntimeError, match="shares memory"):
        replayed(weight)


def programs():
    """Compiled functions of many kinds of rows, each after a call."""
    model, optimizer = network()
    yield torch.compile(training_step(model, optimizer), fullgraph=True), batch(40)
    embedding, dropout, norm = nn.Embedding(9, 4), nn.Dropout(0.3), nn.BatchNorm1d(4)
    indices = torch.from_numpy(np.arange(8) % 5)

    def mixed(k, w):
        h = norm(dropout(embedding(k))) * w
        return nn.functional.cross_entropy(torch.cat([h[:, 1:], h[:, :1]], 1), k % 4).detach()

    yield torch.compile(mixed, fullgraph=True), [indices, torch.ones(4)]
    yield (
        torch.compile(lambda x: (x.sum(1), x.T + 1, x.expand(3, 0, 2).clone()), fullgraph=True),
        [torch.ones(0, 2)],
    )
    lstm = nn.LSTM(3, 5)
    yield torch.compile(lambda x: lstm(x)[0].detach(), fullgraph=True), [torch.ones(4, 2, 3)]


def test_what_is_known_of_kernels_finds_what_the_rows_name():
    for function, arguments in programs():
        function(*arguments)
        for row in rows_of(function.programs[0].recording.log):
            head = row.words[[R_KERNEL, R_LAYOUT, R_COUNT]].tolist()
            place, _, step, count, first, last, bits = known._kinds[tuple(head)]
            found = {place + k * step: first <= k < last or bool(bits >> k & 1) for k in range(count)}
            # the step count of an update is named by the row that counts, too
            reads = row.reads[row.kernel.startswith("update.") :]
            expected = {v.place: False for v in reads} | {v.place: True for v in row.writes}
            assert expected == {p: found[p] for p in expected}
            assert not any(row.words[p] for p in found.keys() - expected.keys())


def test_spans_say_how_the_rows_use_memory_from_outside():
    for function, arguments in programs():
        function(*arguments)
        program = function.programs[0]
        spans = program._tables.spans
        rows = rows_of(program.recording.log)

        def at(address, spans=spans):
            return {s[SPAN_STORAGE] for s in spans if s[SPAN_BEGIN] <= address < s[SPAN_END]} - {OWN}

        def storages(views, at=at):
            return set().union(*(at(v.address) for v in views if v.numel))

        assert storages(v for r in rows for v in r.writes) == {
            s[SPAN_STORAGE] for s in spans if s[SPAN_USE] & WRITTEN
        } - {OWN}
        used = {s[SPAN_STORAGE] for s in spans if s[SPAN_USE] & USED}
        assert storages(v for r in rows for v in (*r.reads, *r.writes)) <= used
        begin = program.recording.log_address
        patched = {(k, (place - begin) // 8) for k, place, _ in program._tables.patches}
        named = set()
        for k, storage in enumerate(program._argument_storages):
            begins = 0
            for row in rows:
                views = (*row.reads, *row.writes)
                named |= {(k, begins + v.place) for v in views if at(v.address) == {storage}}
                begins += len(row.words)
        assert named == patched


PARTS = {
    "every other column": lambda h: h[:, ::2],
    "other columns": lambda h: h[:, 1::2],
    "every other row": lambda h: h[::2],
    "every third element": lambda h: h.reshape(-1)[::3],
    "first column": lambda h: h[:, 0],
    "columns turned": lambda h: h.t()[::2],
    "diagonal": lambda h: h.diagonal(),
    "overlapping": lambda h: h.unfold(1, 2, 1),
    "pairs": lambda h: h[:, :4:2] * h[:, 1::2],
    "halves": lambda h: h.chunk(2, 1)[1],
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize(
    "activation", [nn.functional.gelu, torch.exp, lambda h: h * 2, lambda h: h.cumsum(0)]
)
@pytest.mark.parametrize("wide", [False, True])
def test_gradient_of_elements_that_are_not_side_by_side(name, activation, wide):
    """What surrounds them in memory has to be zeros, also where the rewrites move it to."""
    w, v = torch.randn(5, requires_grad=True), torch.randn(5, 60)

    def step(x):
        w.grad = None
        h = activation(PARTS[name](x * w))
        if wide:  # memory of the size of x comes free, to which a rewrite may move something
            h = nn.functional.linear(h, v[:, : h.shape[-1]])
        h.square().sum().backward()
        return w.grad * 1

    c = compiled(step)
    for k in range(REPLAYS + 4):
        x = torch.randn(33, 5)
        assert c(x).tolist() == step(x).tolist(), k
