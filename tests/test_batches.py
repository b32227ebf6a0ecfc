"""Operations whose samples are taken one by one: strips of a batch give what the whole batch gives."""

import random

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels.table import BY_NAME, OPS, SCALAR
from jitgrad.nn import functional as F


def _attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


# operation -> (function of its operands, shapes; the first have samples, those after None are shared)
CASES = {
    "linear": (lambda x, w, b: F.linear(x, w, b), ((64, 5), None, (7, 5), (7,))),
    "linear of sequences": (lambda x, w, b: F.linear(x, w, b), ((8, 16, 5), None, (7, 5), (7,))),
    "convolution": (lambda x, w, b: F.conv2d(x, w, b), ((64, 3, 6, 6), None, (4, 3, 3, 3), (4,))),
    "convolution of one dimension": (
        lambda x, w: F.conv1d(x, w, stride=2, padding=1),
        ((64, 4, 14), None, (4, 4, 3)),
    ),
    "convolution_transpose": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
        ((64, 3, 4, 4), None, (3, 4, 3, 3), (4,)),
    ),
    "max_pool": (lambda x: F.max_pool2d(x, 3, stride=2, padding=1), ((8, 3, 7, 7),)),
    "max_pool_pairs": (lambda x: F.max_pool2d(x, 2), ((8, 3, 6, 6),)),
    "adaptive_max_pool": (lambda x: F.adaptive_max_pool2d(x, 3), ((8, 3, 7, 7),)),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2), ((8, 3, 6, 6),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), ((8, 16, 5), None, (5,), (5,))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), ((8, 16, 5), None, (5,))),
    "softmax": (lambda x: F.softmax(x, 1), ((16, 9),)),
    "log_softmax": (lambda x: F.log_softmax(x, 1), ((16, 9),)),
    "attention": (_attention, ((8, 2, 6, 4), (8, 2, 6, 4), (8, 2, 6, 4))),
    "cross_entropy_mean": (
        lambda x: F.cross_entropy(x, torch.arange(64) % 5, ignore_index=3),
        ((64, 5),),
    ),
    "cross_entropy_weighted": (
        lambda x: F.cross_entropy(x, torch.arange(64) % 5, torch.arange(5).to(x.dtype), label_smoothing=0.1),
        ((64, 5),),
    ),
    "mse_loss": (lambda x, t: F.mse_loss(x, t), ((64, 3), (64, 3))),
    "tanh": (lambda x: x.tanh() * 2 + 1, ((16, 9),)),
}
DTYPES = (torch.float32, torch.float64)


class Case:
    """A step over an operation, between two elementwise rows, with its operands."""

    def __init__(self, name, dtype):
        function, shapes = CASES[name]
        torch.manual_seed(0)
        at = shapes.index(None) if None in shapes else len(shapes)
        self.inputs = [torch.randn(*s, dtype=dtype) for s in shapes[:at]]
        self.leaves = [torch.randn(*s, dtype=dtype, requires_grad=True) for s in shapes[at + 1 :]]
        self.scale = torch.randn(1, dtype=dtype, requires_grad=True)
        out = function(*self.inputs, *self.leaves)
        self.cotangent = torch.randn(*out.shape, dtype=dtype)

        def step(*inputs):
            own = [x * self.scale for x in inputs]
            y = function(*own, *self.leaves)
            z = y.sigmoid()
            leaves = [*self.leaves, self.scale]
            return (y.detach(), *torch.autograd.grad(z, [*leaves, *own], self.cotangent))

        self.step = step

    def compiled(self, **options):
        step = torch.compile(self.step, fullgraph=True, options=options)
        return step, step(*self.inputs) and step(*self.inputs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_strips_equal_the_whole(name, dtype, many_strips):
    case = Case(name, dtype)
    want = case.step(*case.inputs)
    _, exact = case.compiled(partial_sums=False)
    step, got = case.compiled()
    assert bits(exact) == bits(want)
    rough = 2e-5 if dtype == torch.float32 else 1e-12
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        scale = float(b.abs().max()) + 1
        assert float((a - b).abs().max()) <= rough * scale, f"result {k}"
    program = step.program(*case.inputs)
    chained = [one for row in program.rows for one in row.chain]
    op = BY_NAME[name.split(" ")[0]]
    for variant in (0, 1) if op.batch is None or "y" in op.batch.along else (1,):
        assert (op.name, variant) in {(row.op, row.variant) for row in chained}


def test_every_operation_that_speaks_of_batches_is_tried():
    described = {op.name for op in OPS if op.batch is not None}
    assert described == {name.split(" ")[0] for name in CASES} - {"tanh"}


def test_the_description_of_a_batch_names_operands_and_outputs():
    for op in OPS:
        if op.batch is not None:
            outputs = {"y", *(f"y{k}" for k in range(1, op.outputs))}
            known = {*op.operands, *outputs, *(["g"] if op.rule == SCALAR else [])}
            named = {*op.batch.along, *op.batch.shared, op.batch.workspace} - {""}
            assert named <= known
            assert op.rule == SCALAR or outputs <= {*op.batch.along, op.batch.workspace}


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_in_strips_do_not_depend_on_the_threads(threads, many_strips, request):
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        @torch.compile(fullgraph=True)
        def step(x, y, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        x, y = torch.randn(256, 6), torch.randn(256, 3)
        step.loop(300, x, y)
        found.append(bits(list(model.parameters())))
    assert found[0] == found[1]


def test_a_weight_that_is_used_twice_gets_both_gradients(many_strips):
    w = torch.randn(6, 6, requires_grad=True)
    x = torch.randn(96, 6)

    def step(x):
        w.grad = None
        F.linear(F.linear(x, w).tanh(), w).square().mean().backward()
        return w.grad

    want = step(x).clone()
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        assert torch.allclose(compiled(x), want, rtol=1e-5, atol=1e-6)


def test_a_gradient_that_was_there_is_added_to(many_strips):
    layer = nn.Linear(6, 4)
    x = torch.randn(96, 6)

    def step(x):
        layer(x).tanh().square().mean().backward()

    compiled = torch.compile(step, fullgraph=True)
    step(x)
    once = layer.weight.grad.clone()
    for n in range(2, 6):
        compiled(x)
        assert torch.allclose(layer.weight.grad, once * n, rtol=1e-5, atol=1e-6)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3)
        self.layer = nn.Linear(16, 3)

    def forward(self, x):
        return self.layer(F.max_pool2d(self.convolution(x).relu(), 2).flatten(1))


def test_what_another_program_reads_is_not_cut(many_strips):
    """A convolution leaves what its gradient needs in an order that the size of the strips decides."""
    torch.manual_seed(0)
    model = Net()
    x = torch.randn(64, 2, 6, 6)
    compiled = torch.compile(model)
    found = []
    for forward in (model, compiled, compiled, compiled):
        model.zero_grad()
        forward(x).square().mean().backward()
        found.append([p.grad.clone() for p in model.parameters()])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 6), (1, 1), ()])
def test_samples_that_are_one_repeated_are_not_cut(shape, many_strips):
    layer = nn.Linear(6, 3)
    x = torch.randn(shape)
    step = torch.compile(lambda v: layer(v.expand(64, 6)).relu().detach(), fullgraph=True)
    for _ in range(4):
        assert step(x).tolist() == layer(x.expand(64, 6)).relu().tolist()


class Turned(nn.Module):
    """Its convolution's workspace lies where an earlier row of the same chain has had something else."""

    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(6, 6, bias=False), nn.Linear(6, 3)
        self.convolution = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x):
        turned = x.softmax(-1).tanh().view(-1, 2, 3).transpose(1, 2).reshape(-1, 6)
        hidden = self.layer(turned)
        centred = hidden - hidden.mean(0)
        return self.out(self.convolution(centred.view(-1, 2, 3)).reshape(-1, 6)), turned


def test_a_workspace_whose_memory_was_used_before_stays_whole(many_strips):
    torch.manual_seed(0)
    model = Turned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)

    def step(x):
        optimizer.zero_grad()
        out, turned = model(x)
        loss = F.mse_loss(out, x[:, :3]) + turned.square().mean() * 0.1
        loss.backward()
        optimizer.step()
        return loss, turned.detach()

    compiled = torch.compile(step, fullgraph=True)
    for _ in range(4):
        x = torch.randn(128, 6)
        loss = compiled(x)[0].item()
        found = [p.grad.clone() for p in model.parameters()]
        assert loss == pytest.approx(step(x)[0].item(), rel=1e-6)
        for p, g in zip(model.parameters(), found, strict=True):
            assert torch.allclose(p.grad, g, rtol=1e-4, atol=1e-7)


def _random_network(r):
    """Layers over images or sequences, and the shape of their input."""
    batch = r.choice([36, 48, 64])
    acts = [nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid, nn.Identity]
    layers = []
    if r.random() < 0.5:
        channels, size = r.choice([1, 3]), r.choice([8, 9, 12])
        shape = (batch, channels, size, size)
        for _ in range(r.randrange(1, 3)):
            filters = r.choice([2, 5, 8])
            layers += [nn.Conv2d(channels, filters, 3, padding=r.choice([0, 1])), r.choice(acts)()]
            channels = filters
        layers += [r.choice([nn.MaxPool2d, nn.AvgPool2d])(2), nn.Flatten()]
    else:
        width = r.choice([4, 8, 20])
        shape = (batch, *r.choice([(), (5,), (16,)]), width)
        for _ in range(r.randrange(1, 4)):
            wide = r.choice([3, 8, 16])
            layers += [nn.LayerNorm(width)] * (r.random() < 0.5)
            layers += [nn.Linear(width, wide, bias=r.random() < 0.7), r.choice(acts)()]
            width = wide
    body = nn.Sequential(*layers)
    return nn.Sequential(*layers, nn.Linear(body(torch.randn(*shape)).shape[-1], 3)), shape


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_get_the_gradients_of_the_whole_batch(seed, many_strips):
    r = random.Random(seed)
    torch.manual_seed(seed)
    model, shape = _random_network(r)
    x = torch.randn(*shape)
    if r.random() < 0.3:
        x.requires_grad_()
    target = torch.randn(*model(x).shape)

    def step(x):
        model.zero_grad()
        loss = F.mse_loss(model(x), target)
        loss.backward(inputs=list(model.parameters()))
        return loss

    loss = step(x).item()
    want = [p.grad.clone() for p in model.parameters()]
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled(x).item() == pytest.approx(loss, rel=1e-6)
        for p, g in zip(model.parameters(), want, strict=True):
            assert float((p.grad - g).abs().max()) <= 1e-5 * (float(g.abs().max()) + 0.1)
    assert any(row.chain for row in compiled.program(x).rows)


def test_a_loss_over_all_tokens_goes_with_sequences(many_strips):
    """A sequence has several rows of the loss, and its targets are counted over all of them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 8), nn.LayerNorm(8), nn.Linear(8, 9))
    tokens, targets = torch.randint(0, 9, (8, 16)), torch.randint(0, 9, (128,))
    targets[::5] = 4

    def step(tokens, targets):
        model.zero_grad()
        loss = F.cross_entropy(model(tokens).view(-1, 9), targets, ignore_index=4)
        loss.backward()
        return loss

    loss = step(tokens, targets).item()
    want = [p.grad.clone() for p in model.parameters()]
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled(tokens, targets).item() == pytest.approx(loss, rel=1e-6)
        for p, g in zip(model.parameters(), want, strict=True):
            assert torch.allclose(p.grad, g, rtol=1e-5, atol=1e-7)
    chained = [one.kernel for row in compiled.program(tokens, targets).rows for one in row.chain]
    assert {"layer_norm.0.float32", "cross_entropy_mean.2.float32", "linear.1.float32"} <= set(chained)


LOSSES = {
    "mse_loss": (F.mse_loss, lambda: torch.randn(64, 4)),
    "cross_entropy_mean": (
        lambda y, t: F.cross_entropy(y, t, ignore_index=0),
        lambda: torch.arange(64) // 7 % 4,
    ),
    "cross_entropy_weighted": (
        lambda y, t: F.cross_entropy(y, t, torch.arange(1.0, 5.0), label_smoothing=0.1),
        lambda: torch.arange(64) // 7 % 4,
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sums", [True, False], ids=["in strips", "after them"])
def test_strips_make_their_parts_of_a_loss(loss, sums, many_strips):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))
    function, targets = LOSSES[loss]
    x, t = torch.randn(64, 6), targets()

    def step(x, t):
        model.zero_grad()
        value = function(model(x), t)
        value.backward()
        return value, value * 2

    value, double = (v.item() for v in step(x, t))
    want = [p.grad.clone() for p in model.parameters()]
    compiled = torch.compile(step, fullgraph=True, options={"partial_sums": sums})
    for _ in range(3):
        got = compiled(x, t)
        assert (got[0].item(), got[1].item()) == pytest.approx((value, double), rel=1e-6)
        for p, g in zip(model.parameters(), want, strict=True):
            assert torch.allclose(p.grad, g, rtol=1e-5, atol=1e-7)
    rows = compiled.program(x, t).rows
    assert (f"{loss}.2.float32" in [one.kernel for row in rows for one in row.chain]) == sums
    assert (f"{loss}.0.float32" in [row.kernel for row in rows]) == (not sums)


def test_a_loss_whose_memory_others_use_meanwhile_waits_for_them(many_strips):
    """The loss gets the memory of the scale, which is not made before the chain is done."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))
    x, t, other = torch.randn(64, 6), torch.randn(64, 4), torch.randn(3)

    def step(x, t):
        model.zero_grad()
        y = model(x)
        with torch.no_grad():
            scale = other.sum()
            scaled = other * scale
            del scale
        loss = F.mse_loss(y, t)
        loss.backward()
        return loss, scaled

    want = [v.tolist() for v in step(x, t)]
    compiled = torch.compile(step, fullgraph=True)
    for _ in range(4):
        loss, scaled = compiled(x, t)
        assert loss.item() == pytest.approx(want[0], rel=1e-6)
        assert scaled.tolist() == want[1]
    assert "mse_loss.0.float32" in [row.kernel for row in compiled.program(x, t).rows]
