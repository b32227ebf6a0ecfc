"""Parameter groups: every change of them is followed by the next step."""

import copy
import pickle

import numpy as np
import pytest

import jitgrad as jg


def parameter(*values):
    return jg.tensor(np.array(values, dtype=float), requires_grad=True)


def step(optimizer, *pairs):
    for p, g in pairs:
        p.grad = jg.tensor(np.full(tuple(p.shape), float(g)))
    optimizer.step()


def test_groups_have_their_own_hyper_parameters_and_the_defaults_otherwise():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = jg.optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1)
    step(optimizer, (a, 1), (b, 1))
    assert (a.item(), b.item()) == (0.5, 0.9)
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1]


def test_the_groups_given_are_not_changed():
    group = {"params": [parameter(1.0)], "lr": 0.5}
    jg.optim.SGD([group], lr=0.1, momentum=0.9)
    assert set(group) == {"params", "lr"}


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.__setitem__("lr", 0.25),
        lambda g: g.update(lr=0.25),
        lambda g: g.update({"lr": 0.25}),
        lambda g: g.__ior__({"lr": 0.25}),
    ],
)
def test_a_changed_learning_rate_holds_from_the_next_step(change):
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=0.5)
    step(optimizer, (p, 1))
    change(optimizer.param_groups[0])
    step(optimizer, (p, 1))
    assert p.item() == 0.25


def test_every_hyper_parameter_can_be_changed_between_steps():
    changes = {
        "Adam": [("betas", (0.5, 0.6)), ("eps", 0.1), ("weight_decay", 0.3), ("maximize", True)],
        "SGD": [("momentum", 0.5), ("dampening", 0.5), ("weight_decay", 0.3), ("nesterov", True)],
        "RMSprop": [("alpha", 0.5), ("eps", 0.1), ("weight_decay", 0.3), ("momentum", 0.5)],
        "Adagrad": [("lr_decay", 0.5), ("eps", 0.1), ("weight_decay", 0.3)],
        "Adadelta": [("rho", 0.5), ("eps", 0.1), ("weight_decay", 0.3)],
        "NAdam": [("momentum_decay", 0.5), ("betas", (0.5, 0.6))],
        "ASGD": [("lambd", 0.5), ("weight_decay", 0.3), ("maximize", True), ("lr", 0.5), ("alpha", 1e5)],
        "Rprop": [("etas", (0.1, 1.5)), ("step_sizes", (1e-6, 0.11)), ("maximize", True)],
    }
    # a buffer that is empty at first, a rate that is made a step ahead: nothing differs in the first step
    later = {("RMSprop", "momentum"), ("ASGD", "lr"), ("ASGD", "alpha")}
    for name, entries in changes.items():
        for key, value in entries:
            p, q = parameter(1.0), parameter(1.0)
            same = 3 if (name, key) in later else 2
            options = {"momentum": 0.9} if name == "SGD" else {}
            changed = getattr(jg.optim, name)([p], lr=0.1, **options)
            plain = getattr(jg.optim, name)([q], lr=0.1, **options)
            for k in range(4):
                step(changed, (p, k + 1))
                step(plain, (q, k + 1))
                assert (p.item() == q.item()) is (k < same), (name, key, k)
                if k == 1:
                    changed.param_groups[0][key] = value


def test_a_value_that_is_no_number_is_refused_and_the_old_one_stays():
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=0.5)
    step(optimizer, (p, 1))
    with pytest.raises(TypeError, match="SGD: lr must be a number, got 'fast'"):
        optimizer.param_groups[0]["lr"] = "fast"
    assert optimizer.param_groups[0]["lr"] == 0.5
    step(optimizer, (p, 1))
    assert p.item() == 0.0


def test_momentum_switched_off_and_on_keeps_its_buffer():
    p = parameter(0.0)
    optimizer = jg.optim.SGD([p], lr=1.0, momentum=0.5)
    step(optimizer, (p, 1))  # buffer 1
    optimizer.param_groups[0]["momentum"] = 0
    step(optimizer, (p, 1))
    assert p.item() == -2.0
    optimizer.param_groups[0]["momentum"] = 0.5
    step(optimizer, (p, 1))  # buffer 1.5
    assert p.item() == -3.5
    assert optimizer.state[p]["momentum_buffer"].item() == 1.5


def test_amsgrad_switched_on_keeps_the_moments():
    p = parameter(1.0, 2.0)
    optimizer = jg.optim.Adam([p], lr=0.1)
    step(optimizer, (p, 3))
    before = optimizer.state[p]["exp_avg"].tolist()
    optimizer.param_groups[0]["amsgrad"] = True
    assert optimizer.state[p]["exp_avg"].tolist() == before
    step(optimizer, (p, 1))
    assert optimizer.state[p]["step"].item() == 2
    assert set(optimizer.state[p]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}


def test_a_group_can_be_added_after_steps():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = jg.optim.Adam([a], lr=0.1)
    step(optimizer, (a, 1))
    optimizer.add_param_group({"params": b, "lr": 0.2})
    step(optimizer, (a, 1), (b, 1))
    assert optimizer.state[a]["step"].item() == 2
    assert optimizer.state[b]["step"].item() == 1
    np.testing.assert_allclose([a.item(), b.item()], [0.8, 0.8], atol=1e-6)


def test_a_replaced_parameter_is_updated_in_place_of_the_old_one():
    old, new = parameter(1.0), parameter(5.0)
    optimizer = jg.optim.SGD([old], lr=1.0)
    step(optimizer, (old, 1))
    optimizer.param_groups[0]["params"][0] = new
    step(optimizer, (old, 1), (new, 1))
    assert (old.item(), new.item()) == (0.0, 4.0)
    optimizer.param_groups[0]["params"] = [old]
    step(optimizer, (old, 1), (new, 1))
    assert (old.item(), new.item()) == (-1.0, 4.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda ps, q: ps.append(q), (0.0, 0.0)),
        (lambda ps, q: ps.extend([q]), (0.0, 0.0)),
        (lambda ps, q: ps.insert(0, q), (0.0, 0.0)),
        (lambda ps, q: ps.__iadd__([q]), (0.0, 0.0)),
        (lambda ps, q: ps.pop(), (1.0, 1.0)),
        (lambda ps, q: ps.clear(), (1.0, 1.0)),
        (lambda ps, q: ps.__delitem__(0), (1.0, 1.0)),
    ],
)
def test_the_list_of_parameters_may_be_changed(change, expected):
    p, q = parameter(1.0), parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=1.0)
    optimizer.step()  # nothing has a gradient yet
    change(optimizer.param_groups[0]["params"], q)
    step(optimizer, (p, 1), (q, 1))
    assert (p.item(), q.item()) == expected


def test_groups_may_be_removed_replaced_and_appended():
    p, q = parameter(1.0), parameter(1.0)
    optimizer = jg.optim.SGD([{"params": [p]}, {"params": [q]}], lr=1.0)
    step(optimizer, (p, 1), (q, 1))
    last = optimizer.param_groups.pop()
    step(optimizer, (p, 1), (q, 1))
    assert (p.item(), q.item()) == (-1.0, 0.0)
    optimizer.param_groups = [last]
    step(optimizer, (p, 1), (q, 1))
    assert (p.item(), q.item()) == (-1.0, -1.0)
    optimizer.param_groups.append(dict(last, params=[p], lr=0.5))
    step(optimizer, (p, 1), (q, 1))
    assert (p.item(), q.item()) == (-1.5, -2.0)
    optimizer.param_groups[1]["lr"] = 0.25
    step(optimizer, (p, 1))
    assert p.item() == -1.75


def test_a_tensor_as_learning_rate_is_read_at_each_step():
    rate = jg.tensor(0.5)
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=rate)
    step(optimizer, (p, 1))
    rate.fill_(0.25)
    step(optimizer, (p, 1))
    assert p.item() == 0.25
    optimizer.param_groups[0]["lr"] = 0.125
    step(optimizer, (p, 1))
    assert p.item() == 0.125


def test_zero_grad_sets_none_or_zeros_before_and_after_the_first_step():
    p, q = parameter(1.0, 2.0), parameter(1.0)
    optimizer = jg.optim.Adam([p, q])
    for _ in range(2):
        (p * 2).sum().backward()
        optimizer.zero_grad(set_to_none=False)
        assert p.grad.tolist() == [0.0, 0.0]
        assert q.grad is None
        (p * 2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert p.grad is None


def test_zero_grad_clears_a_gradient_that_is_a_view_with_a_history():
    w, scale = parameter([1.0, 2.0], [3.0, 4.0]), parameter([2.0, 3.0], [4.0, 5.0])
    (w.t() * scale).sum().backward(create_graph=True)
    assert w.grad.requires_grad and w.grad.tolist() == [[2, 4], [3, 5]]
    jg.optim.SGD([w, scale], lr=0.1).zero_grad(set_to_none=False)
    assert not w.grad.requires_grad and w.grad.tolist() == [[0, 0], [0, 0]]


def test_a_closure_runs_with_gradients_and_its_loss_is_returned():
    p = parameter(3.0)
    optimizer = jg.optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with jg.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    assert p.item() == 0.0
    assert optimizer.step() is None


def test_hooks_run_around_a_step_and_can_be_removed():
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=1.0)
    seen = []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(p.item()))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(p.item()))
    step(optimizer, (p, 1))
    assert seen == [1.0, 0.0]
    before.remove()
    step(optimizer, (p, 1))
    assert seen == [1.0, 0.0, -1.0]
    after.remove()
    after.remove()
    step(optimizer, (p, 1))
    assert len(seen) == 3


def test_copies_of_groups_are_plain_and_independent():
    p = parameter(1.0)
    optimizer = jg.optim.SGD([p], lr=1.0)
    group = optimizer.param_groups[0]
    for twin in (group.copy(), copy.copy(group), pickle.loads(pickle.dumps(dict(group, params=[])))):
        assert type(twin) is dict
        twin["lr"] = 7.0
    assert type(copy.deepcopy(group)["params"]) is list
    assert group["lr"] == 1.0


def test_names_of_parameters_are_kept():
    a, b = parameter(1.0), parameter(1.0)
    optimizer = jg.optim.SGD([("a", a), ("b", b)], lr=1.0)
    assert optimizer.param_groups[0]["param_names"] == ["a", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    step(optimizer, (a, 1))
    assert a.item() == 0.0


def test_a_duplicate_parameter_warns_and_is_updated_once():
    p = parameter(1.0)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = jg.optim.SGD([p, p], lr=1.0)
    step(optimizer, (p, 1))
    assert p.item() == 0.0


def test_repr_lists_the_groups_as_pytorch_does():
    text = repr(jg.optim.Adagrad([parameter(1.0)], lr=0.5))
    assert text.startswith("Adagrad (\nParameter Group 0\n    differentiable: False\n    eps: 1e-10\n")
    assert text.endswith("    weight_decay: 0\n)")
    groups = [{"params": [parameter(1.0)]}, {"params": [parameter(1.0)], "lr": 2.0}]
    assert "    weight_decay: 0\n\nParameter Group 1\n    dampening: 0\n" in repr(
        jg.optim.SGD(groups, lr=1.0)
    )


def test_an_optimizer_of_ones_own():
    class Signs(jg.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with jg.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            self.state[p]["step"] = self.state[p].get("step", 0) + 1
                            p.add_(p.grad.sign(), alpha=-group["lr"])

    p = parameter(1.0, -1.0)
    optimizer = Signs([p], lr=0.25)
    scheduler = jg.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        optimizer.zero_grad()
        (p**2).sum().backward()
        optimizer.step()
        scheduler.step()
    assert p.tolist() == [0.625, -0.625]
    saved = optimizer.state_dict()
    assert saved["state"] == {0: {"step": 2}}
    twin = Signs([p], lr=1.0)
    twin.load_state_dict(saved)
    assert twin.state[p] == {"step": 2}
    assert twin.param_groups[0]["lr"] == 0.0625


OWN = {"betas": (0.0, 0.9, 0.99), "lr": None, "eps": (1e-30, 1e-3), "momentum": -1.0,
       "alpha": "auto", "differentiable": True}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_what_options_of_ones_own_optimizer_mean_is_its_own_matter(name):
    class Own(jg.optim.Optimizer):
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                p.data.add_(p.grad, alpha=-0.5)

    optimizer = Own([parameter(1.0)], {name: OWN[name]})
    assert optimizer.param_groups[0][name] == OWN[name]
    optimizer.add_param_group({"params": [parameter(2.0)], name: OWN[name]})
    optimizer.load_state_dict(optimizer.state_dict())


def test_options_of_the_librarys_own_optimizers_stay_checked_below_them():
    class Own(jg.optim.Adam):
        pass

    with pytest.raises(ValueError, match="Own: betas must be a pair"):
        Own([parameter(1.0)], betas=(0.0, 0.9, 0.99))
    with pytest.raises(ValueError, match="LBFGS: lr"):
        jg.optim.LBFGS([parameter(1.0)], lr=-1)
