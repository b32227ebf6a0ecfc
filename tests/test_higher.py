"""Gradients of gradients: every differentiable operation against central differences of its first gradient."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients
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


def first_gradients(function, count):
    """A function of operands and a cotangent that gives the gradients for the operands, in one row."""

    def run(*tensors):
        with torch.enable_grad():
            xs = [x if x.requires_grad else x.detach().requires_grad_() for x in tensors[:count]]
            y = function(*xs)
            gradients = torch.autograd.grad(y, xs, tensors[count], create_graph=True, allow_unused=True)
            used = [g.reshape(-1) for g in gradients if g is not None]
            # a part that depends on every operand, so that all are checked
            return torch.cat([*used, *(0 * t.reshape(-1) for t in (*xs, tensors[count]))])

    return run


def check_second(function, *arrays, seed=0, rtol=2e-5, atol=2e-6):
    """Differentiate the first gradient and compare; the cotangent is an operand too."""
    shape = tuple(function(*(torch.tensor(a) for a in arrays)).shape)
    cotangent = np.random.default_rng(seed).standard_normal(shape)
    run = first_gradients(function, len(arrays))
    check_gradients(run, *arrays, cotangent, rtol=rtol, atol=atol)


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


WITHOUT = {"ctc_loss"}


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


# orders, arguments, .grad ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(1, 6))
def test_any_order(order):
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = (2 * x).sin()
    for _ in range(order):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
    expected = 2**order * [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin][(order - 1) % 4](1.4)
    np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_backward_with_create_graph_leaves_a_gradient_with_history():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad and x.grad.grad_fn is not None
    (h,) = torch.autograd.grad(x.grad.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [6, 12])


def test_gradients_accumulate_with_history():
    x = torch.tensor(2.0, requires_grad=True)
    (x**2).backward(create_graph=True)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 4 + 12
    (h,) = torch.autograd.grad(x.grad, x)
    assert h.item() == 2 + 12


def test_retained_gradients_of_intermediates_have_history():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2
    y.retain_grad()
    (y**2).backward(create_graph=True)
    assert y.grad.item() == 8
    (h,) = torch.autograd.grad(y.grad, x)
    assert h.item() == 2 * 2 * 2


def test_only_the_way_to_the_inputs_is_walked():
    x = torch.tensor(2.0, requires_grad=True)
    w = torch.tensor(3.0, requires_grad=True)

    class Trap(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            return t.clone()

        @staticmethod
        def backward(ctx, g):
            raise AssertionError("walked though nothing asked for it")

    y = x**2 * Trap.apply(w)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    assert g.item() == 12


def test_intermediate_and_leaf_are_both_captured():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2
    gy, gx = torch.autograd.grad(y**2, (y, x), create_graph=True)
    assert (gy.item(), gx.item()) == (8, 32)
    (h,) = torch.autograd.grad(gx, x)
    assert h.item() == 48


def test_a_batch_of_cotangents():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x**2
    (rows,) = torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True, create_graph=True)
    np.testing.assert_array_equal(rows.detach().numpy(), np.diag([2.0, 4.0, 6.0]))
    (h,) = torch.autograd.grad(rows.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [2, 2, 2])
    with pytest.raises(RuntimeError, match="batch"):
        torch.autograd.grad(y, x, torch.ones(3), is_grads_batched=True)


def test_cotangents_are_differentiated_too():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    v = torch.tensor([3.0, 5.0], requires_grad=True)
    (g,) = torch.autograd.grad(x**2, x, v, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), v)
    np.testing.assert_array_equal(h.numpy(), [2, 4])


def test_rows_stay_by_default_and_go_when_told():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    torch.autograd.grad(y, x, create_graph=True)
    torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_rows_that_go_let_the_walk_go_on():
    """Nobody but the row behind it holds the square here."""
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = (x**2).exp().sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    np.testing.assert_allclose(
        g.detach().numpy(), 2 * x.detach().numpy() * np.exp(x.detach().numpy() ** 2), 1e-6
    )
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_a_custom_function_is_differentiated_through_its_backward():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(Cube.apply(x), x, create_graph=True)
    (h,) = torch.autograd.grad(g, x, create_graph=True)
    (k,) = torch.autograd.grad(h, x)
    assert (g.item(), h.item(), k.item()) == (12, 12, 6)


def test_stale_values_are_noticed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    z = y * y
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(z.sum(), x, create_graph=True)


def test_unused_inputs_are_an_error_unless_allowed():
    x = torch.tensor(1.0, requires_grad=True)
    w = torch.tensor(1.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(x * 2, (x, w), create_graph=True)
    g, none = torch.autograd.grad(x * 2, (x, w), create_graph=True, allow_unused=True)
    assert g.item() == 2 and none is None


def test_gradients_of_gradients_in_a_compiled_step():
    """A physics-informed network: u'' by create_graph, inside the compiled step, bitwise as in Python."""

    def train(compiled):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)

        def step(x):
            x = x.detach().requires_grad_()
            u = net(x)
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            loss = ((ddu + u) ** 2).mean() + (net(torch.zeros(1, 1, dtype=torch.float64)) - 1).pow(2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step, fullgraph=True) if compiled else step
        x = torch.linspace(0, 3, 20, dtype=torch.float64).reshape(-1, 1)
        return [run(x).item() for _ in range(10)]

    assert train(True) == train(False)
