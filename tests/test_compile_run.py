"""Epochs and loops in compiled code equal the same steps from Python, bit for bit."""

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.replay import runner
from jitgrad.program.replay.walk import walk

F = nn.functional


def make(seed=0, optimizer="Adam", dtype=torch.float32):
    """A small classifier, its optimizer, and its training step."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)).to(dtype)
    opt = getattr(torch.optim, optimizer)(model.parameters(), lr=0.05)

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return model, opt, step


def data(samples=50, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 5, generator=generator, dtype=dtype)
    return x, torch.randint(0, 3, (samples,), generator=generator)


def epochs_in_python(step, x, y, size, epochs, orders, drop_last=False):
    losses = []
    for epoch in range(epochs):
        order = orders[epoch] if orders else torch.arange(len(x))
        stop = len(x) // size * size if drop_last else len(x)
        starts = range(0, stop, size)
        losses.append([step(x[order[i : i + size]], y[order[i : i + size]]).item() for i in starts])
    return np.array(losses)


def same_state(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(np.array_equal(p.numpy(), q.numpy()) for p, q in pairs)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("samples", "size"), [(50, 16), (48, 16), (10, 10), (7, 10), (33, 1)])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_run_equals_the_python_loop(samples, size, shuffle, drop_last, optimizer):
    if drop_last and samples < size:
        pytest.skip("no batch at all")
    x, y = data(samples)
    ours, _, step = make(optimizer=optimizer)
    source = torch.Generator().manual_seed(9)
    got = torch.compile(step).run(
        x, y, batch_size=size, epochs=3, shuffle=shuffle, drop_last=drop_last, generator=source
    )
    theirs, _, step = make(optimizer=optimizer)
    source = torch.Generator().manual_seed(9)
    orders = [torch.randperm(samples, generator=source) for _ in range(3)] if shuffle else None
    want = epochs_in_python(step, x, y, size, 3, orders, drop_last)
    assert got.shape == want.shape
    assert np.array_equal(got.numpy(), want.astype(np.float32))
    assert same_state(ours, theirs)


@pytest.mark.parametrize("samples", [48, 50])
def test_orders_and_dropout_draw_from_one_generator_in_turn(samples):
    x, y = data(samples)
    ours, _, step = make()
    torch.manual_seed(3)
    got = torch.compile(step).run(x, y, batch_size=16, epochs=8, shuffle=True)
    after = torch.get_rng_state()
    theirs, _, step = make()
    torch.manual_seed(3)
    want = [epochs_in_python(step, x, y, 16, 1, [torch.randperm(samples)])[0] for _ in range(8)]
    assert torch.equal(torch.get_rng_state(), after)
    assert np.array_equal(got.numpy(), np.array(want, np.float32))
    assert same_state(ours, theirs)


def test_a_run_within_a_function_that_is_recorded_draws_an_order_for_every_epoch():
    x = torch.arange(6.0)

    def outer(batches):
        return torch.compile(lambda batch: batch * 1).run(batches, batch_size=2, epochs=4, shuffle=True)

    torch.manual_seed(5)
    with pytest.warns(RuntimeWarning, match="runs eagerly"):
        got = torch.compile(outer)(x)
    torch.manual_seed(5)
    orders = [x[torch.randperm(6)].tolist() for _ in range(4)]
    assert got.reshape(4, 6).tolist() == orders


def test_python_is_not_entered_between_short_epochs(monkeypatch):
    x, y = data(50)
    _, _, step = make()
    compiled = torch.compile(step)
    compiled.run(x, y, batch_size=16, epochs=2)
    walks = []
    monkeypatch.setattr(runner, "walk", lambda table, times: walks.append(times) or walk(table, times))
    compiled.run(x, y, batch_size=16, epochs=300, shuffle=True)
    assert sum(walks) > 300  # the first epoch's steps, then epochs
    assert len(walks) < 30


def test_a_value_out_of_range_in_a_later_epoch_ends_the_run_at_its_step():
    def made():
        level = torch.tensor([0.5], requires_grad=True)
        opt = torch.optim.SGD([level], lr=0.01)

        def step(x):
            opt.zero_grad()
            loss = F.binary_cross_entropy(level.expand(len(x)), x)
            (-loss).backward()  # away from the targets, and out of the interval in the end
            opt.step()
            return loss

        return level, step

    x = torch.ones(7)
    ours, step = made()
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        torch.compile(step).run(x, batch_size=3, epochs=1000)
    theirs, plain = made()
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        for _ in range(1000):
            for i in (0, 3, 6):
                plain(x[i : i + 3])
    assert ours.item() == theirs.item() < 0


def test_run_goes_on_where_it_stopped_and_mixes_with_calls_and_eager_steps():
    x, y = data()
    ours, _, step = make()
    compiled = torch.compile(step)
    got = [*compiled.run(x, y, batch_size=16).reshape(-1).tolist(), compiled(x[:16], y[:16]).item()]
    got += [step(x[:16], y[:16]).item(), *compiled.run(x, y, batch_size=16).reshape(-1).tolist()]
    theirs, _, plain = make()
    want = epochs_in_python(plain, x, y, 16, 1, None).reshape(-1).tolist()
    want += [plain(x[:16], y[:16]).item(), plain(x[:16], y[:16]).item()]
    want += epochs_in_python(plain, x, y, 16, 1, None).reshape(-1).tolist()
    assert np.array_equal(np.array(got, np.float32), np.array(want, np.float32))
    assert same_state(ours, theirs)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_loop_equals_repeated_calls(n):
    x, y = data(16)
    ours, _, step = make()
    got = torch.compile(step).loop(n, x, y)
    theirs, _, plain = make()
    want = [plain(x, y).item() for _ in range(n)]
    assert got.shape == (n,)
    assert np.array_equal(got.numpy(), np.array(want, np.float32))
    assert same_state(ours, theirs)


def test_gradients_after_a_run_are_those_of_the_last_step():
    x, y = data()
    ours, _, step = make()
    torch.compile(step).run(x, y, batch_size=16, epochs=2)
    theirs, _, plain = make()
    epochs_in_python(plain, x, y, 16, 2, None)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert np.array_equal(p.grad.numpy(), q.grad.numpy())


# what a step does to the gradients: before the backward pass, and at its end
GRADIENTS = {
    "added up": (None, None),
    "cleared before": (lambda opt: opt.zero_grad(), None),
    "zeroed before": (lambda opt: opt.zero_grad(set_to_none=False), None),
    "cleared after": (None, lambda opt: opt.zero_grad()),
    "zeroed after": (None, lambda opt: opt.zero_grad(set_to_none=False)),
}


@pytest.mark.parametrize("there", [False, True], ids=["none at first", "some at first"])
@pytest.mark.parametrize("gradients", GRADIENTS)
def test_steps_that_read_gradients_find_those_of_the_step_before(gradients, there):
    before, after = GRADIENTS[gradients]

    def made():
        model, opt, _ = make(optimizer="SGD")

        def step(x, y):
            if before:
                before(opt)
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            if after:
                after(opt)
            return loss

        if there:
            model(x[:2]).sum().backward()
        return model, step

    x, y = data(20)
    ours, step = made()
    compiled = torch.compile(step)
    theirs, plain = made()
    for turn in range(3):
        for one, model in ((compiled, ours), (plain, theirs)):
            torch.manual_seed(turn)
            one(x, y)
            model.zero_grad()  # the program of a step that begins so can be replayed, but cannot go on
        torch.manual_seed(turn)
        got = [*compiled.loop(3, x, y), *compiled.run(x, y, batch_size=8, epochs=4).reshape(-1)]
        torch.manual_seed(turn)
        want = [plain(x, y) for _ in range(3)]
        want += [plain(x[i : i + 8], y[i : i + 8]) for _ in range(4) for i in (0, 8, 16)]
        assert [float(v) for v in got] == [float(v) for v in want]
        assert same_state(ours, theirs)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        assert p.grad is None or np.array_equal(p.grad.numpy(), q.grad.numpy())


def test_several_results_come_back_in_the_functions_form():
    x, y = data()
    model = nn.Linear(5, 3)

    def predict(a, b):
        out = model(a)
        return {"out": out, "sum": (out.sum(), b.sum())}

    with torch.no_grad():
        got = torch.compile(predict).run(x, y, batch_size=20, epochs=2)
        assert got["out"].shape == (2, 50, 3)  # the last batch is smaller: one row a sample
        assert got["sum"][0].shape == (2, 3)
        assert np.array_equal(
            got["out"][1].numpy(), torch.cat([model(x[i : i + 20]) for i in (0, 20, 40)]).numpy()
        )
        assert got["sum"][1][0].tolist() == [y[:20].sum().item(), y[20:40].sum().item(), y[40:].sum().item()]


def test_a_schedule_steps_once_an_epoch_and_a_callback_may_end_the_run():
    x, y = data()
    ours, opt, step = make()
    schedule = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
    seen = []

    def callback(epoch, losses):
        seen.append((epoch, losses.shape, opt.param_groups[0]["lr"]))
        return epoch == 2

    got = torch.compile(step).run(x, y, batch_size=16, epochs=10, schedule=schedule, callback=callback)
    assert got.shape == (3, 4)
    assert [s[0] for s in seen] == [0, 1, 2]
    assert [s[1] for s in seen] == [(4,)] * 3
    assert np.allclose([s[2] for s in seen], [0.025, 0.0125, 0.00625])
    theirs, opt, plain = make()
    schedule = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
    for epoch in range(3):
        want = epochs_in_python(plain, x, y, 16, 1, None)
        schedule.step()
        assert np.array_equal(got[epoch].numpy(), want[0].astype(np.float32))
    assert same_state(ours, theirs)


def test_a_function_that_cannot_be_compiled_runs_all_the_same():
    x, y = data()
    _, _, step = make()

    def reading(a, b):
        loss = step(a, b)
        return loss if loss.item() > -1 else loss * 2

    with pytest.warns(RuntimeWarning, match="reads a tensor's value"):
        got = torch.compile(reading).run(x, y, batch_size=16, epochs=2)
    _, _, plain = make()
    assert np.array_equal(got.numpy(), epochs_in_python(plain, x, y, 16, 2, None).astype(np.float32))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_bad_class_index_anywhere_is_an_error_before_it_is_used(shuffle):
    x, y = data()
    ours, _, step = make()
    compiled = torch.compile(step)
    compiled.run(x, y, batch_size=10)
    y[37] = 3
    with pytest.raises(IndexError, match="Target 3"):
        compiled.run(x, y, batch_size=10, shuffle=shuffle)
    assert all(np.isfinite(p.numpy()).all() for p in ours.state_dict().values())


def test_ctrl_c_between_chunks_leaves_the_weights_of_the_last_step():
    x, y = data()
    ours, _, step = make()
    compiled = torch.compile(step)
    compiled.run(x, y, batch_size=10)
    done = []

    def tick(steps):
        done.append(steps)
        if sum(done) > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compiled.run(x, y, batch_size=10, epochs=100, progress=tick)
    theirs, _, plain = make()
    epochs_in_python(plain, x, y, 10, 1 + sum(done) // 5, None)
    assert sum(done) % 5 == 0
    assert same_state(ours, theirs)


def plateau():
    return torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([nn.Parameter(torch.ones(1))]))


BAD = {
    "no tensors": (lambda f, x, y: f.run(batch_size=4), TypeError, "at least one tensor"),
    "not a tensor": (lambda f, x, y: f.run([1, 2], batch_size=1), TypeError, "expected tensors"),
    "lengths differ": (lambda f, x, y: f.run(x, y[:3], batch_size=4), ValueError, "Size mismatch"),
    "batch of none": (lambda f, x, y: f.run(x, y, batch_size=0), ValueError, "at least 1"),
    "no epoch": (lambda f, x, y: f.run(x, y, batch_size=4, epochs=0), ValueError, "at least 1"),
    "no batch": (lambda f, x, y: f.run(x, y, batch_size=99, drop_last=True), ValueError, "drop_last"),
    "no step": (lambda f, x, y: f.loop(0, x, y), ValueError, "at least 1 step"),
    "half a step": (lambda f, x, y: f.loop(2.5, x, y), TypeError, "n must be int, not float"),
    "a number in a loop": (lambda f, x, y: f.loop(2, x, 5), TypeError, "loop: expected tensors, got int"),
    "half a sample": (lambda f, x, y: f.run(x, y, batch_size=2.5), TypeError, "batch_size must be int"),
    "half an epoch": (lambda f, x, y: f.run(x, y, batch_size=2, epochs=0.5), TypeError, "epochs must be int"),
    "no dimensions": (lambda f, x, y: f.run(x.sum(), y, batch_size=1), ValueError, "without dimensions"),
    "no callback": (
        lambda f, x, y: f.run(x, y, batch_size=4, callback=5),
        TypeError,
        "callback must be callable",
    ),
    "no schedule": (
        lambda f, x, y: f.run(x, y, batch_size=4, schedule=5),
        TypeError,
        "schedule must have a step",
    ),
    "no progress": (
        lambda f, x, y: f.run(x, y, batch_size=4, progress=5),
        TypeError,
        "progress must be bool",
    ),
    "schedule by a metric": (
        lambda f, x, y: f.run(x, y, batch_size=4, schedule=plateau()),
        TypeError,
        "callback",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_of_run(case):
    call, error, message = BAD[case]
    x, y = data()
    model, _, step = make()
    before = [p.numpy().copy() for p in model.state_dict().values()]
    with pytest.raises(error, match=message):
        call(torch.compile(step), x, y)
    for p, old in zip(model.state_dict().values(), before, strict=True):
        assert np.array_equal(p.numpy(), old)
