"""Normalisation, hooks and computed weights against PyTorch: values, gradients, statistics, state, signatures."""

import inspect
import warnings

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")

LIBRARIES = (jitgrad, torch)
TOLERANCE = {"float32": {"rtol": 2e-4, "atol": 3e-5}, "float64": {"rtol": 1e-9, "atol": 1e-10}}

LAYERS = {
    "LayerNorm": (lambda n, d: n.LayerNorm(6, dtype=d), (4, 6)),
    "LayerNorm wide": (lambda n, d: n.LayerNorm(70, dtype=d), (9, 70)),
    "LayerNorm 2-D": (lambda n, d: n.LayerNorm([3, 4], dtype=d), (2, 3, 4)),
    "LayerNorm(bias=False)": (lambda n, d: n.LayerNorm(6, bias=False, eps=0.1, dtype=d), (2, 5, 6)),
    "LayerNorm plain": (lambda n, d: n.LayerNorm(6, elementwise_affine=False), (4, 6)),
    "RMSNorm": (lambda n, d: n.RMSNorm(6, dtype=d), (4, 6)),
    "RMSNorm(eps)": (lambda n, d: n.RMSNorm((3, 4), eps=0.1, elementwise_affine=False), (2, 3, 4)),
    "GroupNorm": (lambda n, d: n.GroupNorm(2, 6, dtype=d), (3, 6, 4)),
    "GroupNorm(1)": (lambda n, d: n.GroupNorm(1, 6, dtype=d), (3, 6)),
    "GroupNorm(bias=False)": (lambda n, d: n.GroupNorm(3, 6, bias=False, dtype=d), (2, 6, 3, 3)),
    "GroupNorm plain": (lambda n, d: n.GroupNorm(3, 6, affine=False), (2, 6, 3, 3)),
    "InstanceNorm1d": (lambda n, d: n.InstanceNorm1d(3), (2, 3, 5)),
    "InstanceNorm1d no batch": (lambda n, d: n.InstanceNorm1d(3, affine=True, dtype=d), (3, 5)),
    "InstanceNorm2d": (
        lambda n, d: n.InstanceNorm2d(3, affine=True, track_running_stats=True, dtype=d),
        (2, 3, 4, 5),
    ),
    "InstanceNorm3d": (lambda n, d: n.InstanceNorm3d(3, affine=True, bias=False, dtype=d), (2, 3, 2, 2, 3)),
    "BatchNorm1d": (lambda n, d: n.BatchNorm1d(6, dtype=d), (5, 6)),
    "BatchNorm1d sequence": (lambda n, d: n.BatchNorm1d(3, eps=0.1, momentum=0.4, dtype=d), (5, 3, 7)),
    "BatchNorm1d average": (lambda n, d: n.BatchNorm1d(6, momentum=None, dtype=d), (5, 6)),
    "BatchNorm1d untracked": (lambda n, d: n.BatchNorm1d(6, track_running_stats=False, dtype=d), (5, 6)),
    "BatchNorm1d(bias=False)": (lambda n, d: n.BatchNorm1d(6, bias=False, dtype=d), (5, 6)),
    "BatchNorm2d": (lambda n, d: n.BatchNorm2d(3, dtype=d), (2, 3, 4, 5)),
    "BatchNorm2d plain": (lambda n, d: n.BatchNorm2d(3, affine=False, dtype=d), (2, 3, 4, 5)),
    "BatchNorm2d one sample": (lambda n, d: n.BatchNorm2d(17, dtype=d), (1, 17, 9, 9)),
    "BatchNorm3d": (lambda n, d: n.BatchNorm3d(3, dtype=d), (2, 3, 2, 2, 3)),
}


def numbers(seed, *shape):
    return 1.5 * np.random.default_rng(seed).standard_normal(shape) + 0.4


def history(lib, name, dtype):
    """Everything that three training batches and one of evaluation leave: results, gradients and state."""
    build, shape = LAYERS[name]
    kind = getattr(lib, dtype)
    layer = build(lib.nn, kind)
    found = {"repr": repr(layer), "keys": list(layer.state_dict())}
    with lib.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(lib.tensor(numbers(50 + k, *p.shape), dtype=kind))
    for k in range(4):
        if k == 3:
            layer.eval()
        x = lib.tensor(numbers(k, *shape), dtype=kind, requires_grad=True)
        y = layer(x)
        y.backward(lib.tensor(numbers(20 + k, *shape), dtype=kind))
        found[f"y{k}"], found[f"g{k}"] = y.detach().numpy(), x.grad.numpy()
    for key, value in layer.state_dict().items():
        found["state " + key] = value.numpy()
    for key, value in layer.named_parameters():
        found["gradient " + key] = value.grad.numpy()
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype):
    ours, theirs = (history(lib, name, dtype) for lib in LIBRARIES)
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        if isinstance(value, np.ndarray):
            assert ours[key].dtype == value.dtype, key
            np.testing.assert_allclose(ours[key], value, err_msg=key, **TOLERANCE[dtype])
        else:
            assert ours[key] == value


ERRORS = {
    "shape": lambda t, f: f.layer_norm(t.ones(2, 3), (4,)),
    "no shape": lambda t, f: f.layer_norm(t.ones(2, 3), ()),
    "int shape": lambda t, f: f.layer_norm(t.ones(2, 3), 3),
    "weight": lambda t, f: f.layer_norm(t.ones(2, 3), (3,), t.ones(2)),
    "bias": lambda t, f: f.layer_norm(t.ones(2, 3), (3,), None, t.ones(2)),
    "integers": lambda t, f: f.layer_norm(t.ones(2, 3).long(), (3,)),
    "mixed": lambda t, f: f.layer_norm(t.ones(2, 3), (3,), t.ones(3).double()),
    "rms shape": lambda t, f: f.rms_norm(t.ones(2, 3), (4,)),
    "rms weight": lambda t, f: f.rms_norm(t.ones(2, 3), (3,), t.ones(2)),
    "groups": lambda t, f: f.group_norm(t.ones(2, 3), 2),
    "group weight": lambda t, f: f.group_norm(t.ones(2, 3), 3, t.ones(2)),
    "group 1-D": lambda t, f: f.group_norm(t.ones(3), 3),
    "group single": lambda t, f: f.group_norm(t.ones(1, 3), 3),
    "GroupNorm": lambda t, f: t.nn.GroupNorm(2, 3),
    "instance single": lambda t, f: f.instance_norm(t.ones(2, 3, 1)),
    "instance statistics": lambda t, f: f.instance_norm(t.ones(2, 3, 4), use_input_stats=False),
    "instance dims": lambda t, f: t.nn.InstanceNorm2d(3)(t.ones(2, 3)),
    "instance channels": lambda t, f: t.nn.InstanceNorm1d(4, affine=True)(t.ones(2, 3, 5)),
    "batch 1-D": lambda t, f: t.nn.BatchNorm1d(3)(t.ones(3)),
    "batch dims": lambda t, f: t.nn.BatchNorm2d(3)(t.ones(2, 3)),
    "batch channels": lambda t, f: t.nn.BatchNorm1d(4)(t.ones(2, 3)),
    "batch single": lambda t, f: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
    "batch mixed": lambda t, f: t.nn.BatchNorm1d(3)(t.ones(2, 3).double()),
    "batch integers": lambda t, f: t.nn.BatchNorm1d(3)(t.ones(2, 3).long()),
    "batch without mean": lambda t, f: f.batch_norm(t.ones(2, 3), None, None),
    "batch without var": lambda t, f: f.batch_norm(t.ones(2, 3), t.ones(3), None),
    "batch weight": lambda t, f: f.batch_norm(t.ones(2, 3), t.ones(3), t.ones(3), t.ones(2)),
    "two weight norms": lambda t, f: t.nn.utils.weight_norm(t.nn.utils.weight_norm(t.nn.Linear(2, 2))),
    "iterations": lambda t, f: t.nn.utils.spectral_norm(t.nn.Linear(2, 2), n_power_iterations=0),
    "no weight norm": lambda t, f: t.nn.utils.remove_weight_norm(t.nn.Linear(2, 2)),
    "no spectral norm": lambda t, f: t.nn.utils.remove_spectral_norm(t.nn.Linear(2, 2)),
    "no parametrization": lambda t, f: t.nn.utils.parametrize.remove_parametrizations(
        t.nn.Linear(2, 2), "weight"
    ),
    "no tensor": lambda t, f: t.nn.utils.parametrizations.weight_norm(t.nn.Linear(2, 2), "missing"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    kinds = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as raised:
            ERRORS[name](lib, lib.nn.functional)
        kinds.append(raised.type)
    assert kinds[0] is kinds[1]


WAYS = {
    "weight": lambda u, m: u.weight_norm(m),
    "weight 1": lambda u, m: u.weight_norm(m, dim=1),
    "weight None": lambda u, m: u.weight_norm(m, dim=None),
    "spectral": lambda u, m: u.spectral_norm(m, n_power_iterations=2),
    "P weight": lambda u, m: u.parametrizations.weight_norm(m),
    "P weight None": lambda u, m: u.parametrizations.weight_norm(m, dim=None),
    "P spectral": lambda u, m: u.parametrizations.spectral_norm(m),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
def test_computed_weights(way):
    x = numbers(0, 5, 3)
    runs = []
    state = None
    for lib in LIBRARIES:
        layer = lib.nn.Linear(3, 4, dtype=lib.float64)
        WAYS[way](lib.nn.utils, layer)
        if state is None:
            state = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
        layer.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
        optimizer = lib.optim.SGD(layer.parameters(), lr=0.1)
        found = [repr(layer), list(layer.state_dict())]
        for _ in range(3):
            optimizer.zero_grad()
            (layer(lib.tensor(x)) ** 3).mean().backward()
            optimizer.step()
        layer.eval()
        found += [layer(lib.tensor(x)).detach().numpy(), layer.weight.detach().numpy()]
        found += [v.numpy() for v in layer.state_dict().values()]
        runs.append(found)
    for ours, theirs in zip(*runs, strict=True):
        if isinstance(theirs, np.ndarray):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
        else:
            assert ours == theirs


def order_of_hooks(lib):
    """What a module's hooks see and when, and what they make of the values."""
    log, module = [], lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU())
    with lib.no_grad():
        module[0].weight.copy_(lib.tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]))
        module[0].bias.fill_(0.5)
    for k in range(2):
        layer = module[k]
        layer.register_forward_pre_hook(lambda m, a, k=k: log.append((k, "pre", len(a))))
        layer.register_forward_hook(
            lambda m, a, y, k=k: log.append((k, "post", tuple(y.shape))) or y * (k + 2)
        )
        layer.register_forward_hook(lambda m, a, y, k=k: log.append((k, "early", y.tolist())), prepend=True)
        layer.register_full_backward_pre_hook(lambda m, go, k=k: log.append((k, "bpre", go[0].tolist())))
        layer.register_full_backward_hook(
            lambda m, gi, go, k=k: log.append((k, "b", gi[0] is None, go[0].tolist()))
        )
        layer.register_full_backward_hook(lambda m, gi, go, k=k: (gi[0] * 2,) if gi[0] is not None else None)
    x = lib.tensor([[1.0, -2.0]], requires_grad=True)
    module(x).sum().backward()
    log.append(x.grad.tolist())
    module(lib.tensor([[1.0, -2.0]])).sum().backward()
    log.append(module[0].weight.grad.tolist())
    return log


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks():
    assert order_of_hooks(jitgrad) == order_of_hooks(torch)


NAMES = {
    "nn": [f"{k}Norm" for k in ("Layer", "RMS", "Group")]
    + [f"{k}Norm{d}d" for k in ("Batch", "Instance") for d in (1, 2, 3)],
    "nn.functional": ["layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm"],
    "nn.utils": ["weight_norm", "spectral_norm", "remove_weight_norm", "remove_spectral_norm"],
    "nn.utils.parametrizations": ["weight_norm", "spectral_norm"],
    "nn.utils.parametrize": [
        "register_parametrization", "remove_parametrizations", "is_parametrized", "type_before_parametrizations",
    ],
    "nn.Module": [
        "register_forward_pre_hook", "register_forward_hook", "register_full_backward_hook",
        "register_full_backward_pre_hook", "register_state_dict_pre_hook", "register_state_dict_post_hook",
        "register_load_state_dict_pre_hook", "register_load_state_dict_post_hook",
    ],
}  # fmt: skip


def find(lib, path):
    for name in path.split("."):
        lib = getattr(lib, name)
    return lib


@pytest.mark.parametrize(("place", "name"), [(p, n) for p, names in NAMES.items() for n in names])
def test_signatures(place, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (getattr(find(lib, place), name) for lib in LIBRARIES)
    if inspect.isclass(theirs):
        ours, theirs = ours.__init__, theirs.__init__
    ours, theirs = (inspect.signature(f).parameters for f in (ours, theirs))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]
