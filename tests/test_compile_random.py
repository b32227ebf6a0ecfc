"""Random programs: whatever the rows and their memory, a replay leaves what an eager call leaves."""

from __future__ import annotations

import random

import pytest
from compile_cases import bits, random_state, state_of

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.guard.drawn import shared_sources
from jitgrad.program.rewrites import REWRITES, strip_sizes

SEEDS = 120
SHAPES = [(4, 4), (4, 1), (1, 4), (4,), ()]

UNARY = ["tanh", "sigmoid", "relu", "exp", "neg", "abs", "square", "sin", "softplus", "silu"]
BINARY = ["add", "sub", "mul", "maximum", "minimum"]

STATE = random.Random(5).getstate()


def apply_unary(r, pool):
    name = r.choice(UNARY)
    x = r.choice(pool).clamp(-3, 3)
    return torch.nn.functional.softplus(x) if name == "softplus" else unary(name, x)


def unary(name, x):
    return torch.nn.functional.silu(x) if name == "silu" else getattr(torch, name)(x)


def apply_binary(r, pool):
    return getattr(torch, r.choice(BINARY))(r.choice(pool), r.choice(pool))


def apply_number(r, pool):
    x = r.choice(pool)
    return r.choice([x * 0.5, x + 1, 2 - x, x / 3, x.pow(2), x.clamp(-1, 1), x.lerp(x * x, 0.3)])


def apply_reduction(r, pool):
    x = r.choice(pool)
    if not x.ndim:
        return x
    dim = r.randrange(x.ndim)
    return r.choice([x.sum(dim), x.mean(dim, keepdim=True), x.amax(dim), x.sum(), x.softmax(dim)])


def apply_product(r, pool):
    matrices = [x for x in pool if tuple(x.shape) == (4, 4)]
    a, b = r.choice(matrices), r.choice(matrices)
    return r.choice([a @ b, a.t() @ b, a @ b.t(), torch.nn.functional.linear(a, b, b[0])]) * 0.25


def apply_view(r, pool):
    matrices = [x for x in pool if tuple(x.shape) == (4, 4)]
    x = r.choice(matrices)
    return r.choice([x[1], x[:, 2:3], x.t(), x[::2].sum(0), x.reshape(-1)[4:8], x.diagonal(), x[0, 1]])


def apply_joined(r, pool):
    matrices = [x for x in pool if tuple(x.shape) == (4, 4)]
    a, b = r.choice(matrices), r.choice(matrices)
    order = torch.tensor([2, 0, 3, 1])
    return r.choice([torch.cat([a[:2], b[2:]]), a[order], torch.where(a > b, a, b), a.cumsum(0), a.flip(0)])


def apply_made(r, pool):
    made = r.choice([torch.zeros, torch.ones, torch.rand, torch.randn])(4, r.choice([1, 4]))
    made += r.choice(pool).detach().clamp(-1, 1).sum()
    made[0] = 0.5
    return made * r.choice(pool)


def apply_in_place(r, pool):
    """Into a fresh tensor, which then has the history of the write."""
    x = r.choice(pool) * 1.0
    other = r.choice([y for y in pool if len(y.shape) <= len(x.shape) and fits(y, x)])
    return r.choice([x.mul_, x.add_, x.sub_])(other)


def fits(y, x):
    shape = tuple(x.shape)
    return all(a in (1, b) for a, b in zip(reversed(y.shape), reversed(shape), strict=False))


def apply_dropout(r, pool):
    return torch.nn.functional.dropout(r.choice(pool), 0.3)


APPLY = [apply_unary, apply_unary, apply_binary, apply_binary, apply_number, apply_reduction, apply_product,
         apply_view, apply_joined, apply_made, apply_in_place, apply_dropout]  # fmt: skip


class Case:
    """Leaves, memory that steps write, and a step that is random but the same in every call."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.seed = seed
        self.leaves = [torch.randn(*s, requires_grad=True) for s in SHAPES]
        self.kept = [torch.zeros(4, 4), torch.zeros(4)]

    def step(self, x, y):
        r = random.Random(self.seed)
        if r.random() < 0.7:
            for leaf in self.leaves:
                leaf.grad = None
        pool = [*self.leaves, x, y]
        results = []
        for _ in range(r.randrange(3, 25)):
            made = r.choice(APPLY)(r, pool)
            pool.append(made)
            if r.random() < 0.15:
                results.append(made.detach())
            if r.random() < 0.1:
                with torch.no_grad():
                    self.kept[1].mul_(0.5).add_(made.detach().clamp(-2, 2).sum())
        if r.random() < 0.8:
            loss = sum(v.clamp(-5, 5).mean() for v in pool[-4:])
            if loss.requires_grad:
                loss.backward()
                results.append(loss.detach())
        with torch.no_grad():
            for leaf in self.leaves:
                if leaf.grad is not None and r.random() < 0.7:
                    leaf.sub_(leaf.grad.clamp(-1, 1), alpha=0.1)
            if r.random() < 0.3:
                self.kept[0][1] = x[0] + y[1]
                x.mul_(0.5)
        return results


def calls(seed, compiled, options):
    case = Case(seed)
    step = torch.compile(case.step, options=options, fullgraph=True) if compiled else case.step
    found = []
    for _ in range(4):
        x, y = torch.randn(4, 4), torch.randn(4, 4)
        result = step(x, y)
        leaves = [(bits(leaf), bits(leaf.grad)) for leaf in case.leaves]
        found.append((bits(result), leaves, bits(case.kept), bits([x, y]), random_state()))
    return found


def layers(r, seed, compiled):
    """A random network of layers, trained for some steps on batches that are large enough for strips."""
    rows = r.choice([32, 33, 48, 65, 130])
    widths = [r.choice([1, 3, 8, 16, 20]) for _ in range(r.randrange(2, 6))]
    kinds = [nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid, nn.Identity, lambda: nn.Dropout(0.2), nn.PReLU]
    kinds = [r.choice(kinds) for _ in widths]
    bias, turned, average = r.random() < 0.8, r.random() < 0.3, r.random() < 0.3
    torch.manual_seed(seed)
    parts = []
    for a, b, kind in zip(widths, widths[1:], kinds, strict=False):
        parts += [nn.Linear(a, b, bias=bias), kind()]
    model = nn.Sequential(*parts)
    optimizer = getattr(torch.optim, r.choice(["SGD", "Adam"]))(model.parameters(), lr=0.05)
    factor = torch.randn(rows, widths[-1])

    def step(x, y):
        optimizer.zero_grad()
        out = model(x)
        out = out + factor * out.detach().mean(0) if average else out
        loss = (out - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss, out.detach()

    exact = {"partial_sums": False}
    step = torch.compile(step, fullgraph=True, options=exact) if compiled else step
    found = []
    for _ in range(4):
        x = torch.randn(widths[0], rows).t() if turned else torch.randn(rows, widths[0])
        found.append((bits(step(x, torch.randn(rows, widths[-1]))), state_of(model), random_state()))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_layers_in_strips(seed, monkeypatch):
    monkeypatch.setattr(strip_sizes, "MIN_BYTES", 1)
    monkeypatch.setattr(strip_sizes, "MOST_BYTES", 2000)
    expected = layers(random.Random(seed), seed, False)
    assert layers(random.Random(seed), seed, True) == expected


def test_samples_along_columns(monkeypatch):
    """For these the matrix multiply chooses its way by the number of samples, so they are not cut."""
    monkeypatch.setattr(strip_sizes, "MIN_BYTES", 1)
    monkeypatch.setattr(strip_sizes, "MOST_BYTES", 2000)
    w = torch.randn(3, 16)

    def step(x):
        return nn.functional.linear(x, w).tanh()

    compiled = torch.compile(step)
    for _ in range(3):
        x = torch.randn(16, 130).t()
        assert bits(compiled(x)) == bits(step(x))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_program(seed):
    options = {name: False for k, name in enumerate(REWRITES) if seed % 3 == 2 and seed // 3 >> k & 1}
    expected = calls(seed, False, options)
    found = calls(seed, True, options)
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert a == b, f"call {k}"


@pytest.mark.parametrize(
    "draw",
    [random.random, lambda: random.getrandbits(3), lambda: random.gauss(0, 1), lambda: random.shuffle([1, 2, 3]),
     lambda: [random.getrandbits(32) for _ in range(624)], lambda: random.seed(4), lambda: random.setstate(STATE)],
)  # fmt: skip
@pytest.mark.parametrize("turn", range(2))
def test_where_the_generator_of_python_stands(draw, turn):
    """It is looked at in every recording, so without asking for all its numbers."""
    random.seed(3)
    for _ in range(turn):
        random.gauss(0, 1)
    source = shared_sources()[0]
    before = source()
    assert before == source() == told()
    draw()
    assert source() == told() != before


def told():
    _version, numbers, gauss = random.getstate()
    return numbers[-1], numbers[1], gauss
