"""Pruned, fused, orthonormal and uninitialised layers: what PyTorch makes of the same script, and compiled steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from twin_calls import fail_alike, run_both

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn.utils import parametrizations, prune

pytest.importorskip("torch.nn.utils.prune")


def linear(m, t, inputs=4, outputs=3):
    layer = m.nn.Linear(inputs, outputs).double()
    with m.no_grad():
        layer.weight.copy_(t(outputs, inputs))
        layer.bias.copy_(t(outputs))
    return layer


def told(m, layer, x):
    """Results, gradients, keys and masks of a module."""
    y = layer(x)
    y.square().sum().backward()
    state = {key: value.detach() for key, value in layer.state_dict().items()}
    grads = {name: p.grad for name, p in layer.named_parameters()}
    names = [type(hook).__name__ for hook in layer._forward_pre_hooks.values()]
    return (
        y,
        dict(sorted(state.items())),
        dict(sorted(grads.items())),
        names,
        m.nn.utils.prune.is_pruned(layer),
    )


def pruned(*calls):
    def script(m, t):
        layer, x = linear(m, t), t(5, 4)
        for name, *arguments in calls:
            getattr(m.nn.utils.prune, name)(layer, *arguments)
        return told(m, layer, x)

    return script


def custom(m, t):
    layer = linear(m, t)
    m.nn.utils.prune.custom_from_mask(layer, "weight", m.tensor([[1, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 0]]))
    m.nn.utils.prune.l1_unstructured(layer, "weight", 3)
    return told(m, layer, t(5, 4))


def by_scores(m, t):
    layer = linear(m, t)
    m.nn.utils.prune.l1_unstructured(layer, "weight", 5, importance_scores=t(3, 4))
    m.nn.utils.prune.ln_structured(layer, "weight", 1, 2, 0, importance_scores=t(3, 4))
    return told(m, layer, t(5, 4))


def over_all(m, t):
    net = m.nn.Sequential(linear(m, t), m.nn.ReLU(), linear(m, t, 3, 2))
    pairs = [(net[0], "weight"), (net[2], "weight"), (net[2], "bias")]
    method = m.nn.utils.prune.L1Unstructured
    m.nn.utils.prune.global_unstructured(pairs, method, amount=0.3)
    m.nn.utils.prune.global_unstructured(pairs, method, amount=0.5)
    return told(m, net, t(5, 4))


def subclass(m, t):
    class Small(m.nn.utils.prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            return default_mask * (abs(t) > 0.5)

    layer = linear(m, t)
    Small.apply(layer, "weight")
    return told(m, layer, t(5, 4)), m.nn.utils.prune.L1Unstructured(2).prune(t(5))


def convolved(m, t):
    layer = m.nn.Conv2d(2, 4, 3).double()
    with m.no_grad():
        layer.weight.copy_(t(4, 2, 3, 3))
        layer.bias.zero_()
    m.nn.utils.prune.ln_structured(layer, "weight", 0.5, float("inf"), 0)
    return told(m, layer, t(1, 2, 4, 4))


SCRIPTS = {
    "share": pruned(("l1_unstructured", "weight", 0.3)),
    "number": pruned(("l1_unstructured", "weight", 4)),
    "bias": pruned(("l1_unstructured", "bias", 1), ("l1_unstructured", "weight", 0.5)),
    "twice": pruned(("l1_unstructured", "weight", 0.3), ("l1_unstructured", "weight", 0.5)),
    "rows": pruned(("ln_structured", "weight", 1, 2, 0)),
    "columns": pruned(("ln_structured", "weight", 0.5, 1, 1)),
    "rows after entries": pruned(("l1_unstructured", "weight", 5), ("ln_structured", "weight", 1, 2, 0)),
    "entries after rows": pruned(("ln_structured", "weight", 1, 2, -1), ("l1_unstructured", "weight", 0.5)),
    "rows twice": pruned(("ln_structured", "weight", 1, 2, 0), ("ln_structured", "weight", 1, 2, 0)),
    "identity": pruned(("identity", "weight")),
    "removed": pruned(("l1_unstructured", "weight", 0.3), ("remove", "weight")),
    "removed twice": pruned(
        ("l1_unstructured", "weight", 3), ("ln_structured", "weight", 1, 2, 1), ("remove", "weight")
    ),
    "mask": custom,
    "scores": by_scores,
    "global": over_all,
    "subclass": subclass,
    "convolution": convolved,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_pruned_layers_are_pytorchs(name):
    run_both(SCRIPTS[name])


@pytest.mark.parametrize("name", ["random_unstructured", "random_structured"])
def test_random_pruning_takes_the_amount(name):
    torch.manual_seed(2)
    dims = (0,) if name == "random_structured" else ()
    layer = getattr(prune, name)(nn.Linear(6, 10), "weight", 0.3, *dims)
    assert (layer.weight_mask == 0).sum().item() == 18
    again = getattr(prune, name)(nn.Linear(6, 10), "weight", 0.3, *dims)
    assert again.weight_mask.tolist() != layer.weight_mask.tolist()
    getattr(prune, name)(layer, "weight", 2 if dims else 12, *dims)
    assert (layer.weight_mask == 0).sum().item() == 30


def test_a_copy_of_a_pruned_layer_is_its_own():
    layer = prune.l1_unstructured(nn.Linear(3, 2), "weight", 2)
    copied = copy.deepcopy(layer)
    with torch.no_grad():
        copied.weight_orig.fill_(3.0)
    assert sorted(copied.weight.flatten().tolist()) == [0, 0, 3, 3, 3, 3]
    prune.remove(copied, "weight")
    assert prune.is_pruned(layer) and not prune.is_pruned(copied)
    assert layer.weight.abs().max().item() < 1


def test_a_compiled_step_trains_what_is_left():
    def build():
        torch.manual_seed(4)
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        for k in (0, 2):
            prune.l1_unstructured(net[k], "weight", 0.5)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        batches = [torch.randn(5, 4) for _ in range(6)]

        def step(x):
            optimizer.zero_grad()
            loss = (net(x) - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach()

        return Scene(step, lambda k: (batches[k % 6],), net, optimizer)

    assert_same(build)


# fusion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_fused_convolution_gives_what_both_layers_give(bias, transpose):
    torch.manual_seed(3)
    conv = (nn.ConvTranspose2d if transpose else nn.Conv2d)(3, 4, 3, bias=bias)
    norm = nn.BatchNorm2d(4)
    x = torch.randn(2, 3, 6, 6)
    norm(conv(x))
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.normal_()
    both = nn.Sequential(conv, norm).eval()
    fused = nn.utils.fuse_conv_bn_eval(conv, norm, transpose)
    np.testing.assert_allclose(fused(x).detach().numpy(), both(x).detach().numpy(), atol=2e-5)
    assert type(fused) is type(conv) and fused is not conv


def test_a_fused_linear_layer_gives_what_both_layers_give():
    torch.manual_seed(3)
    layer, norm, x = nn.Linear(5, 4), nn.BatchNorm1d(4), torch.randn(6, 5)
    norm(layer(x))
    both = nn.Sequential(layer, norm).eval()
    fused = nn.utils.fuse_linear_bn_eval(layer, norm)
    np.testing.assert_allclose(fused(x).detach().numpy(), both(x).detach().numpy(), atol=1e-5)


# orthonormal weights ------------------------------------------------------------------------------------

SHAPES = [(5, 3), (3, 5), (4, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("orthogonal_map", parametrizations.MAPS)
@pytest.mark.parametrize("use_trivialization", [True, False])
def test_weights_stay_orthonormal_while_they_are_trained(shape, orthogonal_map, use_trivialization):
    torch.manual_seed(5)
    layer = nn.Linear(*shape)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(*layer.weight.shape).clamp(-1.5, 1.5) * 2)
    parametrizations.orthogonal(layer, "weight", orthogonal_map, use_trivialization=use_trivialization)
    optimizer, x, losses = torch.optim.Adam(layer.parameters(), lr=0.05), torch.randn(20, shape[0]), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (layer(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        w = layer.weight.detach()
        w = w if w.shape[0] <= w.shape[1] else w.mT
        product = (w @ w.mT).numpy()
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
    assert losses[-1] < losses[0]


def test_an_orthonormal_square_weight_is_kept():
    q = torch.linalg.qr(torch.randn(4, 4)).Q
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(q)
    parametrizations.orthogonal(layer)
    np.testing.assert_allclose(abs(layer.weight.detach().numpy()), abs(q.numpy()), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_of_reflections_start_as_pytorchs(shape):
    def script(m, t):
        layer, x = linear(m, t, *shape), t(2, shape[0])
        m.nn.utils.parametrizations.orthogonal(layer, "weight", "householder", use_trivialization=False)
        y = layer(x)
        y.square().sum().backward()
        return y, layer.parametrizations.weight.original.detach(), layer.parametrizations.weight.original.grad

    run_both(script)


def test_orthonormal_weights_of_the_same_state_are_pytorchs():
    def script(m, t):
        layer = linear(m, t, 4, 4)
        m.nn.utils.parametrizations.orthogonal(layer)
        q = m.linalg.qr(m.eye(4, dtype=m.float64) + 0.1).Q
        state = layer.state_dict()
        state["parametrizations.weight.0.base"] = q
        state["parametrizations.weight.original"] = t(4, 4)
        layer.load_state_dict(state)
        y = layer(t(3, 4))
        y.square().sum().backward()
        return y, layer.parametrizations.weight.original.grad, sorted(state)

    run_both(script)


# errors -------------------------------------------------------------------------------------------------

ERRORS = {
    "amount": (pruned(("l1_unstructured", "weight", 1.5)), "amount=1.5 [0, 1]"),
    "negative": (pruned(("l1_unstructured", "weight", -1)), "amount=-1"),
    "too many": (pruned(("l1_unstructured", "weight", 13)), "amount=13 12"),
    "kind": (pruned(("l1_unstructured", "weight", "all")), "amount all"),
    "structure of a vector": (pruned(("ln_structured", "bias", 1, 2, 0)), "multidimensional (3,)"),
    "dimension": (pruned(("ln_structured", "weight", 1, 2, 3)), "index 3"),
    "not pruned": (pruned(("remove", "weight")), "weight pruned"),
    "no parameter": (pruned(("l1_unstructured", "weights", 1)), "weights"),
    "scores": (
        lambda m, t: m.nn.utils.prune.l1_unstructured(linear(m, t), "weight", 1, importance_scores=t(2)), "(3, 4) (2,)"
    ),
    "structured everywhere": (
        lambda m, t: m.nn.utils.prune.global_unstructured(
            [(linear(m, t), "weight")], m.nn.utils.prune.LnStructured, amount=1, n=2
        ),
        "unstructured structured",
    ),
    "training": (
        lambda m, t: m.nn.utils.fuse_conv_bn_eval(m.nn.Conv2d(1, 2, 3), m.nn.BatchNorm2d(2)), "fuse_conv_bn_eval eval"
    ),
    "no module": (lambda m, t: m.nn.utils.skip_init(int), "Module int"),
    "no device": (lambda m, t: m.nn.utils.skip_init(m.nn.ReLU), "ReLU device"),
    "vector": (lambda m, t: m.nn.utils.parametrizations.orthogonal(linear(m, t), "bias"), "matrix 1 dimensions"),
    "missing": (lambda m, t: m.nn.utils.parametrizations.orthogonal(linear(m, t), "w"), "parameter w"),
    "map": (
        lambda m, t: m.nn.utils.parametrizations.orthogonal(linear(m, t), "weight", "exp"), "orthogonal_map cayley exp"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_impossible_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])


def test_skip_init_makes_the_module():
    layer = nn.utils.skip_init(nn.Linear, 3, 2, bias=False)
    assert tuple(layer.weight.shape) == (2, 3) and layer.bias is None


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (nn.Linear, (30, 20)),
        (nn.Conv2d, (3, 8, 3)),
        (nn.GRUCell, (5, 6)),
        (nn.Embedding, (9, 4)),
        (nn.MultiheadAttention, (8, 2)),
        (nn.TransformerEncoderLayer, (8, 2)),
    ],
)
def test_skip_init_draws_nothing(kind, arguments):
    torch.manual_seed(3)
    before = torch.get_rng_state().tolist()
    skipped = nn.utils.skip_init(kind, *arguments)
    assert torch.get_rng_state().tolist() == before
    plain = kind(*arguments)
    assert torch.get_rng_state().tolist() != before
    skipped.load_state_dict(plain.state_dict())
