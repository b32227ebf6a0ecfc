"""Whatever a compiled function is refused for, the message says in one line what the user can do."""

from __future__ import annotations

import random
import types

import numpy as np
import pytest
from compile_cases import warnings_of

import jitgrad as torch
from jitgrad import nn, ways_out
from jitgrad.program.guard import search

X = (4, 3)
SEED = 7


def with_state(function, *state):
    """A step with objects of its own: made for each test, as the step changes them."""
    return lambda: lambda x: function(x, *(make() for make in state))


def counting():
    counts = [0]

    def step(x):
        counts[0] += 1
        return x * counts[0]

    return step


def keeping():
    kept = []

    def step(x):
        kept.append(x * 2)
        return x

    return step


def assigning():
    module = nn.Linear(3, 3)
    module.scale = 1.0

    def step(x):
        module.scale = module.scale + 1.0
        return module(x)

    return step


def growing():
    module = nn.Sequential(nn.Linear(3, 3))

    def step(x):
        module.append(nn.Identity())
        return module(x)

    return step


def hooking():
    w = torch.ones(3, requires_grad=True)

    def step(x):
        w.register_hook(lambda g: g)
        return x * 2

    return step


def taking():
    numbers = iter(range(100))
    return lambda x: x * next(numbers)


def owning(x):
    w = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)
    (x * w).sum().backward()
    optimizer.step()
    return w.detach() * 1


def of_optimizer(work):
    """A step in which `work` is done with an optimizer from outside."""

    def make():
        w = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        more = work(optimizer)

        def step(x):
            optimizer.zero_grad()
            loss = (x * w).sum()
            return more(loss) if callable(more) else loss

        return step

    return make


def schedule(optimizer):
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)

    def more(loss):
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    return more


def scaler(optimizer):
    scaler = torch.amp.GradScaler("cpu")

    def more(loss):
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return more


def with_maximize(optimizer):
    optimizer.param_groups[0]["maximize"] = torch.tensor(True)

    def more(loss):
        loss.backward()
        optimizer.step()
        return loss

    return more


def switching():
    w = torch.ones(3)
    return lambda x: x * w.requires_grad_(not w.requires_grad).detach()


def walking():
    w = torch.ones(3, requires_grad=True)
    before = (w * 2).sum()

    def step(x):
        before.backward(retain_graph=True)
        return x * 2

    return step


def moving():
    w = torch.ones(2, 3)

    def step(x):
        w.unsqueeze_(0)
        return x * 2

    return step


def reseeding():
    generator = torch.Generator()

    def step(x):
        generator.manual_seed(SEED)
        return x * torch.rand(3, generator=generator)

    return step


def disabled():
    plain = torch.compiler.disable(lambda x: x * 2)
    return lambda x: plain(x)


def setting(x):
    x.grad = torch.ones(X)
    return x * 2


def checkpointed():
    w = torch.ones(3, requires_grad=True)

    def step(x):
        return torch.utils.checkpoint.checkpoint(lambda y: (y * w).exp(), x * w, use_reentrant=True)

    return step


def catching():
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise KeyError("here")

    def step(x):
        w = torch.ones(3, requires_grad=True)
        try:
            Fails.apply(x * w).sum().backward()
        except KeyError:
            return x * 3
        return x

    return step


def much():
    table = [float(k) for k in range(search.MOST + 1)]
    return lambda x: x * table[0]


def just(function):
    return lambda: function


# what makes a step of one argument, and the way out that its refusal says
KINDS = {
    "item": (just(lambda x: x * x.sum().item()), ways_out.READ_LATER),
    "float": (just(lambda x: x * float(x.sum())), ways_out.READ_LATER),
    "bool": (just(lambda x: x * 2 if x.sum() > 0 else x), ways_out.BRANCH),
    "numpy": (just(lambda x: x * float(x.numpy()[0, 0])), ways_out.READ_LATER),
    "tolist": (just(lambda x: x * x.tolist()[0][0]), ways_out.READ_LATER),
    "nonzero": (just(lambda x: x.nonzero()), ways_out.MASK),
    "mask": (just(lambda x: x[x > 0]), ways_out.MASK),
    "masked_select": (just(lambda x: torch.masked_select(x, x > 0)), ways_out.MASK),
    "lengths": (
        just(lambda x: nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2, 1]))[0]),
        ways_out.GIVE_LIST,
    ),
    "repeats": (just(lambda x: x.repeat_interleave(torch.tensor([3, 2, 1]), 1)), ways_out.GIVE_LIST),
    "cuts": (just(lambda x: x.tensor_split(torch.tensor([1, 2]), 0)), ways_out.GIVE_LIST),
    "classes": (just(lambda x: nn.functional.one_hot(x.argmax(1))), ways_out.GIVE_CLASSES),
    "version": (just(lambda x: x * x._version), ways_out.OUTSIDE),
    "keeps": (keeping, ways_out.RETURN_TENSORS),
    "counts": (counting, ways_out.COUNT),
    "draws from Python": (just(lambda x: x * random.random()), ways_out.DRAW),
    "draws from NumPy": (just(lambda x: x * float(np.random.rand())), ways_out.DRAW),
    "optimizer of its own": (just(owning), ways_out.MAKE_OUTSIDE),
    "result of another kind": (just(lambda x: bytearray(3)), ways_out.MAKE_RESULT),
    "leaf of its own": (just(lambda x: x.detach().clone().requires_grad_()), ways_out.MAKE_LEAF),
    "assigns": (assigning, ways_out.OUTSIDE),
    "grows a module": (growing, ways_out.OUTSIDE),
    "hook": (hooking, ways_out.OUTSIDE),
    "iterator": (taking, ways_out.TAKE_ITEMS),
    "place": (just(lambda x: x * (x.data_ptr() % 7)), ways_out.OUTSIDE),
    "attribute": (just(lambda x: x * getattr(x, "scale", 2.0)), ways_out.PASS_IN),
    "schedule": (of_optimizer(schedule), ways_out.SCHEDULE),
    "scaler": (of_optimizer(scaler), ways_out.SCALER),
    "maximize": (of_optimizer(with_maximize), ways_out.GIVE_BOOL),
    "switches": (switching, ways_out.OUTSIDE),
    "walks over what was before": (walking, ways_out.DETACH),
    "moves": (moving, ways_out.OUTSIDE),
    "seeds": (reseeding, ways_out.OUTSIDE),
    "asks for the seed": (just(lambda x: x * (torch.initial_seed() % 7)), ways_out.OUTSIDE),
    "threads": (just(lambda x: x * torch.get_num_threads()), ways_out.OUTSIDE),
    "disabled": (disabled, ways_out.DISABLED),
    "gradient of an argument": (just(setting), ways_out.GRADIENT),
    "reentrant checkpoint": (checkpointed, ways_out.PLAIN_CHECKPOINT),
    "exception that is caught": (catching, ways_out.CATCH_NOTHING),
    "much": (much, ways_out.SMALLER),
}


def refusal(step, *args):
    """What a compiled function warns of."""

    def calls():
        for _ in range(5):
            step(*args)

    _, warned = warnings_of(calls)
    assert len(warned) == 1, warned
    return warned[0]


def is_one_line(message, way_out):
    return message.count(f" ({way_out}); ") == 1 and "\n" not in message


@pytest.mark.parametrize("name", KINDS)
def test_a_refusal_says_the_way_out(name):
    make, way_out = KINDS[name]
    message = refusal(torch.compile(make()), torch.randn(X))
    assert is_one_line(message, way_out), message


@pytest.mark.parametrize("name", KINDS)
def test_an_error_says_the_way_out(name):
    make, way_out = KINDS[name]
    step = torch.compile(make(), fullgraph=True)
    with pytest.raises(RuntimeError, match="which a replay cannot do") as error:
        for _ in range(2):  # the first call may only be looked at
            step(torch.randn(X))
    assert is_one_line(str(error.value), way_out), error.value


def test_a_changed_container_is_told_of_with_a_way_out():
    def step(given):
        given["n"] = given.get("n", 0) + 1
        return given["x"] * 2

    step = torch.compile(step)
    _, warned = warnings_of(lambda: [step({"x": torch.ones(2)}) for _ in range(5)])
    assert is_one_line(warned[0], ways_out.COPY)


def test_an_argument_that_shares_memory_is_told_of_with_a_way_out():
    w = torch.ones(3)

    def step(x):
        w.add_(1.0)
        return x * w

    message = refusal(torch.compile(step), w[:2].view(2, 1))
    assert is_one_line(message, ways_out.CLONE)


def test_what_is_new_in_every_call_is_told_of_with_a_way_out():
    box = types.SimpleNamespace(scale=0.0)
    step = torch.compile(lambda x: x * box.scale)

    def calls():
        for k in range(80):
            box.scale = float(k)
            step(torch.ones(1))

    _, warned = warnings_of(calls)
    assert len(warned) == 1
    assert is_one_line(warned[0], ways_out.PASS_TENSOR)


def test_every_way_out_is_used():
    used = {way_out for _, way_out in KINDS.values()} | {ways_out.COPY, ways_out.CLONE, ways_out.PASS_TENSOR}
    told = {x for n, x in vars(ways_out).items() if n.isupper()}
    assert used <= told
    assert told - used == {ways_out.LET_GO, ways_out.WALK_WITHIN, ways_out.MEMORY}
