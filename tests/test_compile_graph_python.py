"""What Python code does on the way back from what a compiled function returned happens when somebody walks back."""

from __future__ import annotations

import random
import types
import warnings

import pytest

import jitgrad as torch
from jitgrad import nn


class Things:
    """What hooks and backwards of a scene reach."""

    def __init__(self):
        self.tensor = torch.zeros(1)
        self.count = 0
        self.items = []
        self.weight = nn.Parameter(torch.ones(4))
        self.weight.grad = torch.ones(4)
        self.norm = nn.BatchNorm1d(4)
        self.generator = torch.Generator().manual_seed(0)

    def seen(self):
        w, tensors = self.weight, (self.tensor, self.norm.running_mean, self.generator.get_state())
        values = [x.tolist() for x in (*tensors, torch.get_rng_state(), w, w.grad)]
        return values, self.count, len(self.items)


def adds(t, g):
    t.tensor.add_(g.sum())


def rebinds(t, g):
    t.tensor = t.tensor + g.sum()


def scales_a_gradient(t, g):
    t.weight.grad.mul_(0.5)


def sets_a_gradient(t, g):
    t.weight.grad = g.sum(0)


def draws(t, g):
    return g + torch.randn(4)


def draws_from_a_generator(t, g):
    return g + torch.randn(4, generator=t.generator)


def appends(t, g):
    t.items.append(1)


def counts(t, g):
    t.count += 1


def doubles_a_weight(t, g):
    t.weight.data = t.weight.data * 2


def writes_to_a_buffer(t, g):
    t.norm.running_mean.add_(1)


DEEDS = [adds, rebinds, scales_a_gradient, sets_a_gradient, draws, draws_from_a_generator, appends, counts,
         doubles_a_weight, writes_to_a_buffer]  # fmt: skip


def scene(deed, compiled, by_hook):
    """What is seen after each of some calls, some of which are walked back."""
    torch.manual_seed(0)
    things = Things()

    def hook(g):
        found = deed(things, g)
        return g if found is None else found

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return hook(g) * 2

    def step(x):
        h = x * things.weight
        if by_hook:
            h.register_hook(hook)
        else:
            h = Twice.apply(h)
        return h.sum() + 0 * things.norm(x).sum()

    called = torch.compile(step) if compiled else step
    x, seen = torch.ones(3, 4), []
    for walks in (False, False, True, False, True, True):
        y = called(x)
        seen.append(things.seen())
        if walks:
            y.backward()
            seen.append(things.seen())
    return seen


@pytest.mark.filterwarnings("ignore:compile. step (changes a value of Python's|keeps tensors)")
@pytest.mark.parametrize("by_hook", [True, False], ids=["hook", "function"])
@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_is_done_before_somebody_walks_back(deed, by_hook):
    assert scene(deed, True, by_hook) == scene(deed, False, by_hook)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * g * x * x


def both(compiled, walk):
    w = nn.Parameter(torch.tensor([1.0, -2.0]))

    def function(x):
        return Cube.apply(x * w), Cube.apply(w)

    called, found = torch.compile(function) if compiled else function, []
    for k in range(5):
        x = torch.tensor([0.5, 1.0 + k], requires_grad=True)
        w.grad = None
        found.append(walk(*called(x)))
        found.append([None if g is None else g.tolist() for g in (w.grad, x.grad)])
    return found, called


def walk_twice(a, b):
    a.sum().backward(retain_graph=True)
    (a.sum() + b.sum()).backward()


def walk_a_freed_graph(a, b):
    (a.sum() + b.sum()).backward()
    with pytest.raises(RuntimeError, match="a second time"):
        (a.sum() + b.sum()).backward()


WALKS = {
    "one result": lambda a, b: a.sum().backward(),
    "the other": lambda a, b: b.sum().backward(),
    "one after the other": lambda a, b: (a.sum().backward(retain_graph=True), b.sum().backward())[0],
    "twice": walk_twice,
    "freed": walk_a_freed_graph,
}


@pytest.mark.parametrize("name", WALKS)
def test_the_first_walk_may_be_any(name):
    assert both(True, WALKS[name])[0] == both(False, WALKS[name])[0]


def test_calls_are_replayed_after_the_first_walk():
    _, called = both(True, lambda a, b: (a.sum() + b.sum()).backward())
    assert len(called.programs) == 1 and not called.is_eager


def test_what_has_changed_before_the_first_walk_is_not_taken_for_what_the_call_found():
    scale = types.SimpleNamespace(by=2.0)
    w = nn.Parameter(torch.ones(2))

    def function(x):
        y = x * w
        y.register_hook(lambda g: g * scale.by)
        return y.sum()

    called = torch.compile(function)
    for before, after in ((2.0, 5.0), (2.0, 2.0), (2.0, 2.0), (3.0, 3.0)):
        w.grad, scale.by = None, before
        loss = called(torch.ones(2))
        scale.by = after
        loss.backward()
        assert w.grad.tolist() == [after] * 2
    loss, scale.by = called(torch.ones(2)), 7.0  # a replay, whose way back has been recorded with 3
    with pytest.raises(RuntimeError, match="has changed since the call"):
        loss.backward()
    w.grad = None
    called(torch.ones(2)).backward()
    assert w.grad.tolist() == [7.0] * 2


def test_what_a_custom_function_keeps_on_the_way_back_is_that_of_its_walk():
    class Sums(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, kept):
            ctx.kept = kept
            return x * 2

        @staticmethod
        def backward(ctx, g):
            ctx.kept.total = ctx.kept.total + g.sum()
            return g * 2, None

    def totals(compiled):
        kept, found = types.SimpleNamespace(total=torch.zeros(())), []
        w = nn.Parameter(torch.ones(2))

        class Twice(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.slope = x.detach() * 2
                return x * x

            @staticmethod
            def backward(ctx, g):
                return g * ctx.slope

        def function(x):
            return Twice.apply(Sums.apply(x * w, kept))

        called = torch.compile(function) if compiled else function
        for k in range(4):
            y = called(torch.full((2,), 1.0 + k))
            y.sum().backward(retain_graph=True)
            found.append(kept.total.item())
            y.square().sum().backward()
            found.append(kept.total.item())
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert totals(True) == totals(False)


def test_a_hook_that_draws_from_pythons_generator_runs_eagerly():
    w = nn.Parameter(torch.ones(2))

    def function(x):
        y = x * w
        y.register_hook(lambda g: g * random.random())
        return y.sum()

    called = torch.compile(function)
    random.seed(3)
    expected = [random.random() for _ in range(4)]
    random.seed(3)
    with pytest.warns(RuntimeWarning, match="draws random numbers from Python"):
        for number in expected:
            w.grad = None
            called(torch.ones(2)).backward()
            assert w.grad.tolist() == pytest.approx([number] * 2)


def test_an_error_of_a_hook_in_the_first_walk_is_the_users():
    w, fails = nn.Parameter(torch.ones(2)), [True]

    def hook(g):
        if fails.pop() if fails else False:
            raise KeyError("mine")
        return g

    def function(x):
        y = x * w
        y.register_hook(hook)
        return y.sum()

    called = torch.compile(function)
    loss = called(torch.ones(2))
    with pytest.raises(KeyError, match="mine"):
        loss.backward(retain_graph=True)
    assert w.grad is None
    loss.backward()
    assert w.grad.tolist() == [1.0, 1.0]
