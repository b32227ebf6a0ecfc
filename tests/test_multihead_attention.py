"""`nn.MultiheadAttention`: values against loops over heads, gradients, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attention_oracle import reference
from gradients import check_gradients
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F


def heads_reference(module, q, k, v, added=None):
    """The module's output and weights, with loops over batches and heads; operands (N, L, E)."""
    state = {name: p.detach().numpy() for name, p in module.named_parameters()}
    width, heads = module.embed_dim, module.num_heads
    if "in_proj_weight" in state:
        weights = np.split(state["in_proj_weight"], 3)
    else:
        weights = [state[f"{n}_proj_weight"] for n in "qkv"]
    biases = np.split(state.get("in_proj_bias", np.zeros(3 * width)), 3)
    q, k, v = (x @ w.T + b for x, w, b in zip((q, k, v), weights, biases, strict=True))
    batch = len(q)
    if "bias_k" in state:
        k, v = (
            np.concatenate([x, np.broadcast_to(state[n], (batch, 1, width))], 1)
            for x, n in ((k, "bias_k"), (v, "bias_v"))
        )
    if module.add_zero_attn:
        k, v = (np.concatenate([x, np.zeros((batch, 1, width))], 1) for x in (k, v))
    size = width // heads
    out, found = np.zeros(q.shape), np.zeros((batch, heads, q.shape[1], k.shape[1]))
    for n in range(batch):
        for h in range(heads):
            at = slice(h * size, (h + 1) * size)
            scores = q[n, :, at] @ k[n, :, at].T / math.sqrt(size)
            if added is not None:
                more = np.broadcast_to(added, (batch, heads, *added.shape[-2:]))[n, h]
                scores[:, : more.shape[1]] += more
            e = np.exp(scores - scores.max(1, keepdims=True))
            found[n, h] = e / e.sum(1, keepdims=True)
            out[n, :, at] = found[n, h] @ v[n, :, at]
    return out @ state["out_proj.weight"].T + state.get("out_proj.bias", 0.0), found


MODULES = {
    "plain": {},
    "no bias": {"bias": False},
    "other widths": {"kdim": 5, "vdim": 7},
    "one more key": {"add_bias_kv": True},
    "zero": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True},
}


BLOCKED = np.array([[0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 1]], bool)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_module(name, batch_first):
    options = MODULES[name]
    torch.manual_seed(3)
    module = nn.MultiheadAttention(6, 2, batch_first=batch_first, dtype=torch.float64, **options)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(*p.shape, dtype=torch.float64) * 0.5)
    q = numbers(2, 3, 6)
    k, v = numbers(2, 4, options.get("kdim", 6), seed=1), numbers(2, 4, options.get("vdim", 6), seed=2)
    padding = np.array([[False, False, True, False], [False, True, False, False]])
    added = numbers(3, 4, seed=3)
    order = (lambda x: x) if batch_first else (lambda x: x.swapaxes(0, 1))
    tensors = [torch.tensor(order(x).copy()) for x in (q, k, v)]
    hidden = np.where(padding, -np.inf, 0.0)
    apart = np.broadcast_to(hidden[:, None, None], (2, 1, 3, 4))
    for masks, merged in (
        ({}, None),
        ({"attn_mask": added}, added),
        ({"attn_mask": BLOCKED}, np.where(BLOCKED, -1e9, 0.0)),
        ({"attn_mask": added, "key_padding_mask": hidden}, added + apart),
        ({"key_padding_mask": padding}, apart),
    ):
        given = {n: torch.tensor(m) for n, m in masks.items()}
        want, weights = heads_reference(module, q, k, v, merged)
        y, found = module(*tensors, **given)
        np.testing.assert_allclose(order(y.detach().numpy()), want, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.detach().numpy(), weights.mean(1), rtol=1e-10, atol=1e-12)
        y, found = module(*tensors, **given, average_attn_weights=False)
        np.testing.assert_allclose(found.detach().numpy(), weights, rtol=1e-10, atol=1e-12)
        y, found = module(*tensors, **given, need_weights=False)
        assert found is None
        np.testing.assert_allclose(order(y.detach().numpy()), want, rtol=1e-10, atol=1e-12)


def test_module_without_batches():
    module = nn.MultiheadAttention(6, 2, dtype=torch.float64)
    q, k = torch.tensor(numbers(3, 6)), torch.tensor(numbers(4, 6))
    padding = torch.tensor([False, True, False, False])
    want, weights = module(q.unsqueeze(1), k.unsqueeze(1), k.unsqueeze(1), padding.unsqueeze(0))
    y, found = module(q, k, k, padding)
    np.testing.assert_array_equal(y.detach().numpy(), want.detach().numpy()[:, 0])
    np.testing.assert_array_equal(found.detach().numpy(), weights.detach().numpy()[0])
    y, _ = module(q, q, q, need_weights=False, is_causal=True, attn_mask=torch.ones(3, 3).triu(1).bool())
    want, _ = module(q, q, q, attn_mask=torch.ones(3, 3).triu(1).bool())
    np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-10)


def test_module_gradients_with_each_sharing_of_operands():
    module = nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    x, y, z = numbers(2, 3, 4), numbers(2, 3, 4, seed=1), numbers(2, 3, 4, seed=2)
    check_gradients(lambda a: module(a, a, a, need_weights=False)[0], x)
    check_gradients(lambda a, b: module(a, b, b, need_weights=False)[0], x, y)
    check_gradients(lambda a, b, c: module(a, b, c, need_weights=False)[0], x, y, z)
    check_gradients(lambda a, b, c: module(a, b, c)[0], x, y, z)


def test_static_keys_and_values():
    q, k, v = numbers(3, 2, 4), numbers(4, 5, 2, seed=1), numbers(4, 5, 2, seed=2)
    eye, nothing = torch.eye(4, dtype=torch.float64), torch.zeros(5, 2, 4, dtype=torch.float64)
    y, _ = F.multi_head_attention_forward(
        torch.tensor(q), nothing, nothing, 4, 2, torch.cat([eye] * 3), None, None, None, False, 0.0, eye, None,
        static_k=torch.tensor(k), static_v=torch.tensor(v),
    )  # fmt: skip
    heads = q.reshape(3, 2, 2, 2).transpose(1, 2, 0, 3).reshape(4, 3, 2)
    want = reference(heads, k, v).reshape(2, 2, 3, 2).transpose(2, 0, 1, 3).reshape(3, 2, 4)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-12)


X = torch.zeros(3, 2, 4)
M = nn.MultiheadAttention(4, 2)
BAD_MODULE = {
    "heads": (lambda: nn.MultiheadAttention(4, 3), AssertionError, "divisible"),
    "sizes": (lambda: nn.MultiheadAttention(0, 1), ValueError, "greater than 0"),
    "query dims": (lambda: M(X[0, 0], X, X), AssertionError, "2D or batched 3D"),
    "key dims": (lambda: M(X, X[0], X), AssertionError, "to be 3-D"),
    "width": (lambda: M(X[..., :3], X, X), AssertionError, "embedding dimension of 4"),
    "value": (lambda: M(X, X, X[:2]), AssertionError, "does not match value shape"),
    "mask": (lambda: M(X, X, X, attn_mask=torch.zeros(2, 3)), RuntimeError, "should be"),
    "mask of heads": (lambda: M(X, X, X, attn_mask=torch.zeros(2, 3, 3)), RuntimeError, "should be"),
    "padding dims": (lambda: M(X, X, X, torch.zeros(3)), AssertionError, "`None` or 2-D"),
    "padding": (lambda: M(X, X, X, torch.zeros(2, 4)), AssertionError, "key_padding_mask shape"),
    "integers": (lambda: M(X, X, X, torch.zeros(2, 3).long()), AssertionError, "only bool and floating"),
    "causal": (lambda: M(X, X, X, is_causal=True), RuntimeError, "Need attn_mask"),
}


@pytest.mark.parametrize("name", BAD_MODULE)
def test_module_refusals(name):
    call, error, message = BAD_MODULE[name]
    with pytest.raises(error, match=message):
        call()


def test_mismatched_masks_warn():
    with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask"):
        M(X, X, X, torch.zeros(2, 3).bool(), attn_mask=torch.zeros(3, 3))
