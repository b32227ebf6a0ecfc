"""A compiled module is a module: whatever a script does with one works as on the module itself."""

from __future__ import annotations

import copy
import pickle

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)
        self.scale = 2.0
        self.run = "the user's own"

    def forward(self, x):
        return self.head(self.body(x)) * self.scale

    def helper(self):
        return self.scale + 1


def pair():
    torch.manual_seed(0)
    model = Net()
    return model, torch.compile(model)


def x(rows=4):
    return torch.randn(rows, 3)


def same_outputs(a, b, data):
    state = torch.get_rng_state()
    expected = bits(a(data).detach())
    torch.set_rng_state(state)
    return bits(b(data).detach()) == expected


def test_it_is_a_module_with_the_modules_members():
    model, compiled = pair()
    assert isinstance(compiled, nn.Module) and compiled._orig_mod is model
    assert [n for n, _ in compiled.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert all(a is b for a, b in zip(compiled.parameters(), model.parameters(), strict=True))
    assert all(a is b for a, b in zip(compiled.buffers(), model.buffers(), strict=True))
    assert [*compiled.modules()] == [*model.modules()] and [*compiled.children()] == [*model.children()]
    assert compiled.get_submodule("body.0") is model.body[0]
    assert compiled.head is model.head and compiled.helper() == 3.0
    assert "compiled Net" in repr(compiled) and "helper" in dir(compiled) and bool(compiled)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = compiled.nothing_like_it


def test_training_with_its_parameters_is_the_modules_training():
    found = []
    for use in (lambda m: m, torch.compile):
        torch.manual_seed(0)
        model = use(Net())
        optimizer = optim.Adam(model.parameters(), 1e-2)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x()), torch.tensor([0, 1, 1, 0])).backward()
            optimizer.step()
        found.append([bits(v) for v in model.state_dict().values()])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.eval(),
        lambda m: m.double().float(),
        lambda m: m.to(torch.float32),
        lambda m: m.apply(lambda part: None),
        lambda m: m.requires_grad_(False),
        lambda m: m.train(),
        lambda m: m.zero_grad() or m,
    ],
    ids=["eval", "double", "to", "apply", "requires_grad_", "train", "zero_grad"],
)
def test_what_changes_it_changes_the_module_and_returns_it(change):
    model, compiled = pair()
    data = x()
    compiled(data)
    assert change(compiled) is compiled
    assert compiled.training is model.training
    assert [p.requires_grad for p in compiled.parameters()] == [p.requires_grad for p in model.parameters()]
    assert same_outputs(model, compiled, data)


def test_attributes_are_the_modules():
    model, compiled = pair()
    data = x()
    compiled.eval()(data)
    compiled.scale = 3.0
    compiled.head = nn.Linear(4, 5)
    compiled.new = nn.Parameter(torch.ones(1))
    assert model.scale == 3.0 and "new" in dict(model.named_parameters())
    assert compiled(data).shape == (4, 5) and same_outputs(model, compiled, data)
    del compiled.new
    assert not hasattr(model, "new")
    assert compiled.run == "the user's own"  # the module's attributes come first


def test_hooks_and_modes_are_the_modules():
    _, compiled = pair()
    data = x()
    plain = compiled.eval()(data).detach()
    handle = compiled.register_forward_hook(lambda module, args, out: out + 1)
    assert (compiled(data) - plain - 1).abs().max() < 1e-6
    handle.remove()
    assert bits(compiled(data).detach()) == bits(plain)


def test_state_goes_between_it_the_module_and_pytorchs_names():
    model, compiled = pair()
    assert list(compiled.state_dict()) == list(model.state_dict())
    _, other = pair()
    for p in other.parameters():
        p.data.add_(1.0)
    saved = other.state_dict()
    compiled.load_state_dict({f"_orig_mod.{k}": v for k, v in saved.items()})
    assert [bits(v) for v in model.state_dict().values()] == [bits(v) for v in saved.values()]
    with pytest.raises(RuntimeError, match="Missing key"):
        compiled.load_state_dict({})


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_have_parameters_of_their_own(how):
    model, compiled = pair()
    data = x()
    compiled.eval()(data)
    made = how(compiled)
    assert same_outputs(model, made, data)
    made.head.bias.data.add_(1.0)
    assert not same_outputs(model, made, data) and same_outputs(model, compiled, data)


def test_a_container_is_indexed_and_walked():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    compiled = torch.compile(model)
    assert len(compiled) == 2 and compiled[0] is model[0] and [*compiled] == [*model] and model[1] in compiled
    with pytest.raises(TypeError):
        len(torch.compile(Net()))


def test_part_of_a_module_and_of_a_compiled_step():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    plain, mixed = nn.Sequential(inner, nn.Linear(3, 2)), nn.Sequential(torch.compile(inner))
    mixed.append(plain[1])
    data = x()
    assert list(mixed.state_dict()) == list(plain.state_dict())
    assert [*mixed.parameters()] == [*plain.parameters()]
    step = torch.compile(lambda v: mixed(v).square().mean().detach(), fullgraph=True)
    for _ in range(3):
        assert same_outputs(plain, mixed, data)
        assert bits(step(data)) == bits(plain(data).square().mean().detach())
    mixed.eval()
    assert not inner.training


def test_programs_of_a_compiled_module():
    model = nn.Linear(3, 2)
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        compiled(x())
        assert len(compiled.programs) == 1 and "linear" in repr(compiled.program(x()).rows[0].kernel)
        assert compiled.loop(3, x()).shape == (3, 4, 2)


def test_a_graph_that_is_gone_leaves_its_program_to_the_next_call():
    compiled = torch.compile(nn.Linear(3, 2))
    data = x()
    for _ in range(3):
        compiled(data)
    assert len(compiled.programs) == 1
    kept = [compiled(data) for _ in range(2)]  # two graphs at once need two programs
    assert len(compiled.programs) == 2
    for out in kept:
        out.sum().backward()


def test_compiled_in_place():
    model, _ = pair()
    twin = copy.deepcopy(model)
    assert model.compile(fullgraph=True) is None
    data = x()
    for _ in range(3):
        assert same_outputs(twin, model, data)
    assert len(model.forward.programs) == 1
    made = copy.deepcopy(model)
    made.head.bias.data.add_(1.0)
    assert same_outputs(twin, model, data) and not same_outputs(twin, made, data)
    model.scale = 5.0
    twin.scale = 5.0
    assert same_outputs(twin, model, data)
    assert list(model.state_dict()) == list(twin.state_dict())


@pytest.mark.parametrize("grad", [True, False])
def test_functional_call_puts_tensors_in_a_compiled_module(grad):
    torch.manual_seed(0)
    inner = nn.Linear(3, 2)
    compiled, x = torch.compile(inner), torch.randn(4, 3)
    outer = nn.Sequential(compiled)
    with torch.set_grad_enabled(grad):
        for k in range(2, 6):
            assert compiled(x).tolist() == inner(x).tolist()
            given = {name: p.detach() * k for name, p in inner.named_parameters()}
            expected = nn.functional.linear(x, given["weight"], given["bias"]).tolist()
            assert torch.func.functional_call(compiled, given, (x,)).tolist() == expected
            below = {f"0.{name}": p for name, p in given.items()}
            assert torch.func.functional_call(outer, below, (x,)).tolist() == expected
    assert len(compiled.programs) == 1


def test_functional_call_puts_tensors_in_what_a_mapped_function_uses():
    inner, rows = nn.Linear(3, 2), torch.ones(200, 3)
    inner.rows = torch.func.vmap(inner.forward)
    inner.forward = inner.rows
    expected = [
        torch.func.functional_call(inner, {"bias": torch.full((2,), float(k))}, (rows,)) for k in (1, 2)
    ]
    with torch.no_grad():
        inner(rows)
        for _ in range(2):
            found = [
                torch.func.functional_call(inner, {"bias": torch.full((2,), float(k))}, (rows,))
                for k in (1, 2)
            ]
            assert [x.tolist() for x in found] == [x.tolist() for x in expected]


@pytest.mark.parametrize("before", [0, 3])
def test_parametrized_tensors_are_cached_around_calls(before):
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    compiled, x = torch.compile(layer), torch.randn(4, 3)
    with torch.no_grad():
        for _ in range(before):
            compiled(x)
        with nn.utils.parametrize.cached():
            cached = layer(x).tolist()
            for _ in range(3):
                assert compiled(x).tolist() == cached
                layer.bias.add_(1)
                layer.parametrizations.weight.original0.mul_(2)
                cached = layer(x).tolist()
        for _ in range(3):
            layer.parametrizations.weight.original0.mul_(2)
            assert compiled(x).tolist() == layer(x).tolist()
