"""Compiled functions see changes of an optimizer of which they use anything but a step, or one of the user's own."""

import pytest

import jitgrad as torch

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


class Momentum(torch.optim.Optimizer):
    """An optimizer as a user writes one."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if p.grad is None:
                    continue
                if "moment" not in state:
                    state["moment"] = torch.zeros_like(p)
                state["moment"].mul_(0.9).add_(p.grad)
                p.add_(state["moment"], alpha=-group["lr"])


def forgets(opt, p, q):
    def step(x):
        opt.zero_grad()
        loss = ((p + q) * x).sum()
        loss.backward()
        return loss

    return step


def clips(opt, p, q):
    def step(x):
        p.grad = q.grad = None
        loss = ((p + q) * x).sum()
        loss.backward()
        torch.nn.utils.clip_grad_value_([r for g in opt.param_groups for r in g["params"]], 0.1)
        return loss

    return step


def descends(opt, p, q):
    def step(x):
        opt.zero_grad()
        ((p + q) * x).sum().backward()
        with torch.no_grad():
            for group in opt.param_groups:
                for r in group["params"]:
                    r.sub_(group["lr"] * r.grad)
        return p + q

    return step


def reads(opt, p, q):
    def step(x):
        return (p + q) * x * opt.param_groups[0]["lr"] + len(opt.state)

    return step


def steps(opt, p, q):
    def step(x):
        opt.zero_grad()
        loss = ((p + q) * x).sum()
        loss.backward()
        opt.step()
        return loss

    return step


def take_away(opt, p, q):
    opt.param_groups[0]["params"].pop()


def take_apart(opt, p, q):
    opt.param_groups[0]["params"][:] = [p]
    opt.add_param_group({"params": [q], "lr": 0.5})


def drop_group(opt, p, q):
    take_apart(opt, p, q)
    opt.param_groups.pop(0)


def put_group(opt, p, q):
    opt.param_groups[0] = dict(opt.param_groups[0], lr=0.7, params=[q])


def set_groups(opt, p, q):
    opt.param_groups = [dict(opt.param_groups[0], params=[q])]


def forget_state(opt, p, q):
    opt.state.clear()


CHANGES = (take_away, take_apart, drop_group, put_group, set_groups, forget_state)
OPTIMIZERS = {
    "Adam": lambda params: torch.optim.Adam(params, lr=0.1),
    "Adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1),  # whose state is there from the start
    "LBFGS": lambda params: torch.optim.LBFGS(params, lr=0.1),
    "own": Momentum,
}


def played(make, function, change, wrap):
    p, q = (torch.nn.Parameter(torch.full((2, 2), value)) for value in (1.0, 2.0))
    opt = make([p, q])
    step = wrap(function(opt, p, q))
    seen = []
    for k in range(6):
        if k == 3:
            change(opt, p, q)
        result = step(X).tolist()
        seen.append((result, *((r.tolist(), r.grad is not None and r.grad.tolist()) for r in (p, q))))
    return seen


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("function", [forgets, clips, descends, reads, steps], ids=lambda f: f.__name__)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_changes_between_calls_are_seen(optimizer, function, change):
    if (optimizer, function) == ("LBFGS", steps):
        pytest.skip("needs a closure")
    make = OPTIMIZERS[optimizer]
    kept = []

    def wrap(step):
        kept.append(torch.compile(step))
        return kept[0]

    with torch.no_grad() if function is reads else torch.enable_grad():
        want = played(make, function, change, lambda step: step)
        assert played(make, function, change, wrap) == want
    if (optimizer, function) != ("own", steps):  # its first step makes what it keeps
        assert kept[0].programs


@pytest.mark.parametrize("give_back", [False, True])
def test_parameters_may_come_and_go_before_the_first_step(give_back):
    p, q = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    opt = torch.optim.SGD([p, q], lr=0.5)
    step = torch.compile(forgets(opt, p, q))
    for _ in range(2):
        step(torch.ones(2))
    taken = opt.param_groups[0]["params"].pop()
    step(torch.ones(2))
    assert q.grad.tolist() == [2.0, 2.0]
    if give_back:
        opt.param_groups[0]["params"].append(taken)
    step(torch.ones(2))
    assert q.grad.tolist() == ([1.0, 1.0] if give_back else [3.0, 3.0])


def test_what_a_user_keeps_in_the_state_is_read_anew():
    p = torch.nn.Parameter(torch.ones(2))
    opt = torch.optim.Adam([p], lr=0.1)
    p.grad = torch.ones(2)
    opt.step()
    read = torch.compile(lambda x: x * opt.state[p].get("scale", 1.0))
    seen = []
    for k in range(6):
        if k >= 2:
            opt.state[p]["scale"] = float(k)
        seen.append(read(torch.ones(())).item())
    assert seen == [1.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert read.programs


class Slow(torch.optim.Optimizer):
    """A wrapper that shares the groups of another optimizer and never calls ``super().__init__()``."""

    def __init__(self, fast):
        self.fast = fast
        self.param_groups = fast.param_groups

    def step(self, closure=None):
        return self.fast.step(closure)


def test_a_wrapper_without_its_own_start_runs_in_a_compiled_step():
    found = []
    for compiled in (False, True):
        p = torch.nn.Parameter(torch.ones(2))
        opt = Slow(torch.optim.SGD([p], lr=0.1))

        def step(x, p=p, opt=opt):
            p.grad = None
            (p * x).sum().backward()
            opt.step()

        run = torch.compile(step) if compiled else step
        for _ in range(4):
            run(X)
        found.append(p.tolist())
    assert found[0] == found[1]
