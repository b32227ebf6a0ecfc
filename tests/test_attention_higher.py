"""Gradients of the gradients of attention and embeddings, against differences of the first ones."""

from __future__ import annotations

import pytest
from gradients import check_second
from sample_values import numbers

import jitgrad as torch
from jitgrad.nn import functional as F

INDEX = torch.tensor([[0, 2, 2], [1, 2, 0]])
MASK = torch.tensor([[True, True, False], [False, False, False]])


def _dropped(q, k, v):
    torch.manual_seed(3)
    return F.scaled_dot_product_attention(q, k, v, dropout_p=0.4)


def _packed(x):
    q, k, v = (y.reshape(1, 3, 2, 2).transpose(1, 2) for y in x.split(4, 2))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def _bag(mode, **options):
    return lambda w: F.embedding_bag(INDEX, w * w, mode=mode, **options)


HEADS = (numbers(2, 2, 3), numbers(2, 3, 3, seed=1), numbers(2, 3, 2, seed=2))
CASES = {
    "attention": (F.scaled_dot_product_attention, HEADS),
    "attention bool mask": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, MASK), HEADS),
    "attention added mask": (F.scaled_dot_product_attention, (*HEADS, numbers(2, 3, seed=3))),
    "attention dropout": (_dropped, HEADS),
    "attention packed": (_packed, (numbers(1, 3, 12),)),
    "embedding": (lambda w: F.embedding(INDEX, w * w, 1), (numbers(3, 2),)),
    "bag sum": (_bag("sum", padding_idx=2), (numbers(3, 2),)),
    "bag mean": (_bag("mean"), (numbers(3, 2),)),
    "bag max": (_bag("max"), (numbers(3, 2),)),
    "bag factors": (
        lambda w, f: F.embedding_bag(INDEX, w, mode="sum", per_sample_weights=f),
        (numbers(3, 2), numbers(2, 3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_second_gradients(name):
    check_second(CASES[name][0], *CASES[name][1])
