"""Connectionist temporal classification against all paths written out, and its gradients, forms and errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches
from gradients import check_gradients
from sample_values import numbers

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import BY_NAME
from jitgrad.nn import functional as F

DTYPES = [torch.float32, torch.float64]


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def all_paths(log_probs: np.ndarray, labels: list[int], blank: int) -> float:
    """The loss of one sequence (steps, classes): every path is written out and collapsed."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = [c for c, _ in itertools.groupby(path) if c != blank]
        if collapsed == labels:
            total += np.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    with np.errstate(divide="ignore"):
        return -np.log(total)


TARGETS = [[1, 2], [1, 1], [2], [], [2, 1, 2], [1, 2, 1, 2, 1, 2]]


def padded(targets) -> np.ndarray:
    made = np.zeros((len(targets), max(map(len, targets))), np.int64)
    for row, labels in zip(made, targets, strict=True):
        row[: len(labels)] = labels
    return made


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("blank", [0, 3])
def test_loss_is_the_sum_over_all_paths(blank, dtype):
    targets = TARGETS if blank == 0 else [[c - 1 for c in labels] for labels in TARGETS]
    log_probs = log_softmax(numbers(5, len(targets), 4))
    steps = [5, 4, 1, 3, 5, 5]
    expected = [
        all_paths(log_probs[:n, k], t, blank) for k, (n, t) in enumerate(zip(steps, targets, strict=True))
    ]
    assert np.isinf(expected[-1])  # more labels than steps
    lengths = [len(t) for t in targets]
    x = torch.tensor(log_probs, dtype=dtype)
    flat = torch.tensor([c for labels in targets for c in labels])
    for given in (torch.tensor(padded(targets)), flat, torch.tensor(padded(targets)).int()):
        for ns, ls in (
            (steps, lengths),
            (torch.tensor(steps), torch.tensor(lengths)),
            (tuple(steps), lengths),
        ):
            found = F.ctc_loss(x, given, ns, ls, blank, "none")
            assert found.dtype is dtype
            np.testing.assert_allclose(
                found.numpy(), expected, rtol=1e-6 if dtype is torch.float32 else 1e-12
            )
    zeroed = F.ctc_loss(x, flat, steps, lengths, blank, "none", True).numpy()
    np.testing.assert_allclose(zeroed, np.where(np.isinf(expected), 0, expected), rtol=1e-6)


def test_long_sequences_follow_the_recursion():
    rng = np.random.default_rng(2)
    steps, labels = np.array([40, 33, 12]), np.array([10, 15, 0])
    log_probs = log_softmax(numbers(40, 3, 7))
    targets = rng.integers(1, 7, labels.sum())
    starts = np.cumsum(labels) - labels
    expected = BY_NAME["ctc_loss"].reference(log_probs, targets, np.stack([steps, labels, starts]))
    found = F.ctc_loss(
        torch.tensor(log_probs), torch.tensor(targets), list(steps), list(labels), reduction="none"
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_reductions():
    log_probs, targets = torch.tensor(log_softmax(numbers(5, 3, 4))), torch.tensor([[1, 2], [1, 0], [0, 0]])
    each = F.ctc_loss(log_probs, targets, [5] * 3, [2, 1, 0], reduction="none").numpy()
    assert F.ctc_loss(log_probs, targets, [5] * 3, [2, 1, 0], reduction="sum").item() == pytest.approx(
        each.sum()
    )
    mean = (each / [2, 1, 1]).mean()
    assert F.ctc_loss(log_probs, targets, [5] * 3, [2, 1, 0]).item() == pytest.approx(mean)
    assert nn.CTCLoss()(log_probs, targets, [5] * 3, [2, 1, 0]).item() == pytest.approx(mean)


def test_one_sequence_without_a_batch():
    log_probs = log_softmax(numbers(5, 4))
    expected = all_paths(log_probs, [1, 3], 0)
    for lengths in ((torch.tensor(5), torch.tensor(2)), ((5,), (2,)), ([5], [2])):
        found = F.ctc_loss(torch.tensor(log_probs), torch.tensor([1, 3]), *lengths, reduction="none")
        assert tuple(found.shape) == ()
        assert found.item() == pytest.approx(expected)
        mean = F.ctc_loss(torch.tensor(log_probs), torch.tensor([1, 3]), *lengths)
        assert tuple(mean.shape) == () and mean.item() == pytest.approx(expected / 2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_through_log_softmax(reduction):
    targets, steps, labels = torch.tensor([1, 2, 1, 1, 2]), [6, 4, 5], [2, 0, 3]

    def loss(x):
        return F.ctc_loss(torch.log_softmax(x, 2), targets, steps, labels, reduction=reduction)

    check_gradients(loss, numbers(6, 3, 4))
    check_gradients(lambda x: loss(x.permute(2, 0, 1)), numbers(3, 4, 6))


def test_float32_gradients_are_those_of_float64():
    targets, steps, labels = torch.tensor([1, 2, 1, 1, 2]), [30, 24, 25], [2, 0, 3]
    found = []
    for dtype in DTYPES:
        x = torch.tensor(numbers(30, 3, 4), dtype=dtype, requires_grad=True)
        F.ctc_loss(torch.log_softmax(x, 2), targets, steps, labels).backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, atol=1e-6)
    assert (found[0][24:, 1] == 0).all()  # beyond the end of a sequence


def test_zero_infinity_has_no_gradient():
    x = torch.tensor(numbers(2, 2, 4), requires_grad=True)
    targets = torch.tensor([[1, 2, 3], [1, 0, 0]])
    loss = F.ctc_loss(torch.log_softmax(x, 2), targets, [2, 2], [3, 1], reduction="sum", zero_infinity=True)
    loss.backward()
    assert np.isfinite(loss.item())
    assert (x.grad.numpy()[:, 0] == 0).all() and (x.grad.numpy()[:, 1] != 0).any()
    x.grad = None
    loss = F.ctc_loss(torch.log_softmax(x, 2), targets, [2, 2], [3, 1], reduction="sum")
    loss.backward()
    assert np.isinf(loss.item())
    assert np.isnan(x.grad.numpy()[:, 0]).all() and np.isfinite(x.grad.numpy()[:, 1]).all()


def test_impossible_classes():
    """Log-probabilities of minus infinity are zeros in the sum."""
    log_probs = log_softmax(numbers(4, 1, 3))
    log_probs[1, 0, 0] = -np.inf
    expected = all_paths(log_probs[:, 0], [1, 2], 0)
    found = F.ctc_loss(torch.tensor(log_probs), torch.tensor([[1, 2]]), [4], [2], reduction="none")
    np.testing.assert_allclose(found.numpy(), [expected], rtol=1e-12)


def test_nothing_to_say():
    x = torch.tensor(log_softmax(numbers(3, 2, 4)), requires_grad=True)
    empty = torch.zeros(0, dtype=torch.int64)
    loss = F.ctc_loss(x, empty, [0, 2], [0, 0], reduction="none")
    np.testing.assert_allclose(loss.detach().numpy(), [0, -x.detach().numpy()[:2, 1, 0].sum()], rtol=1e-12)
    loss.sum().backward()
    assert (x.grad.numpy()[:, 0] == 0).all()
    assert np.isinf(F.ctc_loss(x.detach(), torch.tensor([1]), [0, 2], [1, 0], reduction="none").numpy()[0])


X = torch.zeros(5, 2, 4)
Y = torch.tensor([[1, 2], [1, 2]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.ctc_loss(X, Y, [6, 5], [2, 2]), RuntimeError, ["at most 5", "6"]),
        (lambda: F.ctc_loss(X, Y, [5], [2, 2]), RuntimeError, ["input_lengths", "size batch_size"]),
        (lambda: F.ctc_loss(X, Y, [5, 5], [2]), RuntimeError, ["target_lengths", "size batch_size"]),
        (lambda: F.ctc_loss(X, Y, [5, 5], [2, -1]), RuntimeError, ["negative"]),
        (lambda: F.ctc_loss(X, Y, [5, 5], [3, 2]), RuntimeError, ["(2, 3 or more)", "(2, 2)"]),
        (lambda: F.ctc_loss(X, torch.tensor([1, 2, 3]), [5, 5], [2, 2]), RuntimeError, ["4", "got 3"]),
        (lambda: F.ctc_loss(X[:, 0], Y[0], (5,), (1,)), RuntimeError, ["size 1", "got 2"]),
        (lambda: F.ctc_loss(X, Y, [5, 5], [2, 2], 4), RuntimeError, ["blank", "0 to 3"]),
        (lambda: F.ctc_loss(X, Y.float(), [5, 5], [2, 2]), RuntimeError, ["integral targets"]),
        (lambda: F.ctc_loss(X.long(), Y, [5, 5], [2, 2]), RuntimeError, ["floating log_probs"]),
        (lambda: F.ctc_loss(X[0, 0], Y, [5, 5], [2, 2]), RuntimeError, ["(T, N, C)"]),
        (lambda: F.ctc_loss(X[:0], Y, [0, 0], [2, 2]), RuntimeError, ["empty"]),
        (lambda: F.ctc_loss(X, Y, torch.ones(2), [2, 2]), RuntimeError, ["integral"]),
        (lambda: F.ctc_loss(X, Y, [5, 5], [2, 2], reduction="max"), ValueError, ["max"]),
        (lambda: F.ctc_loss(X, [[1, 2]], [5, 5], [2, 2]), TypeError, ["must be Tensor"]),
        (lambda: F.ctc_loss(X, Y + 2, [5, 5], [2, 2]), IndexError, ["Target 4", "0 to 3"]),
        (lambda: F.ctc_loss(X, Y - 2, [5, 5], [2, 2]), IndexError, ["Target -1"]),
    ],
)
def test_refusal(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    assert np.isfinite(F.ctc_loss(X, Y, [5, 5], [2, 2]).item())  # and nothing is left of the error


def scene():
    model = nn.Linear(3, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.CTCLoss()

    def step(x, y):
        optimizer.zero_grad()
        value = loss(torch.log_softmax(model(x), 2), y, [6, 4], [2, 1])
        value.backward()
        optimizer.step()
        return value

    inputs = batches((6, 2, 3))
    labels = torch.tensor([[1, 2], [3, 0]])
    return Scene(step, lambda k: (*inputs(k), labels), model, optimizer)


def test_compiled_step():
    assert_same(scene)


def test_a_label_that_is_no_class_stops_a_compiled_step():
    made = scene()
    step = torch.compile(made.step, fullgraph=True)
    x, y = made.inputs(0)
    step(x, y)
    step(x, y)
    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        step(x, y + torch.tensor([[0, 5], [0, 0]]))
    assert np.isfinite(step(x, y).item())
