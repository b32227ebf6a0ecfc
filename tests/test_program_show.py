"""What a program shows of itself, and that measuring it leaves no trace."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
from compile_cases import training_step

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.show import peaks
from jitgrad.program.show.profile import Profile
from jitgrad.program.show.table import lines_of

PLAIN = dict.fromkeys(("in_place", "strips", "both_ways", "optimizer", "counters", "constants"), False)
BOTH_WAYS = "mse_loss and back to x"


def compiled_step(model, options=None, optimizer="Adam"):
    optimizer = getattr(torch.optim, optimizer)(model.parameters(), lr=0.1)
    step = training_step(model, optimizer)
    compiled = torch.compile(step, options=options) if options else torch.compile(step)
    return compiled, optimizer


def small(options=None):
    """Linear, tanh, mean squared error, Adam; batch 5."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    step, optimizer = compiled_step(model, options)
    data = torch.randn(5, 3), torch.randn(5, 4)
    return model, optimizer, step.program(*data), data


def by_kernel(program):
    lines = [line for one in lines_of(program) for line in one.chain or (one,)]
    return {line.kernel: line for line in lines}


def names(operands):
    return [o.name for o in operands]


def shown(program) -> str:
    out = io.StringIO()
    assert program.show(out) is None
    return out.getvalue()


# show ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [None, PLAIN], ids=["rewritten", "as recorded"])
def test_rows_say_what_they_compute(options):
    _, _, program, _ = small(options)
    kernels = set(by_kernel(program))
    assert kernels >= {"linear", "tanh", "tanh back to x"}
    assert kernels >= ({"mse_loss", "mse_loss back to x"} if options else {BOTH_WAYS})
    assert kernels >= {"linear back to w, bias", "count", "adam update"}
    assert all(line.dtype == "float32" for kernel, line in by_kernel(program).items() if "linear" in kernel)


@pytest.mark.parametrize("options", [None, PLAIN], ids=["rewritten", "as recorded"])
def test_a_value_can_be_followed_by_its_name(options):
    _, _, program, _ = small(options)
    rows = by_kernel(program)
    linear, tanh = rows["linear"].operands, rows["tanh"].operands
    loss = rows["mse_loss" if options else BOTH_WAYS].operands
    assert names(linear.reads) == ["arg 0", "0.weight", "0.bias"]
    assert names(linear.writes) == names(tanh.reads)
    assert names(tanh.writes) != names(tanh.reads)
    assert names(loss.reads)[:2] == [names(tanh.writes)[0], "arg 1"]
    assert names(loss.writes)[0] == "result"
    back = rows["linear back to w, bias"].operands
    assert names(back.writes) == ["0.weight.grad", "0.bias.grad"]
    assert names(rows["tanh back to x"].operands.writes)[0] in names(back.reads)
    assert [o.view.shape for o in linear.reads] == [(5, 3), (4, 3), (4,)]


def test_optimizer_state_has_names():
    _, _, program, _ = small()
    rows = by_kernel(program)
    update = rows["adam update"].operands
    state = {f"{p}{s}" for p in ("0.weight", "0.bias") for s in ("", ".exp_avg", ".exp_avg_sq")}
    assert set(names(update.writes)) == state
    assert all(o.in_place for o in update.writes)
    assert {"0.weight.grad", "0.bias.grad"} <= set(names(update.reads))
    assert set(names(rows["count"].operands.writes)) == {"0.weight.step", "0.bias.step"}


def test_bytes_and_operations():
    _, _, program, _ = small()
    rows = by_kernel(program)
    assert rows["linear"].flops == 2 * 5 * 4 * 3
    assert rows["linear back to w, bias"].flops == 2 * 5 * 4 * 3
    assert rows["tanh"].flops == 20
    assert rows["adam update"].flops == 16
    assert rows[BOTH_WAYS].flops == (3 + 2) * 20
    assert rows["count"].flops is None
    assert rows["linear"].bytes == 4 * (15 + 12 + 4 + 20)
    assert rows["linear"].footprint == rows["linear"].bytes
    assert rows["tanh back to x"].bytes == 4 * 3 * 20
    # a parameter and its two moments are read and written, its gradient and step count are read
    update = rows["adam update"]
    assert update.bytes == 4 * 16 * 7 + 2 * 8
    assert update.footprint == 4 * 16 * 4 + 2 * 8


def test_products_count_what_they_multiply():
    w = torch.randn(6, 7, requires_grad=True)
    layer = nn.Linear(7, 3)

    def step(x):
        loss = layer(x @ w).square().sum()
        loss.backward()
        return loss

    rows = by_kernel(torch.compile(step).program(torch.randn(5, 6)))
    assert rows["matmul"].flops == 2 * 5 * 7 * 6
    assert rows["matmul back to b"].flops == 2 * 6 * 7 * 5
    back = [line for kernel, line in rows.items() if kernel.startswith("linear back to")]
    assert sum(line.flops for line in back) == 2 * 2 * 5 * 7 * 3


def test_printed_table():
    _, _, program, _ = small()
    lines = shown(program).splitlines()
    assert lines[0].split() == ["row", "seg", "kernel", "moved", "flops", "read", "->", "written"]
    assert set(lines[1]) == {"-", " "}
    assert all(len(line) <= 120 for line in lines)
    numbers = [line.split()[0] for line in lines if line[:3].strip().isdigit()]
    assert numbers[: len(program.rows)] == [str(k + 1) for k in range(len(program.rows))]
    text = "\n".join(lines)
    assert "arg 0[5,3]  0.weight[4,3]  0.bias[4] -> t0[5,4]" in text
    assert "2 arguments, 1 result" in text
    assert f"{len(program.rows)} rows" in text


def test_summary_is_one_line():
    _, _, program, _ = small()
    for text in (str(program), repr(program)):
        assert text.startswith(f"<program of {len(program.rows)} rows, ")
        assert "2 arguments, 1 result" in text


def test_rows_that_run_strip_by_strip_are_shown_below_one_another():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    step, _ = compiled_step(model)
    program = step.program(torch.randn(256, 64), torch.randn(256, 8))
    chains = [line for line in lines_of(program) if line.chain]
    assert chains
    for line in chains:
        assert [x.number for x in line.chain] == [f"{line.number}.{k + 1}" for k in range(len(line.chain))]
        assert line.flops == sum(x.flops or 0 for x in line.chain)
        assert line.bytes == sum(x.bytes for x in line.chain)
        assert line.footprint < line.bytes
        for a, b in zip(line.chain, line.chain[1:], strict=False):
            assert set(names(a.operands.writes)) & set(names(b.operands.reads)), (a.kernel, b.kernel)
    first = names(chains[0].chain[0].operands.reads)
    assert first == ["arg 0", "0.weight", "0.bias"]
    for row, line in zip(program.profile(5).rows, lines_of(program), strict=True):
        assert [x.line.number for x in row.chain] == [x.number for x in line.chain]
        assert all(x.ns > 0 for x in row.chain)


def test_several_modules_are_told_apart():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)

    def step(x):
        return b(a(x)).sum()

    with torch.no_grad():
        program = torch.compile(step).program(torch.randn(3, 2))
    read = {n for line in lines_of(program) for x in line.chain or (line,) for n in names(x.operands.reads)}
    weights = [n for n in read if n.endswith("weight")]
    assert len(weights) == 2
    assert all("." in n for n in weights)


def test_program_without_rows():
    program = torch.compile(lambda x: x).program(torch.ones(2))
    assert "0 rows" in shown(program)
    profile = program.profile(1)
    assert profile.rows == []
    assert "no rows" in str(profile)


# profile ------------------------------------------------------------------------------------------


def state_of(model, optimizer):
    values = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    values |= {f"{n}.grad": p.grad.numpy().copy() for n, p in model.named_parameters() if p.grad is not None}
    values["random"] = torch.get_rng_state().numpy().copy()
    return values, copy.deepcopy(optimizer.state_dict())


def assert_same_state(before, after):
    assert before[0].keys() == after[0].keys()
    for name, value in before[0].items():
        np.testing.assert_array_equal(value, after[0][name], err_msg=name)
    assert str(before[1]) == str(after[1])
    for k, entry in before[1]["state"].items():
        for name, value in entry.items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(after[1]["state"][k][name]))


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("batch", [5, 128])
def test_profiling_leaves_everything_as_it_was(optimizer, batch):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.5), nn.Tanh(), nn.Linear(32, 8))
    step, optimizer = compiled_step(model, optimizer=optimizer)
    data = torch.randn(batch, 64), torch.randn(batch, 8)
    for _ in range(3):
        step(*data)
    program = step.program(*data)
    before, inputs = state_of(model, optimizer), [x.numpy().copy() for x in data]
    for arguments in (None, data):
        program.profile(20, arguments)
        assert_same_state(before, state_of(model, optimizer))
    for x, values in zip(data, inputs, strict=True):
        np.testing.assert_array_equal(x.numpy(), values)
    assert len(step.programs) == 1


def test_training_goes_on_as_if_nothing_had_been_measured():
    def train(measured):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        step, _ = compiled_step(model)
        x, y = torch.randn(6, 3), torch.randn(6, 1)
        losses = []
        for k in range(6):
            losses.append(step(x, y).item())
            if measured and k == 3:
                step.program(x, y).profile(10)
        return losses, [p.detach().numpy().copy() for p in model.parameters()]

    plain, measured = train(False), train(True)
    assert plain[0] == measured[0]
    for a, b in zip(plain[1], measured[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_argument_that_is_written_is_put_back():
    def step(x, y):
        x.add_(y)
        return x.sum()

    compiled = torch.compile(step)
    x, y = torch.arange(6.0), torch.ones(6)
    program = compiled.program(x, y)
    values = x.numpy().copy()
    program.profile(5, (x, y))
    np.testing.assert_array_equal(x.numpy(), values)


def test_a_profile_has_every_row():
    _, _, program, data = small()
    profile = program.profile(50, data)
    assert isinstance(profile, Profile)
    assert [r.line.number for r in profile.rows] == [str(k + 1) for k in range(len(program.rows))]
    assert all(r.ns > 0 and r.gbytes > 0 and r.of_peak > 0 for r in profile.rows)
    assert profile.step > 0
    assert profile.total == pytest.approx(sum(r.ns for r in profile.rows))
    assert sum(map(profile.share, profile.rows)) == pytest.approx(1.0)
    (linear,) = [r for r in profile.rows if r.line.kernel == "linear"]
    assert linear.gflops == pytest.approx(2 * 5 * 4 * 3 / linear.ns)
    assert linear.of_multiply_adds > 0
    (tanh,) = [r for r in profile.rows if r.line.kernel == "tanh"]
    assert tanh.of_multiply_adds == 0


def test_a_printed_profile_has_its_total_and_the_peaks():
    _, _, program, _ = small()
    lines = str(program.profile(10)).splitlines()
    header = ["row", "seg", "kernel", "size", "us", "share", "GF/s", "GB/s", "of", "peak"]
    assert lines[0].split() == header
    assert sum(line[:3].strip().isdigit() for line in lines) == len(program.rows)
    assert any(line.strip().startswith("sum of rows") for line in lines)
    assert any("a whole step replayed takes" in line for line in lines)
    assert any(line.startswith("float32 peak") and "multiply-adds" in line for line in lines)
    assert all(word in lines[-1] for word in ("L1", "L2", "memory"))


def test_class_indices_are_made_up_within_range():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)

    def step(x, y):
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    program = torch.compile(step).program(torch.randn(8, 4), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))
    assert len(program.profile(5).rows) == len(program.rows)
    with pytest.raises(IndexError, match="class index"):
        program.profile(5, (torch.randn(8, 4), torch.full((8,), 3)))


def test_arguments_without_elements_are_made_up():
    step = torch.compile(lambda x, y: (x * 2).sum() + y, fullgraph=True)
    step(torch.zeros(0, 4), torch.ones(2))
    program = step.programs[0]
    assert len(program.profile(1).rows) == len(program.rows)


def test_an_index_out_of_range_is_an_error_that_leaves_everything_as_it_was():
    total = torch.zeros(2)

    def step(x, rows):
        total.add_(1.0)
        return x.gather(0, rows).sum()

    x, good = torch.randn(4), torch.tensor([3, 0])
    compiled = torch.compile(step)
    program = compiled.program(x, good)
    before = total.tolist()
    with pytest.raises(RuntimeError, match="index 4 is out of bounds"):
        program.profile(5, (x, torch.tensor([1, 4])))
    assert total.tolist() == before
    assert program.profile(5, (x, good)).step > 0
    assert compiled(x, good).item() == x.numpy()[[3, 0]].sum()
    assert total.tolist() == [b + 1.0 for b in before]


def test_what_cannot_be_measured_is_an_error():
    model, _, program, data = small()
    with pytest.raises(ValueError, match="n must be at least 1"):
        program.profile(0)
    with pytest.raises(TypeError, match="takes 2 tensors, got 1"):
        program.profile(5, data[:1])
    with pytest.raises(RuntimeError, match="does not fit these arguments"):
        program.profile(5, (torch.randn(6, 3), data[1]))
    model.eval()
    with pytest.raises(RuntimeError, match="has changed since"):
        program.profile(5)


@pytest.mark.parametrize(("one", "more", "expected"), [(300, 620, 20.0), (900, 680, 40.0), (680, 680, 40.0)])
def test_a_row_repeated_a_few_times_takes_time_though_a_single_run_was_slowed(
    monkeypatch, one, more, expected
):
    monkeypatch.setattr(peaks, "_timed", lambda table, count, before: one if count == 1 else more)
    assert peaks.best_time_of_few(np.zeros((1, 4), np.int64), 1, 16, lambda: None) == expected
