"""Functions that no replay can stand for: one warning that names the line, then eager calls with right results."""

from __future__ import annotations

import inspect
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


SCHEDULES = {
    "ExponentialLR": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    "OneCycleLR": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=9),
    "CosineAnnealingWarmRestarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    "ReduceLROnPlateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
    "ChainedScheduler": lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [torch.optim.lr_scheduler.StepLR(o, 2), torch.optim.lr_scheduler.LambdaLR(o, lambda k: 0.9**k)]
    ),
    "SequentialLR": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o, [torch.optim.lr_scheduler.ConstantLR(o), torch.optim.lr_scheduler.ExponentialLR(o, 0.5)], [2]
    ),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, swa_lr=0.01),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_scheduler_within_the_step(name):
    def run(compiled):
        torch.manual_seed(1)
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        scheduler = SCHEDULES[name](optimizer)
        plain = training_step(model, optimizer)

        def step(x, y):
            loss = plain(x, y)
            scheduler.step(*[1.0] * (name == "ReduceLROnPlateau"))
            return loss

        step = torch.compile(step) if compiled else step
        inputs = batches(X, (4, 2))
        return [bits(step(*inputs(k))) for k in range(5)], scheduler.get_last_lr(), state_of(model)

    found, warned = warnings_of(lambda: run(True))
    assert found == run(False)
    assert len(warned) == 1
    assert f"steps {name}, which counts in Python" in warned[0]


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
    for _ in range(6):  # the first call of an epoch changes the mode, so it is a program of its own
        for _ in range(4):
            step(x)
        model.eval()
    model.train()
    assert step.program(x) is step.programs[0] and len(step.programs) == 2
    assert not recwarn.list
