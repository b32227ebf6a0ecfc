"""Walks over the tape: several graphs, parts of graphs, accumulation, in-place checks, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from usage import usage

import jitgrad as torch

SECOND = "Trying to backward through the graph a second time"
STALE = "modified by an inplace operation"


def leaf(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


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


# autograd.grad --------------------------------------------------------------------------------------------


def test_grad_leaves_grad_alone():
    x = leaf(1.0, 2.0)
    (g,) = torch.autograd.grad((x * x).sum(), x)
    assert g.tolist() == [2.0, 4.0]
    assert x.grad is None


def test_grad_with_respect_to_interior_tensors_and_leaves_together():
    x = leaf(2.0)
    y = x * x
    z = y * y
    w = z + y
    gx, gy, gz = torch.autograd.grad(w, [x, y, z])
    assert (gx.item(), gy.item(), gz.item()) == (36.0, 9.0, 1.0)


def test_grad_walks_only_what_leads_to_the_inputs():
    x, w = leaf(2.0), leaf(3.0)
    y = x * 2
    z = y * w
    (gy,) = torch.autograd.grad(z, y)
    assert gy.item() == 3.0
    y.backward()  # the part of the graph behind y was not walked, and so not freed
    assert x.grad.item() == 2.0
    assert w.grad is None


def test_grad_of_the_output_itself():
    x = leaf(2.0)
    y = x * 3
    gy, gx = torch.autograd.grad(y, [y, x])
    assert (gy.item(), gx.item()) == (1.0, 3.0)


def test_grad_at_a_tensor_whose_own_history_is_freed():
    x = leaf(2.0)
    y = x * x
    y.backward()
    z = y * 3
    (gy,) = torch.autograd.grad(z, y)
    assert gy.item() == 3.0


def test_tensors_marked_by_an_earlier_grad_are_forgotten():
    x, w = leaf(2.0), leaf(3.0)
    y = x * x
    torch.autograd.grad(y * 3, x)  # frees y's history
    (g,) = torch.autograd.grad(y * w, w)
    assert g.item() == 4.0


def test_failed_grad_leaves_no_cotangent_behind():
    x, w = leaf(2.0), leaf(3.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(y, w, retain_graph=True)
    y.backward()
    assert x.grad.item() == 2.0


def test_grad_of_a_leaf_root_that_was_not_asked_for():
    x, w = leaf(2.0), leaf(3.0)
    before = usage()
    (g,) = torch.autograd.grad([w, x * 5], [x])
    assert g.item() == 5.0
    del g
    assert usage() == before
    assert w.grad is None


def test_grad_of_an_input_given_twice():
    x = leaf(2.0)
    a, b = torch.autograd.grad(x * x, [x, x])
    assert a.item() == b.item() == 4.0


def test_grad_of_several_outputs_adds():
    x = leaf(1.0, 2.0)
    (g,) = torch.autograd.grad([x * 2, x.sum()], [x], [torch.tensor([1.0, 10.0]), None])
    assert g.tolist() == [3.0, 21.0]


def test_grad_of_unused_inputs():
    x, w = leaf(1.0), leaf(2.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(y, [x, w], retain_graph=True)
    assert torch.autograd.grad(y, [x, w], retain_graph=True, allow_unused=True)[1] is None
    _, zero = torch.autograd.grad(y, [x, w], allow_unused=True, materialize_grads=True)
    assert zero.tolist() == [0.0]


def test_failed_grad_leaves_the_graph_usable():
    x, w = leaf(1.0), leaf(2.0)
    y = (x * 2).exp()
    before = usage()
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(y, [torch.tensor(1.0)])
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        torch.autograd.grad(y, [w], retain_graph=True)
    assert usage() == before
    y.backward()
    assert x.grad.item() == pytest.approx(2 * np.exp(2.0), rel=1e-6)
    assert w.grad is None


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2.0), leaf(3.0)
    (x * w).backward(inputs=[w])
    assert x.grad is None
    assert w.grad.item() == 2.0
    (x * w).backward(inputs=w)
    assert w.grad.item() == 4.0


def test_backward_of_several_tensors():
    x = leaf(1.0, 2.0)
    a, b = x * 2, (x * x).sum()
    torch.autograd.backward([a, b], [torch.tensor([1.0, 1.0]), None])
    assert x.grad.tolist() == [4.0, 6.0]


def test_backward_of_one_tensor_given_twice():
    x = leaf(1.0)
    y = x * 2
    torch.autograd.backward([y, y], [torch.tensor([1.0]), torch.tensor([10.0])])
    assert x.grad.item() == 22.0


def test_backward_of_a_tensor_and_of_what_it_was_made_from():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    torch.autograd.backward([y, z])
    assert x.grad.item() == 16.0


def test_cotangent_is_cast_to_the_dtype_of_the_root():
    x = leaf(1.0, dtype=torch.float64)
    (x * 2).backward(torch.tensor([1.5], dtype=torch.float64))
    assert x.grad.dtype is torch.float64
    assert x.grad.item() == 3.0


def test_gradients_cross_dtypes():
    x = leaf(1.5)
    y = x.double() * torch.tensor([2.0], dtype=torch.float64)
    assert y.dtype is torch.float64
    y.backward()
    assert x.grad.dtype is torch.float32
    assert x.grad.item() == 2.0


# writes in place ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.sin(), "SinBackward0"),
        (lambda x: x * torch.tensor([2.0, 3.0], requires_grad=True), "MulBackward0"),
        (lambda x: x**2, "PowBackward0"),
    ],
)
def test_stale_operand_is_named(function, name):
    x = leaf(1.0, 2.0)
    h = x + 0
    y = function(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match=rf"{STALE}.*{name}.*\[2\].*version 1; expected version 0"):
        y.backward(torch.ones(2))
    assert x.grad is None


def test_stale_result_is_named():
    x = leaf(1.0, 2.0)
    y = x.exp()
    kept = y
    y = y * 1
    kept.detach().zero_()
    with pytest.raises(RuntimeError, match=rf"{STALE}.*ExpBackward0.*version 1; expected version 0"):
        y.sum().backward()


def test_stale_through_a_view():
    x = leaf(1.0, 2.0)
    h = x + 0
    y = h.sin()
    with torch.no_grad():
        h[0:1].fill_(9)
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_failed_walk_leaves_the_graph_and_gradients_as_before():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = w + 0
    first = (x * 2).exp()
    y = first * 3 + h.sin()
    h.add_(1)
    before = usage()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=STALE):
            y.sum().backward(retain_graph=True)
    assert usage() == before
    assert x.grad is None
    assert w.grad is None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([2.0, 4.0]), rtol=1e-6)


def test_writes_to_what_is_not_kept_are_allowed():
    x = leaf(1.0, 2.0)
    h = x * 2  # the result of a product is not kept
    h.add_(5)
    h.mul_(3)
    h.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_in_place_operations_are_in_the_graph():
    x = leaf(2.0)
    y = x * 1
    z = y.sin_() if hasattr(y, "sin_") else y.add_(0)
    assert z is y
    y.mul_(x)
    y.backward()
    assert x.grad.item() == pytest.approx(2 * np.cos(2.0) + np.sin(2.0), rel=1e-5)


def test_in_place_on_a_leaf_is_refused_and_changes_nothing():
    x = leaf(1.0, 2.0)
    for write in (lambda: x.add_(1), lambda: x.mul_(x), lambda: x.zero_(), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            write()
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0


def test_in_place_on_a_leaf_without_recording():
    x = leaf(1.0, 2.0)
    with torch.no_grad():
        x.sub_(0.5)
        x[0] = 9.0
    assert x.tolist() == [9.0, 1.5]
    assert x.is_leaf
    assert x.requires_grad


def test_constant_written_into_joins_the_graph():
    x = leaf(1.0, 2.0)
    total = torch.zeros(2)
    total += x * 3
    assert total.requires_grad
    total.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_item_assignment_routes_gradients():
    x = leaf(1.0, 2.0, 3.0)
    v = leaf(10.0)
    y = x * 2
    y[1] = v[0] * 5
    (y * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 200.0]
    assert v.grad.tolist() == [50.0]


def test_view_sees_what_is_written_to_its_base_and_back():
    base = torch.zeros(2, 3)
    row, column = base[1], base[:, 2]
    row.fill_(7)
    column.add_(1)
    assert base.tolist() == [[0, 0, 1], [7, 7, 8]]
    assert base._version == row._version == column._version == 2


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
