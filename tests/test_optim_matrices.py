"""Adafactor and Muon, which take parameters as matrices: the written rules, states, compiled steps, refusals."""

import copy

import numpy as np
import pytest
from compile_cases import Scene, assert_same, batches, small_model, training_step

import jitgrad as jg

STEPS = 12
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def rms(x):
    return np.sqrt((x * x).mean())


def adafactor(p, grads, lr, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, precision=2.0**-52):
    least, smallest = precision if eps[0] is None else eps[0], eps[1]
    rows = columns = variance = 0.0
    for t, g in enumerate(grads, 1):
        w = t**beta2_decay
        if p.ndim < 2:
            variance = estimate = (1 - w) * variance + w * g * g
        else:
            rows = (1 - w) * rows + w * (g * g).mean(-1, keepdims=True)
            columns = (1 - w) * columns + w * (g * g).mean(-2, keepdims=True)
            estimate = rows * columns / np.maximum(rows.mean(-2, keepdims=True), least)
        u = g / np.maximum(np.sqrt(estimate), least)
        length = min(lr, t**-0.5) * max(smallest, rms(p))
        p = (1 - lr * weight_decay) * p - length * u / max(1.0, rms(u) / d)
    return p


def muon(
    p,
    grads,
    lr,
    weight_decay=0.1,
    momentum=0.95,
    nesterov=True,
    ns_coefficients=(3.4445, -4.7750, 2.0315),
    eps=1e-7,
    ns_steps=5,
    adjust_lr_fn=None,
):
    a, b, c = ns_coefficients
    buffer = 0.0
    for g in grads:
        buffer = momentum * buffer + (1 - momentum) * g
        x = momentum * buffer + (1 - momentum) * g if nesterov else buffer
        x = x / max(np.linalg.norm(x), eps)
        for _ in range(ns_steps):
            gram = x @ x.T
            x = a * x + b * gram @ x + c * gram @ gram @ x
        r, k = p.shape
        factor = 0.2 * np.sqrt(max(r, k)) if adjust_lr_fn == "match_rms_adamw" else np.sqrt(max(1, r / k))
        p = (1 - lr * weight_decay) * p - lr * factor * x
    return p


RULES = {"Adafactor": adafactor, "Muon": muon}
CASES = [
    ("Adafactor", (5, 7), {}),
    ("Adafactor", (7,), {"weight_decay": 0.1, "d": 2.0}),
    ("Adafactor", (), {"eps": (1e-4, 0.1)}),
    ("Adafactor", (3, 4, 2), {"beta2_decay": -0.3, "eps": (1e-2, 1e-2), "lr": 0.5}),
    ("Adafactor", (0, 4), {}),
    ("Muon", (5, 7), {}),
    ("Muon", (7, 5), {"momentum": 0.5, "nesterov": False, "weight_decay": 0.0}),
    ("Muon", (4, 4), {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "eps": 100.0}),
    ("Muon", (9, 2), {"ns_coefficients": (2.0, -1.5, 0.5), "adjust_lr_fn": "original"}),
]
NAMES = [f"{n}-{s}-{'-'.join(o) or 'plain'}" for n, s, o in CASES]


def gradients(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal((STEPS, *shape)).astype(dtype)


def start(shape, dtype):
    return np.random.default_rng(9).standard_normal(shape).astype(dtype)


def run(optimizer, p, grads, library=jg):
    for g in grads:
        p.grad = library.tensor(g)
        optimizer.step()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=NAMES)
def test_steps_equal_the_written_rule(name, shape, options, dtype):
    grads, options = gradients(shape, dtype), {"lr": 0.02, **options}
    p = jg.tensor(start(shape, dtype), requires_grad=True)
    run(getattr(jg.optim, name)([p], **options), p, grads)
    if not p.numel():
        return
    options |= {"precision": np.finfo(dtype).eps} if name == "Adafactor" else {}
    expected = RULES[name](start(shape, "float64"), grads.astype("float64"), **options)
    if dtype == "float32":  # starts are rounded, and the polynomial makes the most of small singular values
        expected = RULES[name](start(shape, dtype).astype(float), grads.astype(float), **options)
    np.testing.assert_allclose(p.detach().numpy(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=NAMES)
def test_steps_are_those_of_pytorch(name, shape, options, monkeypatch):
    torch = pytest.importorskip("torch")
    if 0 in shape:
        pytest.skip("PyTorch divides by zero elements")
    # PyTorch rounds the matrices of Muon to bfloat16, which says little about ours
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())
    grads = gradients(shape, "float64")
    ours = jg.tensor(start(shape, "float64"), requires_grad=True)
    theirs = torch.tensor(start(shape, "float64"), requires_grad=True)
    mine = getattr(jg.optim, name)([ours], **options)
    reference = getattr(torch.optim, name)([theirs], **options)
    assert mine.state_dict() == reference.state_dict()
    run(mine, ours, grads)
    run(reference, theirs, grads, torch)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11)
    saved, other = mine.state_dict(), reference.state_dict()
    assert saved["param_groups"] == other["param_groups"]
    assert set(saved["state"][0]) == set(other["state"][0])
    for key, value in other["state"][0].items():
        np.testing.assert_allclose(saved["state"][0][key].numpy(), value.numpy(), rtol=1e-9, err_msg=key)
    fresh = getattr(jg.optim, name)([ours], **options)
    fresh.load_state_dict(copy.deepcopy(other))
    run(fresh, ours, grads[:3])
    run(reference, theirs, grads[:3], torch)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11)


def matrices(**options):
    """A step of Muon for the weights and AdamW for the rest, as one would train with it."""
    model = small_model()
    weights = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    muon, adamw = jg.optim.Muon(weights, lr=0.02, **options), jg.optim.AdamW(others, lr=0.01)

    def step(x, y):
        muon.zero_grad()
        adamw.zero_grad()
        loss = jg.nn.functional.mse_loss(model(x), y)
        loss.backward()
        muon.step()
        adamw.step()
        return loss

    return Scene(step, batches((4, 3), (4, 2)), model, muon, adamw)


def factored(**options):
    model = small_model()
    optimizer = jg.optim.Adafactor(model.parameters(), lr=0.05, **options)
    return Scene(training_step(model, optimizer), batches((4, 3), (4, 2)), model, optimizer)


@pytest.mark.parametrize("pattern", ["cccccc", "cecece", "eccecc"])
@pytest.mark.parametrize(
    "build", [matrices, factored, lambda: matrices(nesterov=False), lambda: factored(maximize=True, d=1.5)]
)
def test_compiled_steps_leave_what_eager_steps_leave(build, pattern):
    assert_same(build, pattern)


@pytest.mark.parametrize(
    ("build", "changes"),
    [
        (matrices, {"lr": 0.5, "ns_coefficients": (2.0, -1.5, 0.5), "momentum": 0.2, "ns_steps": 2}),
        (
            factored,
            {"lr": 0.01, "eps": (0.1, 0.1), "beta2_decay": -0.1, "weight_decay": 0.3, "maximize": True},
        ),
    ],
)
def test_a_compiled_step_follows_every_changed_option(build, changes):
    keys = list(changes)

    def between(scene, k):
        if 0 < k <= len(keys):
            optimizer = next(o for o in scene.owners if isinstance(o, jg.optim.Muon | jg.optim.Adafactor))
            optimizer.param_groups[0][keys[k - 1]] = changes[keys[k - 1]]

    assert_same(build, "c" * (len(keys) + 2), between)


@pytest.mark.parametrize("name", RULES)
def test_training_continues_from_a_saved_state(name):
    p = jg.tensor(start((3, 4), "float32"), requires_grad=True)
    optimizer = getattr(jg.optim, name)([p], lr=0.1)
    run(optimizer, p, gradients((3, 4), "float32"))
    twin = p.detach().clone().requires_grad_()
    other = getattr(jg.optim, name)([twin], lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for o, q in ((optimizer, p), (other, twin)):
        run(o, q, gradients((3, 4), "float32", 1))
    assert twin.tolist() == p.tolist()


def test_a_state_of_another_shape_is_refused():
    p = jg.tensor(start((3, 4), "float32"), requires_grad=True)
    optimizer = jg.optim.Adafactor([p])
    run(optimizer, p, gradients((3, 4), "float32"))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["row_var"] = jg.ones(3, 4)
    with pytest.raises(ValueError, match=r"'row_var' of parameter 0 has shape \(3, 4\), expected \(3, 1\)"):
        optimizer.load_state_dict(saved)


REFUSED = [
    ("Adafactor", {"lr": -1.0}, ValueError, "Invalid learning rate: -1.0"),
    ("Adafactor", {"beta2_decay": 0.5}, ValueError, "beta2_decay must be in"),
    ("Adafactor", {"eps": (-1.0, 1e-3)}, ValueError, r"eps\[0\] must be in"),
    ("Adafactor", {"eps": (None, -1.0)}, ValueError, r"eps\[1\] must be in"),
    ("Adafactor", {"eps": 1e-3}, ValueError, "eps must be a pair of numbers"),
    ("Adafactor", {"d": 0.5}, ValueError, "d must be in"),
    ("Adafactor", {"weight_decay": -0.5}, ValueError, "Invalid weight_decay value"),
    ("Adafactor", {"d": "one"}, TypeError, "Adafactor: d must be a number"),
    ("Muon", {"lr": -1.0}, ValueError, "Invalid learning rate: -1.0"),
    ("Muon", {"momentum": -1.0}, ValueError, "Invalid momentum value: -1.0"),
    ("Muon", {"ns_coefficients": (1.0, 2.0)}, ValueError, "ns_coefficients must be three numbers"),
    ("Muon", {"ns_steps": 100}, ValueError, "ns_steps must be an integer in"),
    ("Muon", {"adjust_lr_fn": "other"}, ValueError, "adjust_lr_fn 'other' is not supported"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), REFUSED)
def test_options_out_of_range_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(jg.optim, name)([jg.zeros(2, 3, requires_grad=True)], **options)


def test_muon_refuses_what_is_not_a_matrix():
    with pytest.raises(ValueError, match=r"only supports 2D parameters, but params\[0\] has shape \(3,\)"):
        jg.optim.Muon([jg.zeros(3, requires_grad=True)])


@pytest.mark.parametrize("name", RULES)
def test_a_parameter_without_gradient_is_left_alone(name):
    a, b = (jg.ones(2, 3, requires_grad=True) for _ in range(2))
    optimizer = getattr(jg.optim, name)([a, b], lr=0.1)
    a.grad = jg.tensor(start((2, 3), "float32"))
    optimizer.step()
    assert b.tolist() == [[1.0] * 3] * 2 and a.tolist() != b.tolist()
    assert b not in optimizer.state
    optimizer.zero_grad()
    assert a.grad is None
