"""What runs take and give: samples that share memory, results of odd shapes, methods."""

import pytest

import jitgrad as torch


def samples(count):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(1))


# name -> samples and targets that are views of one tensor with 40 rows of 6
TOGETHER = {
    "one tensor": lambda x: (x, x),
    "a detached one": lambda x: (x, x.detach()),
    "one row after the other": lambda x: (x[:-1], x[1:]),
    "other lengths in one storage": lambda x: (x[:10].reshape(20, 3), x[10:].reshape(-1)[:20]),
    "columns": lambda x: (x[:, :3], x[:, 3:]),
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", TOGETHER)
def test_samples_and_targets_may_be_views_of_one_tensor(name, shuffle):
    total = torch.zeros(1)

    def step(x, y):
        total.add_(x.sum() + 2 * y.sum())
        return (x.reshape(len(x), -1).sum(1) * y.reshape(len(y), -1).sum(1)).sum(), total * 1

    source = torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
    found = []
    for pair in (TOGETHER[name](source), tuple(x.clone() for x in TOGETHER[name](source))):
        torch.manual_seed(4)
        total.zero_()
        compiled = torch.compile(step, fullgraph=True)
        got = compiled.run(*pair, batch_size=8, epochs=3, shuffle=shuffle)
        found.append([x.numpy().tolist() for x in got])
    assert found[0] == found[1]


# name -> a result, and its shape for 10 samples in batches of 4 over two epochs
ODD_RESULTS = {
    "nothing": (lambda x: x[:0], (2, 3, 0, 5)),
    "half a batch": (lambda x: x[: len(x) // 2], (2, 5, 5)),
    "no columns": (lambda x: x[:, :0], (2, 10, 0)),
    "one row a sample": (lambda x: x.sum(1), (2, 10)),
}


@pytest.mark.parametrize("name", ODD_RESULTS)
def test_results_of_odd_shapes_come_back(name):
    function, shape = ODD_RESULTS[name]
    x = samples(10)
    got = torch.compile(function).run(x, batch_size=4, epochs=2)
    want = [function(x[i : i + 4]) for i in (0, 4, 8)]
    assert got.shape == shape
    if 0 not in shape:
        assert torch.equal(got[1], torch.cat(want))


@pytest.mark.parametrize(
    "function", [lambda x: x.t(), lambda x: x @ x.t(), lambda x: x.sum() if len(x) > 2 else x]
)
def test_results_of_a_smaller_last_batch_that_do_not_go_with_the_others(function):
    x = samples(10)
    ends = []
    with pytest.raises(RuntimeError, match="one row a sample, or use drop_last"):
        torch.compile(function).run(x, batch_size=4, epochs=9, callback=lambda e, r: ends.append(e))
    assert not ends


class Trainer:
    """An object with a compiled method."""

    def __init__(self, rate):
        self.rate, self.weight = rate, torch.zeros(5)

    @torch.compile
    def step(self, x):
        """Move the weights."""
        self.weight.add_(x.mean(0), alpha=self.rate)
        return self.weight.sum()


def test_compiled_methods_run_and_loop():
    x = samples(12)
    first, second = Trainer(1.0), Trainer(3.0)
    for trainer in (first, second):
        found = trainer.step.run(x, batch_size=4, epochs=3)
        assert found.shape == (3, 3)
        assert torch.allclose(trainer.weight, 9 * trainer.rate * x.mean(0), atol=1e-5)
        trainer.step.loop(4, x)
        trainer.step(x)
        assert torch.allclose(trainer.weight, 14 * trainer.rate * x.mean(0), atol=1e-5)
        assert trainer.step.program(x) in Trainer.step.programs
    assert first.step == first.step and first.step != second.step
    assert first.step.__self__ is first and first.step.__doc__ == "Move the weights."


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("samples", "size"), [(6, 2), (7, 3), (3, 3), (2, 3)])
def test_a_step_that_writes_into_its_batch_leaves_the_samples_alone(samples, size, shuffle, shared):
    """Every epoch gets the same samples, whether the step is recorded, replayed, or known from an earlier run."""
    whole = torch.arange(2.0 * samples + 2).reshape(samples + 1, 2)
    x, y = (whole[:-1], whole[1:]) if shared else (whole[:-1].clone(), whole[1:].clone())
    before = x.clone(), y.clone()

    def step(xb, yb):
        xb.mul_(2).add_(1)
        return (xb * yb).sum()

    compiled = torch.compile(step)
    for epochs in (1, 4):
        orders = torch.Generator().manual_seed(3)
        got = compiled.run(x, y, batch_size=size, epochs=epochs, shuffle=shuffle, generator=orders)
        assert torch.equal(x, before[0]) and torch.equal(y, before[1])
        orders = torch.Generator().manual_seed(3)
        for epoch in range(epochs):
            order = torch.randperm(samples, generator=orders) if shuffle else torch.arange(samples)
            want = [step(x[order[k : k + size]], y[order[k : k + size]]) for k in range(0, samples, size)]
            assert got[epoch].tolist() == [float(w) for w in want]


def test_a_step_that_writes_into_its_batch_and_raises_leaves_the_samples_alone():
    x = torch.ones(4, 2)

    def step(xb):
        xb.mul_(2)
        raise ArithmeticError("stop")

    with pytest.raises(ArithmeticError):
        torch.compile(step).run(x, batch_size=2)
    assert torch.equal(x, torch.ones(4, 2))


@pytest.mark.parametrize("returned", ["a parameter", "a gradient", "the batch", "in a tuple"])
def test_what_a_step_returns_may_have_been_there_before(returned):
    def make():
        w = torch.nn.Parameter(torch.ones(2))
        opt = torch.optim.SGD([w], lr=0.1)

        def step(xb):
            opt.zero_grad(set_to_none=False)
            loss = (xb @ w).square().mean()
            loss.backward()
            opt.step()
            values = {"a parameter": w, "a gradient": w.grad, "the batch": xb, "in a tuple": (loss, [w])}
            return values[returned]

        return step

    def shown(result):
        return result[1][0] if returned == "in a tuple" else result

    x = torch.arange(12.0).reshape(6, 2) / 12
    got = shown(torch.compile(make()).run(x, batch_size=2, epochs=2)).tolist()
    step = make()
    assert got == [[shown(step(x[k : k + 2])).tolist() for k in range(0, 6, 2)] for _ in range(2)]
