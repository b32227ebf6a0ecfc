"""Errors say what the script called, and are of the class that PyTorch raises."""

from __future__ import annotations

import pytest
from sample_values import leaf

import jitgrad as torch

F = torch.nn.functional
WHOLE = torch.tensor([[1, 0], [1, 1]])
INDEX = torch.tensor([9])


REFUSED = {
    "bernoulli_ of a leaf": (lambda: leaf(1.0, 1.0).bernoulli_(0.5), RuntimeError, "^bernoulli_: a leaf"),
    "bits of floats": (lambda: leaf(1.0, 1.0) & 1, NotImplementedError, "^bitwise_and: .*float32"),
    "cat of nothing": (lambda: torch.cat([]), ValueError, "^cat: .*non-empty"),
    "clamp to another size": (lambda: torch.ones(3).clamp(torch.ones(2)), RuntimeError, "^clamp: The size"),
    "column_stack of nothing": (lambda: torch.column_stack([]), RuntimeError, "^column_stack: .*non-empty"),
    "copy_ of another size": (lambda: torch.ones(2).copy_(torch.ones(3)), RuntimeError, "^copy_: The size"),
    "copy_ to fewer": (lambda: torch.ones(1).copy_(torch.ones(3)), RuntimeError, "^copy_: output with shape"),
    "cosine_similarity of other sizes": (
        lambda: F.cosine_similarity(torch.ones(2, 3), torch.ones(2, 4)),
        RuntimeError,
        "^cosine_similarity: Shape mismatch",
    ),
    "cross entropy of bools": (
        lambda: torch.cross_entropy_mean(WHOLE > 0, WHOLE[0] > 0),
        NotImplementedError,
        "^cross_entropy_mean: .*target: int64",
    ),
    "dstack of nothing": (lambda: torch.dstack([]), RuntimeError, "^dstack: .*non-empty"),
    "embedding_bag of integers": (lambda: F.embedding_bag(WHOLE, WHOLE), NotImplementedError, "int64; expected"),
    "exponential_ of a leaf": (lambda: leaf(1.0, 1.0).exponential_(), RuntimeError, "^exponential_: a leaf"),
    "fill_ of a leaf": (lambda: leaf(1.0, 1.0).fill_(2), RuntimeError, "^fill_: a leaf"),
    "hstack of nothing": (lambda: torch.hstack([]), RuntimeError, "^hstack: .*non-empty"),
    "index_add of other sizes": (
        lambda: WHOLE.index_add(0, INDEX * 0, WHOLE),
        RuntimeError,
        r"^index_add\(\): source of shape \(2, 2\)",
    ),
    "index_fill beyond the end": (lambda: torch.ones(2).index_fill(0, INDEX, 1), IndexError, "^index_fill: index 9"),
    "index_select beyond the end": (lambda: WHOLE.index_select(0, INDEX), IndexError, "^index_select: index 9"),
    "layer of a model": (
        lambda: torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(5, 2))(torch.ones(1, 3)),
        RuntimeError,
        "^linear: mat1 and mat2",
    ),
    "margin_ranking_loss of other sizes": (
        lambda: F.margin_ranking_loss(torch.ones(2), torch.ones(3), torch.ones(2)),
        RuntimeError,
        "^margin_ranking_loss: The size",
    ),
    "mse_loss of integers": (lambda: F.mse_loss(WHOLE, WHOLE), NotImplementedError, "^mse_loss: .*int64"),
    "normal_ of a leaf": (lambda: leaf(1.0, 1.0).normal_(), RuntimeError, "^normal_: a leaf"),
    "poisson_nll_loss of other sizes": (
        lambda: F.poisson_nll_loss(torch.ones(2), torch.ones(3)),
        RuntimeError,
        "^poisson_nll_loss: The size",
    ),
    "promote_types of numbers": (lambda: torch.promote_types(1, 2), TypeError, r"^promote_types\(\): .*int and int"),
    "repeats as a matrix": (
        lambda: WHOLE.repeat_interleave(WHOLE),
        RuntimeError,
        r"^repeat_interleave: .*1-dim tensor, got shape \(2, 2\)",
    ),
    "split by a float": (lambda: WHOLE.split(1.5), TypeError, r"^split\(\): argument 'split_size_or_s.* must be ints"),
    "split by nothing": (lambda: WHOLE.split(), TypeError, r"^split\(\): argument 'split_size_or_s.* must be ints"),
    "take beyond the end": (lambda: WHOLE.take(INDEX), IndexError, "^take: index 9"),
    "tensor of None": (lambda: torch.tensor(None), RuntimeError, "^tensor: Could not infer dtype of NoneType"),
    "tensor of a string": (lambda: torch.tensor("a"), TypeError, "^tensor: invalid data type 'str'"),
    "text in square brackets": (lambda: WHOLE["a"], TypeError, "only integers, slices .*got str"),
    "type of another name": (lambda: WHOLE.type("a"), ValueError, "^type: invalid type: 'a'"),
    "two operations of a function": (
        lambda: torch.compile(lambda x: x.tanh() @ x)(torch.ones(2, 3)),
        RuntimeError,
        "^matmul: mat1",
    ),
    "uniform_ of a leaf": (lambda: leaf(1.0, 1.0).uniform_(), RuntimeError, "^uniform_: a leaf"),
    "vstack of nothing": (lambda: torch.vstack([]), RuntimeError, "^vstack: .*non-empty"),
    "weight of bilinear": (
        lambda: F.bilinear(torch.ones(2, 2), torch.ones(2, 2), torch.ones(2, 2)),
        RuntimeError,
        "^bilinear: expected a weight",
    ),
    "zero_ of a leaf": (lambda: leaf(1.0, 1.0).zero_(), RuntimeError, "^zero_: a leaf"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_the_function_and_are_of_pytorchs_class(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()
