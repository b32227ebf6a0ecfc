"""`jitgrad.op`: declaring, misuse, and the kernel cache."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from custom_ops import (
    bent,
    conv_backward,
    conv_forward,
    dot,
    dot_back_b,
    gated,
    leaf,
    slide,
)

import jitgrad as torch
from jitgrad.kernels import BY_NAME, OPS
from jitgrad.kernels import formula as F
from jitgrad.kernels.fingerprint import fingerprint
from jitgrad.store import store

ALPHA = 1.5

# declaring ------------------------------------------------------------------------------------------


def test_the_same_declaration_again_is_the_same_operation():
    count = len(OPS)
    again = torch.op("bent", lambda x: (F.sqrt(x * x + 1.0) - 1.0) / 2.0 + x)
    assert again is bent
    same = torch.op(
        "slide",
        conv_forward,
        signature="(n),(k)->(m)",
        sizes={"m": lambda n, k: n - k + 1},
        backward=conv_backward,
    )
    assert same is slide
    assert len(OPS) == count


def test_another_declaration_of_a_name_is_refused_or_replaces():
    first = torch.op("changing", lambda x: x * 2.0)
    x = torch.tensor([3.0], requires_grad=True)
    y = first(x)

    @torch.compile
    def step(x):
        return first(x)

    assert step(x.detach()).tolist() == [6.0]
    with pytest.raises(ValueError, match="'changing' is declared already, with other code"):
        torch.op("changing", lambda x: x * x)
    second = torch.op("changing", lambda x: x * x, replace=True)
    assert second(x.detach()).tolist() == [9.0]
    assert step(x.detach()).tolist() == [6.0]
    (y * second(x)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [2 * 9 + 6 * 6])


def test_names_of_jitgrads_own_operations_are_taken():
    for name in ("add", "linear"):
        with pytest.raises(ValueError, match="is an operation of jitgrad's own"):
            torch.op(name, lambda x: x + 1)
    for name in ("a.b", "update", "2x", "", "lambda"):
        with pytest.raises(ValueError, match="cannot be the name of an operation"):
            torch.op(name, lambda x: x + 1)


def test_wrong_gradients_are_found():
    with pytest.raises(RuntimeError, match=r"'wrong': the gradient of 'x' is wrong at x = .*numerical"):
        torch.op("wrong", lambda x: F.exp(x), x=lambda y, g: 2 * g * y)
    assert "wrong" not in BY_NAME
    torch.op("wrong", lambda x: F.exp(x), x=lambda y, g: 2 * g * y, check=False)

    def back(b, g, grad):
        for i in range(b.shape[0]):
            grad[i] = -g * b[i]

    with pytest.raises(RuntimeError, match=r"'dots': the gradient of 'a' is wrong at element \(0,\)"):
        torch.op("dots", dot, signature="(n),(n)->()", a=back, b=dot_back_b)


def test_a_domain_for_the_check():
    with pytest.raises(RuntimeError, match=r"finite and smooth at only .* samples=\{'x': \(low, high\)\}"):
        torch.op("far", lambda x: F.sqrt(x - 10))
    torch.op("far", lambda x: F.sqrt(x - 10), samples={"x": (11, 20)})


def test_formulas_that_cannot_be_derived_say_why():
    with pytest.raises(TypeError, match=r"cannot be derived .*may not branch on a value.*x=lambda x, g"):
        torch.op("branching", lambda x: x if x > 0 else -x)
    with pytest.raises(TypeError, match=r"cannot be derived .*functions of the math module"):
        import math

        torch.op("mathematical", lambda x: math.exp(x))
    with pytest.raises(TypeError, match=r"numpy.sinc|numpy.hypot has no counterpart"):
        torch.op("hyp", lambda x: np.hypot(x, 1.0))
    with pytest.raises(TypeError, match="gives a truth value"):
        torch.op("truth", lambda x: x > 0)


def test_functions_on_arrays_without_gradient_say_so():
    with pytest.raises(
        TypeError, match=r"no gradient for a, b: it cannot be derived .*constant=\['a', 'b'\]"
    ):
        torch.op("bare", dot, signature="(n),(n)->()")
    assert not torch.op("bare", dot, signature="(n),(n)->()", constant=True)(
        leaf((2,)), leaf((2,))
    ).requires_grad


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("bad", 3), {}, TypeError, "expected a function as forward, got int"),
        (("bad", lambda x: x), {"z": lambda g: g}, ValueError, r"unknown operands \['z'\]"),
        (("bad", lambda x: x), {"x": lambda q: q}, ValueError, r"reads \['q'\]; it may read x, y, g"),
        (("bad", lambda y: y), {}, ValueError, "a parameter may not be called y"),
        (("bad", lambda exp, t1: exp * t1), {}, ValueError, "a parameter may not be called exp or t1"),
        (("bad", lambda *x: x), {}, ValueError, "must be an operand or have a number"),
        (("bad", lambda x, a="b": x), {}, ValueError, "default of 'a' must be a number, got str"),
        (("bad", lambda: 1.0), {}, ValueError, "has no operands"),
        (("bad", lambda a, b, c, d, e: a), {}, ValueError, "at most 4 operands, got 5"),
        (("bad", lambda x: x), {"constant": ["w"]}, ValueError, r"constant names unknown operands \['w'\]"),
        (("bad", lambda x: x), {"backward": dot}, ValueError, "backward belongs to operations on arrays"),
        (("bad", dot), {"signature": "n->m"}, ValueError, r"signature 'n->m': expected .*for example"),
        (("bad", dot), {"signature": "(n)->()"}, ValueError, "takes 2 arrays; it takes 3: a, b, out"),
        (
            ("bad", dot),
            {"signature": "(n),(n)->(m)"},
            ValueError,
            "how large dimension 'm' of the result is",
        ),
        (
            ("bad", dot),
            {"signature": "(n),(n)->()", "a": lambda q: 0},
            ValueError,
            "parameter 'q' .* none of",
        ),
        (
            ("bad", dot),
            {"signature": "(n),(n)->()", "a": lambda a: 0},
            ValueError,
            "must fill a parameter called",
        ),
    ],
)
def test_misuse(arguments, options, error, message):
    with pytest.raises(error, match=message):
        torch.op(*arguments, **options)
    assert "bad" not in BY_NAME


def test_functions_that_raise_or_leave_their_arrays_are_refused():
    def raising(x, out):
        if x[0] > 0:
            raise ValueError("no")

    with pytest.raises(ValueError, match="raising raises, which a kernel cannot do"):
        torch.op("bad", raising, signature="(n)->()", constant=True)

    def leaving(x, out):
        out[0] = x[x.shape[0]]

    with pytest.raises(RuntimeError, match=r"leaving fails on arrays of x: .*IndexError"):
        torch.op("bad", leaving, signature="(n)->()", constant=True)


def test_what_numba_cannot_compile_is_an_error_when_it_is_called():
    def odd(x, out):
        out[0] = x.nothing

    op = torch.op("odd", odd, signature="(n)->()", constant=True, check=False)
    with pytest.raises(RuntimeError, match="odd: Numba cannot compile its kernel for float32"):
        op(torch.ones(3))


def test_functions_that_make_arrays_are_refused():
    def summing(x, out):
        out[0] = (x * 2.0).sum()

    op = torch.op("rows_summed_once", summing, signature="(n)->()", constant=True)
    with pytest.raises(
        RuntimeError, match="rows_summed_once: its function makes an array, which a kernel cannot do"
    ):
        op(torch.ones(3))


def test_wrong_calls():
    with pytest.raises(TypeError, match=r"gated\(\): expected \(x, w, slope\), got missing \['w'\]"):
        gated(torch.ones(2))
    with pytest.raises(TypeError, match=r"unexpected \['tilt'\]"):
        gated(torch.ones(2), torch.ones(2), tilt=1)
    with pytest.raises(TypeError, match="must be Tensor, not str"):
        bent("x")
    with pytest.raises(RuntimeError, match="gated: The size of tensor a"):
        gated(torch.ones(2), torch.ones(3))


def test_the_table_grows(monkeypatch):
    count, room = len(OPS), len(store.ops)
    store.grow_ops(room + 1)
    assert len(store.ops) > room
    x = leaf((3,))
    bent(x).sum().backward()  # kernels and lines have moved
    made = torch.op("latecomer", lambda x: x * 5.0)
    assert len(OPS) == count + 1
    assert made(x).detach().tolist() == (x.detach() * 5).tolist()


# the cache ------------------------------------------------------------------------------------------


def _scaled(factor):
    def function(x, out):
        out[0] = x[0] * factor * ALPHA

    return function


def test_fingerprints_see_closures_globals_and_constants():
    same, known = fingerprint(_scaled(2.0))
    assert known
    assert fingerprint(_scaled(2.0)) == (same, True)
    assert fingerprint(_scaled(3.0))[0] != same
    global ALPHA
    ALPHA = 1.25
    assert fingerprint(_scaled(2.0))[0] != same
    ALPHA = 1.5
    assert fingerprint(_scaled(2.0)) == (same, True)
    assert fingerprint(_scaled(object())) == ("", False)


SCRIPT = """
    import jitgrad as torch

    FACTOR = {factor}

    def forward(x, out):
        for i in range(x.shape[0]):
            out[i] = x[i] * FACTOR

    def back(g, grad):
        for i in range(g.shape[0]):
            grad[i] = g[i] * FACTOR

    op = torch.op("scaled_by", forward, signature="(n)->(n)", x=back)
    flat = torch.op("shifted_by", lambda x: x + FACTOR)
    x = torch.ones(3, requires_grad=True)
    y = flat(op(x))
    y.sum().backward()
    print(y.detach().tolist(), x.grad.tolist())
"""


@pytest.mark.slow
def test_processes_share_kernels_of_the_same_code_only(tmp_path):
    def run(factor):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(SCRIPT).format(factor=factor))
        cache = Path(os.environ.get("JITGRAD_CACHE_DIR") or tmp_path)
        environment = os.environ | {"JITGRAD_CACHE_DIR": str(cache)}
        done = subprocess.run(
            [sys.executable, path], env=environment, capture_output=True, text=True, check=True
        )
        assert not done.stderr
        return done.stdout

    for factor in (2.0, 3.0, 2.0):
        assert run(factor) == f"{[2 * factor] * 3} {[factor] * 3}\n"
