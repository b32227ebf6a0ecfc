"""``backward(inputs=...)`` adds to gradients as a walk to all leaves does: in place, each its own, hooks included."""

import pytest

import jitgrad as torch


def leaf():
    return torch.ones(2, requires_grad=True)


def test_gradients_are_added_to_in_place():
    w = leaf()
    (w * 1).sum().backward(inputs=[w])
    first = w.grad
    (w * 2).sum().backward(inputs=[w])
    assert first.tolist() == w.grad.tolist() == [3.0, 3.0]


def test_gradients_share_no_memory():
    a, b, seed = leaf(), leaf(), torch.full((2,), 3.0)
    (a + b).backward(seed, inputs=[a, b])
    a.grad.mul_(2.0)
    assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([6.0, 6.0], [3.0, 3.0], [3.0, 3.0])


def test_an_input_counts_once():
    w = leaf()
    (w * 2).sum().backward(inputs=[w, w])
    assert w.grad.tolist() == [2.0, 2.0]


def test_hooks_hear_of_each_accumulated_gradient():
    w, seen = leaf(), []
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    for _ in range(2):
        (w * 2).sum().backward(inputs=[w])
    assert seen == [[2.0, 2.0], [4.0, 4.0]]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_with_a_history_is_not_written_over(create_graph):
    w = leaf()
    (w**3).sum().backward(inputs=[w], create_graph=True)
    first = w.grad
    (w**3).sum().backward(inputs=[w], create_graph=create_graph)
    assert first.tolist() == [3.0, 3.0] and w.grad.tolist() == [6.0, 6.0]
    w.grad = None  # its history leads back to w


def test_a_compiled_step_that_adds_to_gradients_of_some_is_replayed():
    def played(wrap):
        w, v = leaf(), leaf()

        def step(x):
            loss = (w * x).sum() + (v * v).sum()
            loss.backward(inputs=[w])
            return loss

        step = wrap(step)
        return [(step(torch.full((2,), float(k))).item(), w.grad.tolist(), v.grad) for k in range(6)], step

    (want, _), (got, compiled) = played(lambda f: f), played(torch.compile)
    assert got == want
    assert len(compiled.programs) <= 2
