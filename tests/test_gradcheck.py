"""gradcheck and gradgradcheck: right gradients pass, wrong ones fail and are shown."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.autograd import Function, gradcheck, gradgradcheck
from jitgrad.autograd.gradcheck import GradcheckError

FAST = pytest.mark.parametrize("fast", [False, True])


def random(*shape, seed=0):
    values = np.random.default_rng(seed).uniform(0.2, 1.0, shape)
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def custom(forward, backward, name="Custom"):
    """A function of tensors with a given backward."""

    def keep(ctx, *args):
        ctx.save_for_backward(*args)
        return forward(*args)

    body = {"forward": staticmethod(keep), "backward": staticmethod(backward)}
    return type(name, (Function,), body).apply


RIGHT = {
    "unary": (lambda x: x.tanh(), lambda: (random(2, 3),)),
    "two": (lambda x, y: x @ y, lambda: (random(2, 3), random(3, 2, seed=1))),
    "several results": (lambda x: (x.exp(), x.sum(1), x.detach()), lambda: (random(2, 3),)),
    "a list": (lambda x: [x * 2, x * x], lambda: (random(3),)),
    "a constant among arguments": (lambda x, k, c: x**k * c, lambda: (random(3), 3, random(3).detach())),
    "unused": (lambda x, y: x * 2, lambda: (random(3), random(3))),
    "scalar": (lambda x: x * x, lambda: (random(),)),
    "empty": (lambda x: x * 2, lambda: (random(0, 3),)),
    "not contiguous": (lambda x: x.softmax(0), lambda: (random(3, 2).detach().T.requires_grad_(),)),
    "constant": (lambda x: torch.ones(3), lambda: (random(3),)),
    "integers too": (lambda x: (x * 2, x.argmax()), lambda: (random(3),)),
}


@FAST
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name, fast):
    function, inputs = RIGHT[name]
    given = inputs()
    before = [x.tolist() for x in given if isinstance(x, torch.Tensor)]
    assert gradcheck(function, given, fast_mode=fast) is True
    assert before == [x.tolist() for x in given if isinstance(x, torch.Tensor)]


def test_one_tensor_need_not_be_in_a_tuple():
    assert gradcheck(lambda x: x.sin(), random(3))


@FAST
def test_wrong_gradients_are_shown(fast):
    wrong = custom(lambda x, y: x * y, lambda ctx, g: (g * ctx.saved_tensors[1], g * 2))
    with pytest.raises(
        GradcheckError, match="Jacobian mismatch for output 0 with respect to input 1,"
    ) as caught:
        gradcheck(wrong, (random(2), random(2, seed=1)), fast_mode=fast)
    text = str(caught.value)
    assert "numerical:" in text
    assert "analytical:" in text
    assert ("fast mode" in text) == fast
    if not fast:
        assert "[[2. 0.]\n [0. 2.]]" in text
    assert gradcheck(wrong, (random(2), random(2)), fast_mode=fast, raise_exception=False) is False


def test_the_output_and_the_argument_are_named_by_their_places():
    wrong = custom(lambda x: x * x, lambda ctx, g: g)
    with pytest.raises(GradcheckError, match="output 1 with respect to input 2"):
        gradcheck(lambda number, y, x: (y * number, wrong(x)), (3.0, random(2), random(2)))


def test_tolerances():
    nearly = custom(lambda x: x * x, lambda ctx, g: 2 * g * (ctx.saved_tensors[0] + 1e-4))
    assert gradcheck(nearly, (random(3),), atol=1e-3)
    with pytest.raises(GradcheckError):
        gradcheck(nearly, (random(3),), atol=1e-6, rtol=1e-6)


def test_a_backward_that_adds_something_is_found():
    adds = custom(lambda x: x * 2, lambda ctx, g: g * 2 + (g == 0).all().to(g.dtype))
    with pytest.raises(GradcheckError, match=r"backward not multiplied by grad_output|mismatch"):
        gradcheck(adds, (random(),))


def test_a_backward_that_varies_is_found():
    calls = []

    def varies(ctx, g):
        calls.append(1)
        return g * 2 + g * len(calls) * 1e-9

    function = custom(lambda x: x * 2, varies)
    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(function, (random(2),))
    assert gradcheck(function, (random(2),), nondet_tol=1e-5)


def test_missing_cotangents_must_be_zeros():
    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h * 3  # fails when one is None

    with pytest.raises((GradcheckError, TypeError)):
        gradcheck(Two.apply, (random(2),))


def test_float32_warns_and_needs_other_numbers():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="Input #0 requires gradient and is not a double precision"):
        assert gradcheck(lambda x: x.sin(), (x,), eps=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: gradcheck(torch.sin, (random(2).detach(),)),
            ValueError,
            "expects at least one input tensor",
        ),
        (
            lambda: gradcheck(torch.sin, (random(1).detach().expand(3).requires_grad_(),)),
            RuntimeError,
            "has a dimension with stride 0",
        ),
        (
            lambda: gradcheck(torch.sin, random(2), check_backward_ad=False),
            AssertionError,
            "Expected at least one",
        ),
        (lambda: gradcheck(torch.sin, random(2), check_forward_ad=True), NotImplementedError, "forward mode"),
        (
            lambda: gradgradcheck(torch.sin, random(2), check_rev_over_rev=False),
            AssertionError,
            "Expected at least one",
        ),
        (
            lambda: gradgradcheck(torch.sin, random(2), check_fwd_over_rev=True),
            NotImplementedError,
            "forward mode",
        ),
        (lambda: gradcheck(lambda x: x.detach() * 2, random(2)), GradcheckError, "expected to be zero"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_batched_gradients_are_compared():
    assert gradcheck(lambda x, y: (x * y).tanh(), (random(2), random(2)), check_batched_grad=True)


SECOND = {
    "product": (lambda x, y: x * y * x, lambda: (random(3), random(3, seed=1))),
    "softmax": (lambda x: x.softmax(0), lambda: (random(3),)),
    "matmul": (lambda x, y: (x @ y).tanh(), lambda: (random(2, 3), random(3, 2, seed=1))),
    "several results": (lambda x: (x.exp(), (x * x).sum()), lambda: (random(3),)),
}


@FAST
@pytest.mark.parametrize("name", SECOND)
def test_right_second_gradients_pass(name, fast):
    function, inputs = SECOND[name]
    assert gradgradcheck(function, inputs(), fast_mode=fast)


def test_cotangents_may_be_given_or_not_contiguous():
    x = random(2, 3)
    assert gradgradcheck(lambda x: x**3, (x,), grad_outputs=(random(2, 3, seed=3),))
    assert gradgradcheck(lambda x: x**3, (x,), gen_non_contig_grad_outputs=True)


def test_wrong_second_gradients_are_found():
    class Half(Function):
        """The gradient is right, and a constant for the second walk."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * g * (x * x).detach()

    x = random(2)
    assert gradcheck(Half.apply, (x,))
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(Half.apply, (x,))
    assert gradgradcheck(Half.apply, (x,), raise_exception=False) is False


def test_nothing_is_printed_or_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradcheck(torch.sin, random(2))
