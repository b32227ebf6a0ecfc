"""Optimizers and schedules against PyTorch's, when it is installed."""

import copy
import warnings

import numpy as np
import pytest

import jitgrad as jg

torch = pytest.importorskip("torch")

STEPS = 50
OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "dampening": 0.2, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.2}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "weight_decay": 0.01}),
    ("RMSprop", {"centered": True, "eps": 1e-3}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "weight_decay": 0.1}),
    ("ASGD", {}),
    ("ASGD", {"lambd": 0.1, "alpha": 0.5, "t0": 5, "weight_decay": 0.1}),
    ("ASGD", {"lambd": 0.1, "alpha": -0.5, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.7), "step_sizes": (1e-3, 0.02)}),
    ("Rprop", {"maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"betas": (0.3, 0.9), "weight_decay": 0.1}),
    ("NAdam", {}),
    ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"betas": (0.9, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
]
CASES = [pytest.param(n, o, id=f"{n}-{'-'.join(o) or 'plain'}") for n, o in OPTIMIZERS]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
SHAPES = [(4, 5), (7,), ()]


def starts(dtype):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(dtype) for s in SHAPES]


def pair(dtype, name, options):
    """The same parameters and optimizer in both libraries."""
    ours = [jg.tensor(a, requires_grad=True) for a in starts(dtype)]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts(dtype)]
    options = {"lr": 0.01, **options}
    return (
        (ours, getattr(jg.optim, name)(ours, **options)),
        (theirs, getattr(torch.optim, name)(theirs, **options)),
    )


def train(library, params, optimizer, steps, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in params:
            noise = rng.standard_normal(tuple(p.shape))
            p.grad = library.tensor(noise, dtype=p.dtype) + 0.5 * p.detach()
        optimizer.step()


def same(ours, theirs, tolerance):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_fifty_steps_give_the_same_numbers(name, options, dtype):
    (ours, optimizer), (theirs, other) = pair(dtype, name, options)
    # PyTorch keeps NAdam's product of momenta in float32, and ASGD's rate
    tolerance = max(TOLERANCE[dtype], 1e-6 if name in ("NAdam", "ASGD") else 0)
    for k in range(5):
        train(jg, ours, optimizer, STEPS // 5, seed=k)
        train(torch, theirs, other, STEPS // 5, seed=k)
        same(ours, theirs, tolerance)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_dicts_have_the_same_structure(name, options):
    (ours, optimizer), (theirs, other) = pair("float32", name, options)
    for _ in range(2):  # before and after the first step
        mine, reference = optimizer.state_dict(), other.state_dict()
        assert mine["param_groups"] == reference["param_groups"]
        assert set(mine["state"]) == set(reference["state"])
        for i, entry in reference["state"].items():
            assert {k: tuple(v.shape) for k, v in mine["state"][i].items()} == {
                k: tuple(v.shape) for k, v in entry.items()
            }
        train(jg, ours, optimizer, 1)
        train(torch, theirs, other, 1)


def converted(value):
    """A state dict of ours with tensors of PyTorch."""
    if isinstance(value, jg.Tensor):
        return torch.tensor(value.detach().numpy())
    if isinstance(value, dict):
        return {k: converted(v) for k, v in value.items()}
    return [converted(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_state_moves_from_one_library_to_the_other_and_back(name, options):
    (ours, optimizer), (theirs, other) = pair("float64", name, options)
    train(jg, ours, optimizer, 10)
    train(torch, theirs, other, 10)
    (_, loaded), (_, other_loaded) = pair("float64", name, {**options, "lr": 0.5})
    other_loaded.load_state_dict(converted(copy.deepcopy(optimizer.state_dict())))
    loaded.load_state_dict(copy.deepcopy(other.state_dict()))
    for mine, reference in (
        (loaded.state_dict(), other.state_dict()),
        (converted(optimizer.state_dict()), other_loaded.state_dict()),
    ):
        assert mine["param_groups"] == reference["param_groups"]
        for i, entry in reference["state"].items():
            for key, value in entry.items():
                np.testing.assert_allclose(
                    mine["state"][i][key].numpy(), value.numpy(), rtol=1e-6, err_msg=key
                )


LBFGS = [
    {"lr": 0.02, "max_iter": 5},
    {"lr": 0.1, "max_iter": 3, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.1, "max_iter": 7, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_eval": 9},
]


@pytest.mark.parametrize("options", LBFGS)
def test_lbfgs_takes_the_same_path(options):
    def path(library):
        x = library.tensor(np.array([-1.2, 1.0, 0.7]), requires_grad=True)
        y = library.tensor(np.array([[0.5]]), requires_grad=True)
        optimizer = library.optim.LBFGS([x, y], **options)

        def closure():
            optimizer.zero_grad()
            loss = ((1 - x[:2]) ** 2 + 20 * (x[1:] - x[:2] ** 2) ** 2).sum() + (y - x[0]).cosh().sum()
            loss.backward()
            return loss

        points = []
        for _ in range(8):
            optimizer.step(closure)
            points.append([*x.tolist(), y.item()])
        return points, optimizer.state_dict()

    ours, mine = path(jg)
    theirs, reference = path(torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)
    assert mine["param_groups"] == reference["param_groups"]
    assert set(mine["state"][0]) == set(reference["state"][0]) - {"al"}
    for key in ("n_iter", "func_evals"):
        assert mine["state"][0][key] == reference["state"][0][key]


def half(epoch):
    return 0.5 ** (epoch // 10)


def slowly(epoch):
    return 0.99


class Fading:
    """A scale with an attribute, which states of schedules have."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, steps):
        return self.rate**steps


def chained(lib, o):
    s = lib.optim.lr_scheduler
    return s.ChainedScheduler([s.ConstantLR(o, 0.1, 7), s.ExponentialLR(o, 0.97)])


def sequence(lib, o):
    s = lib.optim.lr_scheduler
    parts = [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, 30), s.StepLR(o, 9, 0.5)]
    return s.SequentialLR(o, parts, [10, 40])


def nested(lib, o):
    s = lib.optim.lr_scheduler
    inner = s.ChainedScheduler([s.ExponentialLR(o, 0.95), s.StepLR(o, 4)])
    return s.SequentialLR(o, [inner, s.ConstantLR(o, 0.5, 20)], [20])


SCHEDULES = {
    "step": lambda lib, o: lib.optim.lr_scheduler.StepLR(o, 7, 0.7),
    "multistep": lambda lib, o: lib.optim.lr_scheduler.MultiStepLR(o, [5, 20, 20, 60], 0.3),
    "exponential": lambda lib, o: lib.optim.lr_scheduler.ExponentialLR(o, 0.93),
    "constant": lambda lib, o: lib.optim.lr_scheduler.ConstantLR(o, 0.2, 12),
    "linear": lambda lib, o: lib.optim.lr_scheduler.LinearLR(o, 0.2, 0.9, 33),
    "polynomial": lambda lib, o: lib.optim.lr_scheduler.PolynomialLR(o, 60, 2.0),
    "lambda": lambda lib, o: lib.optim.lr_scheduler.LambdaLR(o, [half, slowly]),
    "multiplicative": lambda lib, o: lib.optim.lr_scheduler.MultiplicativeLR(o, slowly),
    "cosine": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingLR(o, 20, 1e-3),
    "restarts": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 11),
    "longer restarts": lambda lib, o: lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2, 1e-3),
    "one cycle": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(o, 0.5, 110),
    "one linear cycle": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(
        o, [0.5, 0.2], epochs=11, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.4
    ),
    "three phases": lambda lib, o: lib.optim.lr_scheduler.OneCycleLR(
        o, 0.5, 110, three_phase=True, base_momentum=0.7
    ),
    "cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(o, 0.05, 0.5, 7),
    "halved cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, [0.05, 0.1], [0.5, 1], 7, 5, "triangular2", max_momentum=[0.95, 0.9]
    ),
    "fading cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, 0.05, 0.5, 7, 21, "exp_range", gamma=0.98, base_momentum=0.3
    ),
    "scaled cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(
        o, 0.05, 0.5, 7, 0, scale_fn=Fading(0.9), scale_mode="iterations", cycle_momentum=False
    ),
    "functional cycles": lambda lib, o: lib.optim.lr_scheduler.CyclicLR(o, 0.05, 0.5, 7, scale_fn=half),
    "sequence": sequence,
    "chained": chained,
    "nested": nested,
}


def scheduled(library, make, optimizer="SGD"):
    params = [library.tensor([1.0], requires_grad=True) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.3}]
    options = {"lr": 0.1, "momentum": 0.9} if optimizer == "SGD" else {"lr": 0.1}
    o = getattr(library.optim, optimizer)(groups, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own notice on SequentialLR's order
        return o, make(library, o)


def course(o, scheduler, epochs):
    """Per epoch: the rates, what `get_last_lr` says, and the momenta."""
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(epochs):
            momenta = [g["betas"][0] if "betas" in g else g["momentum"] for g in o.param_groups]
            rows.append([*(g["lr"] for g in o.param_groups), *scheduler.get_last_lr(), *momenta])
            o.step()
            scheduler.step()
    return rows


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_hundred_epochs_have_the_same_rates(name, optimizer):
    ours = course(*scheduled(jg, SCHEDULES[name], optimizer), 100)
    theirs = course(*scheduled(torch, SCHEDULES[name], optimizer), 100)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_states_of_schedules_have_the_same_entries_and_can_be_exchanged(name):
    o, scheduler = scheduled(jg, SCHEDULES[name])
    other_o, other = scheduled(torch, SCHEDULES[name])
    course(o, scheduler, 37)
    course(other_o, other, 37)
    mine, reference = scheduler.state_dict(), other.state_dict()
    assert set(mine) == set(reference)
    new_o, new = scheduled(jg, SCHEDULES[name])
    new.load_state_dict(copy.deepcopy(reference))
    new_o.load_state_dict(converted(copy.deepcopy(o.state_dict())))
    np.testing.assert_allclose(course(new_o, new, 50), course(other_o, other, 50), rtol=1e-12, atol=1e-15)


PLATEAUS = [
    {},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 2},
    {"factor": 0.5, "patience": 3, "cooldown": 4, "min_lr": 0.01},
    {"patience": 0, "min_lr": [0.05, 0.001], "threshold": 0.1},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_a_plateau_is_seen_at_the_same_epoch(options):
    metrics = np.random.default_rng(0).standard_normal(100).cumsum() ** 2

    def rates(library):
        _, s = scheduled(library, lambda lib, o: lib.optim.lr_scheduler.ReduceLROnPlateau(o, **options))
        seen = []
        for m in metrics:
            s.step(m)
            seen.append([*s.get_last_lr(), s.num_bad_epochs, s.cooldown_counter])
        return seen, s.state_dict()

    ours, mine = rates(jg)
    theirs, reference = rates(torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert set(mine) == set(reference)


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n not in ("sequence", "chained", "nested")])
def test_resuming_with_last_epoch_sets_the_same_rates(name):
    def resumed(library):
        o, s = scheduled(library, SCHEDULES[name])
        course(o, s, 9)
        kind = type(s)
        options = {
            "StepLR": {"step_size": 7, "gamma": 0.7},
            "MultiStepLR": {"milestones": [5, 10, 20], "gamma": 0.3},
            "ExponentialLR": {"gamma": 0.93},
            "ConstantLR": {"factor": 0.2, "total_iters": 12},
            "LinearLR": {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 33},
            "PolynomialLR": {"total_iters": 60, "power": 2.0},
            "LambdaLR": {"lr_lambda": half},
            "MultiplicativeLR": {"lr_lambda": slowly},
            "CosineAnnealingLR": {"T_max": 20},
            "CosineAnnealingWarmRestarts": {"T_0": 11},
            "OneCycleLR": {"max_lr": 0.5, "total_steps": 110},
            "CyclicLR": {"base_lr": 0.05, "max_lr": 0.5, "step_size_up": 7},
        }[kind.__name__]
        again = kind(o, **options, last_epoch=s.last_epoch)
        return course(o, again, 20)

    np.testing.assert_allclose(resumed(jg), resumed(torch), rtol=1e-12)


def test_fractional_epochs_of_warm_restarts():
    def rates(library):
        o, s = scheduled(library, SCHEDULES["longer restarts"])
        seen = []
        for k in range(200):
            o.step()
            s.step(k / 4)
            seen.append(s.get_last_lr())
        return seen

    np.testing.assert_allclose(rates(jg), rates(torch), rtol=1e-12)
