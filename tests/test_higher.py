"""Gradients of gradients: every differentiable operation against central differences of its first gradient."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_second
from op_samples import FLOATS, attributes_of, codes_of, generator, sample

import jitgrad as torch
from jitgrad import dispatch
from jitgrad._tensor import wrap
from jitgrad.kernels import OPS, abi
from jitgrad.kernels.table import ARRAYS, MAP, REDUCE, SAME, parameters
from jitgrad.nn import functional as F

FLOAT64 = abi.FLOAT64
ELEMENTWISE = [
    op
    for op in OPS
    if op.kind == MAP and op.gradients and (op.result == SAME or op.result in FLOATS) and not op.identity
]
# the first finishes the gradient of amax and amin and is the derivative of nothing; differences of the second
# are lost in rounding
NOT_A_DERIVATIVE = {"scale_tied", "to_float32"}


def floating_operands(op):
    codes = codes_of(op, FLOAT64)
    return [k for k, (name, c) in enumerate(zip(op.operands, codes, strict=True)) if c in FLOATS]


@pytest.mark.parametrize(
    "op", [op for op in ELEMENTWISE if op.name not in NOT_A_DERIVATIVE], ids=lambda op: op.name
)
@pytest.mark.parametrize("broadcast", [False, True], ids=["alike", "broadcast"])
def test_second_gradient_of_every_elementwise_operation(op, broadcast):
    rng = generator(op.name, broadcast)
    codes = codes_of(op, FLOAT64)
    shapes = [(2, 3), (3,), (2, 1)] if broadcast else [(2, 3)]
    values = [
        sample(op, name, code, shapes[k % len(shapes)], rng)
        for k, (name, code) in enumerate(zip(op.operands, codes, strict=True))
    ]
    moving = floating_operands(op)
    fixed = {k: torch.tensor(v, dtype=torch.bool) for k, v in enumerate(values) if k not in moving}

    def function(*tensors):
        operands = dict(fixed) | dict(zip(moving, tensors, strict=True))
        return wrap(dispatch.call(op, [operands[k] for k in range(len(values))], attributes_of(op)))

    check_second(function, *(values[k] for k in moving))


@pytest.mark.parametrize(
    "op", [op for op in OPS if op.kind == REDUCE and op.gradients], ids=lambda op: op.name
)
@pytest.mark.parametrize("keep", [False, True])
def test_second_gradient_of_every_reduction(op, keep):
    x = generator(op.name).standard_normal((2, 3, 2)) + 3
    check_second(lambda t: wrap(dispatch.reduce(op, t, 0b101, keep)), x)


WITHOUT = {"ctc_loss", "log_gamma_draw"}


def test_every_array_operation_with_a_gradient_has_formulas_for_it():
    missing = [
        f"{op.name}.{name}"
        for op in OPS
        if op.kind == ARRAYS and not op.identity  # other tests may have declared some of their own
        for name in op.gradients
        if name not in op.vjp
    ]
    # these refuse, with a message: see README
    assert [name for name in missing if name.split(".")[0] not in WITHOUT] == []


def test_formulas_read_only_what_is_kept():
    for op in (op for op in OPS if not op.identity):
        for name, formula in op.vjp.items():
            kept = {
                *(op.gradients[name] if name in op.gradients else set().union(*op.gradients.values())),
                *(f"g{k}" for k in range(1, 4)),
                "g",
                "words",
                "wanted",
                "operands",
                "position",
                "shapes",
            }
            kept |= {f"{operand}_shape" for operand in op.operands}
            assert set(parameters(formula)[1:]) <= kept, f"{op.name}.{name}"


TARGET = torch.tensor([0, 2, 1])
INDEX = torch.tensor([[0, 1, 1], [2, 0, 1]])


def _index_put(x, v):
    y = x * 1
    y[torch.tensor([0, 2]), 1:3] = v * v
    return y * x


def _slice_put(x, v):
    y = x * 1
    y[1:, ::2] = v * v
    return y * x


def _in_place(x):
    y = x * x
    y += x
    y.mul_(x)
    return y


SHAPE = (3, 4)
FUNCTIONS = {
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1) ** 2, [(2, 2, 6), (3, 2, 3), (3,)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2)) ** 2, [(2, 2, 4, 3), (3, 2, 3, 2), (3,)]),
    "conv2d, dilated in groups": (
        lambda x, w: F.conv2d(x, w, None, 1, 1, 2, groups=2) ** 2,
        [(1, 4, 4, 4), (2, 2, 2, 2)],
    ),
    "conv2d of many images": (lambda x, w: F.conv2d(x, w, None, 2).sin(), [(9, 1, 3, 4), (2, 1, 2, 2)]),
    "conv3d": (lambda x, w: F.conv3d(x, w) ** 2, [(1, 1, 3, 2, 3), (2, 1, 2, 2, 2)]),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1) ** 2,
        [(1, 2, 3, 2), (2, 2, 3, 3), (2,)],
    ),
    "unfold layer": (lambda x: F.unfold(x, 2) ** 3, [(1, 2, 3, 3)]),
    "fold layer": (lambda x: F.fold(x, (3, 3), 2) ** 3, [(1, 8, 4)]),
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v) ** 2,
        [(2, 3, 2), (2, 4, 2), (2, 4, 3)],
    ),
    "causal attention of heads": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True) ** 2,
        [(1, 2, 3, 2), (1, 2, 3, 2), (1, 2, 3, 2)],
    ),
    "attention with a bias": (
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m) ** 2,
        [(2, 3, 2), (2, 4, 2), (2, 4, 3), (3, 4)],
    ),
    "embedding": (lambda w: F.embedding(INDEX, w) ** 3, [SHAPE]),
    "embedding by frequency": (
        lambda w: F.embedding(INDEX, w, scale_grad_by_freq=True) ** 0 + w.sum(),
        [SHAPE],
    ),
    "embedding_bag": (lambda w: F.embedding_bag(INDEX, w, mode="mean", padding_idx=1) ** 3, [SHAPE]),
    "weighted embedding_bag": (
        lambda w, f: F.embedding_bag(INDEX, w, mode="sum", per_sample_weights=f) ** 2,
        [SHAPE, (2, 3)],
    ),
    "largest of embedding_bag": (lambda w: F.embedding_bag(INDEX, w, mode="max") ** 3, [SHAPE]),
    "matmul": (lambda a, b: (a @ b).tanh(), [(3, 4), (4, 2)]),
    "matmul of batches": (lambda a, b: (a @ b) ** 2, [(2, 3, 4), (4, 2)]),
    "matrix times vector": (lambda a, v: (a @ v).sin(), [(3, 4), (4,)]),
    "vector times matrix": (lambda v, a: (v @ a).sin(), [(3,), (3, 4)]),
    "linear": (lambda x, w, b: F.linear(x, w, b).exp(), [(2, 2, 3), (4, 3), (4,)]),
    "softmax": (lambda x: x.softmax(1) * x, [SHAPE]),
    "softmax of the first dimension": (lambda x: x.softmax(0), [SHAPE]),
    "log_softmax": (lambda x: x.log_softmax(-1) * x, [SHAPE]),
    "cross_entropy": (lambda x: F.cross_entropy(x, TARGET), [SHAPE]),
    "cross_entropy with ignored rows": (lambda x: F.cross_entropy(x, TARGET, ignore_index=2), [SHAPE]),
    "cross_entropy of images": (
        lambda x: F.cross_entropy(x.reshape(1, -1, 2), torch.tensor([[1, 0]]), label_smoothing=0.1),
        [SHAPE],
    ),
    "smoothed cross_entropy": (lambda x: F.cross_entropy(x, TARGET, label_smoothing=0.1), [SHAPE]),
    "nll_loss": (lambda x: F.nll_loss(x.log_softmax(1), TARGET, reduction="none"), [SHAPE]),
    "mse_loss": (lambda x, t: F.mse_loss(x, t) * x.sum(), [SHAPE, SHAPE]),
    "index": (lambda x: x[torch.tensor([0, 2, 0])] ** 3, [SHAPE]),
    "index of two dimensions": (lambda x: x[torch.tensor([0, 2, 0]), torch.tensor([1, 1, 1])] ** 3, [SHAPE]),
    "embedding with padding": (lambda w: F.embedding(INDEX, w, padding_idx=1) ** 3, [SHAPE]),
    "index_put": (_index_put, [SHAPE, (2, 2)]),
    "index_put accumulating": (
        lambda x, v: x.index_put((torch.tensor([0, 0]),), v**2, accumulate=True) ** 2,
        [SHAPE, (2, 4)],
    ),
    "slice_put": (_slice_put, [SHAPE, (2, 2)]),
    "gather": (lambda x: x.gather(1, INDEX) ** 3, [SHAPE]),
    "scatter": (lambda x, s: x.scatter(1, torch.tensor([[0, 3], [1, 2]]), s**2) ** 2, [SHAPE, (3, 3)]),
    "scatter_add": (lambda x, s: x.scatter_add(0, INDEX, s**2) ** 2, [SHAPE, (2, 3)]),
    "index_select": (lambda x: x.index_select(1, torch.tensor([3, 0, 3])) ** 3, [SHAPE]),
    "cat": (lambda a, b: torch.cat([a, b * b, a], 1) ** 2, [SHAPE, (3, 2)]),
    "stack": (lambda a, b: torch.stack([a, b * a], 1).sin(), [SHAPE, SHAPE]),
    "flip": (lambda x: x.flip(0, 1) ** 3, [SHAPE]),
    "cumsum": (lambda x: x.cumsum(0) ** 3, [SHAPE]),
    "cumprod": (lambda x: x.cumprod(1) ** 2, [SHAPE]),
    "logcumsumexp": (lambda x: x.logcumsumexp(1) ** 2, [SHAPE]),
    "logsumexp": (lambda x: x.logsumexp(1) ** 2, [SHAPE]),
    "max along": (lambda x: x.max(1)[0] ** 3, [SHAPE]),
    "min along, kept": (lambda x: x.min(0, keepdim=True).values ** 3, [SHAPE]),
    "amax": (lambda x: x.amax(1) ** 3, [SHAPE]),
    "prod along": (lambda x: x.prod(1), [SHAPE]),
    "prod": (lambda x: x.prod(), [(2, 3)]),
    "var": (lambda x: x.var(1) * x.std(), [SHAPE]),
    "norm": (lambda x: x.norm(dim=1) ** 3, [SHAPE]),
    "select": (lambda x: x[1] ** 3, [SHAPE]),
    "slice with steps": (lambda x: x[::2, 1:] ** 3, [SHAPE]),
    "permute": (lambda x: x.permute(2, 0, 1) ** 3, [(2, 3, 2)]),
    "transpose": (lambda x: x.t() ** 3, [SHAPE]),
    "reshape of a transposed": (lambda x: x.t().reshape(2, 6) ** 3, [SHAPE]),
    "view": (lambda x: x.view(2, 6) ** 3, [SHAPE]),
    "expand": (lambda x: x.unsqueeze(1).expand(3, 5, 4) ** 3, [SHAPE]),
    "squeeze": (lambda x: x.unsqueeze(0).squeeze(0) ** 3, [SHAPE]),
    "diagonal": (lambda x: x.diagonal(1) ** 3, [SHAPE]),
    "unfold": (lambda x: x.unfold(1, 2, 2) ** 3, [SHAPE]),
    "unfold overlapping": (lambda x: x.unfold(1, 2, 1).unfold(0, 1, 1) ** 3, [SHAPE]),
    "sort": (lambda x: x.sort(1)[0] ** 3, [SHAPE]),
    "topk": (lambda x: x.topk(2, 1)[0] ** 3, [SHAPE]),
    "in place": (_in_place, [SHAPE]),
    "where": (lambda a, b: torch.where(a > b, a * b, b.exp()), [SHAPE, SHAPE]),
    "clamp": (lambda x: x.clamp(-0.5, 0.7) ** 3, [SHAPE]),
    "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b) ** 2, [SHAPE, (2, 4)]),
    "max_pool": (lambda x: F.max_pool2d(x, 2) ** 3, [(2, 4, 5)]),
    "adaptive_max_pool": (lambda x: F.adaptive_max_pool1d(x, 2) ** 3, [SHAPE]),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2) ** 3, [(2, 4, 5)]),
    "avg_pool, padding counts": (lambda x: F.avg_pool2d(x, 3, 2, 1, True) ** 3, [(2, 4, 5)]),
    "avg_pool without padding": (lambda x: F.avg_pool2d(x, 3, 2, 1, False, False) ** 3, [(2, 4, 5)]),
    "pad": (lambda x: F.pad(x, (1, 2), "replicate") ** 3, [SHAPE]),
    "interpolate": (lambda x: F.interpolate(x, (5, 2), mode="bilinear") ** 3, [(1, 1, 3, 4)]),
    "bce_with_logits": (lambda x, t: F.binary_cross_entropy_with_logits(x, t.sigmoid()), [SHAPE, SHAPE]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b).sin(), [SHAPE, (4,), (4,)]),
    "layer_norm without weights": (lambda x: F.layer_norm(x, (4,)) ** 2, [SHAPE]),
    "conv1d same": (lambda x, w: F.conv1d(x, w, padding="same").sin(), [(1, 2, 5), (3, 2, 4)]),
    "conv2d same": (
        lambda x, w: F.conv2d(x, w, padding="same", dilation=(1, 3), groups=2).sin(),
        [(2, 2, 3, 2), (4, 1, 2, 2)],
    ),
    "linear of no inputs": (lambda x, w: F.linear(x, w).cos(), [(2, 3, 0), (4, 0)]),
    "linear without outputs": (lambda x, w: F.linear(x, w).cos(), [(2, 3), (0, 3)]),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y, dim=0), [SHAPE, (4,)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w).sin(), [SHAPE, (4,)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b, 0.1).sin(), [(2, 4, 3), (4,), (4,)]),
    "instance_norm": (lambda x: F.instance_norm(x, eps=0.1) ** 2, [(2, 2, 3)]),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.1).sin(),
        [SHAPE, (4,), (4,)],
    ),
    "batch_norm of images": (lambda x: F.batch_norm(x, None, None, training=True) ** 2, [(2, 2, 2, 2)]),
    "batch_norm by given statistics": (
        lambda x, w, b: F.batch_norm(x, torch.ones(4).to(x.dtype), torch.ones(4).to(x.dtype), w, b).sin(),
        [SHAPE, (4,), (4,)],
    ),
    "kl_div": (lambda x, t: F.kl_div(x.log_softmax(1), t.softmax(1), reduction="batchmean"), [SHAPE, SHAPE]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_second_gradient_of_functions(name):
    function, shapes = FUNCTIONS[name]
    rng = generator(name)
    check_second(function, *(rng.standard_normal(s) for s in shapes))


def test_second_gradient_through_a_conversion():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad((x.float() ** 3).sum(), x, create_graph=True)
    assert g.dtype is torch.float64
    (h,) = torch.autograd.grad(g.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [6, 12])


def test_products_with_zeros_have_second_gradients():
    x = np.array([[0.0, 2.0, 0.5], [1.5, 0.0, 0.0]])
    check_second(lambda t: t.prod(1), x)
    check_second(lambda t: t.cumprod(1), x)


def test_dropout_uses_the_mask_of_the_forward_pass():
    torch.manual_seed(0)
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    y = F.dropout(x, 0.25)
    (g,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), x)
    kept = (y != 0).double()
    np.testing.assert_allclose(h.numpy(), (6 * y.detach() * kept * (4 / 3) ** 2).numpy(), rtol=1e-12)
    assert 0 < kept.sum().item() < 1000


FOLDS_AT_ZERO = {
    "abs": lambda x: x.abs(),
    "norm": lambda x: x.norm(1),
    "l1_loss": lambda x: F.l1_loss(x, torch.zeros_like(x)),
}


@pytest.mark.parametrize("name", FOLDS_AT_ZERO)
def test_signs_have_a_slope_of_zero_at_zero_too(name):
    x = torch.tensor([0.0, -0.0, 1.5, -3.0], dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(FOLDS_AT_ZERO[name](x).sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((g * torch.tensor([0.5, 2.0, 1.0, 1.0]).double()).sum(), x)
    assert h.tolist() == [0, 0, 0, 0]
