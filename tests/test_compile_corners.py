"""Unusual steps: whether they are replayed or run eagerly, they leave what eager calls leave."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from compile_cases import batches, bits, random_state, small_model, state_of, training_step, warnings_of

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)


class Case:
    """A model, its optimizer and a place for what steps keep."""

    def __init__(self):
        self.model = small_model()
        self.other = small_model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.05)
        self.w = torch.randn(3, 3, requires_grad=True)
        self.base = torch.zeros(4, 6)
        self.part = self.base[1:3, ::2]
        self.array = np.ones(3, np.float32)
        self.counts = [0]
        self.train = training_step(self.model, self.optimizer)

    def state(self):
        tensors = [self.w, self.base]
        owners = state_of(self.model, self.other, self.optimizer, *tensors)
        return owners, random_state(), bits(self.array)


def loss_of(c, x, y):
    return nn.functional.mse_loss(c.model(x), y)


def scaled_gradients(c, x, y):
    c.optimizer.zero_grad()
    loss = loss_of(c, x, y)
    loss.backward()
    for p in c.model.parameters():
        p.grad = p.grad * 0.5
    c.optimizer.step()
    return loss


def gradients_changed_in_place(c, x, y):
    c.optimizer.zero_grad()
    loss_of(c, x, y).backward()
    for p in c.model.parameters():
        p.grad += 0.01 * p.detach()
        p.grad.data.mul_(0.5)
    c.optimizer.step()


def gradients_deleted(c, x, y):
    loss_of(c, x, y).backward()
    c.model[0].weight.grad = None
    del c.model[0].bias.grad
    c.optimizer.step()
    c.optimizer.zero_grad()


def gradients_returned(c, x, y):
    c.optimizer.zero_grad()
    loss_of(c, x, y).backward()
    return [p.grad for p in c.model.parameters()]


def gradient_read_before(c, x, y):
    before = None if c.w.grad is None else c.w.grad.sum()
    (x @ c.w).sum().backward()
    return before


def gradient_of_an_argument(c, x, y):
    x.requires_grad_()
    c.model(x).sum().backward()
    return x.grad


def closure_of_the_optimizer(c, x, y):
    def closure():
        c.optimizer.zero_grad()
        loss = loss_of(c, x, y)
        loss.backward()
        return loss

    return c.optimizer.step(closure)


def part_of_the_parameters(c, x, y):
    c.optimizer.zero_grad()
    loss = c.model[0](x).square().mean()
    loss.backward()
    c.optimizer.step()
    return loss


def frozen_in_the_step(c, x, y):
    for p in c.model[0].parameters():
        p.requires_grad_(False)
    c.optimizer.zero_grad()
    loss = loss_of(c, x, y)
    loss.backward()
    c.optimizer.step()
    for p in c.model[0].parameters():
        p.requires_grad_(True)
    return loss


def data_swapped(c, x, y):
    a, b = c.model[0].weight, c.other[0].weight
    a.data, b.data = b.data, a.data
    return c.model(x).detach()


def data_assigned(c, x, y):
    loss = c.train(x, y)
    for p in c.model.parameters():
        p.data = p.data * 0.9
    return loss


def data_written(c, x, y):
    loss = c.train(x, y)
    for p in c.model.parameters():
        p.data.mul_(0.9)
        p.data[0] = 0.0
    return loss


def states_copied(c, x, y):
    loss = c.train(x, y)
    c.other.load_state_dict(c.model.state_dict())
    return loss, c.other(x).detach()


def model_copied(c, x, y):
    twin = copy.deepcopy(c.model)
    return twin(x).detach() + c.train(x, y)


def model_made(c, x, y):
    layer = nn.Linear(3, 2)
    return layer(x).detach()


def optimizer_made(c, x, y):
    optimizer = torch.optim.SGD(c.model.parameters(), lr=0.1, momentum=0.9)
    return training_step(c.model, optimizer)(x, y)


def seeded(c, x, y):
    torch.manual_seed(1)
    return torch.rand(3) + c.train(x, y)


def view_of_outside_written(c, x, y):
    c.base += 1
    c.part.mul_(2)
    c.base[0, :3] = x[0]
    c.base[:, 1].add_(1)
    return c.part.sum()


def base_and_view(c, x, y):
    flat = c.base.view(-1)
    flat[::5] = x[0, 0]
    return flat[:7], c.base.t()


def inference_within(c, x, y):
    with torch.no_grad():
        a = c.model(x)
    with torch.inference_mode():
        b = c.model(x)
    with torch.set_grad_enabled(False):
        d = c.model(x) * a
    loss = c.train(x, y)
    return a, b.clone(), d, loss


@torch.no_grad()
def decorated(c, x, y):
    c.w.sub_(x[:3] * 0.1)
    return c.model(x)


def hidden_state(c, x, y):
    h = torch.zeros(3)
    loss = torch.zeros(())
    for row in x:
        h = torch.tanh(row @ c.w + h)
        loss = loss + h.square().sum()
    c.w.grad = None
    loss.backward()
    with torch.no_grad():
        c.w -= 0.01 * c.w.grad
    return loss, h.detach()


def tied_weights(c, x, y):
    c.w.grad = None
    z = x @ c.w @ c.w.t() @ c.w
    z.square().mean().backward()
    return c.w.grad.sum()


def several_walks_with_a_kept_graph(c, x, y):
    c.optimizer.zero_grad()
    out = c.model(x)
    out.sum().backward(retain_graph=True)
    out.square().sum().backward()
    c.optimizer.step()


def cotangent_given(c, x, y):
    c.optimizer.zero_grad()
    out = c.model(x)
    out.backward(y)
    c.optimizer.step()
    return out


def state_dict_returned(c, x, y):
    c.train(x, y)
    return {k: v.clone() for k, v in c.model.state_dict().items()}


def parameters_returned(c, x, y):
    c.train(x, y)
    return list(c.model.parameters()), c.model[0].weight.detach(), c.model[0].weight[0]


def cleared_last(c, x, y):
    loss = loss_of(c, x, y)
    loss.backward()
    c.optimizer.step()
    c.optimizer.zero_grad()
    return loss


def cleared_by_zeros_last(c, x, y):
    loss = loss_of(c, x, y)
    loss.backward()
    c.optimizer.step()
    c.model.zero_grad(set_to_none=False)
    return loss


def array_written(c, x, y):
    shared = torch.from_numpy(c.array)
    shared.add_(x.sum(0))
    return torch.as_tensor(c.array) * 2


def array_only_written(c, x, y):
    torch.from_numpy(c.array).mul_(0.5)
    return x * 2


def array_read(c, x, y):
    c.counts[0] += 0  # the same
    return torch.tensor(c.array) + torch.from_numpy(c.array).sum()


def sorted_and_ranked(c, x, y):
    values, order = x.sort(1)
    top, where = values.topk(2, 1)
    return values, order, top, where, x.argsort(0), x.median(), x.gather(1, order), x.cumsum(0)


def chosen_rows(c, x, y):
    order = torch.randperm(5)
    best = c.model(x[order]).argmax(1)
    return nn.functional.cross_entropy(c.model(x), best).detach(), y[order[:2]], best


def table_lookup(c, x, y):
    c.w.grad = None
    where = (x[:, 0] > 0).long()
    nn.functional.embedding(where, c.w).square().sum().backward()
    return c.w.grad.sum()


def scattered(c, x, y):
    table = torch.zeros(3, 2)
    table.index_add_(0, torch.tensor([0, 1, 2, 1, 0]), y)
    table[torch.tensor([2, 0])] += 1
    return table.scatter(0, torch.tensor([[0, 1]]), 5.0)


def joined(c, x, y):
    a = torch.cat([x, y], 1)
    b = torch.stack([x, x * 2])
    d, e = a.split([3, 2], 1)
    return a, b, d.sum() + e.prod(), torch.cat([c.base, c.base]).chunk(2)[1], b.unbind(0)[1]


def whole_numbers(c, x, y):
    n = torch.arange(5)
    n += 2
    return n * 3, (n % 3) << 1, n.float() / 2, n.sum(), (x > 0).sum(), (x > 0) & (x < 1)


def double_precision(c, x, y):
    z = x.double() @ c.w.detach().double()
    return z, z.float(), (z > 0).int(), z.mean() + c.w.sum().detach()


STEPS = [f for f in list(globals().values()) if getattr(f, "__module__", "") == __name__ and callable(f)]
STEPS = [f for f in STEPS if f not in (Case, loss_of) and not isinstance(f, type)]
# these cannot be replayed: they run eagerly with a warning
EAGER = {gradient_of_an_argument, data_swapped, seeded, optimizer_made}


@pytest.mark.parametrize("between", ["nothing", "eager", "cleared", "accumulated"])
@pytest.mark.parametrize("function", STEPS, ids=lambda f: f.__name__)
def test_unusual_step(function, between):
    def run(compiled):
        torch.manual_seed(8)
        case = Case()
        inputs = batches(X, Y)
        step = torch.compile(function) if compiled else function
        found = []
        for k in range(6):
            used = function if between == "eager" and k % 3 == 1 else step
            x, y = inputs(k)
            case.array[k % 3] += 1.0
            if between == "accumulated" and k in (1, 2, 4):
                loss_of(case, x, y).backward()
            result = used(case, x.detach().clone(), y)
            found.append((bits(result), case.state()))
            if between == "cleared" and k == 2:
                case.optimizer.zero_grad()
                case.w.grad = None
        return found

    expected = run(False)
    found, warned = warnings_of(lambda: run(True))
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a == b, f"call {k}"
    assert len(warned) == (function in EAGER), warned
