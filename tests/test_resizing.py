"""resize_, set_, sum_to_size, narrow_copy: shapes, what stays, gradients and refusals."""

from __future__ import annotations

import pytest

import jitgrad as torch

KINDS = [torch.float32, torch.float64, torch.int64, torch.bool]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3,), (), (2, 0), (3, 5)])
def test_first_elements_stay(kind, shape):
    x = torch.tensor([[1, 0, 1], [1, 1, 0]]).to(kind)
    before = x.flatten().tolist()
    assert x.resize_(*shape) is x
    assert x.shape == shape
    assert x.dtype == kind
    assert x.flatten().tolist()[:6] == before[: x.numel()]


def test_sizes_may_be_one_tuple_or_another_tensor_s():
    x = torch.arange(6)
    assert x.resize_((2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.resize_as_(torch.zeros(3, 1)).tolist() == [[0], [1], [2]]


def test_a_transposed_tensor_is_resized_in_row_major_order():
    assert torch.arange(4).reshape(2, 2).t().resize_(3).tolist() == [0, 2, 1]


def test_set_shares_memory():
    x, source = torch.zeros(2), torch.arange(6.0).reshape(2, 3)
    assert x.set_(source) is x
    source[0, 0] = 7
    assert x.tolist() == [[7, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("size", [(3,), (1, 3), (2, 1), (1, 1), (), (2, 3), (1,)])
def test_sum_to_size_is_what_broadcasting_s_gradient_is(size):
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64, requires_grad=True)
    small = torch.ones(size, dtype=torch.float64, requires_grad=True)
    (small.expand(2, 3) * x).sum().backward()
    assert x.sum_to_size(*size).tolist() == small.grad.tolist()
    torch.autograd.gradcheck(lambda x: x.sum_to_size(size), (x,))


def test_sum_to_size_in_a_compiled_step():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()

    @torch.compile
    def step():
        x.grad = None
        loss = x.sum_to_size(1, 3).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        loss = step()
    assert loss.item() == 9 + 25 + 49
    assert x.grad.tolist() == [[6.0, 10.0, 14.0]] * 2


def test_narrow_copy_has_memory_of_its_own():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    y = x.narrow_copy(1, 1, 2)
    y.square().sum().backward()
    assert x.grad.tolist() == [[0.0, 2.0, 4.0], [0.0, 8.0, 10.0]]
    plain = x.detach()
    torch.narrow_copy(plain, 0, 0, 1).zero_()
    assert plain[0, 1] == 1


def test_memory_is_of_one_process():
    x = torch.ones(2)
    assert x.share_memory_() is x
    assert x.is_shared()
    assert not x.is_pinned()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: torch.ones(2, requires_grad=True).resize_(3), "require grad"),
        (lambda: torch.ones(2).resize_(-1), "at least 0"),
        (lambda: torch.ones(2).set_(torch.arange(2)), "int64"),
        (lambda: torch.ones(2, 3).sum_to_size(2), "does not broadcast"),
        (lambda: torch.ones(3).sum_to_size(1, 1, 3), "does not broadcast"),
    ],
)
def test_what_does_not_fit_is_refused(call, word):
    with pytest.raises(RuntimeError, match=word):
        call()
