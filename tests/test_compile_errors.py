"""Errors in compiled functions: all is left as by an eager call, and the next call works."""

from __future__ import annotations

import gc
import math

import pytest
from compile_cases import batches, bits, counters, small_model, state_of, training_step, warnings_of

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)


class Mistake(Exception):
    pass


def failing(model, optimizer, where):
    """A step that raises at a place while ``FAIL[0]`` is set."""

    def check(place):
        if where == place and FAIL[0]:
            raise Mistake(place)

    def step(x, y):
        check("start")
        optimizer.zero_grad()
        check("cleared")
        out = model(x)
        check("forward")
        loss = nn.functional.mse_loss(out, y)
        loss.backward()
        check("backward")
        optimizer.step()
        check("step")
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(0.99)
        check("end")
        return loss

    return step


FAIL = [False]
PLACES = ["start", "cleared", "forward", "backward", "step", "end"]


def scenario(compiled, where, failures):
    torch.manual_seed(4)
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters())
    step = failing(model, optimizer, where)
    step = torch.compile(step) if compiled else step
    inputs = batches(X, Y)
    found = []
    for k in range(6):
        FAIL[0] = k in failures
        try:
            result = bits(step(*inputs(k)))
        except Mistake as error:
            result = str(error)
        finally:
            FAIL[0] = False
        found.append((result, state_of(model, optimizer)))
    return found


@pytest.mark.parametrize("failures", [(0,), (0, 1), (2, 3)], ids=str)
@pytest.mark.parametrize("where", PLACES)
def test_exception_of_the_users(where, failures):
    assert scenario(True, where, failures) == scenario(False, where, failures)


@pytest.mark.parametrize("where", PLACES)
def test_exception_leaves_no_memory_behind(where):
    def run():
        FAIL[0] = True
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        step = torch.compile(failing(model, optimizer, where))
        with pytest.raises(Mistake):
            step(torch.ones(*X), torch.ones(*Y))
        FAIL[0] = False
        del step, model, optimizer

    run()
    gc.collect()
    before = counters()
    for _ in range(3):
        run()
        gc.collect()
    assert counters() == before


ERRORS = {
    "shape": (lambda x, w: x @ w[:2], RuntimeError),
    "class": (lambda x, w: nn.functional.cross_entropy(x @ w, torch.tensor([0, 1, 2, 3, 9])), IndexError),
    "index": (lambda x, w: x[torch.tensor([7])], IndexError),
    "index below range": (lambda x, w: x.gather(1, torch.tensor([[-1]])), RuntimeError),
    "dtype": (lambda x, w: x.logical_and(w) @ w, RuntimeError),
    "python": (lambda x, w: x.nothing, AttributeError),
    "second walk": (lambda x, w: twice((x * w[0]).sum()), RuntimeError),
    "stale": (lambda x, w: stale(x * w[0]), RuntimeError),
    "in place on a leaf": (lambda x, w: w.add_(1), RuntimeError),
}


def twice(loss):
    loss.backward()
    loss.backward()


def stale(y):
    z = y.exp()
    z.add_(1)
    z.sum().backward()


@pytest.mark.parametrize("name", ERRORS)
def test_error_of_the_library(name):
    function, kind = ERRORS[name]

    def run(compiled):
        torch.manual_seed(0)
        w = torch.randn(3, 4, requires_grad=True)
        x = torch.randn(5, 3)
        step = torch.compile(function) if compiled else function
        for _ in range(2):
            with pytest.raises(kind) as caught:
                step(x, w)
        return str(caught.value), bits(w), bits(w.grad), bits(x)

    run(True)
    gc.collect()
    before = counters()
    expected = run(False)
    assert run(True) == expected
    gc.collect()
    assert counters() == before


def classifier(kind):
    torch.manual_seed(0)
    model = small_model()
    optimizer = torch.optim.Adam(model.parameters())
    losses = {
        "mean": nn.functional.cross_entropy,
        "sum": lambda x, t: nn.functional.cross_entropy(x, t, reduction="sum"),
        "none": lambda x, t: nn.functional.cross_entropy(x, t, reduction="none").mean(),
        "weight": lambda x, t: nn.functional.cross_entropy(x, t, torch.tensor([0.5, 1.0])),
        "smooth": lambda x, t: nn.functional.cross_entropy(x, t, label_smoothing=0.1),
        "ignore": lambda x, t: nn.functional.cross_entropy(x, t, ignore_index=1),
        "nll": lambda x, t: nn.functional.nll_loss(x.log_softmax(1), t),
        "nll weight": lambda x, t: nn.functional.nll_loss(x.log_softmax(1), t, torch.tensor([0.5, 1.0])),
        "view": lambda x, t: nn.functional.cross_entropy(x, t.view(-1)),
        "slice": lambda x, t: nn.functional.cross_entropy(x[1:], t[1:]),
        "shifted": lambda x, t: nn.functional.cross_entropy(x, t + 0),
        "int32": lambda x, t: nn.functional.cross_entropy(x, t.int().long()),
        "gather": lambda x, t: -x.log_softmax(1).gather(1, t[:, None]).mean(),
        "index": lambda x, t: -x.log_softmax(1)[torch.arange(5), t].mean(),
        "take": lambda x, t: x.square().index_select(1, t).mean(),
        "embedding": lambda x, t: (nn.functional.embedding(t, WEIGHTS) * x).mean(),
        "scatter": lambda x, t: torch.zeros(5, 2).scatter(1, t[:, None], 1.0).mul(x).mean(),
        "captured": lambda x, t: nn.functional.cross_entropy(x, TARGETS),
        "captured index": lambda x, t: x[:, TARGETS].mean(),
    }
    return model, optimizer, training_step(model, optimizer, losses[kind])


WEIGHTS = torch.arange(4.0).reshape(2, 2)
TARGETS = torch.tensor([0, 1, 1, 0, 1])
LOSSES = ["mean", "sum", "none", "weight", "smooth", "ignore", "nll", "nll weight", "view", "slice", "shifted",
          "int32", "gather", "index", "take", "embedding", "scatter", "captured", "captured index"]  # fmt: skip


@pytest.mark.parametrize("bad", [5, -1, -7, -100])
@pytest.mark.parametrize("kind", LOSSES)
def test_bad_class_index_at_replay(kind, bad):
    """The error of an eager call, and nothing has changed."""

    def run(compiled):
        model, optimizer, step = classifier(kind)
        step = torch.compile(step) if compiled else step
        x, good, wrong = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 1, bad, 0, 1])
        found = []
        for target in (good, good, wrong, good, wrong, good):
            TARGETS.copy_(target)
            before = bits(model.state_dict())
            try:
                result = bits(step(x, target))
            except (IndexError, RuntimeError) as error:
                result = type(error), str(error)
                assert bits(model.state_dict()) == before
            found.append((result, state_of(model, optimizer)))
        TARGETS.copy_(good)
        return found

    found, _ = warnings_of(lambda: run(True))
    assert found == run(False)


def test_probability_out_of_range_at_replay():
    step = torch.compile(nn.functional.binary_cross_entropy, fullgraph=True)
    targets = torch.tensor([1.0, 0.0, 0.3])
    for bad in ([0.5, 1.5, 0.2], [-0.5, 0.5, 0.2], [1.5, 0.5, 0.2], [0.5, math.nan, 0.2]):
        for _ in range(2):
            assert step(torch.tensor([0.5, 0.5, 0.2]), targets).isfinite()
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            step(torch.tensor(bad), targets)
    assert len(step.programs) == 1


def test_negative_variance_at_replay():
    step = torch.compile(nn.functional.gaussian_nll_loss)
    zeros, ones = torch.zeros(3), torch.ones(3)
    for _ in range(2):
        step(zeros, ones, torch.ones(3) * 2)
    with pytest.raises(ValueError):
        step(zeros, ones, -torch.ones(3))


DRAWS = {
    "bernoulli": (lambda p: torch.bernoulli(p), 1.5, "probabilities to be in"),
    "bernoulli of nan": (lambda p: torch.bernoulli(p), math.nan, "probabilities to be in"),
    "bernoulli_": (lambda p: torch.empty(3).bernoulli_(p), -0.5, "probabilities to be in"),
    "normal": (lambda p: torch.normal(p, p), -0.5, "std >= 0.0"),
    "normal of nan": (lambda p: torch.normal(0.0, p), math.nan, "std >= 0.0"),
    "multinomial": (lambda p: torch.multinomial(p, 2), -0.5, "< 0"),
    "multinomial of inf": (lambda p: torch.multinomial(p, 2), math.inf, "inf"),
    "multinomial of nothing": (lambda p: torch.multinomial(p, 2), 0.0, "sum of probabilities"),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_by_wrong_values_raise_in_replays_and_draw_nothing(name):
    draw, wrong, words = DRAWS[name]
    step = torch.compile(lambda p: draw(p), fullgraph=True)
    for _ in range(4):
        step(torch.full((3,), 0.5))
    before = bits(torch.get_rng_state())
    for call in (draw, step):
        with pytest.raises(RuntimeError, match=words):
            call(torch.full((3,), wrong))
        assert bits(torch.get_rng_state()) == before
    torch.manual_seed(3)
    expected = bits(draw(torch.full((3,), 0.5)))
    torch.manual_seed(3)
    assert bits(step(torch.full((3,), 0.5))) == expected
    assert len(step.programs) == 1


def _words_and_step(clears):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(words, labels):
        if clears:
            optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(words), labels)
        loss.backward()
        optimizer.step()
        return loss

    return model, step


@pytest.mark.parametrize("clears", [True, False], ids=["cleared", "added up"])
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("wrong", ["word", "label"])
def test_a_bad_index_in_run_leaves_what_the_step_itself_leaves(wrong, shuffle, clears):
    left = []
    for compiled in (False, True):
        words, labels = torch.arange(12) % 5, torch.arange(12) % 4
        (words if wrong == "word" else labels)[9] = 7
        model, step = _words_and_step(clears)
        torch.manual_seed(5)
        with pytest.raises(IndexError) as error:
            if compiled:
                run = torch.compile(step, fullgraph=True, options={"strips": False}).run
                run(words, labels, batch_size=2, epochs=2, shuffle=shuffle)
            order = torch.randperm(12) if shuffle else torch.arange(12)
            for k in range(0, 12, 2):
                step(words[order[k : k + 2]], labels[order[k : k + 2]])
        grads = [None if p.grad is None else p.grad.tolist() for p in model.parameters()]
        left.append((str(error.value), grads, [p.tolist() for p in model.parameters()]))
    assert left[0] == left[1]
