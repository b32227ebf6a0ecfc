"""Scaled dot-product attention: values, gradients, masks, layouts, dropout, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from attention_oracle import reference
from compile_cases import Scene, assert_same
from gradients import check_gradients
from kernel_records import run
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.functions import attention as internal
from jitgrad.kernels import abi
from jitgrad.kernels.abi import float_bits
from jitgrad.nn import functional as F

attention = F.scaled_dot_product_attention


def operands(queries, keys, inner, width, lead=(2, 3)):
    return (
        numbers(*lead, queries, inner),
        numbers(*lead, keys, inner, seed=1),
        numbers(*lead, keys, width, seed=2),
    )


SIZES = [(16, 16, 4, 4), (3, 5, 4, 7), (17, 33, 5, 3), (1, 1, 1, 1), (20, 300, 9, 20), (70, 18, 33, 2)]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", SIZES)
def test_values(sizes, dtype):
    arrays = operands(*sizes)
    tensors = [torch.tensor(x.astype(dtype)) for x in arrays]
    for options in ({}, {"causal": True}, {"scale": 0.3}):
        given = {"is_causal" if k == "causal" else k: v for k, v in options.items()}
        y = attention(*tensors, **given)
        assert y.dtype == tensors[0].dtype
        np.testing.assert_allclose(
            y.numpy(), reference(*arrays, **options), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
        )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(3, 5, 4, 2), (9, 9, 2, 3), (17, 18, 2, 1), (66, 3, 1, 1)])
def test_gradients(sizes, causal):
    check_gradients(lambda *x: attention(*x, is_causal=causal), *operands(*sizes, lead=(1, 2)))


def test_gradients_over_several_blocks_of_keys_and_queries():
    arrays = operands(3, 70, 2, 2, lead=())
    check_gradients(attention, *arrays)
    check_gradients(lambda q, k, v: attention(q, k, v, is_causal=True), *operands(70, 3, 2, 2, lead=()))


def test_any_leading_dimensions():
    for lead in ((), (3,), (2, 3), (2, 1, 3), (2, 0)):
        arrays = operands(4, 5, 3, 2, lead=lead)
        y = attention(*map(torch.tensor, arrays))
        np.testing.assert_allclose(y.numpy(), reference(*arrays), rtol=1e-12, atol=1e-12)
    q, k, v = numbers(2, 3, 4, 2), numbers(3, 5, 2), numbers(1, 5, 6)
    np.testing.assert_allclose(
        attention(*map(torch.tensor, (q, k, v))).numpy(), reference(q, k, v), rtol=1e-12
    )
    check_gradients(attention, q, k, v)


def test_heads_that_are_slices_of_one_product():
    packed = numbers(2, 5, 24)

    def heads(x):
        return (y.reshape(2, 5, 2, 4).transpose(1, 2) for y in x.split(8, 2))

    def function(x):
        return attention(*heads(x), is_causal=True).transpose(1, 2).reshape(2, 5, 8)

    q, k, v = (x.numpy() for x in heads(torch.tensor(packed)))
    want = reference(q, k, v, causal=True).transpose(0, 2, 1, 3).reshape(2, 5, 8)
    np.testing.assert_allclose(function(torch.tensor(packed)).numpy(), want, rtol=1e-12, atol=1e-12)
    check_gradients(function, packed)


def test_other_layouts():
    q, k, v = operands(4, 5, 3, 2)
    check_gradients(lambda a, b, c: attention(a.transpose(2, 3), b, c), q.swapaxes(2, 3).copy(), k, v)
    check_gradients(lambda a, b, c: attention(a, b.transpose(2, 3), c), q, k.swapaxes(2, 3).copy(), v)
    check_gradients(lambda a, b, c: attention(a, b, c.transpose(2, 3)), q, k, v.swapaxes(2, 3).copy())
    check_gradients(lambda a, b, c: attention(a, b[:, :, ::2], c[..., ::2, ::2]), q, k, v)
    check_gradients(lambda a, b, c: attention(a, b, c).permute(3, 2, 1, 0).exp(), q, k, v)
    check_gradients(lambda a, b: attention(a, b, b), q, k)
    check_gradients(lambda a: attention(a, a, a).sum(), q)


def test_result_can_be_joined_without_a_copy():
    y = attention(*map(torch.tensor, operands(4, 5, 3, 2)))
    assert y.transpose(1, 2).is_contiguous()


# masks ------------------------------------------------------------------------------------------------

MASK = numbers(4, 20, seed=9) > 0
MASK[1] = False


@pytest.mark.parametrize("shape", [(4, 20), (20,), (1, 20), (3, 4, 20), (2, 1, 4, 20), (2, 3, 4, 1)])
def test_masks(shape):
    arrays = operands(4, 20, 3, 2)
    added = numbers(*shape, seed=4)
    allowed = added > 0
    for mask in (added, allowed):
        y = attention(*map(torch.tensor, arrays), attn_mask=torch.tensor(mask))
        np.testing.assert_allclose(y.numpy(), reference(*arrays, mask=mask), rtol=1e-12, atol=1e-12)
    check_gradients(
        lambda q, k, v, m: attention(q, k, v, m), *(x[:1] for x in arrays[:1]), *arrays[1:], added
    )
    check_gradients(lambda q, k, v: attention(q, k, v, torch.tensor(allowed)), *arrays)


def test_a_query_without_keys_gets_zeros():
    arrays = operands(4, 20, 3, 2)
    for mask in (MASK, np.where(MASK, 0.0, -np.inf)):
        tensors = [torch.tensor(x, requires_grad=True) for x in arrays]
        y = attention(*tensors, attn_mask=torch.tensor(mask))
        np.testing.assert_allclose(y.detach().numpy(), reference(*arrays, mask=mask), rtol=1e-12, atol=1e-12)
        assert not y.detach().numpy()[:, :, 1].any()
        y.sum().backward()
        assert not tensors[0].grad.numpy()[:, :, 1].any()
        assert all(np.isfinite(x.grad.numpy()).all() for x in tensors)


def test_without_keys_or_queries():
    for queries, keys in ((3, 0), (0, 3), (0, 0)):
        tensors = [torch.tensor(x, requires_grad=True) for x in operands(queries, keys, 2, 3)]
        y = attention(*tensors)
        assert tuple(y.shape) == (2, 3, queries, 3) and not y.detach().numpy().any()
        y.sum().backward()
        assert not any(x.grad.numpy().any() for x in tensors)


def test_large_scores_and_nan():
    q = torch.tensor([[1e4], [-1e4], [0.0], [float("nan")]])
    k, v = torch.tensor([[1.0], [-1.0]]), torch.tensor([[3.0], [5.0]])
    y = attention(q, k, v).numpy().ravel()
    np.testing.assert_array_equal(y[:3], [3.0, 5.0, 4.0])
    assert np.isnan(y[3])


def test_shared_keys():
    q, k, v = numbers(2, 6, 4, 3), numbers(2, 2, 5, 3, seed=1), numbers(2, 2, 5, 2, seed=2)
    want = reference(q, k.repeat(3, 1), v.repeat(3, 1))
    tensors = [torch.tensor(x) for x in (q, k, v)]
    np.testing.assert_allclose(attention(*tensors, enable_gqa=True).numpy(), want, rtol=1e-12)
    check_gradients(lambda *x: attention(*x, enable_gqa=True), q[:1], k[:1], v[:1])
    mask = numbers(6, 4, 5, seed=3) > -1
    y = attention(*tensors, torch.tensor(mask), enable_gqa=True)
    np.testing.assert_allclose(y.numpy(), reference(q, k.repeat(3, 1), v.repeat(3, 1), mask), rtol=1e-12)
    y = attention(tensors[0], tensors[1], torch.tensor(v[:, :1]), enable_gqa=True)
    want = reference(q, k.repeat(3, 1), v[:, :1].repeat(6, 1))
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-12)


def test_sizes_that_the_kernel_has_no_room_for(monkeypatch):
    arrays = operands(4, 5, 3, 2)
    mask = MASK[:, :5]
    monkeypatch.setattr(internal, "MAX_WIDTH", 1)
    tensors = [torch.tensor(x) for x in arrays]
    np.testing.assert_allclose(attention(*tensors).numpy(), reference(*arrays), rtol=1e-12)
    y = attention(*tensors, is_causal=True)
    np.testing.assert_allclose(y.numpy(), reference(*arrays, causal=True), rtol=1e-12)
    y = attention(*tensors, torch.tensor(mask))
    np.testing.assert_allclose(y.numpy(), reference(*arrays, mask=mask), rtol=1e-12)


@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("causal", [0, 1])
def test_results_do_not_depend_on_the_number_of_parts(causal, parts):
    q, k, v = (x.astype(np.float32) for x in operands(35, 20, 6, 3))
    g = numbers(2, 3, 35, 3, seed=7).astype(np.float32)
    words = (float_bits(0.4), causal, 2, float_bits(1.0), 2)
    found = []
    for count in (1, parts):
        y, lse = np.full((2, 3, 35, 3), np.nan, np.float32), np.full((2, 3, 35), np.nan, np.float32)
        gradients = [np.full_like(x, np.nan) for x in (q, k, v)]
        run("attention", abi.FLOAT32, (q, k, v, None, None, y, lse), words, count)
        back = (q, k, v, None, None, y, lse, g, None, *gradients, None, None)
        run("attention", abi.FLOAT32, back, words, count, variant=1)
        found.append((y, lse, *gradients))
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
        assert not np.isnan(one).any()


# dropout ----------------------------------------------------------------------------------------------


def test_dropout_drops_weights_and_keeps_the_mean():
    torch.manual_seed(1)
    q = k = torch.zeros(1, 8, 40, 2)
    v = torch.eye(40).expand(1, 8, 40, 40)  # the result is the weights themselves
    weights = attention(q, k, v, dropout_p=0.25).numpy() * 40
    kept = weights != 0
    np.testing.assert_allclose(weights[kept], 1 / 0.75, rtol=1e-5)
    assert abs(kept.mean() - 0.75) < 0.02
    assert (attention(q, k, v, dropout_p=0.25).numpy() * 40 != weights).any()
    assert not attention(q, k, v, dropout_p=1.0).numpy().any()


def test_gradients_with_dropout():
    arrays = operands(4, 20, 3, 2)

    def function(q, k, v):
        torch.manual_seed(5)
        return attention(q, k, v, dropout_p=0.4)

    check_gradients(function, *arrays)


# errors -----------------------------------------------------------------------------------------------

Q = torch.zeros(2, 3, 4, 5)
BAD = {
    "width": (lambda: attention(Q, Q[..., :3], Q), "expected query"),
    "keys": (lambda: attention(Q, Q, Q[:, :, :3]), "expected query"),
    "dims": (lambda: attention(Q[0, 0, 0], Q, Q), "at least 2 dimensional"),
    "dtype": (lambda: attention(Q, Q.double(), Q), "same dtype"),
    "integers": (lambda: attention(Q.long(), Q.long(), Q.long()), "floating dtype"),
    "lead": (lambda: attention(Q, Q[:, :2], Q), "must broadcast"),
    "dropout": (lambda: attention(Q, Q, Q, dropout_p=1.5), "between 0 and 1"),
    "mask shape": (lambda: attention(Q, Q, Q, torch.zeros(3, 4)), "must match the size of the scores"),
    "mask dims": (
        lambda: attention(Q, Q, Q, torch.zeros(1, 2, 3, 4, 4)),
        "must match the size of the scores",
    ),
    "mask dtype": (lambda: attention(Q, Q, Q, torch.zeros(4, 4).long()), "Expected attn_mask dtype"),
    "mask and causal": (lambda: attention(Q, Q, Q, torch.zeros(4, 4), is_causal=True), "should not be set"),
    "heads": (lambda: attention(Q, Q[:, :2], Q[:, :2], enable_gqa=True), "must divide the number of heads"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        call()


def test_operands_that_are_no_tensors():
    with pytest.raises(TypeError, match="must be Tensor"):
        attention(Q, Q, [1.0])


# compiled steps ---------------------------------------------------------------------------------------

STEPS = {
    "causal": {"is_causal": True},
    "dropout": {"dropout_p": 0.3},
    "mask": {"attn_mask": torch.tensor(MASK[:, :5])},
}


@pytest.mark.parametrize("name", STEPS)
def test_compiled_steps_equal_eager_ones(name):
    def build():
        layer = nn.Linear(6, 18)
        optimizer = torch.optim.Adam(layer.parameters())
        # four queries, five keys
        data = [torch.randn(2, 5, 6) for _ in range(3)]

        def step(x):
            optimizer.zero_grad()
            q, k, v = (y.unflatten(-1, (2, 3)).transpose(1, 2) for y in layer(x).chunk(3, -1))
            y = attention(q[:, :, :4], k, v, **STEPS[name])
            loss = (y.transpose(1, 2).reshape(2, 4, 6) - x[:, :4]).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, lambda k: (data[k % 3],), layer, optimizer)

    assert_same(build)
