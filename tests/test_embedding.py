"""Embedding and EmbeddingBag: values, gradients, padding, norms, and indices that are no rows."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same, training_step
from gradients import check_gradients
from kernel_records import run

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import abi
from jitgrad.nn import functional as F

RNG = np.random.default_rng(0)
WIDTHS = [1, 5, 16, 33]


def table(rows=7, width=5):
    return np.random.default_rng([rows, width]).standard_normal((rows, width))


def indices(*shape, rows=7):
    return np.random.default_rng([1, *shape]).integers(0, rows, shape)


# rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", [(), (6,), (3, 4), (2, 0)])
def test_values_are_rows(shape, width, dtype):
    weight, index = table(7, width).astype(dtype), indices(*shape)
    y = F.embedding(torch.tensor(index), torch.tensor(weight))
    assert tuple(y.shape) == (*shape, width)
    np.testing.assert_array_equal(y.numpy(), weight[index])
    np.testing.assert_array_equal(
        torch.embedding(torch.tensor(weight), torch.tensor(index)).numpy(), weight[index]
    )


def test_int32_and_strided_operands():
    weight, index = table(), indices(4, 6)
    strided = torch.tensor(index).t()[::2]
    np.testing.assert_array_equal(F.embedding(strided, torch.tensor(weight)).numpy(), weight[index.T[::2]])
    narrow = torch.tensor(index).to(torch.int32)
    np.testing.assert_array_equal(F.embedding(narrow, torch.tensor(weight)).numpy(), weight[index])
    turned = torch.tensor(np.ascontiguousarray(weight.T)).t()
    np.testing.assert_array_equal(F.embedding(narrow, turned).numpy(), weight[index])


@pytest.mark.parametrize("width", WIDTHS)
def test_gradients(width):
    index = torch.tensor(indices(3, 4))
    check_gradients(lambda w: F.embedding(index, w), table(7, width))
    check_gradients(lambda w: F.embedding(index, w.t()), table(width, 7))
    check_gradients(lambda w: F.embedding(index, w).permute(2, 0, 1) * 2, table(7, width))
    check_gradients(lambda w: F.embedding(index, w).transpose(0, 1)[::2].exp(), table(7, width))


def expected_gradient(index, g, rows, padding=None, by_count=False):
    total = np.zeros((rows, g.shape[-1]))
    flat = index.ravel()
    for row, line in zip(flat, g.reshape(flat.size, -1), strict=True):
        if row != padding:
            total[row] += line / ((flat == row).sum() if by_count else 1)
    return total


@pytest.mark.parametrize(
    "options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}]
)
def test_gradient_options(options):
    index, g = indices(5, 4), RNG.standard_normal((5, 4, 5))
    weight = torch.tensor(table(), requires_grad=True)
    F.embedding(torch.tensor(index), weight, **options).backward(torch.tensor(g))
    padding = options.get("padding_idx")
    want = expected_gradient(
        index, g, 7, None if padding is None else padding % 7, options.get("scale_grad_by_freq", False)
    )
    np.testing.assert_allclose(weight.grad.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_results_do_not_depend_on_the_number_of_parts(parts):
    weight, index = table(7, 19).astype(np.float32), indices(31)
    g = RNG.standard_normal((31, 19)).astype(np.float32)
    report = np.zeros(4, np.int64)
    words = (report.ctypes.data, 0, 0)
    found = []
    for count in (1, parts):
        y, gw = (np.full(s, np.nan, np.float32) for s in ((31, 19), (7, 19)))
        run("embedding", abi.FLOAT32, (weight, index, y), words, count)
        run("embedding", abi.FLOAT32, (weight, index, None, g, gw, None), words, count, variant=1)
        found.append((y, gw))
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
        assert not np.isnan(one).any()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
def test_max_norm_shrinks_named_rows_in_place(norm_type):
    weight = table() * 3
    index = np.array([[1, 1], [4, 2]])
    t = torch.tensor(weight, requires_grad=True)
    y = F.embedding(torch.tensor(index), t, max_norm=1.0, norm_type=norm_type)
    want = weight.copy()
    for row in (1, 2, 4):
        norm = np.linalg.norm(weight[row], norm_type)
        want[row] *= 1.0 / (norm + 1e-7) if norm > 1.0 else 1.0
    np.testing.assert_allclose(t.detach().numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(y.detach().numpy(), want[index], rtol=1e-12)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), expected_gradient(index, np.ones((2, 2, 5)), 7))


W, I = torch.zeros(3, 2), torch.tensor([1])
BAD = {
    "above": (lambda: F.embedding(I + 2, W), IndexError, "index 3 is out of bounds"),
    "below": (lambda: F.embedding(I - 2, W), IndexError, "index -1 is out of bounds"),
    "late": (lambda: F.embedding(torch.arange(20) % 4, W), IndexError, "index 3"),
    "no rows": (lambda: F.embedding(I, torch.zeros(0, 2)), IndexError, "no rows"),
    "floats": (lambda: F.embedding(I.float(), W), RuntimeError, "Long, Int; but got float32"),
    "bools": (lambda: F.embedding(I.bool(), W), RuntimeError, "Long, Int; but got bool"),
    "1-D": (lambda: F.embedding(I, W[0]), RuntimeError, "'weight' must be 2-D"),
    "padding": (lambda: F.embedding(I, W, padding_idx=3), AssertionError, "within num_embeddings"),
    "list": (lambda: F.embedding([1], W), TypeError, "must be Tensor"),
    "order": (lambda: torch.embedding(I, W), RuntimeError, "Long, Int"),
    "module padding": (lambda: nn.Embedding(3, 2, padding_idx=-4), AssertionError, "within num_embeddings"),
    "pretrained": (lambda: nn.Embedding.from_pretrained(W[0]), AssertionError, "2-dimensional"),
    "bag 2-D offsets": (lambda: F.embedding_bag(I.reshape(1, 1), W, I), ValueError, "offsets has to be None"),
    "bag no offsets": (lambda: F.embedding_bag(I, W), ValueError, "got None"),
    "bag start": (lambda: F.embedding_bag(I, W, I), RuntimeError, "has to be 0"),
    "bag end": (lambda: F.embedding_bag(I, W, torch.tensor([0, 2])), RuntimeError, "can not be greater"),
    "bag falling": (
        lambda: F.embedding_bag(I.expand(5), W, torch.tensor([0, 3, 2])),
        RuntimeError,
        "must not decrease",
    ),
    "bag mode": (lambda: F.embedding_bag(I, W, I - 1, mode="min"), ValueError, "sum, mean or max"),
    "bag factors": (
        lambda: F.embedding_bag(I, W, I - 1, per_sample_weights=torch.ones(1)),
        NotImplementedError,
        "only supported for mode='sum'",
    ),
    "bag factor shape": (
        lambda: F.embedding_bag(I, W, I - 1, mode="sum", per_sample_weights=torch.ones(2)),
        ValueError,
        "same shape",
    ),
    "bag index": (lambda: F.embedding_bag(I + 2, W, I - 1), IndexError, "index 3 is out of bounds"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()
    assert not W.any()


# bags -------------------------------------------------------------------------------------------------


def expected_bags(weight, index, spans, mode, factors=None, padding=None):
    out = np.zeros((len(spans), weight.shape[1]))
    for b, (first, end) in enumerate(spans):
        rows = [t for t in range(first, end) if index[t] != padding]
        if rows:
            lines = np.array([weight[index[t]] * (1.0 if factors is None else factors[t]) for t in rows])
            out[b] = {"sum": lines.sum(0), "mean": lines.mean(0), "max": lines.max(0)}[mode]
    return out


OFFSETS = [0, 3, 3, 7, 9]


@pytest.mark.parametrize("width", [5, 17])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode, padding, last, width):
    index = indices(9)
    spans = list(zip(OFFSETS, OFFSETS[1:] if last else [*OFFSETS[1:], 9], strict=False))
    weight = table(7, width)

    def bag(w):
        return F.embedding_bag(
            torch.tensor(index),
            w,
            torch.tensor(OFFSETS),
            mode=mode,
            include_last_offset=last,
            padding_idx=padding,
        )

    want = expected_bags(weight, index, spans, mode, None, padding)
    np.testing.assert_allclose(bag(torch.tensor(weight)).numpy(), want, rtol=1e-12, atol=1e-12)
    check_gradients(bag, weight)
    check_gradients(lambda w: bag(w.t()).t() * 2, np.ascontiguousarray(weight.T))


def test_bags_in_lines_with_factors():
    index, factors = indices(3, 4), RNG.standard_normal((3, 4))

    def bag(w, f):
        return F.embedding_bag(torch.tensor(index), w, mode="sum", per_sample_weights=f, padding_idx=1)

    want = expected_bags(table(), index.ravel(), [(0, 4), (4, 8), (8, 12)], "sum", factors.ravel(), 1)
    np.testing.assert_allclose(bag(torch.tensor(table()), torch.tensor(factors)).numpy(), want, rtol=1e-12)
    check_gradients(bag, table(), factors)


def test_gradient_of_bags_by_count():
    index, g = indices(3, 4), RNG.standard_normal((3, 5))
    weight = torch.tensor(table(), requires_grad=True)
    bag = F.embedding_bag(torch.tensor(index), weight, mode="sum", scale_grad_by_freq=True)
    bag.backward(torch.tensor(g))
    want = expected_gradient(index, np.repeat(g, 4, 0), 7, by_count=True)
    np.testing.assert_allclose(weight.grad.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("mode", range(3))
def test_bags_do_not_depend_on_the_number_of_parts(mode, parts):
    weight, index, offsets = table(7, 19).astype(np.float32), indices(9), np.array(OFFSETS)
    g, report = RNG.standard_normal((5, 19)).astype(np.float32), np.zeros(4, np.int64)
    words = (report.ctypes.data, 0, 0, mode)
    found = []
    for count in (1, parts):
        y, chosen = np.full((5, 19), np.nan, np.float32), np.full((5, 19), -7)
        gw = np.full((7, 19), np.nan, np.float32)
        run("embedding_bag", abi.FLOAT32, (weight, index, offsets, None, y, chosen), words, count)
        back = (weight, index, offsets, None, None, chosen, g, None, gw, None, None, None)
        run("embedding_bag", abi.FLOAT32, back, words, count, variant=1)
        found.append((y, gw))
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
        assert not np.isnan(one).any()


# modules ----------------------------------------------------------------------------------------------


def test_modules():
    torch.manual_seed(0)
    layer = nn.Embedding(400, 50, padding_idx=-2)
    assert list(layer.state_dict()) == ["weight"] and layer.padding_idx == 398
    values = layer.weight.detach().numpy()
    assert not values[398].any()
    assert abs(values.std() - 1) < 0.02 and abs(values.mean()) < 0.02
    assert (
        repr(nn.Embedding(3, 4, padding_idx=-1, norm_type=1.0))
        == "Embedding(3, 4, padding_idx=2, norm_type=1.0)"
    )
    assert repr(nn.EmbeddingBag(3, 4, max_norm=2.0)) == "EmbeddingBag(3, 4, max_norm=2.0, mode='mean')"
    frozen = nn.Embedding.from_pretrained(torch.tensor(table()))
    assert not frozen.weight.requires_grad
    np.testing.assert_array_equal(frozen(torch.tensor([2, 0])).numpy(), table()[[2, 0]])
    assert nn.EmbeddingBag.from_pretrained(torch.tensor(table()), freeze=False).weight.requires_grad
    bag = nn.EmbeddingBag.from_pretrained(torch.tensor(table()), mode="sum")
    np.testing.assert_allclose(bag(torch.tensor([[2, 0]])).numpy(), table()[[2]] + table()[[0]])


def language_model(**options):
    model = nn.Sequential(nn.Embedding(9, 4, **options), nn.Flatten(), nn.Linear(12, 9))
    optimizer = torch.optim.Adam(model.parameters())
    data = [
        (torch.tensor(indices(5, 3, rows=9) // (k + 1)), torch.tensor(indices(5, rows=9))) for k in range(3)
    ]
    return Scene(training_step(model, optimizer, F.cross_entropy), lambda k: data[k % 3], model, optimizer)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"max_norm": 1.0}, {"scale_grad_by_freq": True}])
def test_compiled_steps_equal_eager_ones(options):
    assert_same(lambda: language_model(**options))


def test_compiled_bags_equal_eager_ones():
    def build():
        bag = nn.EmbeddingBag(9, 4, mode="max")
        optimizer = torch.optim.SGD(bag.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (bag(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, lambda k: (torch.tensor(indices(5, 3, rows=9) // (k % 3 + 1)),), bag, optimizer)

    assert_same(build)


def test_a_bad_index_in_a_replay_changes_nothing():
    scene = language_model()
    step = torch.compile(scene.step, fullgraph=True)
    x, y = scene.inputs(0)
    for _ in range(2):
        step(x, y)
    before = scene.owners[0][0].weight.detach().clone()
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        step(torch.full((5, 3), 9), y)
    np.testing.assert_array_equal(scene.owners[0][0].weight.detach().numpy(), before.numpy())
    step(x, y)
