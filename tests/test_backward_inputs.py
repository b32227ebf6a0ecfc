"""``backward(inputs=...)`` adds to gradients as a walk to all leaves does: in place, each its own, hooks included."""

import pytest
from sample_values import leaf

import jitgrad as torch


def test_gradients_are_added_to_in_place():
    w = leaf(1.0, 1.0)
    (w * 1).sum().backward(inputs=[w])
    first = w.grad
    (w * 2).sum().backward(inputs=[w])
    assert first.tolist() == w.grad.tolist() == [3.0, 3.0]


def test_gradients_share_no_memory():
    a, b, seed = leaf(1.0, 1.0), leaf(1.0, 1.0), torch.full((2,), 3.0)
    (a + b).backward(seed, inputs=[a, b])
    a.grad.mul_(2.0)
    assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([6.0, 6.0], [3.0, 3.0], [3.0, 3.0])


def test_an_input_counts_once():
    w = leaf(1.0, 1.0)
    (w * 2).sum().backward(inputs=[w, w])
    assert w.grad.tolist() == [2.0, 2.0]


def test_hooks_hear_of_each_accumulated_gradient():
    w, seen = leaf(1.0, 1.0), []
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    for _ in range(2):
        (w * 2).sum().backward(inputs=[w])
    assert seen == [[2.0, 2.0], [4.0, 4.0]]


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_with_a_history_is_not_written_over(create_graph):
    w = leaf(1.0, 1.0)
    (w**3).sum().backward(inputs=[w], create_graph=True)
    first = w.grad
    (w**3).sum().backward(inputs=[w], create_graph=create_graph)
    assert first.tolist() == [3.0, 3.0] and w.grad.tolist() == [6.0, 6.0]
    w.grad = None  # its history leads back to w


def test_a_compiled_step_that_adds_to_gradients_of_some_is_replayed():
    def played(wrap):
        w, v = leaf(1.0, 1.0), leaf(1.0, 1.0)

        def step(x):
            loss = (w * x).sum() + (v * v).sum()
            loss.backward(inputs=[w])
            return loss

        step = wrap(step)
        return [(step(torch.full((2,), float(k))).item(), w.grad.tolist(), v.grad) for k in range(6)], step

    (want, _), (got, compiled) = played(lambda f: f), played(torch.compile)
    assert got == want
    assert len(compiled.programs) <= 2


LYING = {
    "permuted": lambda values: torch.tensor(values).t().contiguous().t(),
    "with gaps": lambda values: torch.tensor([[n for m in row for n in (m, 0.0)] for row in values])[:, ::2],
}


@pytest.mark.parametrize("chosen", [False, True], ids=["all leaves", "inputs"])
@pytest.mark.parametrize("name", LYING)
def test_gradients_are_added_to_in_place_however_they_lie(name, chosen):
    w = torch.ones(2, 3, requires_grad=True)
    w.grad = given = LYING[name]([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert not given.is_contiguous()
    (w.t() * torch.tensor([[10.0, 40.0], [20.0, 50.0], [30.0, 60.0]])).sum().backward(
        inputs=[w] if chosen else None
    )
    assert given.tolist() == w.grad.tolist() == [[11.0, 22.0, 33.0], [44.0, 55.0, 66.0]]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("chosen", [False, True], ids=["all leaves", "inputs"])
def test_a_gradient_that_repeats_an_element_is_added_to_in_memory_of_its_own(chosen, compiled):
    w, one = torch.ones(2, 3, requires_grad=True), torch.ones(1)

    def step(x):
        (w * x).sum().backward(inputs=[w] if chosen else None)

    run = torch.compile(step) if compiled else step
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    for _ in range(3):
        w.grad = one.expand(2, 3)
        run(x)
        run(x)
        assert w.grad.tolist() == (2 * x + 1).tolist()
        assert one.item() == 1
