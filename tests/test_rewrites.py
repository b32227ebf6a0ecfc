"""Every rewrite of a program can be switched off, takes rows away (or joins them), and changes no bit."""

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.layout.segments import depends
from jitgrad.program.rewrites import OPTIONS, REWRITES

F = nn.functional


def classifier():
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 16), nn.GELU("tanh"), nn.Linear(16, 4))
    x, y = torch.randn(96, 6), torch.randint(0, 4, (96,))
    return model, x, y, F.cross_entropy


def regression():
    model = nn.Sequential(
        nn.Linear(3, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    ).double()
    return (
        model,
        torch.randn(130, 3, dtype=torch.float64),
        torch.randn(130, 2, dtype=torch.float64),
        F.mse_loss,
    )


def normalised():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 40), nn.Linear(40, 3)
            self.scale = nn.Parameter(torch.ones(40))

        def forward(self, x):
            h = torch.tanh(self.first(x)) * self.scale + 0.5
            zeros = torch.zeros(40)
            zeros += h.mean(0)
            return self.second(h - zeros)

    return Net(), torch.randn(64, 8), torch.randint(0, 3, (64,)), F.cross_entropy


MODELS = (classifier, regression, normalised)


def trained(build, options, optimizer="Adam", steps=4):
    """Losses, parameters and gradients after some compiled steps, and the program."""
    torch.manual_seed(3)
    model, x, y, loss_function = build()
    opt = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)

    @torch.compile(options=options)
    def step(a, b):
        opt.zero_grad()
        loss = loss_function(model(a), b)
        (loss * 3).backward()
        opt.step()
        return loss

    losses = [step(x, y).item() for _ in range(steps)]
    values = [p.detach().numpy().copy() for p in model.parameters()]
    values += [p.grad.numpy().copy() for p in model.parameters()]
    return losses, values, step.program(x, y)


ALL_OFF = dict.fromkeys(OPTIONS, False)


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", [*REWRITES, "all", "none"])
def test_a_rewrite_changes_no_bit(name, build):
    options = {"all": {"partial_sums": False}, "none": ALL_OFF}.get(name, ALL_OFF | {name: True})
    losses, values, _ = trained(build, options)
    want_losses, want_values, _ = trained(build, ALL_OFF)
    assert losses == want_losses
    for got, want in zip(values, want_values, strict=True):
        assert np.array_equal(got, want)


def kernels(program):
    return [row.kernel for row in program.rows]


def test_constants_are_filled_once():
    *_, off = trained(classifier, ALL_OFF)
    *_, on = trained(classifier, ALL_OFF | {"constants": True})
    assert kernels(off).count("program.copy") >= 1
    assert "program.copy" not in kernels(on)


def test_constants_whose_memory_is_used_again_get_memory_of_their_own():
    x = torch.tensor(0.5, requires_grad=True)

    def chain():
        x.grad = None
        y = x
        for k in range(20):
            y = torch.tanh(y * (0.9 + 0.01 * k) + 0.1)
        y.backward()
        return y.detach()

    value, gradient = chain().item(), x.grad.item()
    for options in (ALL_OFF, ALL_OFF | {"constants": True}, {}):
        step = torch.compile(chain, options=options)
        assert [step().item() for _ in range(3)] == [value] * 3
        assert x.grad.item() == gradient
        assert ("program.copy" in kernels(step.program())) == (options is ALL_OFF)


def test_counters_and_updates_are_one_row_each():
    *_, off = trained(classifier, ALL_OFF)
    *_, on = trained(classifier, ALL_OFF | {"counters": True, "optimizer": True})
    assert kernels(off).count("program.count") == kernels(off).count("update.adam.float32") == 6
    assert kernels(on).count("program.count") == 1
    assert [k for k in kernels(on) if k.startswith("update")] == ["updates.adam.float32"]


def test_rows_that_nothing_needs_are_dropped():
    x = torch.randn(10, 4)

    def wasteful(a):
        unused = (a * 2).exp().sum()
        del unused
        return a.sum()

    for options, count in ((ALL_OFF, 5), (ALL_OFF | {"dead_rows": True}, 1)):
        step = torch.compile(wasteful, options=options)
        assert step(x).item() == x.sum().item()
        assert len([k for k in kernels(step.program(x)) if not k.startswith("program")]) <= count
    assert kernels(step.program(x)) == ["sum.0.float32"]


def test_an_activation_overwrites_its_operand():
    *_, off = trained(regression, ALL_OFF)
    *_, on = trained(regression, ALL_OFF | {"in_place": True})

    def in_place(program):
        maps = [r for r in program.rows if r.op in ("sigmoid", "relu") and r.variant == 0]
        return sum(any(v.begin == w.begin for v in r.reads for w in r.writes) for r in maps)

    assert in_place(off) == 0
    assert in_place(on) == 2


def test_layers_and_activations_run_strip_by_strip():
    *_, on = trained(regression, {})
    strips = [row for row in on.rows if row.kernel == "program.strips"]
    assert [r.op for r in strips[0].chain] == ["linear", "sigmoid", "linear", "relu", "linear"]
    assert len(strips[0].inner) % len(strips[0].chain) == 0


def test_large_elementwise_rows_run_strip_by_strip():
    x, y = torch.randn(300, 400), torch.randn(300, 400)

    def chain(a, b):
        return torch.tanh(a * b + a).exp() * 0.5

    with torch.no_grad():
        want = chain(x, y).numpy()
        step = torch.compile(chain)
        step(x, y)
        assert np.array_equal(step(x, y).numpy(), want)
    (strips,) = step.program(x, y).rows
    assert [r.op for r in strips.chain] == ["mul", "add", "tanh", "exp", "mul"]


def test_an_unknown_option_is_refused():
    with pytest.raises(RuntimeError, match="Unexpected optimization option 'speed'"):
        torch.compile(lambda x: x, options={"speed": True})


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam"])
def test_the_joint_update_equals_single_updates(optimizer):
    want = trained(classifier, ALL_OFF, optimizer)
    got = trained(classifier, ALL_OFF | {"optimizer": True}, optimizer)
    assert want[0] == got[0]
    assert all(np.array_equal(a, b) for a, b in zip(want[1], got[1], strict=True))


def test_parameters_that_skipped_steps_keep_their_own_count():
    def run(options):
        torch.manual_seed(0)
        a, b = nn.Linear(3, 1), nn.Linear(3, 1)
        opt = torch.optim.Adam([*a.parameters(), *b.parameters()], lr=0.1)
        x = torch.randn(5, 3)
        for _ in range(3):  # only the first layer is used
            opt.zero_grad()
            a(x).sum().backward()
            opt.step()

        @torch.compile(options=options)
        def step(x):
            opt.zero_grad()
            loss = ((a(x) + b(x)) ** 2).mean()
            loss.backward()
            opt.step()
            return loss

        return [step(x).item() for _ in range(4)], [
            p.detach().numpy().copy() for p in (*a.parameters(), *b.parameters())
        ]

    want, got = run(ALL_OFF), run({})
    assert want[0] == got[0]
    assert all(np.array_equal(p, q) for p, q in zip(want[1], got[1], strict=True))


def test_an_update_of_one_parameter_waits_for_its_step_count():
    """It reads the count that a row before it changes, so threads must not run both in one segment."""
    body, head = nn.Linear(128, 128), nn.Linear(128, 96, bias=False)
    groups = [{"params": head.parameters(), "lr": 0.01}, {"params": body.parameters()}]
    optimizer = torch.optim.Adam(groups, lr=0.001)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(head(torch.tanh(body(x))), y)
        loss.backward()
        optimizer.step()
        return loss

    x, y = torch.randn(64, 128), torch.randn(64, 96)
    rows = torch.compile(step, fullgraph=True).program(x, y).rows
    counts = [row for row in rows if row.kernel == "program.count"]
    updates = [row for row in rows if row.kernel.startswith("update")]
    assert len(counts) == 1 and [row.kernel.split(".")[0] for row in updates] == ["update", "updates"]
    assert all(depends(row, counts[0]) for row in updates)


def test_an_index_that_ends_a_step_leaves_later_counts_as_they_were():
    """Two optimizers, and between their steps a row that may report: counts do not move across it."""
    table, p = nn.Embedding(5, 3), nn.Parameter(torch.ones(3))
    first, second = torch.optim.Adam([p]), torch.optim.Adam(table.parameters())

    def step(i):
        first.zero_grad()
        second.zero_grad()
        (p * p).sum().backward()
        first.step()
        table(i.abs()).pow(2).sum().backward()
        second.step()

    compiled = torch.compile(step, fullgraph=True)
    for _ in range(5):
        compiled(torch.tensor([0, 1, 2]))
    with pytest.raises(IndexError):
        compiled(torch.tensor([0, 9, 2]))
    assert second.state[table.weight]["step"].item() == 5
    assert first.state[p]["step"].item() == 6


NOTHING = {
    "linear": (lambda: nn.Linear(4, 2), (0, 4)),
    "convolution": (lambda: nn.Conv2d(3, 4, 3), (0, 3, 8, 8)),
    "transposed convolution": (lambda: nn.ConvTranspose2d(3, 4, 3), (0, 3, 4, 4)),
    "pooling": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten()), (0, 3, 8, 8)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8)), (0, 4)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), (0, 5, 8)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_steps_over_no_samples_are_rewritten(name):
    build, shape = NOTHING[name]
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = build()
        opt = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)

        def step(x, model=model, opt=opt):
            opt.zero_grad()
            loss = model(x).sum() + sum(p.square().sum() for p in model.parameters())
            loss.backward()
            opt.step()
            return loss

        step = torch.compile(step, fullgraph=True, options={"partial_sums": False}) if compiled else step
        losses.append([step(torch.zeros(shape)).item() for _ in range(5)])
    assert losses[0] == losses[1]


FOLDS = {
    "sum": lambda x: x.sum(),
    "sum of columns": lambda x: x.sum(0),
    "product": lambda x: x.prod(),
    "any": lambda x: (x > 0).any().float(),
    "loss": lambda x: nn.functional.cross_entropy(
        x, torch.zeros(0, dtype=torch.int64), reduction="sum", label_smoothing=0.1
    ),
}


@pytest.mark.parametrize("name", FOLDS)
def test_a_reduction_of_nothing_is_not_dropped(name):
    def function(x, y):
        return y * (FOLDS[name](x) + 1)

    step = torch.compile(function, fullgraph=True)
    x = torch.zeros(0, 3)
    for k in range(5):
        y = torch.full((3,), float(k))
        step(torch.ones(2, 3), y) if name != "loss" else None  # leaves numbers in memory
        assert step(x, y).tolist() == function(x, y).tolist()
