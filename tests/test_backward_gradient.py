"""``y.backward(gradient)``: what is given is used as it is, and what does not fit is refused before anything runs."""

import numpy as np
import pytest

import jitgrad


def _leaf(*shape, dtype=None):
    return (
        jitgrad.arange(1, int(np.prod(shape)) + 1, dtype=dtype or jitgrad.float32)
        .reshape(shape)
        .requires_grad_()
    )


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0, 3)])
@pytest.mark.parametrize("dtype", [jitgrad.float32, jitgrad.float64])
def test_gradient_is_weighted_by_what_is_given(shape, dtype):
    x = _leaf(*shape, dtype=dtype).detach().requires_grad_()
    g = jitgrad.randn(shape, dtype=dtype)
    (x * x).backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), (2 * x.detach().numpy() * g.numpy()))


def test_given_gradient_may_have_any_strides_and_stays_as_it_is():
    x = _leaf(2, 3).detach().requires_grad_()
    base = jitgrad.randn(3, 2)
    before = base.tolist()
    for g in (base.t(), base[:, :1].t().expand(2, 3)):
        x.grad = None
        x.backward(g)
        np.testing.assert_array_equal(x.grad.numpy(), g.numpy())
        x.backward(g)
        np.testing.assert_array_equal(x.grad.numpy(), 2 * g.numpy())
    assert base.tolist() == before


def test_gradient_of_another_dtype_is_converted():
    x = _leaf(3).detach().requires_grad_()
    (x * 2).backward(jitgrad.ones(3, dtype=jitgrad.float64))
    assert x.grad.dtype is jitgrad.float32
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_gradient_that_itself_requires_a_gradient_gives_a_plain_one():
    x = _leaf(3).detach().requires_grad_()
    g = jitgrad.ones(3, requires_grad=True)
    (x * g).backward(g)
    assert not x.grad.requires_grad
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_graph_is_kept_only_when_asked():
    x = _leaf(3).detach().requires_grad_()
    y, g = x * x, jitgrad.ones(3)
    y.backward(g, retain_graph=True)
    y.backward(g)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward(g)
    assert x.grad.tolist() == [4.0, 8.0, 12.0]


@pytest.mark.parametrize(
    ("gradient", "error", "words"),
    [
        (lambda: jitgrad.ones(2), RuntimeError, "Mismatch in shape"),
        (lambda: jitgrad.ones(1, 3), RuntimeError, "Mismatch in shape"),
        (lambda: jitgrad.tensor(1.0), RuntimeError, "Mismatch in shape"),
        (lambda: 3.0, TypeError, "Tensors or None"),
        (lambda: np.ones(3), TypeError, "Tensors or None"),
        (lambda: None, RuntimeError, "scalar outputs"),
    ],
)
def test_what_does_not_fit_is_refused(gradient, error, words):
    x = _leaf(3).detach().requires_grad_()
    y = x * x
    with pytest.raises(error, match=words):
        y.backward(gradient())
    assert x.grad is None
    y.backward(jitgrad.ones(3))


def test_root_without_history_is_refused():
    with pytest.raises(RuntimeError, match="does not require grad"):
        jitgrad.ones(3).backward(jitgrad.ones(3))


def test_hooks_see_the_given_gradient():
    x = _leaf(3).detach().requires_grad_()
    y, seen = x * x, []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.backward(jitgrad.tensor([1.0, 2.0, 3.0]))
    assert seen == [[1.0, 2.0, 3.0]]
    assert x.grad.tolist() == [2.0, 8.0, 18.0]


def test_compiled_step_uses_the_gradient_of_the_moment():
    x = _leaf(3).detach().requires_grad_()

    def step(g):
        x.grad = None
        (x * x).backward(g)

    compiled = jitgrad.compile(step)
    for k in range(4):
        compiled(jitgrad.full((3,), float(k)))
        assert x.grad.tolist() == [2.0 * k, 4.0 * k, 6.0 * k]
