"""Values computed again on the way back: the same gradients, less memory, the same random numbers."""

from __future__ import annotations

import warnings

import pytest
from usage import usage

import jitgrad as torch
from jitgrad import nn
from jitgrad.utils import checkpoint as module
from jitgrad.utils.checkpoint import checkpoint, checkpoint_sequential

BOTH = pytest.mark.parametrize("reentrant", [True, False])


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)
    )


def gradients(net, x, call):
    """Result and gradients of a run that starts from fixed random numbers."""
    torch.manual_seed(5)
    for p in (*net.parameters(), x):
        p.grad = None
    y = call()
    (y * torch.arange(1.0, 3.0)).sum().backward()
    return [y.tolist(), *(None if p.grad is None else p.grad.tolist() for p in (*net.parameters(), x))]


@BOTH
@pytest.mark.parametrize("segments", [1, 2, 3, 6])
def test_gradients_are_those_of_the_plain_model(reentrant, segments):
    net, x = model(), torch.randn(4, 3, requires_grad=True)
    plain = gradients(net, x, lambda: net(x))
    assert gradients(net, x, lambda: checkpoint(net, x, use_reentrant=reentrant)) == plain
    sequential = gradients(net, x, lambda: checkpoint_sequential(net, segments, x, use_reentrant=reentrant))
    assert sequential == plain


@BOTH
def test_random_numbers_go_on_as_without(reentrant):
    net, x = model(), torch.randn(4, 3, requires_grad=True)
    draws = []
    for call in (lambda: net(x), lambda: checkpoint(net, x, use_reentrant=reentrant)):
        torch.manual_seed(5)
        call().sum().backward()
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1]


@BOTH
def test_random_numbers_may_differ_when_asked(reentrant):
    x = torch.ones(1000, requires_grad=True)
    drop = nn.Dropout(0.5)
    y = checkpoint(drop, x, use_reentrant=reentrant, preserve_rng_state=False)
    y.sum().backward()
    assert (x.grad != y.detach()).any() == reentrant  # otherwise the mask stays with its row
    x.grad = None
    y = checkpoint(drop, x, use_reentrant=reentrant)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_less_is_kept_and_nothing_stays():
    x = torch.randn(64, 64, requires_grad=True)

    def deep(x):
        for _ in range(10):
            x = x.tanh()
        return x.sum()

    kept = {}
    for name, call in (
        ("plain", lambda: deep(x)),
        (True, lambda: checkpoint(deep, x, use_reentrant=True)),
        (False, lambda: checkpoint(deep, x, use_reentrant=False)),
    ):
        x.grad = None
        before = usage()
        y = call()
        kept[name] = usage().bytes - before.bytes
        y.backward()
        x.grad = None
        del y
        after = usage()
        assert after.rows == before.rows
        assert after.bytes <= before.bytes
        for _ in range(3):
            call()
        assert usage().bytes <= before.bytes
    assert kept[True] < kept["plain"] / 5
    assert kept[False] < kept["plain"] / 5


@BOTH
def test_several_arguments_and_results(reentrant):
    a, b = torch.tensor([2.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)

    def both(a, number, b):
        return a * b * number, b.exp(), "text"

    p, q, text = checkpoint(both, a, 3.0, b, use_reentrant=reentrant)
    assert text == "text"
    (p + q).backward()
    assert a.grad.item() == 15.0
    assert b.grad.item() == pytest.approx(6.0 + 148.4131591)


def test_keyword_arguments():
    x = torch.tensor([2.0], requires_grad=True)
    checkpoint(lambda x, *, power: x**power, x, power=3, use_reentrant=False).backward()
    assert x.grad.item() == 12.0
    with pytest.raises(ValueError, match="Unexpected keyword arguments: power"):
        checkpoint(lambda x, *, power: x**power, x, power=3, use_reentrant=True)


def test_without_reentrance_only_parameters_need_gradients_and_grad_works():
    net, x = model(), torch.randn(4, 3)
    y = checkpoint(net, x, use_reentrant=False).sum()
    found = torch.autograd.grad(y, list(net.parameters()))
    assert all(g is not None for g in found)


def test_reentrance_refuses_autograd_grad():
    x = torch.randn(4, 3, requires_grad=True)
    y = checkpoint(torch.exp, x, use_reentrant=True).sum()
    with pytest.raises(RuntimeError, match=r"incompatible with \.grad"):
        torch.autograd.grad(y, x)


def test_reentrance_warns_when_no_argument_requires_gradients():
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        y = checkpoint(model(), torch.randn(4, 3), use_reentrant=True)
    assert not y.requires_grad


def test_use_reentrant_should_be_given():
    x = torch.randn(2, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(torch.exp, x)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint_sequential([torch.exp], 1, x)


@BOTH
@pytest.mark.filterwarnings("ignore:None of the inputs")  # nothing is recorded within a reentrant one
def test_checkpoints_within_checkpoints(reentrant):
    x = torch.tensor([0.3, 0.7], requires_grad=True)
    inner = lambda x: (x.sin() * x).exp()  # noqa: E731

    def outer(x):
        return checkpoint(inner, x * 2, use_reentrant=reentrant) * x

    checkpoint(outer, x, use_reentrant=reentrant).sum().backward()
    first = x.grad.tolist()
    x.grad = None
    (inner(x * 2) * x).sum().backward()
    assert x.grad.tolist() == first


@pytest.mark.parametrize("early", [True, False])
def test_early_stop(early):
    x, calls = torch.tensor([2.0], requires_grad=True), []

    def function(x):
        y = x.exp()
        calls.append("end")
        return y + 1

    y = checkpoint(function, x, use_reentrant=False, early_stop=early)
    y.backward()
    assert calls == ["end"] if early else ["end", "end"]
    calls.clear()
    with module.set_checkpoint_early_stop(not early):
        y = checkpoint(function, x, use_reentrant=False, early_stop=early)
    y.backward()
    assert len(calls) == (2 if early else 1)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda x: x.exp(), "A different number of tensors was saved"),
        (lambda x: x.exp().double().exp(), "different metadata"),
    ],
)
def test_functions_that_do_not_do_the_same_again(second, message):
    x, runs = torch.tensor([2.0], requires_grad=True), []

    def function(x):
        runs.append(1)
        return x.exp().exp() if len(runs) == 1 else second(x)

    y = checkpoint(function, x, use_reentrant=False)
    with pytest.raises(module.CheckpointError, match=message):
        y.backward()


def test_contexts_around_both_runs():
    log = []

    class Context:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            log.append(self.name)

        def __exit__(self, *error):
            return False

    x = torch.tensor([2.0], requires_grad=True)
    y = checkpoint(
        torch.exp, x, use_reentrant=False, context_fn=lambda: (Context("first"), Context("second"))
    )
    assert log == ["first"]
    y.backward()
    assert log == ["first", "second"]
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(torch.exp, x, use_reentrant=True, context_fn=lambda: (Context("a"), Context("b")))


def test_a_graph_that_is_kept_is_computed_again_each_time():
    x = torch.tensor([2.0], requires_grad=True)
    y = checkpoint(lambda x: x.exp().exp(), x, use_reentrant=False)
    y.backward(retain_graph=True)
    first = x.grad.item()
    y.backward()
    assert x.grad.item() == pytest.approx(2 * first)


def test_gradients_of_gradients():
    x = torch.tensor([0.2, 0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda x: checkpoint(lambda x: x.exp().tanh() * x, x, use_reentrant=False), (x,)
    )


def test_an_error_in_the_function_passes_through():
    x = torch.tensor([2.0], requires_grad=True)

    def bad(x):
        x.exp()
        raise ZeroDivisionError("on purpose")

    before = usage()
    for reentrant in (True, False):
        with pytest.raises(ZeroDivisionError):
            checkpoint(bad, x, use_reentrant=reentrant)
    assert usage() == before
    x.exp().backward()


@BOTH
def test_compiled_steps_with_checkpoints(reentrant):
    def run(wrap):
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        torch.manual_seed(7)
        x, y = torch.randn(4, 3), torch.randn(4, 2)

        def step(x, y):
            optimizer.zero_grad()
            h = checkpoint(net[1:4], net[0](x), use_reentrant=reentrant)
            loss = ((net[4:](h) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        call = wrap(step)
        return [call(x, y).item() for _ in range(6)], call

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled, call = run(torch.compile)
    assert compiled == run(lambda f: f)[0]
    assert len(call.programs) == 1
