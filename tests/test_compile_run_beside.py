"""What else happens while a run is under way: other calls, other threads, changes by callbacks. No step is wrong."""

import threading

import pytest

import jitgrad as torch
from jitgrad import nn

F = nn.functional


def doubled(x):
    return (x * 2).sum()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_call_from_the_progress_function_gets_its_own_result(shuffle):
    step, other, found = torch.compile(doubled), torch.full((8, 4), 100.0), []
    data = torch.ones(16, 4)
    step(other)
    losses = step.run(
        data, batch_size=8, epochs=2000, shuffle=shuffle, progress=lambda n: found.append(step(other).item())
    )
    assert set(losses.unique().tolist()) == {64.0}
    assert len(found) > 2 and set(found) == {6400.0}


@pytest.mark.parametrize(
    "replay",
    [
        lambda step, x: step.loop(20_000, x),
        lambda step, x: step.run(x, batch_size=8, epochs=20_000),
        lambda step, x: step.run(x, batch_size=4, epochs=2_000, shuffle=True) * 2,
    ],
    ids=["loop", "run", "shuffled run"],
)
def test_threads_that_use_one_function_get_their_own_results(replay):
    step = torch.compile(doubled)
    wrong: list[float] = []

    def work(value: float) -> None:
        x = torch.full((8, 4), value)
        for _ in range(3):
            found = set(replay(step, x).unique().tolist()) | {step(x).item()}
            wrong.extend(found - {64 * value})

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_parameters_replaced_on_the_way_are_those_of_the_next_steps():
    w, ticks = nn.Parameter(torch.zeros(3)), []

    def step(x):
        with torch.no_grad():
            w.add_(x.mean(0))
        return w.sum().detach()

    def tick(steps):
        ticks.append(steps)
        if len(ticks) == 3:
            w.data = torch.zeros(3)

    torch.compile(step).run(torch.ones(5000, 3), batch_size=1, progress=tick)
    assert w.tolist() == [5000.0 - sum(ticks[:3])] * 3


def test_a_run_leaves_alone_what_a_graph_still_needs():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    model, x, others = torch.compile(net), torch.randn(16, 4), torch.randn(16, 4)
    want = torch.autograd.grad(net(x).square().sum(), list(net.parameters()))
    for _ in range(4):
        model(x).sum().backward()
    for replay in (lambda: model.run(others, batch_size=16), lambda: model.loop(3, others)):
        out = model(x)
        replay()
        got = torch.autograd.grad(out.square().sum(), list(net.parameters()))
        assert all(torch.equal(g, w) for g, w in zip(got, want, strict=True))


# name -> what a step returns in evaluation, where it returns a loss in training
OTHERS = {
    "shape": lambda p, loss: p,
    "dtype": lambda p, loss: loss.double(),
    "number": lambda p, loss: (loss, loss * 2),
}


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_results_that_are_not_alike_end_a_run_with_an_error(name, known):
    x, y, model = torch.randn(64, 4), torch.randn(64, 500), nn.Linear(4, 500)

    @torch.compile
    def step(x, y):
        p = model(x).detach()
        loss = F.mse_loss(p, y)
        return loss if model.training else OTHERS[name](p, loss)

    model.eval()
    for _ in range(4 * known):
        step(x[:16], y[:16])
    model.train()
    with pytest.raises(RuntimeError, match="the function returns tensors"):
        step.run(x, y, batch_size=16, epochs=5, callback=lambda epoch, losses: model.eval() and None)


@pytest.mark.parametrize("shuffle", [False, True])
def test_class_indices_that_a_callback_spoils_are_an_error(shuffle):
    model, x, y = nn.Linear(4, 3), torch.randn(64, 4), torch.randint(0, 3, (64,))
    step = torch.compile(lambda x, y: F.cross_entropy(model(x), y))
    losses = []

    def callback(epoch, results):
        losses.append(results)
        y[40] = 7

    with pytest.raises(IndexError, match="Target 7"):
        step.run(x, y, batch_size=16, epochs=3, shuffle=shuffle, callback=callback)
    assert len(losses) == 1 and losses[0].isfinite().all()


def test_a_function_that_is_only_replayed_in_runs_stays_compiled():
    step = torch.compile(lambda x: torch.tanh(x).sum())
    for n in range(1, 80):
        step.loop(10, torch.ones(n))
    assert not step.is_eager
    assert len(step.programs) == 16


def test_more_results_than_there_are_free_slots():
    step, x, kept = (
        torch.compile(lambda x: [x + float(k) for k in range(300)], fullgraph=True),
        torch.ones(3),
        [],
    )
    for _ in range(40):
        kept.append(step(x))
        assert [r.tolist() for r in kept[-1]] == [[1.0 + k] * 3 for k in range(300)]
    assert len(step.programs) == 1
