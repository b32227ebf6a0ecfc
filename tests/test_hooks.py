"""Hooks on tensors: what they see, in which order, what they may replace, and how they end."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.utils.hooks import RemovableHandle


def seen(log, name):
    """A hook that only looks."""
    return lambda g: log.append((name, g.tolist()))


def test_hooks_of_leaves_and_intermediates_see_complete_gradients_in_the_order_of_the_walk():
    x, log = leaf(1.0, 2.0), []
    h = x * 3
    x.register_hook(seen(log, "x"))
    h.register_hook(seen(log, "h"))
    (h * h + h).sum().backward()
    assert log == [("h", [7.0, 13.0]), ("x", [21.0, 39.0])]
    assert x.grad.tolist() == [21.0, 39.0]


def test_hooks_replace_gradients_one_after_another():
    x = leaf(1.0)
    h = x * 2
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: None)
    h.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: -g)
    (h * 3).backward()
    assert x.grad.item() == -(3.0 * 10 + 1) * 2


@pytest.mark.parametrize("first", ["retain", "hook"])
def test_retained_gradients_are_those_after_the_hooks(first):
    x = leaf(1.0)
    h = x * 2
    if first == "retain":
        h.retain_grad()
    h.register_hook(lambda g: g * 10)
    h.retain_grad()
    (h * 3).backward()
    assert h.grad.item() == 30.0
    assert x.grad.item() == 60.0


def test_a_hook_on_the_root_sees_the_seed():
    x = leaf(2.0)
    y = x * 5
    y.register_hook(lambda g: g * 2)
    y.backward(torch.tensor([3.0]))
    assert x.grad.item() == 30.0


def test_a_hook_on_a_root_that_is_a_leaf():
    x = leaf(2.0)
    x.register_hook(lambda g: g * 7)
    x.backward()
    assert x.grad.item() == 7.0


def test_autograd_grad_runs_the_hooks_of_what_it_passes_and_of_its_inputs():
    x, w, log = leaf(1.0), leaf(4.0), []
    h = x * 2
    y = h * w
    for name, t in (("x", x), ("w", w), ("h", h)):
        t.register_hook(seen(log, name))
    h.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda p: log.append("accumulated"))
    (gh,) = torch.autograd.grad(y, h, retain_graph=True)
    assert log == [("h", [4.0])]
    assert gh.item() == 40.0
    log.clear()
    (gx,) = torch.autograd.grad(y, x)
    assert log == [("h", [4.0]), ("x", [80.0])]
    assert gx.item() == 80.0
    assert x.grad is None


def test_backward_with_inputs_runs_the_hooks_of_those_alone():
    x, w, log = leaf(1.0), leaf(4.0), []
    x.register_hook(seen(log, "x"))
    w.register_hook(seen(log, "w"))
    (x * w).backward(inputs=[w])
    assert log == [("w", [1.0])]
    assert x.grad is None


def test_hooks_run_with_create_graph_too_and_are_differentiated():
    x, log = leaf(2.0), []
    h = x * x
    h.register_hook(lambda g: log.append(torch.is_grad_enabled()) or g * x)
    (gx,) = torch.autograd.grad(h * 3, x, create_graph=True)
    assert gx.item() == 3 * 2.0 * 4.0  # 3 x (2 x)
    (second,) = torch.autograd.grad(gx, x)
    assert second.item() == 3 * 4 * 2.0
    assert log[0] is True


def test_backward_with_create_graph_runs_every_kind_of_hook():
    x, log = leaf(2.0), []
    y = x.exp()
    x.register_hook(seen(log, "x"))
    x.register_post_accumulate_grad_hook(lambda p: log.append("accumulated"))
    y.grad_fn.register_prehook(lambda o: log.append("before") or (o[0] * 2,))
    y.grad_fn.register_hook(lambda i, o: log.append("after") or (i[0] * 5,))
    y.backward(create_graph=True)
    expected = 10 * np.exp(np.float32(2.0))
    assert x.grad.item() == pytest.approx(expected, rel=1e-6)
    assert [e if isinstance(e, str) else e[0] for e in log] == ["before", "after", "x", "accumulated"]
    x.grad = None


def test_hooks_run_without_recording():
    modes = []
    x = leaf(1.0)
    x.register_hook(lambda g: modes.append((torch.is_grad_enabled(), g.requires_grad)))
    (x * 2).backward()
    assert modes == [(False, False)]


def test_a_hook_stays_for_every_walk_and_runs_once_in_each():
    x, log = leaf(1.0), []
    x.register_hook(seen(log, "x"))
    y = x * 2
    y.backward(retain_graph=True)
    y.backward()
    (x * 5).backward()
    assert log == [("x", [2.0]), ("x", [2.0]), ("x", [5.0])]
    assert x.grad.item() == 9.0


def test_handles_remove_hooks_twice_and_as_context_managers():
    x, log = leaf(1.0), []
    handle = x.register_hook(seen(log, "a"))
    assert isinstance(handle, RemovableHandle)
    with x.register_hook(seen(log, "b")):
        (x * 1).backward()
    handle.remove()
    handle.remove()
    (x * 1).backward()
    assert log == [("a", [1.0]), ("b", [1.0])]


def test_a_hook_that_removes_itself():
    x, log = leaf(1.0), []

    def once(g):
        log.append(g.item())
        handle.remove()

    handle = x.register_hook(once)
    x.register_hook(lambda g: log.append("other"))
    for _ in range(2):
        (x * 1).backward()
    assert log == [1.0, "other", "other"]


def test_hooks_of_a_tensor_whose_handle_is_gone():
    x, log = leaf(1.0), []
    h = x * 2
    h.register_hook(seen(log, "h"))
    y = h * 3
    del h
    z = leaf(5.0)
    z.register_hook(seen(log, "z"))
    y = y * z
    del z
    gc.collect()
    y.backward()
    assert log == [("h", [15.0]), ("z", [6.0])] or log == [("z", [6.0]), ("h", [15.0])]


def test_a_hook_registered_before_a_write_in_place_sees_the_gradient_of_the_value_before():
    x, log = leaf(1.0), []
    h = x * 2
    h.register_hook(seen(log, "before"))
    h.mul_(10)
    h.register_hook(seen(log, "after"))
    (h * 3).backward()
    assert log == [("after", [3.0]), ("before", [30.0])]


def test_only_the_outputs_that_a_walk_reaches_call_their_hooks():
    x, log = leaf(3.0, 1.0, 2.0), []
    values, _ = x.sort()
    a, b = values.split([1, 2])
    a.register_hook(seen(log, "a"))
    b.register_hook(seen(log, "b"))
    (b * 2).sum().backward()
    assert log == [("b", [2.0, 2.0])]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (lambda g: 3.0, TypeError, "expected Variable, but hook .* returned 'float'"),
        (lambda g: g.double(), RuntimeError, "has changed the type of value"),
        (lambda g: g.reshape(2, 1), RuntimeError, "has changed the size of value"),
    ],
)
@pytest.mark.parametrize("where", ["leaf", "intermediate"])
def test_what_a_hook_may_not_return(returned, error, message, where):
    x = leaf(1.0, 2.0)
    h = x * 2
    handle = (x if where == "leaf" else h).register_hook(returned)
    y = (h * 3).sum()
    before = usage()
    with pytest.raises(error, match=message):
        y.backward(retain_graph=True)
    assert x.grad is None
    assert usage().rows == before.rows
    handle.remove()
    y.backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_errors_of_registration():
    with pytest.raises(
        RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"
    ):
        torch.ones(1).register_hook(print)
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        torch.ones(1).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="cannot be registered on non-leaf tensors"):
        (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(TypeError, match="expected a callable"):
        leaf(1.0).register_hook(3)


def test_an_exception_in_a_hook_passes_and_the_graph_survives():
    x = leaf(1.0)
    h = x * 2
    y = h * 3

    def bad(g):
        raise ZeroDivisionError("on purpose")

    handle = h.register_hook(bad)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        y.backward(retain_graph=True)
    assert x.grad is None
    handle.remove()
    y.backward()
    assert x.grad.item() == 6.0


def test_a_walk_inside_a_hook():
    x, w = leaf(2.0), leaf(3.0)
    h = x * 2

    def inner(g):
        with torch.enable_grad():
            (w * 5).backward()
        return g * w.grad

    h.register_hook(inner)
    (h * w).backward()
    assert w.grad.item() == 5.0 + 4.0
    assert x.grad.item() == 2 * 3 * 5.0


def test_hooks_go_with_their_tensors():
    class Thing:
        pass

    before = usage()
    for _ in range(20):
        x, thing = leaf(1.0, 2.0), Thing()
        h = x * 2
        # each refers to its own tensor
        h.register_hook(lambda g, h=h, thing=thing: None)
        x.register_hook(lambda g, x=x: None)
        (h * 3).sum().backward()
        alive = weakref.ref(thing)
        del x, h, thing
    gc.collect()
    assert alive() is None
    assert usage() == before


def test_notes_of_tensors_that_are_gone_are_forgotten():
    from jitgrad.autograd.notes import FEWEST, notes

    for _ in range(5 * FEWEST):
        leaf(1.0).register_hook(lambda g: g)
    assert len(notes) <= 2 * FEWEST


def test_copies_do_not_have_the_hooks():
    import copy
    import pickle

    x = leaf(1.0)
    x.register_hook(lambda g: g * 10)
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        (y * 1).backward()
        assert y.grad.item() == 1.0


# after accumulation ---------------------------------------------------------------------------------


def test_post_accumulate_hooks_get_the_tensor_itself_with_its_gradient():
    x, w, log = leaf(1.0), leaf(5.0), []
    x.register_post_accumulate_grad_hook(lambda p: log.append(({x: True}[p], p.grad.item())))
    (x * w).backward()
    (x * w).backward()
    assert log == [(True, 5.0), (True, 10.0)]


def test_an_optimizer_step_in_a_post_accumulate_hook():
    x = leaf(1.0)
    optimizer = torch.optim.SGD([x], lr=0.5)

    def update(p):
        optimizer.step()
        optimizer.zero_grad()

    x.register_post_accumulate_grad_hook(update)
    (x * 4).backward()
    assert x.item() == -1.0
    assert x.grad is None
