"""Walks over the tape: several graphs, parts of graphs, accumulation, in-place checks, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch

SECOND = "Trying to backward through the graph a second time"
STALE = "modified by an inplace operation"


# several graphs -------------------------------------------------------------------------------------------


def test_graphs_alive_at_once_do_not_mix():
    x = leaf(1.0, 2.0)
    first, second, third = x * 2, x * 3, x * 5
    first, second, third = first.sin(), second * second, third + first.detach()
    second.sum().backward()
    assert x.grad.tolist() == [18.0, 36.0]
    x.grad = None
    third.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    x.grad = None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.cos([2.0, 4.0]), rtol=1e-6)


def test_interleaved_graphs_freed_in_any_order():
    x = leaf(1.0)
    before = usage()
    graphs = [x * k for k in range(1, 9)]
    for k in range(3):
        graphs = [g * 2 if i % 2 else g + 1 for i, g in enumerate(graphs)]
        del graphs[(k * 3) % len(graphs)]
    for g in reversed(graphs):
        g.backward()
    del graphs, g
    x.grad = None
    assert usage() == before


def test_shared_trunk_is_walked_once_when_the_heads_are_summed():
    x = leaf(0.5)
    trunk = x.exp()
    (trunk * 2 + trunk * trunk).backward()
    e = float(np.exp(0.5))
    assert x.grad.item() == pytest.approx(2 * e + 2 * e * e, rel=1e-6)


def test_second_head_of_a_freed_trunk_is_an_error_that_names_the_way_out():
    x = leaf(0.5)
    trunk = x.exp()
    first, second = trunk * 2, trunk * 3
    first.backward()
    with pytest.raises(RuntimeError, match=f"{SECOND}.*retain_graph=True"):
        second.backward()
    assert x.grad.item() == pytest.approx(2 * np.exp(0.5), rel=1e-6)  # untouched by the failed walk


def test_fan_out_adds_every_path():
    x = leaf(2.0)
    y = x
    for _ in range(10):
        y = y + y
    y.backward()
    assert x.grad.item() == 1024


def test_diamonds_are_not_walked_once_for_each_path():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == 1.0


# retaining and freeing ------------------------------------------------------------------------------------


def test_retained_graph_can_be_walked_again_and_again():
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    for k in range(1, 4):
        y.backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.numpy(), k * np.exp([1.0, 2.0]) * [2, 3], rtol=1e-6)
    y.backward()
    with pytest.raises(RuntimeError, match=SECOND):
        y.backward()


def test_second_backward_changes_nothing():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    before = usage()
    for _ in range(3):
        with pytest.raises(RuntimeError, match=SECOND):
            y.backward()
    assert usage() == before
    assert x.grad.tolist() == [2.0, 4.0]


def test_result_of_a_freed_graph_can_begin_another_only_as_a_constant():
    x = leaf(1.0)
    y = x * 2
    y.backward()
    z = y * 3
    with pytest.raises(RuntimeError, match=SECOND):
        z.backward()
    (y.detach().requires_grad_() * 3).backward()
    assert x.grad.item() == 2.0


def test_partial_backward_leaves_the_other_branch():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    a, b = x * 2, w * w
    a.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert w.grad is None
    b.sum().backward()
    assert w.grad.tolist() == [6.0, 8.0]


def test_backward_from_the_middle_then_from_the_end():
    x = leaf(2.0)
    middle = x * x
    end = middle * 3
    middle.backward(retain_graph=True)
    assert x.grad.item() == 4.0
    end.backward()
    assert x.grad.item() == 16.0


def test_backward_of_a_leaf_gives_its_own_cotangent():
    x = leaf(3.0)
    x.backward(torch.tensor([2.0]))
    x.backward(torch.tensor([5.0]))
    assert x.grad.tolist() == [7.0]


# accumulation and aliasing --------------------------------------------------------------------------------


def test_gradients_accumulate_in_the_same_tensor():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    gradient = x.grad
    address, version = gradient.data_ptr(), gradient._version
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert gradient.tolist() == [5.0, 5.0]  # PyTorch adds in place
    assert x.grad.data_ptr() == address
    assert gradient._version > version


def test_gradients_of_a_sum_do_not_share_memory():
    x, z = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = torch.tensor([1.0, 1.0])
    (x + z).backward(seed)
    addresses = {x.grad.data_ptr(), z.grad.data_ptr(), seed.data_ptr()}
    assert len(addresses) == 3
    x.grad.mul_(10)
    assert z.grad.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(4),
        lambda x: x.t(),
        lambda x: x[:, :],
        lambda x: x.unsqueeze(0),
        lambda x: x + 0,
        lambda x: x.clone(),
        lambda x: x,
    ],
    ids=["view", "t", "slice", "unsqueeze", "add", "clone", "leaf"],
)
def test_gradient_does_not_share_memory_with_the_cotangent(function):
    x = torch.ones(2, 2, requires_grad=True)
    y = function(x)
    seed = torch.ones(*y.shape)
    y.backward(seed)
    x.grad.zero_()
    assert (seed.numpy() == 1).all()
    assert x.grad.is_contiguous()


def test_gradient_of_a_transposed_use_is_contiguous_and_right():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x.t().backward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert x.grad.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert x.grad.is_contiguous()


def test_gradients_do_not_require_grad():
    x = leaf(1.0)
    (x * x).backward()
    assert not x.grad.requires_grad
    assert x.grad.is_leaf


def test_assigned_gradient_is_added_to():
    x = leaf(1.0, 2.0)
    x.grad = torch.tensor([10.0, 20.0])
    (x * 2).sum().backward()
    assert x.grad.tolist() == [12.0, 22.0]
    x.grad = None
    assert x.grad is None


def test_retained_gradient_of_an_interior_tensor():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    y.retain_grad()
    assert y.retains_grad
    z.backward()
    assert y.grad.item() == 3.0
    assert x.grad.item() == 12.0


def test_retained_gradients_accumulate_and_do_not_alias():
    x = leaf(2.0)
    y = x * 1
    z = y + x
    y.retain_grad()
    z.retain_grad()
    z.backward(retain_graph=True)
    z.backward()
    assert (x.grad.item(), y.grad.item(), z.grad.item()) == (4.0, 2.0, 2.0)
    assert len({t.grad.data_ptr() for t in (x, y, z)}) == 3


def test_gradient_of_an_interior_tensor_is_not_kept_unasked():
    x = leaf(2.0)
    y = x * x
    (y * 3).backward()
    assert y.grad is None


# determinism ----------------------------------------------------------------------------------------------


def train(seed: int, threads: int) -> list[bytes]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(seed)
        x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
        w1 = (torch.randn(8, 16) * 0.3).requires_grad_()
        w2 = (torch.randn(16, 3) * 0.3).requires_grad_()
        for _ in range(20):
            loss = torch.nn.functional.cross_entropy(torch.tanh(x @ w1) @ w2, y)
            loss.backward()
            with torch.no_grad():
                for w in (w1, w2):
                    w -= 0.1 * w.grad
                    w.grad = None
        return [t.detach().numpy().tobytes() for t in (w1, w2, loss)]
    finally:
        torch.set_num_threads(before)


def test_training_is_bitwise_the_same_for_a_seed():
    assert train(3, 1) == train(3, 1)
    assert train(3, 1) != train(4, 1)


def test_training_does_not_depend_on_the_number_of_threads():
    assert train(5, 1) == train(5, 2)
