"""What optimizers remember: reading, writing, saving, loading."""

import copy
import pickle

import numpy as np
import pytest

import jitgrad as jg

ALL = {
    "SGD": {"momentum": 0.9},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True, "eps": 1e-3},
    "Adagrad": {"initial_accumulator_value": 0.5},
    "Adadelta": {},
    "ASGD": {"t0": 2, "lambd": 0.1},
    "Rprop": {},
}
KEYS = {
    "SGD": {"momentum_buffer"},
    "Adam": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Adamax": {"step", "exp_avg", "exp_inf"},
    "NAdam": {"step", "mu_product", "exp_avg", "exp_avg_sq"},
    "RAdam": {"step", "exp_avg", "exp_avg_sq"},
    "RMSprop": {"step", "square_avg", "momentum_buffer", "grad_avg"},
    "Adagrad": {"step", "sum"},
    "Adadelta": {"step", "square_avg", "acc_delta"},
    "ASGD": {"step", "eta", "mu", "ax"},
    "Rprop": {"step", "prev", "step_size"},
}
NUMBERS = {"step", "mu_product", "eta", "mu"}


def make(name, params, **options):
    return getattr(jg.optim, name)(params, lr=0.01, **ALL[name], **options)


def parameters(dtype="float32"):
    rng = np.random.default_rng(1)
    return [jg.tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in [(3, 4), (5,)]]


def steps(optimizer, params, count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        for p in params:
            p.grad = jg.tensor(rng.standard_normal(tuple(p.shape)), dtype=p.dtype)
        optimizer.step()


def numbers(params):
    return [p.tolist() for p in params]


@pytest.mark.parametrize("name", ALL)
def test_state_has_pytorchs_keys_and_shapes(name):
    params = parameters()
    optimizer = make(name, params)
    steps(optimizer, params, 2)
    assert len(optimizer.state) == 2
    for p in params:
        entry = optimizer.state[p]
        assert set(entry) == KEYS[name]
        for key, value in entry.items():
            expected = () if key in NUMBERS else tuple(p.shape)
            assert tuple(value.shape) == expected, key
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    assert set(saved["state"]) == {0, 1}
    assert saved["param_groups"][0]["params"] == [0, 1]


@pytest.mark.parametrize("name", ALL)
def test_state_is_live(name):
    params = parameters()
    optimizer = make(name, params)
    steps(optimizer, params, 1)
    key = max(KEYS[name] - NUMBERS)
    seen = optimizer.state[params[0]][key]
    before = seen.tolist()
    steps(optimizer, params, 1, seed=1)
    assert seen.tolist() != before
    assert optimizer.state[params[0]][key].tolist() == seen.tolist()


@pytest.mark.parametrize("name", ALL)
def test_training_continues_from_a_saved_state(name):
    params, twins = parameters(), parameters()
    optimizer = make(name, params)
    steps(optimizer, params, 7)
    optimizer.param_groups[0]["lr"] = 0.02
    saved = copy.deepcopy(optimizer.state_dict())
    with jg.no_grad():
        for t, p in zip(twins, params, strict=True):
            t.copy_(p)
    twin = make(name, twins)
    twin.load_state_dict(saved)
    assert twin.param_groups[0]["lr"] == 0.02
    steps(optimizer, params, 5, seed=1)
    steps(twin, twins, 5, seed=1)
    assert numbers(twins) == numbers(params)
    saved_step = saved["state"][0].get("step")
    assert saved_step is None or saved_step.item() == 7  # what was loaded was copied


@pytest.mark.parametrize("name", ALL)
def test_a_state_can_be_loaded_into_a_running_optimizer(name):
    params = parameters()
    optimizer = make(name, params)
    steps(optimizer, params, 3)
    saved = copy.deepcopy(optimizer.state_dict())
    values = [p.detach().clone() for p in params]
    steps(optimizer, params, 4, seed=1)
    expected = numbers(params)
    optimizer.load_state_dict(saved)
    with jg.no_grad():
        for p, v in zip(params, values, strict=True):
            p.copy_(v)
    steps(optimizer, params, 4, seed=1)
    assert numbers(params) == expected


def test_loading_casts_the_state_to_the_dtype_of_the_parameter_but_not_the_step():
    params, doubles = parameters(), parameters("float64")
    optimizer, twin = make("Adam", params), make("Adam", doubles)
    steps(optimizer, params, 3)
    twin.load_state_dict(optimizer.state_dict())
    steps(twin, doubles, 1)
    assert twin.state[doubles[0]]["exp_avg"].dtype == jg.float64
    assert twin.state[doubles[0]]["step"].item() == 4


def test_numpy_arrays_and_numbers_are_accepted_as_state():
    p = jg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = jg.optim.Adam([p], lr=0.1)
    saved = optimizer.state_dict()
    moments = {"exp_avg": np.array([1.0, 1.0]), "exp_avg_sq": np.array([4.0, 4.0])}
    saved["state"] = {0: {"step": 9, **moments}}
    optimizer.load_state_dict(saved)
    p.grad = jg.tensor([0.0, 0.0])
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 10
    np.testing.assert_allclose(optimizer.state[p]["exp_avg"].tolist(), [0.9, 0.9], rtol=1e-6)


def test_a_state_that_does_not_fit_is_refused_and_nothing_changes():
    params = parameters()
    optimizer = make("Adam", params)
    steps(optimizer, params, 2)
    good = optimizer.state_dict()
    two_groups = {**good, "param_groups": good["param_groups"] * 2}
    fewer = {**good, "param_groups": [dict(good["param_groups"][0], params=[0])]}
    bad_rate = {**good, "param_groups": [dict(good["param_groups"][0], lr="fast")]}
    first = dict(good["state"][0], exp_avg=jg.zeros(2, 2))
    shape = {**good, "state": {0: first, 1: good["state"][1]}}
    for saved, error, message in [
        (two_groups, ValueError, "different number of parameter groups: 2, the optimizer has 1"),
        (fewer, ValueError, "doesn't match the size of optimizer's group: group 0 has 1 parameters"),
        (bad_rate, TypeError, "Adam: lr must be a number, got 'fast'"),
        (shape, ValueError, r"'exp_avg' of parameter 0 has shape \(2, 2\), expected \(3, 4\)"),
        ({"state": {}}, KeyError, "param_groups"),
    ]:
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(saved)
        assert optimizer.state[params[0]]["step"].item() == 2
        assert optimizer.param_groups[0]["lr"] == 0.01


def test_a_rate_that_a_schedule_left_below_zero_is_saved_and_loaded():
    params = parameters()
    optimizer = make("Adam", params)
    optimizer.param_groups[0]["lr"] = -2.8e-18
    optimizer.load_state_dict(optimizer.state_dict())
    steps(optimizer, params, 1)
    assert optimizer.param_groups[0]["lr"] == -2.8e-18


@pytest.mark.parametrize(
    "write",
    [
        lambda state, value: state.__setitem__("momentum_buffer", value),
        lambda state, value: state.update(momentum_buffer=value),
        lambda state, value: state.__ior__({"momentum_buffer": value}),
    ],
    ids=["[]", "update", "|="],
)
def test_state_written_by_hand_is_used_by_the_next_step(write):
    p = jg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = jg.optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = jg.tensor([0.0, 0.0])
    optimizer.step()
    write(optimizer.state[p], jg.tensor([2.0, 4.0]))
    optimizer.step()
    assert p.tolist() == [0.0, 0.0]
    optimizer.state[p]["momentum_buffer"].zero_()
    optimizer.step()
    assert p.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "forget",
    [
        lambda o, p: o.state.pop(p),
        lambda o, p: o.state.__delitem__(p),
        lambda o, p: o.state.clear(),
        lambda o, p: o.state[p].clear(),
        lambda o, p: setattr(o, "state", {}),
    ],
)
@pytest.mark.parametrize("name", ["Adam", "Adagrad"])
def test_a_forgotten_state_starts_anew(name, forget):
    p, q = parameters()[1], parameters()[1]
    optimizer, fresh = make(name, [p]), make(name, [q])
    steps(optimizer, [p], 3)
    forget(optimizer, p)
    assert p not in optimizer.state
    assert len(optimizer.state) == 0
    with jg.no_grad():
        p.copy_(q)
    steps(optimizer, [p], 2, seed=5)
    steps(fresh, [q], 2, seed=5)
    assert p.tolist() == q.tolist()


def test_a_parameter_can_be_replaced_by_a_smaller_one_with_its_state():
    # rows are dropped from a parameter and its moments, as point-cloud trainers do
    p = jg.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    optimizer = jg.optim.Adam([p], lr=0.1)
    steps(optimizer, [p], 3)
    group = optimizer.param_groups[0]
    stored = optimizer.state.get(p)
    kept = stored["exp_avg"][1:3].tolist()
    stored["exp_avg"] = stored["exp_avg"][1:3].clone()
    stored["exp_avg_sq"] = stored["exp_avg_sq"][1:3].clone()
    del optimizer.state[p]
    smaller = p.detach()[1:3].clone().requires_grad_()
    group["params"][0] = smaller
    optimizer.state[smaller] = stored
    assert optimizer.state[smaller]["exp_avg"].tolist() == kept
    steps(optimizer, [smaller], 1)
    assert optimizer.state[smaller]["step"].item() == 4
    assert tuple(optimizer.state[smaller]["exp_avg"].shape) == (2, 2)


def test_state_of_a_shape_that_does_not_fit_is_an_error_at_the_next_step():
    p = jg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = jg.optim.Adam([p], lr=0.1)
    steps(optimizer, [p], 1)
    optimizer.state[p]["exp_avg"] = jg.zeros(3)
    with pytest.raises(RuntimeError, match=r"state 'exp_avg' has shape \(3,\), expected \(2,\)"):
        optimizer.step()


def test_lookup_of_a_parameter_without_state_is_empty():
    params = parameters()
    optimizer = make("Adam", params)
    assert optimizer.state[params[0]] == {}
    assert params[0] not in optimizer.state
    assert optimizer.state.get(params[0]) is None
    assert len(optimizer.state) == 0
    with pytest.raises(KeyError):
        del optimizer.state[params[0]]
    steps(optimizer, params, 1)
    assert params[0] in optimizer.state
    assert optimizer.state[params[0]]["step"].item() == 1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "Adagrad", "ASGD", "Rprop"])
def test_a_copy_of_an_optimizer_and_its_parameters_trains_alone(name, duplicate):
    params = parameters()
    optimizer = make(name, params)
    steps(optimizer, params, 3)
    twins, twin = duplicate((params, optimizer))
    before = numbers(params)
    steps(twin, twins, 2, seed=3)
    assert numbers(params) == before
    steps(optimizer, params, 2, seed=3)
    assert numbers(twins) == numbers(params)


def test_adagrad_shows_its_first_state_before_the_first_step():
    p = jg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = jg.optim.Adagrad([p], initial_accumulator_value=0.5)
    assert optimizer.state[p]["sum"].tolist() == [0.5, 0.5]
    assert optimizer.state[p]["step"].item() == 0


def test_the_sums_of_adagrad_start_where_the_optimizer_says_in_every_group():
    p, q, r = (jg.ones(3, requires_grad=True) for _ in range(3))
    groups = [{"params": [p]}, {"params": [q], "initial_accumulator_value": 3.0}]
    optimizer = jg.optim.Adagrad(groups, initial_accumulator_value=0.5)
    optimizer.add_param_group({"params": [r], "initial_accumulator_value": 3.0})
    for k in range(2):
        for x in (p, q, r):
            x.grad = jg.full((3,), 2.0)
        optimizer.step()
        assert [optimizer.state[x]["sum"].tolist() for x in (p, q, r)] == [[4.5 + 4 * k] * 3] * 3


def test_numbers_of_asgd_can_be_replaced_and_an_empty_parameter_has_them_too():
    p, empty = jg.tensor([1.0, 2.0], requires_grad=True), jg.zeros(0, 3).requires_grad_()
    optimizer = jg.optim.ASGD([p, empty], lr=0.5, lambd=0.0)
    steps(optimizer, [p, empty], 1)
    assert optimizer.state[empty]["eta"].shape == optimizer.state[empty]["mu"].shape == ()
    before = p.tolist()
    optimizer.state[p]["eta"] = jg.tensor(2.0)
    p.grad = jg.ones(2)
    optimizer.step()
    assert p.tolist() == pytest.approx([x - 2.0 for x in before])
    assert optimizer.state[p]["eta"].item() == 0.5
