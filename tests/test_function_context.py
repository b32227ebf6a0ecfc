"""What the context of a custom function can do, in every corner."""

from __future__ import annotations

import gc
import weakref

import pytest
from custom_functions import function
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.autograd import Function, gradgradcheck


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.note = "kept"
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


# calling ----------------------------------------------------------------------------------------------


def test_arguments_by_keyword():
    scale = function(lambda ctx, x, n=2: (setattr(ctx, "n", n), x * n)[1], lambda ctx, g: g * ctx.n)
    x = leaf(1.0)
    scale.apply(x, n=5).backward()
    assert x.grad.item() == 5.0


def test_setup_context_gets_defaults_and_keywords_in_place():
    seen = []
    made = function(
        lambda x, n=2, *, m=3: x * n * m,
        lambda ctx, g: (g * ctx.factor, None),
        setup_context=lambda ctx, inputs, output: (
            seen.append((len(inputs), output.item())),
            setattr(ctx, "factor", 6),
        ),
    )
    x = leaf(1.0)
    made.apply(x).backward()
    assert seen == [(2, 6.0)]
    assert x.grad.item() == 6.0


def test_vjp_stands_for_backward():
    made = type(
        "Made",
        (Function,),
        {"forward": staticmethod(lambda ctx, x: x * 3), "vjp": staticmethod(lambda ctx, g: g * 3)},
    )
    x = leaf(1.0)
    made.apply(x).backward()
    assert x.grad.item() == 3.0
    both = function(lambda ctx, x: x * 3, vjp=lambda ctx, g: g)
    with pytest.raises(RuntimeError, match="Implementing both 'backward' and 'vjp'"):
        both.apply(leaf(1.0)).backward()


def test_methods_that_are_not_static():
    class Plain(Function):
        def forward(ctx, x):
            return x * 2

        def backward(ctx, g):
            return g * 2

    x = leaf(1.0)
    Plain.apply(x).backward()
    assert x.grad.item() == 2.0
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        made = Plain()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward"):
        made(x)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (lambda x: 5, 5),
        (lambda x: None, None),
        (lambda x: (x * 2, "text", None), ("tensor", "text", None)),
        (lambda x: [x * 2], ["constant"]),
    ],
)
def test_results_that_are_not_tensors_pass_through(returned, expected):
    found = function(lambda ctx, x: returned(x)).apply(leaf(1.0))
    kind = lambda t: ("tensor" if t.requires_grad else "constant") if isinstance(t, torch.Tensor) else t  # noqa: E731
    assert (type(found)(map(kind, found)) if isinstance(found, (tuple, list)) else found) == expected


def test_backward_gets_none_for_results_that_are_not_tensors():
    seen = []
    made = function(lambda ctx, x: (x * 2, "text", x * 3), lambda ctx, *g: seen.append(g) or g[0] * 2)
    x = leaf(1.0)
    made.apply(x)[0].backward()
    ((first, second, third),) = seen
    assert (first.item(), second, third.item()) == (1.0, None, 0.0)


def test_a_result_returned_twice_gets_its_gradient_at_the_last_place():
    def twice(ctx, x):
        y = x * 2
        return y, y

    x = leaf(1.0)
    before = usage()
    a, b = function(twice, lambda ctx, g, h: g + 10 * h).apply(x)
    assert a is b
    (3 * a + 5 * b).backward()
    assert x.grad.item() == 80.0
    del a, b
    x.grad = None
    assert usage() == before


def test_an_argument_that_comes_back_is_another_tensor_in_every_mode():
    same = function(lambda ctx, x: x, lambda ctx, g: g * 10)
    for x in (leaf(1.0), torch.ones(1)):
        y = same.apply(x)
        assert y is not x
        assert y.data_ptr() == x.data_ptr()
        assert y.requires_grad == x.requires_grad
    with torch.no_grad():
        assert same.apply(x) is not x


def test_a_view_of_an_argument_as_result():
    flat = function(
        lambda ctx, x: x.reshape(-1)[1:], lambda ctx, g: torch.cat([torch.zeros(1), g * 10]).reshape(2, 2)
    )
    x = torch.ones(2, 2, requires_grad=True)
    y = flat.apply(x * 1)
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 10.0], [10.0, 10.0]]


def test_functions_within_functions():
    inner = Square.apply
    outer = function(
        lambda ctx, x: (ctx.save_for_backward(x), inner(inner(x)))[1],
        lambda ctx, g: g * 4 * inner(ctx.saved_tensors[0]) * ctx.saved_tensors[0],
    )
    x = leaf(2.0)
    outer.apply(x).backward()
    assert x.grad.item() == 32.0


# saving -----------------------------------------------------------------------------------------------


def test_the_node_is_the_context():
    x = leaf(3.0)
    y = Square.apply(x)
    node = y.grad_fn
    assert type(node).__name__ == "SquareBackward"
    assert node.name() == "SquareBackward"
    assert node.note == "kept"
    assert node.saved_tensors[0].item() == 3.0
    assert node.needs_input_grad == (True,)


@pytest.mark.parametrize("kept", ["context", "node", "new node"])
def test_saved_tensors_are_gone_after_the_walk(kept):
    held = []
    made = function(
        lambda ctx, x: (held.append(ctx), ctx.save_for_backward(x), x * 2)[2], lambda ctx, g: g * 2
    )
    y = made.apply(leaf(1.0))
    node = y.grad_fn
    y.backward(retain_graph=True)
    assert len(node.saved_tensors) == 1
    y.backward()
    source = {"context": held[0], "node": node, "new node": y.grad_fn}[kept]
    with pytest.raises(RuntimeError, match="after they have already been freed"):
        _ = source.saved_tensors


def test_results_may_be_saved_without_keeping_the_graph_alive():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y, None, x)
            return y

        @staticmethod
        def backward(ctx, g):
            y, nothing, x = ctx.saved_tensors
            assert nothing is None
            return g * y + 0 * x

    x = leaf(0.5, dtype=torch.float64)
    before = usage()
    for _ in range(3):
        Exp.apply(x)
    assert usage() == before
    assert gradgradcheck(Exp.apply, (x,))


def test_contexts_are_let_go_after_the_walk():
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    made = function(
        lambda ctx, x, thing: (setattr(ctx, "thing", thing), x * 2)[1], lambda ctx, g: (g * 2, None)
    )
    y = made.apply(leaf(1.0), thing)
    del thing
    y.backward()
    gc.collect()
    assert alive() is None


def test_a_saved_result_that_was_overwritten_is_stale():
    exp = function(
        lambda ctx, x: (lambda y: (ctx.save_for_backward(y), y)[1])(x.exp()),
        lambda ctx, g: g * ctx.saved_tensors[0],
    )
    y = exp.apply(leaf(1.0))
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*MadeBackward"):
        y.backward()


@pytest.mark.parametrize(
    ("forward", "error", "message"),
    [
        (
            lambda ctx, x: ctx.save_for_backward(3),
            TypeError,
            "can only save variables, but argument 0 is of type int",
        ),
        (lambda ctx, x: ctx.mark_non_differentiable(3), RuntimeError, "only accepts variable arguments"),
        (lambda ctx, x: ctx.mark_dirty(3), RuntimeError, "mark_dirty can only accept variables"),
        (
            lambda ctx, x: (ctx.mark_dirty(x), x * 2)[1],
            RuntimeError,
            "marked as dirty .* were not returned as output",
        ),
    ],
)
def test_misuse_of_the_context(forward, error, message):
    x = leaf(1.0) * 1
    before = usage()
    for _ in range(2):
        with pytest.raises(error, match=message):
            function(forward).apply(x)
    assert usage() == before


def test_marking_a_result_as_dirty_warns():
    def forward(ctx, x):
        y = x * 2
        ctx.mark_dirty(y)
        return y

    with pytest.warns(UserWarning, match="received a tensor that was not an input"):
        y = function(forward, lambda ctx, g: g * 2).apply(leaf(1.0))
    assert y.requires_grad


def test_dirty_and_constant_results_together():
    def forward(ctx, x, y):
        x.mul_(3)
        largest = x.max()
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(largest)
        return x, largest, x * y

    x, y = leaf(1.0, 2.0), leaf(5.0, 7.0)
    h = x * 1
    made = function(forward, lambda ctx, g, none, k: (g * 3 + k * 15, k * 6))
    a, largest, b = made.apply(h, y)
    assert a is h
    assert not largest.requires_grad
    assert largest.item() == 6.0
    (a + b).sum().backward()
    assert x.grad.tolist() == [18.0, 18.0]
    assert y.grad.tolist() == [6.0, 6.0]


def test_inference_tensors_cannot_be_saved():
    with torch.inference_mode():
        c = torch.ones(1)
    made = function(lambda ctx, x, c: (ctx.save_for_backward(c), x * 2)[1])
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        made.apply(leaf(1.0), c)


def test_compiled_steps_with_custom_functions():
    def run(wrap):
        w = leaf(1.0, 2.0)
        optimizer = torch.optim.SGD([w], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (Square.apply(w) * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        call = wrap(step)
        return [call(torch.ones(2)).item() for _ in range(5)], call

    compiled, call = run(torch.compile)
    assert compiled == run(lambda f: f)[0]
    assert len(call.programs) == 1
