"""Compiled functions whose results have gradients: the walk back through them is that through eager ones."""

from __future__ import annotations

import pytest
from compile_cases import bits, random_state, small_model, state_of

import jitgrad as torch
from jitgrad import nn

X = (5, 3)


def model_with_dropout():
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, 2))


# name -> model, and how results of the (compiled) model are used: a loss of f and three inputs
USES = {
    "one": (small_model, lambda f, a, b, c: f(a).square().mean()),
    "sum of two calls": (small_model, lambda f, a, b, c: (f(a) * f(b)).sum()),
    "three calls": (small_model, lambda f, a, b, c: (f(a) * f(b) + f(c)).sum()),
    "the same input twice": (small_model, lambda f, a, b, c: (f(a) * f(a)).sum()),
    "dropout": (model_with_dropout, lambda f, a, b, c: f(a).square().mean()),
    "dropout twice": (model_with_dropout, lambda f, a, b, c: (f(a) * f(b)).mean()),
    "chain": (lambda: nn.Linear(3, 3), lambda f, a, b, c: f(f(a).tanh()).square().sum()),
    "long chain": (lambda: nn.Linear(3, 3), lambda f, a, b, c: f(f(f(f(a)).relu())).square().sum()),
    "an unused call": (small_model, lambda f, a, b, c: (f(a), f(b).sum())[1]),
    "part of the result": (small_model, lambda f, a, b, c: f(a)[0, 1] + f(b)[:, 0].sum()),
    "other shapes": (small_model, lambda f, a, b, c: f(a).sum() + f(b[:2]).prod() + f(c[0]).sum()),
    "input with a history": (small_model, lambda f, a, b, c: f((a * b).tanh()).square().mean()),
    "expanded cotangent": (small_model, lambda f, a, b, c: f(a).sum()),
    "result written in place": (small_model, lambda f, a, b, c: f(a).mul_(2.0).square().sum()),
    "activation": (nn.Softplus, lambda f, a, b, c: (f(a) * f(b)).sum()),
    "loss": (lambda: nn.functional.mse_loss, lambda f, a, b, c: f(a, b) + f(b, c)),
}


@pytest.mark.parametrize("leaves", ["parameters", "inputs"])
@pytest.mark.parametrize("name", USES)
def test_gradients(name, leaves):
    make, use = USES[name]

    def run(compiled):
        torch.manual_seed(6)
        model = make()
        f = torch.compile(model, fullgraph=True) if compiled else model
        parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
        found = []
        for k in range(5):
            inputs = [torch.randn(*X, requires_grad=leaves == "inputs") for _ in range(3)]
            loss = use(f, *inputs)
            if loss.requires_grad:
                loss.backward()
            found.append((bits(loss), [bits(t.grad) for t in (*inputs, *parameters)], random_state()))
            with torch.no_grad():
                for p in parameters:
                    if k % 2 and p.grad is not None:
                        p.sub_(p.grad, alpha=0.1)
                        p.grad = None
        return found

    assert run(True) == run(False)


def test_a_cotangent_that_lies_across_memory_is_put_in_order():
    """A product of operands that lie otherwise may take its terms in another order, so bits may differ."""
    model = nn.Linear(3, 5)
    compiled = torch.compile(model, fullgraph=True)
    for k in range(4):
        torch.manual_seed(k)
        leaves = [torch.randn(*X, requires_grad=True), *model.parameters()]
        other = torch.randn(*X)
        found, expected = (
            torch.autograd.grad((f(leaves[0]).t() @ other).square().sum(), leaves) for f in (compiled, model)
        )
        for ours, eager in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, eager)


def test_some_results_have_gradients():
    w = torch.ones(3, requires_grad=True)

    def function(x):
        y = x * w
        return {"y": y, "sum": y.sum(), "x": x, "constant": torch.ones(2), "detached": y.detach(), "w": w}

    step = torch.compile(function, fullgraph=True)
    for k in range(4):
        x = torch.full((3,), float(k))
        found, expected = step(x), function(x)
        assert bits(found) == bits(expected)
        assert [v.requires_grad for v in found.values()] == [v.requires_grad for v in expected.values()]
        assert found["x"] is x and found["w"] is w
        (found["sum"] * 2 + found["y"][0]).backward()
        assert w.grad.tolist() == [3.0 * k, 2.0 * k, 2.0 * k]
        w.grad = None


def test_walking_back_twice():
    model = small_model()
    f = torch.compile(model)
    for _ in range(3):
        x = torch.randn(*X)
        for p in model.parameters():
            p.grad = None
        loss = f(x).square().mean()
        loss.backward(retain_graph=True)
        once = [2 * p.grad for p in model.parameters()]
        loss.backward()
        assert bits([p.grad for p in model.parameters()]) == bits(once)
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()


def test_graphs_kept_over_many_calls():
    """Results kept in a list, and walked back in another order."""
    model = small_model()
    f = torch.compile(model)
    inputs = [torch.randn(*X) for _ in range(6)]
    losses = [f(x).square().mean() for x in inputs]
    for k in (3, 0, 5, 1, 4, 2):
        model.zero_grad()
        losses[k].backward()
        found = bits([p.grad for p in model.parameters()])
        model.zero_grad()
        model(inputs[k]).square().mean().backward()
        assert found == bits([p.grad for p in model.parameters()])


def test_training_and_evaluation_take_turns():
    def run(compiled):
        torch.manual_seed(1)
        model = model_with_dropout()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        f = torch.compile(model, fullgraph=True) if compiled else model
        found = []
        for _ in range(4):
            model.train()
            loss = f(torch.randn(*X)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                found.append((bits(loss), bits(f(torch.randn(*X))), state_of(model, optimizer)))
        return found

    assert run(True) == run(False)


def test_gradient_of_autograd_grad():
    model = small_model()
    f = torch.compile(model)
    for _ in range(3):
        x = torch.randn(*X, requires_grad=True)
        found = torch.autograd.grad(f(x).square().sum(), [x, *model.parameters()])
        expected = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()])
        assert bits(found) == bits(expected)
        assert x.grad is None


def penalty(function, x):
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    return gradient.square().sum()


def test_second_gradients_through_a_compiled_module_are_refused_not_left_out():
    model = small_model()
    f = torch.compile(model)
    x = torch.randn(*X, requires_grad=True)
    for _ in range(3):
        loss = f(x).square().mean() + penalty(f, x)
        with pytest.raises(RuntimeError, match="has no graph"):
            loss.backward()
        (first,) = torch.autograd.grad(
            f(x).sum(), x, create_graph=True
        )  # which is all that is asked for here
        (expected,) = torch.autograd.grad(model(x).sum(), x)
        assert bits(first.detach()) == bits(expected)


def test_second_gradients_within_a_compiled_step():
    model = small_model()

    def step(x):
        model.zero_grad()
        x = x.detach().requires_grad_()
        (model(x).square().mean() + penalty(model, x)).backward()
        return [p.grad * 1 for p in model.parameters() if p.grad is not None]

    compiled = torch.compile(step, fullgraph=True, options={"strips": False})
    for _ in range(4):
        x = torch.randn(*X)
        assert bits(compiled(x)) == bits(step(x))


class TwoHeads(nn.Module):
    """Two results of different parameters, of one input."""

    def __init__(self):
        super().__init__()
        self.policy, self.value = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x):
        return self.policy(x), self.value(x)


@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)])
def test_results_without_a_cotangent_give_no_gradients(used):
    """None, not zeros, which momentum and weight decay would take for a gradient."""
    model = TwoHeads()
    compiled = torch.compile(model, fullgraph=True)
    for _ in range(5):
        x = torch.randn(4, 8)
        found = []
        for function in (compiled, model):
            model.zero_grad()
            sum(r.square().sum() for k, r in enumerate(function(x)) if k in used).backward()
            found.append([None if p.grad is None else p.grad.tolist() for p in model.parameters()])
        assert found[0] == found[1]


def test_an_unused_argument_of_a_used_result_is_reported():
    step = torch.compile(lambda x, y: (x * 2, y * 3, x * y), fullgraph=True)
    x, y = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    for _ in range(4):
        first, second, _ = step(x, y)
        assert torch.autograd.grad(first.sum(), [x, y], allow_unused=True)[1] is None
        with pytest.raises(RuntimeError, match="not have been used in the graph"):
            torch.autograd.grad(second.sum(), [x, y])


@pytest.mark.parametrize("several", [False, True])
def test_a_step_that_retains_its_graph_is_replayed_and_refuses_the_walk_like_the_eager_one(several, recwarn):
    def trained(compiled):
        torch.manual_seed(0)
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

        def step(x):
            y = model(x)
            loss = y.square().mean()
            optimizer.zero_grad()
            loss.backward(retain_graph=True)
            optimizer.step()
            return (loss, y) if several else (loss,)

        run = torch.compile(step) if compiled else step
        x = torch.randn(X)
        for _ in range(6):
            results = run(x)
        for result in results:
            assert result.requires_grad
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                result.sum().backward()
        if compiled:
            assert len(run.programs) == 1
            run.program(x).show()
        return [r.detach() for r in results], state_of(model)

    (eager, weights), (replayed, other) = trained(False), trained(True)
    assert [bits(x) for x in eager] == [bits(x) for x in replayed]
    assert weights == other and not recwarn.list


VIEWS_OF_A_PARAMETER = {
    "the view": lambda w: (w[1:3],),
    "the view and what was computed from it": lambda w: (w[1:3], w[1:3] * 2),
    "a transposed view, twice": lambda w: (w.view(2, 3).t(),) * 2,
    "a view that retains its gradient": lambda w: (w[1:3].requires_grad_(), w.sum()),
}


@pytest.mark.parametrize("name", VIEWS_OF_A_PARAMETER)
def test_a_returned_view_of_a_parameter_hands_its_gradient_on_once(name):
    w, make = torch.arange(6.0).requires_grad_(), VIEWS_OF_A_PARAMETER[name]
    compiled = torch.compile(lambda: make(w), fullgraph=True)
    for _ in range(4):
        found = []
        for function in (compiled, lambda: make(w)):
            w.grad = None
            sum(r.square().sum() for r in function()).backward()
            found.append(w.grad.tolist())
        assert found[0] == found[1]


def test_a_returned_view_leaves_nothing_that_later_programs_guard():
    w = torch.arange(6.0).requires_grad_()
    steps = [torch.compile(lambda k=k: w[k:]) for k in range(3)]
    assert [len(step.program().guarded) for step in steps] == [1, 1, 1]


def test_a_result_whose_graph_the_step_has_freed_in_part_is_not_walked_back_silently():
    w = torch.ones(3, requires_grad=True)

    def function(x):
        y = (w * x).sin()
        result = y * 2
        (y * y).sum().backward()
        return result, w * x

    step = torch.compile(function, fullgraph=True)
    for _ in range(4):
        w.grad = None
        found, other = step(torch.ones(3))
        with pytest.raises(RuntimeError, match="second time"):
            found.sum().backward()
        before = w.grad.clone()
        other.sum().backward()
        assert (w.grad - before).tolist() == [1.0] * 3


def test_a_weight_that_is_only_detached_is_not_in_the_graph_of_the_results():
    w = torch.ones(3, requires_grad=True)
    step = torch.compile(lambda x: ((x * w.detach()) ** 2).sum())
    for _ in range(4):
        gradient = torch.func.grad(step)(torch.ones(3))
        assert not gradient.requires_grad
        assert gradient.numpy().tolist() == [2.0] * 3


def test_the_row_of_a_compiled_call_has_a_name_that_people_read():
    f = torch.compile(lambda x: (x * x).sum())
    x = torch.ones(2, requires_grad=True)
    assert [f(x).grad_fn.name(), f(x).grad_fn.name()] == ["CompiledFunctionBackward"] * 2
    assert "grad_fn=<CompiledFunctionBackward>" in repr(f(x))
