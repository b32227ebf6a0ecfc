"""Values that live no longer than a strip's way through a chain share memory; all others stay where they were."""

import random

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import gemm
from jitgrad.nn import functional as F
from jitgrad.program.log.views import view
from jitgrad.program.rewrites import strip_sizes
from jitgrad.program.rewrites.batches import _along
from jitgrad.program.rewrites.facts import Facts
from jitgrad.program.rewrites.strip_memory import _is_made, _Use, _Value


@pytest.fixture(autouse=True)
def many_strips(monkeypatch):
    """Chains are cut finely."""
    for name, value in {
        "MIN_BYTES": 1,
        "MOST_BYTES": 256,
        "MIN_ROWS": gemm.FEW + 1,
        "GRAIN": 1,
        "LARGE": 999,
    }.items():
        monkeypatch.setattr(strip_sizes, name, value)


@pytest.fixture
def threads(request):
    """Sets the number of threads, and puts it back."""
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    return torch.set_num_threads


def replayed(function, *inputs):
    """The compiled function's results after its rewrites, and its chains."""
    step = torch.compile(function, fullgraph=True, options={"partial_sums": False})
    for _ in range(4):
        step(*(torch.randn_like(x) for x in inputs))  # nothing of the replays before is left by chance
    found = step(*inputs)
    chains = [row for row in step.program(*inputs).rows if row.chain]
    return found, chains


def written_by(chain, k):
    """Where each strip of a chain has what its row number `k` writes."""
    return [row.writes[0].begin for row, _ in chain.inner[k :: len(chain.chain)]]


def network(width=8):
    torch.manual_seed(0)
    layers = nn.Linear(5, width), nn.Linear(width, 6), nn.Linear(6, 3)
    return layers, torch.randn(160, 5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_strips_of_a_lane_have_a_passing_value_in_one_place(count, threads):
    (first, second, third), x = network()
    threads(count)
    want = third(second(first(x)).tanh()).detach()
    with torch.no_grad():
        found, (chain,) = replayed(lambda x: third(second(first(x)).tanh()), x)
    assert bits(found) == bits(want)
    strips, lanes = len(chain.inner) // len(chain.chain), max(2, count)
    assert strips > 2 * lanes
    for k in range(len(chain.chain) - 1):
        assert len(set(written_by(chain, k))) == lanes
    assert len(set(written_by(chain, len(chain.chain) - 1))) == strips


def test_a_value_that_is_returned_stays_whole():
    (first, second, _), x = network()

    def step(x):
        hidden = first(x)
        return hidden, second(hidden.tanh()), hidden.sigmoid()

    want = tuple(y.detach() for y in step(x))
    with torch.no_grad():
        found, (chain,) = replayed(step, x)
    assert bits(found) == bits(want)
    assert len(set(written_by(chain, 0))) == len(chain.inner) // len(chain.chain)


def test_a_value_that_a_later_row_reads_stays_whole():
    (first, second, _), x = network()

    def step(x):
        hidden = first(x)
        out = second(hidden.tanh())
        return out, hidden.cumsum(0), hidden.t().matmul(out)

    want = tuple(y.detach() for y in step(x))
    with torch.no_grad():
        found, chains = replayed(step, x)
    assert chains
    assert bits(found) == bits(want)


def test_gradients_saved_for_the_way_back_are_those_of_the_whole_batch():
    layers, x = network()
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    model(x).square().sum().backward()
    want = [p.grad.clone() for p in model.parameters()]
    compiled = torch.compile(model)
    for y in (*(torch.randn_like(x) for _ in range(4)), x):
        model.zero_grad()
        compiled(y).square().sum().backward()
    for p, g in zip(model.parameters(), want, strict=True):
        assert torch.allclose(p.grad, g, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_number_of_threads_may_change_after_recording(count, threads):
    layers, x = network()
    model = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x[:, :3])
        loss.backward()
        optimizer.step()
        return loss

    found = []
    for later in (1, count):
        torch.manual_seed(1)
        for layer in layers:
            layer.reset_parameters()
        threads(1)
        compiled = torch.compile(step, fullgraph=True)
        compiled.loop(5, x)
        threads(later)
        compiled.loop(200, x)
        found.append(bits(list(model.parameters())))
    assert found[0] == found[1]


UNARY = (
    torch.tanh,
    torch.sigmoid,
    torch.relu,
    lambda x: x * 2 + 1,
    lambda x: -x,
    lambda x: x.clone().mul_(0.5),
)


def _random_step(r):
    """A function of one tensor: layers and elementwise operations over earlier values, some of them returned."""
    weights = [torch.randn(6, 6) / 3 for _ in range(3)]
    plan = []
    for n in range(r.randrange(4, 14)):
        kind = r.choice(["layer", "one", "one", "two", "sum", "in place", "view"])
        plan.append((kind, r.randrange(n + 1), r.randrange(n + 1), r.choice(UNARY), r.choice(weights)))
    returned = r.sample(range(len(plan) + 1), r.randrange(1, 4))

    def step(x):
        values = [x + 0]
        for kind, i, j, function, weight in plan:
            a, b = values[i], values[j]
            if kind == "layer":
                values.append(F.linear(a, weight))
            elif kind == "one":
                values.append(function(a))
            elif kind == "two":
                values.append(a + b)
            elif kind == "sum":
                values.append(a - b.mean(0))
            elif kind == "in place":
                values.append(a.add_(b.sin()))
            else:
                values.append(a[:, 1:3].repeat(1, 3))
        return [values[k] for k in sorted({*returned, len(plan)})]

    return step


@pytest.mark.parametrize("seed", range(80))
def test_random_functions_keep_every_bit(seed):
    r = random.Random(seed)
    torch.manual_seed(seed)
    step = _random_step(r)
    x = torch.randn(r.choice([160, 192]), 6)
    want = step(x)
    found, _ = replayed(step, x)
    assert bits(found) == bits(want)


def test_random_functions_have_chains():
    chained = 0
    for seed in range(30):
        torch.manual_seed(seed)
        step, x = _random_step(random.Random(seed)), torch.randn(160, 6)
        chained += bool(replayed(step, x)[1])
    assert chained > 10


def _use(row, writes, begin, shape, strides, dim=0):
    v = view(0, begin, 4, shape, strides)
    return _Use(row, writes, _along(v, dim, 8))


MADE = {
    "written, then read": ([(True, 0, (8, 6), (6, 1)), (False, 0, (8, 6), (6, 1))], True),
    "some columns read": ([(True, 0, (8, 6), (6, 1)), (False, 8, (8, 2), (6, 1))], True),
    "read as a line": ([(True, 0, (8, 6), (6, 1)), (False, 0, (48,), (1,))], True),
    "read first": ([(False, 0, (8, 6), (6, 1)), (True, 0, (8, 6), (6, 1))], False),
    "written in part": ([(True, 0, (8, 5), (6, 1)), (False, 0, (8, 6), (6, 1))], False),
    "samples between samples": ([(True, 0, (8, 3, 6), (6, 48, 1)), (False, 0, (8, 3, 6), (6, 48, 1))], False),
    "columns that reach into the next sample": (
        [(True, 0, (8, 6), (6, 1)), (False, 12, (8, 5), (6, 1))],
        False,
    ),
    "other samples": ([(True, 0, (8, 6), (6, 1)), (False, 0, (8, 3), (3, 1))], False),
}


@pytest.mark.parametrize("uses, made", MADE.values(), ids=MADE)
def test_a_value_passes_when_each_sample_is_written_whole_and_lies_together(uses, made):
    start = 1 << 20
    uses = [_use(k, writes, start + at, *form) for k, (writes, at, *form) in enumerate(uses)]
    end = max(use.part.view.end for use in uses)
    facts = Facts(lambda address: 0, [(start, end)], [], lambda row: False)
    assert _is_made(_Value(start, end, uses), facts) == made
