"""Functions that no replay can stand for: one warning that names the line, then eager calls with right results."""

from __future__ import annotations

import inspect
import random
import re

import numpy as np
import pytest
from compile_cases import batches, bits, small_model, state_of, training_step, warnings_of

import jitgrad as torch
from jitgrad import nn

X = (4, 3)


def printed(x):
    print(x)
    return x * 2


def counted(x):
    total = 0.0
    for row in x:
        if row.sum() > 0:
            total = total + row
    return total


# name -> function of a tensor whose Python depends on the tensor's values
READS = {
    "item": lambda x: x * x.sum().item(),
    "float": lambda x: x * float(x.sum()),
    "int": lambda x: x * int(x.sum()),
    "bool": lambda x: x * 2 if x.sum() > 0 else x * 3,
    "while": counted,
    "numpy": lambda x: x * torch.tensor(x.numpy().max()),
    "detached numpy": lambda x: x * float(x.detach().numpy()[0, 0]),
    "array": lambda x: x + torch.from_numpy(np.asarray(x) ** 2),
    "tolist": lambda x: x * x.tolist()[0][0],
    "print": printed,
    "format": lambda x: (f"{x.sum():.3f}", x + 1),
    "repr": lambda x: (repr(x), x + 1),
    "nonzero": lambda x: x.nonzero(),
    "where of one": lambda x: torch.where(x > 0),
    "mask": lambda x: x[x > 0],
    "mask sum": lambda x: x[x > 0].sum(),
    "masked_select": lambda x: torch.masked_select(x, x > 0),
    "unique": lambda x: torch.unique(x.round()),
    "index": lambda x: x[int(x.argmax()) % 4],
    "range": lambda x: x[: abs(int(x.sum().round())) % 4],
    "allclose": lambda x: x if torch.allclose(x, x.round()) else -x,
    "equal": lambda x: x if torch.equal(x, x.round()) else -x,
    "in": lambda x: x * (1 if 0.5 in x else 2),
    "assert": lambda x: x if (x == x).all() else None,
    "max of a list": lambda x: max(x[0, 0], x[0, 1], x[0, 2]),
    "any": lambda x: x + any(v > 0 for v in x[0]),
    "numpy function": lambda x: np.add(x, 1),
    "one_hot": lambda x: nn.functional.one_hot(x.argmax(1)),
    "multinomial with replacement": lambda x: torch.multinomial(x.abs(), 2, True),
    "arange": lambda x: torch.arange(x.abs().sum()),
    "full": lambda x: torch.full((2,), x.sum()),
    "repeat_interleave": lambda x: x.repeat_interleave(x[:, 0].abs().long() + 1, 0),
}


@pytest.mark.parametrize("name", READS)
def test_function_that_reads_values(name, capsys):
    function = READS[name]
    made = [torch.randn(*X) for _ in range(5)]

    def run(step):
        torch.manual_seed(3)
        return [bits(step(x)) for x in made]

    expected = run(function)
    printed_eagerly = capsys.readouterr().out
    found, warned = warnings_of(lambda: run(torch.compile(function)))
    assert found == expected
    assert capsys.readouterr().out == printed_eagerly
    assert len(warned) == 1
    message = warned[0]
    assert message.startswith("compile: ") and "eagerly" in message
    place = re.search(r"at (\S+):(\d+)", message)
    lines, first = inspect.getsourcelines(function)
    assert place is not None and place[1] == __file__
    assert first <= int(place[2]) < first + len(lines)


@pytest.mark.parametrize("name", READS)
def test_fullgraph_refuses_to_read_values(name, capsys):
    step = torch.compile(READS[name], fullgraph=True)
    torch.manual_seed(3)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=re.escape(__file__)) as caught:
            step(torch.randn(*X))
        assert "fullgraph" in str(caught.value) and not isinstance(caught.value, RuntimeWarning)


def test_warning_points_at_the_line_of_the_call_that_reads():
    def step(x):
        y = x * 2
        return y * y.mean().item()  # this line

    _, warned = warnings_of(lambda: torch.compile(step)(torch.ones(2)))
    _lines, first = inspect.getsourcelines(step)
    assert f"{__file__}:{first + 2}" in warned[0]
    assert "step" in warned[0] and "item" in warned[0]


def test_training_goes_on_eagerly():
    def run(compiled):
        torch.manual_seed(1)
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())
        plain = training_step(model, optimizer)
        losses = []

        def step(x, y):
            loss = plain(x, y)
            losses.append(loss.item())
            return loss

        step = torch.compile(step) if compiled else step
        inputs = batches(X, (4, 2))
        found = [bits(step(*inputs(k))) for k in range(5)]
        return found, losses, state_of(model, optimizer)

    expected = run(False)
    found, warned = warnings_of(lambda: run(True))
    assert found == expected
    assert len(warned) == 1


# functions that keep what they compute, or change what Python sees -----------------------------------------


class Keeper:
    def __init__(self):
        self.kept = []
        self.last = None
        self.count = 0
        self.table = {}
        self.total = 0.0
        self.sum = torch.zeros(())

    def append(self, x):
        self.kept.append(x * 2)
        return x + 1

    def attribute(self, x):
        self.last = x * 2
        return x + 1

    def replace(self, x):
        self.sum = self.sum + x.sum()
        return x + 1

    def key(self, x):
        self.table["x"] = x * 2
        return x + 1

    def new_keys(self, x):
        self.table[len(self.table)] = (x * 2).sum()
        return x + 1

    def counter(self, x):
        self.count += 1
        return x * self.count

    def counter_only(self, x):
        self.count += 1
        return x * 2

    def argument(self, x):
        self.last = x
        return x + 1

    def argument_list(self, x):
        self.kept.append(x)
        return x + 1

    def view(self, x):
        self.last = x[0]
        return x + 1

    def state(self):
        return bits([self.kept, self.last, self.count, self.table, self.total, self.sum])


@pytest.mark.parametrize("name", [n for n in vars(Keeper) if n not in ("__init__", "state") and n[0] != "_"])
@pytest.mark.parametrize("kept", [False, True])
def test_function_that_keeps_what_it_computes(name, kept):
    made = [torch.randn(*X) for _ in range(6)]

    def run(compiled):
        keeper = Keeper()
        step = getattr(keeper, name)
        step = torch.compile(step) if compiled else step
        found, held = [], []
        for x in made:
            result = step(x.clone())
            held.append(result if kept else None)
            found.append((bits(result), keeper.state()))
        return found

    expected = run(False)
    found, warned = warnings_of(lambda: run(True))
    assert found == expected
    assert len(warned) <= 1


def test_nonlocal_counter():
    def run(compiled):
        count = 0

        def step(x):
            nonlocal count
            count += 1
            return x * count

        step = torch.compile(step) if compiled else step
        return [step(torch.ones(2)).tolist() for _ in range(6)], count

    found, _ = warnings_of(lambda: run(True))
    assert found == run(False)


TOTAL = 0.0


def test_global_counter():
    def step(x):
        global TOTAL
        TOTAL += 1
        return x * 2

    step = torch.compile(step)
    warnings_of(lambda: [step(torch.ones(2)) for _ in range(6)])
    assert TOTAL == 6


@pytest.mark.parametrize(
    "draw",
    [
        lambda r, n: random.random(),
        lambda r, n: r.random(),
        lambda r, n: float(np.random.rand()),
        lambda r, n: torch.from_numpy(np.random.rand(3)),
        lambda r, n: float(n.normal()),
    ],
    ids=["random", "Random", "numpy", "numpy array", "Generator"],
)
def test_random_numbers_of_python_and_numpy(draw):
    def run(compiled):
        random.seed(1)
        np.random.seed(1)
        own, generator = random.Random(1), np.random.default_rng(1)

        def step(x):
            return x * draw(own, generator)

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1 and "random" in warned[0]


@pytest.mark.parametrize("kind", ["iterator", "generator", "loader", "shuffled loader"])
def test_batches_taken_in_the_step(kind):
    def run(compiled):
        torch.manual_seed(2)
        data = [torch.randn(3) for _ in range(6)]
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.stack(data)), batch_size=2, shuffle=kind[0] == "s"
        )
        source = iter(data) if kind == "iterator" else (x * 2 for x in data)

        def step(x):
            if "loader" in kind:
                return sum((batch * x).sum() for (batch,) in loader)
            return x + next(source)

        step = torch.compile(step) if compiled else step
        return [bits(step(torch.ones(3))) for _ in range(5)]

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) <= 1


@pytest.mark.parametrize("kind", ["attribute", "shape", "number"])
def test_something_new_in_every_call(kind):
    """Recording again and again would cost more than it gains, so that ends."""
    keeper = Keeper()

    def step(x, factor):
        return x * factor * (1 if keeper.count % 2 else 2)

    step = torch.compile(step)

    def run():
        for k in range(100):
            x = torch.ones(k + 1 if kind == "shape" else 3)
            keeper.count = k if kind == "attribute" else 0
            factor = float(k) if kind == "number" else 1.5
            scale = 1 if keeper.count % 2 else 2
            assert step(x, factor).tolist() == [factor * scale] * len(x)

    _, warned = warnings_of(run)
    assert len(warned) == 1 and "new in every call" in warned[0]
    assert ("(count)" in warned[0]) == (kind == "attribute")


def test_shapes_that_are_new_in_every_call_are_named():
    step = torch.compile(lambda x: x.sum())
    _, warned = warnings_of(lambda: [step(torch.ones(n)) for n in range(80)])
    assert len(warned) == 1 and "new in every call (the shapes of its arguments)" in warned[0]


def test_scheduler_within_the_step():
    def run(compiled):
        torch.manual_seed(1)
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        plain = training_step(model, optimizer)

        def step(x, y):
            loss = plain(x, y)
            scheduler.step()
            return loss

        step = torch.compile(step) if compiled else step
        inputs = batches(X, (4, 2))
        return [bits(step(*inputs(k))) for k in range(5)], scheduler.get_last_lr(), state_of(model)

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1


def test_optimizer_of_the_users_own():
    class Descent(torch.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self):
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(p.grad, alpha=group["lr"])

    def run(compiled):
        torch.manual_seed(1)
        model = small_model()
        optimizer = Descent(model.parameters(), 0.1)
        step = training_step(model, optimizer)
        step = torch.compile(step) if compiled else step
        inputs = batches(X, (4, 2))
        found = []
        for k in range(6):
            if k == 3:
                optimizer.param_groups[0]["lr"] = 0.5
            found.append((bits(step(*inputs(k))), state_of(model)))
        return found

    found, _ = warnings_of(lambda: run(True))
    assert found == run(False)


def test_evaluation_mode_switched_within_the_step():
    def run(compiled):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))

        def step(x):
            model.train()
            a = model(x).detach()
            model.eval()
            return a, model(x).detach()

        step = torch.compile(step) if compiled else step
        found = [bits(step(torch.ones(2, 3))) for _ in range(3)]
        model.train()
        found += [bits(step(torch.ones(2, 3))) for _ in range(3)]
        return found, model.training

    found, _ = warnings_of(lambda: run(True))
    assert found == run(False)


def test_a_step_that_sets_the_mode_is_replayed_after_every_evaluation(recwarn):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    @torch.compile
    def step(x):
        model.train()
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.randn(5, 3)
    for _ in range(6):  # the first call of an epoch changes the mode, so it is not recorded
        for _ in range(4):
            step(x)
        model.eval()
    model.train()
    assert step.program(x) is step.programs[0] and len(step.programs) == 1
    assert not recwarn.list
