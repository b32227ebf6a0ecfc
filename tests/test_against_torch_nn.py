"""Every layer, loss and option gives PyTorch's outputs and gradients, names and reprs."""

import zlib

import numpy as np
import pytest
from nn_cases import (
    CONSTANT_TARGETS,
    FUNCTIONS,
    IN_PLACE,
    LAYERS,
    LOSSES,
    PAIR,
    REDUCTIONS,
    C,
    distribution,
    normal,
    positive,
)

import jitgrad

torch = pytest.importorskip("torch")

LIBRARIES = (jitgrad, torch)

pytestmark = pytest.mark.filterwarnings("ignore:.*reduction.*divides the total loss")
# ------------------------------------------------------------------ running one case in one library


def arrays_of(label, makers):
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    return [np.asarray(make(rng)) for make in makers]


def tensors_of(lib, arrays, dtype, constants=0):
    """Make leaves of the arrays; the last ``constants`` of them record nothing."""
    made = []
    for place, array in enumerate(arrays):
        if array.dtype.kind == "f":
            recorded = place < len(arrays) - constants
            made.append(lib.tensor(array, dtype=getattr(lib, dtype), requires_grad=recorded))
        else:
            made.append(lib.tensor(array, dtype=lib.int64))
    return made


def cotangent(shape):
    return np.cos(np.arange(int(np.prod(shape, dtype=int)), dtype=float)).reshape(shape) + 0.3


def results(lib, call, tensors, parameters, dtype):
    """Return the output and all gradients, None where there is none."""
    output = call(*tensors)
    seed = lib.tensor(cotangent(tuple(output.shape)), dtype=getattr(lib, dtype))
    output.backward(seed)
    leaves = [*tensors, *parameters]
    gradients = [None if leaf.grad is None else leaf.grad.detach().numpy() for leaf in leaves]
    return [output.detach().numpy(), *gradients]


# At the edge of a logarithm PyTorch's gradient of the target is inf or nan; ours is that of the floored value
EDGE_TARGETS = {"bce hard", "kl zeros"}
# PyTorch computes these in float64 with float32 constants
ROUNDED_CONSTANT = {"Hardsigmoid", "CELU"}


def assert_same(found, expected, dtype, label=""):
    assert len(found) == len(expected)
    rtol, atol = (2e-5, 2e-6) if dtype == "float32" else (1e-10, 1e-12)
    if label.split("(")[0] in ROUNDED_CONSTANT:
        rtol = max(rtol, 1e-7)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def run_module(lib, build, arrays, dtype, state, leaf_copies=False, constants=0):
    module = build(lib.nn, getattr(lib, dtype))
    converted = {name: lib.tensor(value, dtype=getattr(lib, dtype)) for name, value in state.items()}
    module.load_state_dict(converted)
    tensors = tensors_of(lib, arrays, dtype, constants)

    def call(*inputs):
        return module(*[x.clone() for x in inputs]) if leaf_copies else module(*inputs)

    return results(lib, call, tensors, list(module.parameters()), dtype)


def state_for(label, build):
    """Draw values for the parameters, by the names and shapes PyTorch gives them."""
    module = build(torch.nn, torch.float64)
    rng = np.random.default_rng(zlib.crc32(label.encode()) + 1)
    return {name: rng.uniform(-0.6, 0.6, tuple(v.shape)) for name, v in module.state_dict().items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("label", [*LAYERS, *IN_PLACE])
def test_layer_gives_the_same_output_and_gradients(label, dtype):
    build, makers = LAYERS.get(label) or IN_PLACE[label]
    state = state_for(label, build)
    arrays = arrays_of(label, makers)
    ours, theirs = (
        run_module(lib, build, arrays, dtype, state, leaf_copies=label in IN_PLACE) for lib in LIBRARIES
    )
    assert_same(ours, theirs, dtype, label)


@pytest.mark.parametrize("label", [*LAYERS, *IN_PLACE])
def test_layer_has_the_same_repr_and_state(label):
    build, _ = LAYERS.get(label) or IN_PLACE[label]
    ours, theirs = (build(lib.nn, lib.float64) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in theirs.parameters()]


def weights(lib, dtype, count=C):
    return lib.tensor(np.linspace(0.5, 1.5, count).tolist(), dtype=getattr(lib, dtype))


def loss_case(label, reduction):
    name, options, makers = LOSSES[label]

    def build(nn, dtype):
        lib = jitgrad if nn is jitgrad.nn else torch
        spelled = str(dtype).rpartition(".")[2]
        made = {k: weights(lib, spelled) if v == "w" else v for k, v in options.items()}
        return getattr(nn, name)(**made, reduction=reduction)

    return name, build, makers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label", LOSSES)
def test_loss_gives_the_same_output_and_gradients(label, reduction, dtype):
    name, build, makers = loss_case(label, reduction)
    arrays = arrays_of(label, makers)
    constants = 1 if name in CONSTANT_TARGETS or label in EDGE_TARGETS else 0
    found = []
    for lib in LIBRARIES:
        module = build(lib.nn, getattr(lib, dtype))
        tensors = tensors_of(lib, arrays, dtype, constants)
        found.append(results(lib, module, tensors, [], dtype))
    assert_same(*found, dtype)


@pytest.mark.parametrize("label", LOSSES)
def test_loss_has_the_same_repr_and_state(label):
    _, build, _ = loss_case(label, "mean")
    ours, theirs = (build(lib.nn, lib.float32) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_batchmean(log_target):
    arrays = arrays_of("kl", [normal(4, C), distribution(4, C)])
    found = []
    for lib in LIBRARIES:
        loss = lib.nn.KLDivLoss(reduction="batchmean", log_target=log_target)
        found.append(results(lib, loss, tensors_of(lib, arrays, "float64"), [], "float64"))
    assert_same(*found, "float64")


@pytest.mark.parametrize("label", FUNCTIONS)
def test_function_gives_the_same_output_and_gradients(label):
    arrays = arrays_of(label, [normal(4, 6), normal(4, 6), positive(4, 6)])
    found = []
    for lib in LIBRARIES:
        tensors = tensors_of(lib, arrays, "float64")
        call = lambda *xs, lib=lib: FUNCTIONS[label](lib.nn.functional, *xs)  # noqa: E731
        found.append(results(lib, call, tensors, [], "float64"))
    assert_same(*found, "float64")


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_different_shapes_warn_and_broadcast(name, reduction):
    arrays = arrays_of(name, [normal(4, 1), normal(3)])
    found = []
    for lib in LIBRARIES:
        loss = getattr(lib.nn.functional, name)
        tensors = tensors_of(lib, arrays, "float64")
        with pytest.warns(UserWarning, match="different to the input size"):
            found.append(
                results(lib, lambda x, y, f=loss: f(x, y, reduction=reduction), tensors, [], "float64")
            )
    assert_same(*found, "float64")


@pytest.mark.parametrize("average, reduce", [(True, True), (False, True), (None, False), (False, None)])
def test_deprecated_reduction_flags(average, reduce):
    arrays = arrays_of("flags", PAIR)
    found = []
    for lib in LIBRARIES:
        with pytest.warns(UserWarning, match="size_average and reduce"):
            loss = lib.nn.L1Loss(size_average=average, reduce=reduce)
        found.append(results(lib, loss, tensors_of(lib, arrays, "float64"), [], "float64"))
    assert_same(*found, "float64")


def test_implicit_softmax_dimension():
    for shape in [(3,), (3, 4), (2, 3, 4), (2, 2, 3, 2)]:
        arrays = arrays_of("implicit", [normal(*shape)])
        found = []
        for lib in LIBRARIES:
            with pytest.warns(UserWarning, match=r"[Ii]mplicit dimension choice"):
                found.append(lib.nn.functional.softmax(tensors_of(lib, arrays, "float64")[0]))
        np.testing.assert_allclose(found[0].detach().numpy(), found[1].detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_distances_of_equal_rows_have_the_same_gradients(p):
    rows = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 3.0], [1.0, 4.0], [2.0, 5.0]])
    found = []
    for lib in LIBRARIES:
        tensors = tensors_of(lib, [rows], "float64")
        found.append(results(lib, lambda x, lib=lib: lib.nn.functional.pdist(x, p), tensors, [], "float64"))
    assert_same(*found, "float64")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "name", ["soft_margin_loss", "multilabel_soft_margin_loss", "multilabel_margin_loss"]
)
def test_losses_of_no_samples(name, reduction):
    found = []
    for lib in LIBRARIES:
        x = lib.zeros(0, 3, dtype=lib.float64, requires_grad=True)
        y = lib.zeros(0, 3, dtype=lib.int64)
        call = getattr(lib.nn.functional, name)
        found.append(results(lib, lambda x, y=y, f=call: f(x, y, reduction=reduction), [x], [], "float64"))
    assert_same(*found, "float64")


@pytest.mark.parametrize("norm", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_gives_the_same_gradients(norm, limit):
    arrays = arrays_of("clip", [normal(3, 2), normal(4)])
    found = []
    for lib in LIBRARIES:
        parameters = [lib.zeros(*a.shape, dtype=lib.float64, requires_grad=True) for a in arrays]
        for parameter, gradient in zip(parameters, arrays, strict=True):
            parameter.grad = lib.tensor(gradient, dtype=lib.float64)
        total = lib.nn.utils.clip_grad_norm_(parameters, limit, norm)
        found.append([total.numpy(), *[p.grad.numpy() for p in parameters]])
    assert_same(*found, "float64")


def test_inverse_erf_is_right_to_the_last_digits():
    from jitgrad.nn.init import _inverse_erf

    y = np.concatenate([np.linspace(-0.999999, 0.999999, 2001), [0.0, 1e-12, -1e-300]])
    expected = torch.erfinv(torch.tensor(y)).numpy()
    found = _inverse_erf(jitgrad.tensor(y, dtype=jitgrad.float64)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
