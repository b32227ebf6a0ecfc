"""Grad modes: as context managers and decorators, nested, through exceptions and generators, per thread."""

from __future__ import annotations

import threading

import pytest
from grad_modes import recording

import jitgrad as torch

MODES = {
    "no_grad": (lambda: torch.no_grad(), False),
    "enable_grad": (lambda: torch.enable_grad(), True),
    "inference_mode": (lambda: torch.inference_mode(), False),
    "inference_mode(False)": (lambda: torch.inference_mode(False), True),
    "set_grad_enabled(False)": (lambda: torch.set_grad_enabled(False), False),
    "set_grad_enabled(True)": (lambda: torch.set_grad_enabled(True), True),
}


@pytest.mark.parametrize("name", MODES)
def test_context_manager(name):
    make, expected = MODES[name]
    with make():
        assert recording() is expected
    assert recording()


@pytest.mark.parametrize("name", MODES)
def test_context_manager_inside_no_grad(name):
    make, expected = MODES[name]
    with torch.no_grad():
        with make():
            assert recording() is expected
        assert not recording()
    assert recording()


@pytest.mark.parametrize("name", MODES)
def test_decorator(name):
    make, expected = MODES[name]

    @make()
    def look(value, *, other):
        """What it does."""
        return recording(), value, other

    assert look(1, other=2) == (expected, 1, 2)
    assert look.__name__ == "look"
    assert look.__doc__ == "What it does."
    assert recording()
    with torch.no_grad():
        assert look(1, other=2)[0] is expected
        assert not recording()


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_decorator_without_parentheses(switch):
    @switch
    def look():
        return recording()

    assert look() is False
    assert recording()


@pytest.mark.parametrize("name", MODES)
def test_exception_restores_the_mode(name):
    make, _ = MODES[name]

    @make()
    def fail():
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    assert recording()
    with pytest.raises(KeyError, match="outside"), make():
        raise KeyError("outside")
    assert recording()


def test_deep_nesting():
    with torch.no_grad():
        with torch.enable_grad():
            with torch.no_grad():
                with torch.set_grad_enabled(True):
                    assert recording()
                assert not recording()
            assert recording()
        assert not recording()
    assert recording()


def test_one_switch_entered_again_within_itself():
    switch = torch.no_grad()
    with switch:
        with switch:
            assert not recording()
        assert not recording()
    assert recording()


def test_recursive_decorated_function():
    @torch.no_grad()
    def descend(n):
        assert not recording()
        return n if n == 0 else descend(n - 1)

    assert descend(5) == 0
    assert recording()


def test_set_grad_enabled_takes_effect_at_once():
    try:
        torch.set_grad_enabled(False)
        assert not recording()
    finally:
        torch.set_grad_enabled(True)
    assert recording()


def test_set_grad_enabled_as_a_decorator_leaves_the_mode_at_definition():
    @torch.set_grad_enabled(False)
    def look():
        return recording()

    assert recording()
    assert look() is False
    assert recording()


def test_generator_holds_the_mode_only_while_it_runs():
    @torch.no_grad()
    def numbers(n):
        for k in range(n):
            assert not recording()
            got = yield k
            assert not recording()
            if got:
                yield got
        return "end"

    found = []
    walk = numbers(3)
    for k in walk:
        assert recording()
        found.append(k)
    assert found == [0, 1, 2]
    walk = numbers(1)
    assert next(walk) == 0
    assert recording()
    assert walk.send("sent") == "sent"
    with pytest.raises(StopIteration) as stop:
        next(walk)
    assert stop.value.value == "end"


def test_generator_receives_exceptions_and_is_closed():
    log = []

    @torch.no_grad()
    def numbers():
        try:
            yield 1
        except KeyError:
            assert not recording()
            log.append("caught")
            yield 2
        finally:
            assert not recording()
            log.append("closed")

    walk = numbers()
    assert next(walk) == 1
    assert walk.throw(KeyError("x")) == 2
    walk.close()
    assert log == ["caught", "closed"]
    assert recording()


def test_results_of_no_grad_are_constants_that_may_become_leaves():
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        y = x * 2
    assert y.is_leaf
    assert not y.requires_grad
    y.requires_grad_()
    (y * 3).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0]
    assert x.grad is None


def test_leaves_made_under_no_grad_can_require_grad():
    with torch.no_grad():
        x = torch.ones(2, requires_grad=True)
    assert x.requires_grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("value", [1, 0, None, "yes"])
def test_set_grad_enabled_wants_a_bool(value):
    with pytest.raises(TypeError, match="must be bool"):
        torch.set_grad_enabled(value)
    assert recording()


@pytest.mark.parametrize("decorate", [lambda c: torch.no_grad()(c), lambda c: torch.no_grad(c)])
def test_classes_are_decorated_with_a_warning(decorate):
    class Thing:
        def __init__(self):
            self.made = recording()

        def look(self):
            return recording()

    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):
        made = decorate(Thing)
    assert made().made is False
    assert made().look() is True


def test_generators_that_stop_early_and_in_other_modes():
    @torch.enable_grad()
    def numbers():
        while True:
            assert recording()
            yield recording()

    with torch.no_grad():
        walk = numbers()
        assert next(walk) is True
        assert not recording()
        walk.close()
    assert recording()


def test_mode_belongs_to_the_thread():
    inside, seen = threading.Event(), threading.Event()
    found = {}

    def other():
        inside.wait(10)
        found["before"] = recording()
        with torch.no_grad():
            found["within"] = recording()
        found["after"] = recording()
        seen.set()

    thread = threading.Thread(target=other)
    thread.start()
    with torch.no_grad():
        inside.set()
        seen.wait(10)
        assert not recording()
    thread.join()
    assert found == {"before": True, "within": False, "after": True}


def test_a_thread_that_ends_inside_no_grad_leaves_nothing_behind():
    def leave():
        torch.no_grad().__enter__()

    for _ in range(200):
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert recording()
    found = []
    thread = threading.Thread(target=lambda: found.append(recording()))
    thread.start()
    thread.join()
    assert found == [True]
