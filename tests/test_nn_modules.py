"""What a Module does with its parameters, buffers and children."""

from collections import OrderedDict

import numpy as np
import pytest
from nn_models import Net, assert_unchanged, snapshot

import jitgrad as jg
from jitgrad import nn

# ------------------------------------------------------------------ attributes


def test_registration_order_names_and_sharing():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "second.weight",
    ]
    every = [n for n, _ in net.named_parameters(remove_duplicate=False)]
    assert every == ["scale", "first.weight", "first.bias", "second.weight", "again.weight"]
    assert [n for n, _ in net.named_buffers()] == ["mean", "scratch"]
    assert [n for n, _ in net.named_children()] == ["first", "second"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second"]
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "first", "second", "again"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [id(p) for p in net.parameters(recurse=False)] == [id(net.scale)]
    assert len(list(net.parameters())) == 4
    assert len(list(net.buffers())) == 2
    assert next(net.modules()) is net


def test_attribute_reads_give_the_registered_objects():
    net = Net()
    assert net.first.weight is dict(net.named_parameters())["first.weight"]
    assert net.scale is net._parameters["scale"]
    assert net.mean is net._buffers["mean"]
    assert net._modules["first"] is net.first
    assert net.again is net.second
    assert "_parameters" not in net.__dict__
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'third'"):
        _ = net.third


def test_replacing_a_parameter_keeps_its_place():
    net = nn.Linear(2, 2)
    other = nn.Parameter(jg.zeros(2, 2))
    net.weight = other
    assert net.weight is other
    assert [n for n, _ in net.named_parameters()] == ["weight", "bias"]
    net.bias = None
    assert net.bias is None
    assert [n for n, _ in net.named_parameters()] == ["weight"]
    net.bias = nn.Parameter(jg.zeros(2))
    assert [n for n, _ in net.named_parameters()] == ["weight", "bias"]


def test_a_name_moves_between_kinds():
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(jg.zeros(1))
    assert list(module._parameters) == ["x"]
    module.x = nn.ReLU()
    assert (list(module._parameters), list(module._modules)) == ([], ["x"])
    module.x = nn.Buffer(jg.zeros(1), persistent=False)
    assert (list(module._modules), list(module._buffers)) == ([], ["x"])
    assert module.state_dict() == {}
    module.x = jg.ones(2)
    assert list(module._buffers) == ["x"] and tuple(module.x.shape) == (2,)
    del module.x
    assert list(module._buffers) == [] and not hasattr(module, "x")
    module.x = 5
    assert module.x == 5


def test_deleting_forgets_the_name():
    net = Net()
    del net.scale, net.first, net.mean
    assert list(net.state_dict()) == ["second.weight", "again.weight"]
    with pytest.raises(AttributeError):
        del net.scale


def test_members_views_write_through():
    net = Net()
    net._modules["first"] = nn.Identity()
    assert isinstance(net.first, nn.Identity)
    del net._parameters["scale"]
    assert not hasattr(net, "scale")
    net._buffers["extra"] = jg.ones(1)
    assert "extra" in net.state_dict() and len(net._buffers) == 3
    with pytest.raises(KeyError):
        net._parameters["first"]
    assert repr(nn.Linear(1, 1, bias=False)._modules) == "{}"


BAD_ATTRIBUTES = {
    "tensor as parameter": (TypeError, lambda n: setattr(n, "scale", jg.ones(4))),
    "number as parameter": (TypeError, lambda n: setattr(n, "scale", 1.0)),
    "number as module": (TypeError, lambda n: setattr(n, "first", 3)),
    "number as buffer": (TypeError, lambda n: setattr(n, "mean", 3)),
    "parameter over a method": (KeyError, lambda n: setattr(n, "forward", nn.Parameter(jg.ones(1)))),
    "register tensor": (TypeError, lambda n: n.register_parameter("p", jg.ones(1))),
    "register taken": (KeyError, lambda n: n.register_parameter("first", None)),
    "register dotted": (KeyError, lambda n: n.register_parameter("a.b", None)),
    "register empty": (KeyError, lambda n: n.register_parameter("", None)),
    "register number": (TypeError, lambda n: n.register_parameter(3, None)),
    "register result": (ValueError, lambda n: n.register_parameter("p", computed_parameter())),
    "buffer number": (TypeError, lambda n: n.register_buffer("b", 3)),
    "buffer taken": (KeyError, lambda n: n.register_buffer("forward", jg.ones(1))),
    "module number": (TypeError, lambda n: n.add_module("m", 3)),
    "module taken": (KeyError, lambda n: n.add_module("scale", nn.ReLU())),
    "module dotted": (KeyError, lambda n: n.register_module("a.b", nn.ReLU())),
    "train with a number": (ValueError, lambda n: n.train(1)),
    "integer dtype": (TypeError, lambda n: n.to(jg.int64)),
    "missing submodule": (AttributeError, lambda n: n.get_submodule("first.deeper")),
    "not a submodule": (AttributeError, lambda n: n.get_submodule("scale")),
    "not a parameter": (AttributeError, lambda n: n.get_parameter("first.in_features")),
    "missing parameter": (AttributeError, lambda n: n.get_parameter("first.x")),
    "not a buffer": (AttributeError, lambda n: n.get_buffer("scale")),
    "delete missing": (AttributeError, lambda n: delattr(n, "nothing")),
}


def computed_parameter():
    """A parameter that pretends to be a result."""

    class Computed(nn.Parameter):
        grad_fn = "an operation"

    return Computed(jg.ones(1))


@pytest.mark.parametrize("label", BAD_ATTRIBUTES)
def test_bad_attribute_is_refused_and_nothing_changes(label):
    error, action = BAD_ATTRIBUTES[label]
    net = Net()
    before, names = snapshot(net), list(vars(net))
    with pytest.raises(error):
        action(net)
    assert_unchanged(net, before)
    assert list(vars(net)) == names


@pytest.mark.parametrize("value", [lambda: nn.Parameter(jg.ones(1)), nn.ReLU, lambda: nn.Buffer(jg.ones(1))])
def test_assigning_before_init_is_an_error(value):
    class Early(nn.Module):
        def __init__(self):
            self.x = value()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


def test_get_by_dotted_name():
    net = nn.Sequential(OrderedDict(inner=Net()))
    assert net.get_submodule("") is net
    assert net.get_submodule("inner.first") is net.inner.first
    assert net.get_parameter("inner.first.bias") is net.inner.first.bias
    assert net.get_buffer("inner.mean") is net.inner.mean


def test_a_child_that_knows_its_parent_does_not_loop():
    net = Net()
    net.first.parent = net
    assert len(list(net.modules())) == 3
    assert len(list(net.parameters())) == 4


# ------------------------------------------------------------------ calling


def test_call_passes_everything_to_forward():
    class Many(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    many = Many()
    assert many() == ((), {})
    assert many(1) == ((1,), {})
    assert many(1, 2, a=3) == ((1, 2), {"a": 3})
    assert many(a=3) == ((), {"a": 3})


def test_forward_missing():
    with pytest.raises(NotImplementedError, match=r"Module \[Module\] is missing"):
        nn.Module()(1)


def test_a_layers_subclass_may_take_other_arguments():
    class Gated(nn.Linear):
        def forward(self, input, gate, *, shift=0):
            return super().forward(input) * gate + shift

    class Named(nn.MSELoss):
        def forward(self, prediction, truth, weight):
            return (super().forward(prediction, truth) * weight).sum()

    layer, x = Gated(2, 2), jg.ones(1, 2)
    plain = nn.Linear.forward(layer, x).detach().numpy()
    np.testing.assert_allclose(layer(x, 2.0, shift=1).detach().numpy(), plain * 2 + 1, rtol=1e-6)
    assert Named()(jg.ones(2), jg.zeros(2), jg.tensor([1.0, 2.0])).item() == 3.0


def test_a_layers_subclass_may_take_the_forward_of_another_base():
    class Scaled:
        def forward(self, x, factor):
            return super().forward(x) * factor

    class Layer(Scaled, nn.Tanh):
        pass

    class Tanh(nn.Tanh):
        pass

    x = jg.tensor([0.5])
    assert Layer()(x, factor=2).item() == 2 * Tanh()(input=x).item()


def test_forward_can_be_patched_on_class_and_instance(monkeypatch):
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2)
    layer.forward = lambda input: "mine"
    assert layer(jg.ones(2)) == "mine"
    assert other(jg.ones(2)).shape == (2,)
    monkeypatch.setattr(nn.Linear, "forward", lambda self, input: "all")
    assert other(jg.ones(2)) == "all"


def test_call_of_a_layer_by_keyword():
    x = jg.ones(3)
    assert nn.ReLU()(input=x).sum().item() == 3.0
    assert nn.MSELoss()(input=x, target=jg.zeros(3)).item() == 1.0
    assert nn.CrossEntropyLoss()(target=jg.tensor([1]), input=jg.zeros(1, 2)).item() == pytest.approx(
        np.log(2)
    )


# ------------------------------------------------------------------ the whole tree


def test_train_and_eval_reach_every_module_and_dropout():
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.9)))
    x = jg.ones(1000)
    assert net.training and (net(x).numpy() == 0).any()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert (net(x).numpy() == 1).all()
    net.train()
    assert all(m.training for m in net.modules())


def test_dropout_scales_what_it_keeps():
    jg.manual_seed(3)
    kept = nn.Dropout(0.25)(jg.ones(20000)).numpy()
    assert set(np.unique(kept)) <= {np.float32(0), np.float32(1 / 0.75)}
    assert abs((kept != 0).mean() - 0.75) < 0.02
    assert (nn.Dropout(1.0)(jg.ones(10)).numpy() == 0).all()
    x = jg.ones(10)
    assert nn.Dropout(0.0)(x) is x


def test_dropout_gradient_is_its_mask():
    x = jg.ones(50, requires_grad=True)
    y = nn.Dropout(0.5)(x)
    (y * jg.arange(50)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() * np.arange(50))


def test_apply_goes_bottom_up():
    net, seen = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh()), []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_requires_grad_and_zero_grad():
    net = Net()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    (net(jg.ones(2, 3)) * jg.arange(4)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum().item() > 0 for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_conversion_changes_floating_members_in_place():
    net = Net()
    net.register_buffer("steps", jg.zeros(1, dtype=jg.int64))
    parameter = net.scale
    parameter.grad = jg.ones(4)
    assert net.double() is net
    assert net.scale is parameter
    assert {str(v.dtype) for v in net.state_dict().values()} == {str(jg.float64), str(jg.int64)}
    assert net.scratch.dtype == jg.float64 and parameter.grad.dtype == jg.float64
    assert net.again.weight is net.second.weight
    assert net.to(jg.float32).mean.dtype == jg.float32
    assert net.to("cpu") is net and net.cpu() is net
    assert net.to("cpu", jg.float64).mean.dtype == jg.float64
    assert net.to(dtype=jg.float32).mean.dtype == jg.float32
    assert net.to(jg.zeros(1, dtype=jg.float64)).mean.dtype == jg.float64
    assert net.float().mean.dtype == jg.float32
    assert net.steps.dtype == jg.int64
    assert net(jg.ones(1, 3)).dtype == jg.float32


def test_a_gpu_is_a_clear_error():
    with pytest.raises((RuntimeError, AssertionError)):
        nn.Linear(1, 1).cuda()


# ------------------------------------------------------------------ printing


def test_repr_of_nested_modules():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2))
            self.nothing = None
            self.drop = nn.Dropout(0.1)

        def extra_repr(self):
            return "size=3"

    assert repr(Block()) == (
        "Block(\n"
        "  size=3\n"
        "  (layers): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "    (1): LeakyReLU(negative_slope=0.2)\n"
        "  )\n"
        "  (drop): Dropout(p=0.1, inplace=False)\n"
        ")"
    )


def test_repr_of_a_parameter():
    assert repr(nn.Parameter(jg.ones(2))).startswith("Parameter containing:\ntensor([1., 1.]")
    assert "requires_grad=True" in repr(nn.Parameter(jg.ones(2)))


def test_parameter_shares_memory_and_type_does_not_spread():
    data = jg.zeros(3)
    parameter = nn.Parameter(data)
    data.fill_(2.0)
    assert (parameter.detach().numpy() == 2).all()
    assert parameter.is_leaf and parameter.requires_grad and not data.requires_grad
    assert type(parameter * 2) is jg.Tensor and type(parameter.detach()) is jg.Tensor
    assert nn.Parameter().numel() == 0
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert isinstance(parameter, jg.Tensor)


@pytest.mark.parametrize(
    "error, make",
    [
        (TypeError, lambda: nn.Parameter([1.0])),
        (TypeError, lambda: nn.Buffer([1.0])),
        (RuntimeError, lambda: nn.Parameter(jg.ones(2, dtype=jg.int64))),
    ],
)
def test_bad_parameter(error, make):
    with pytest.raises(error):
        make()


def test_layers_are_found_under_the_names_of_pytorchs_files():
    from jitgrad.nn.modules.batchnorm import _BatchNorm
    from jitgrad.nn.modules.loss import _Loss, _WeightedLoss
    from jitgrad.nn.modules.module import Module
    from jitgrad.nn.modules.utils import _pair

    assert Module is nn.Module is nn.modules.Module and nn.modules.rnn.LSTM is nn.LSTM
    assert isinstance(nn.BatchNorm2d(2), _BatchNorm) and not isinstance(nn.InstanceNorm2d(2), _BatchNorm)
    assert isinstance(nn.NLLLoss(), _WeightedLoss) and issubclass(_WeightedLoss, _Loss)
    assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2)


def test_every_layer_is_in_one_of_those_files():
    from jitgrad.nn import modules

    layers = {c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Module)}
    found = {c for name in modules._FILES for c in vars(getattr(modules, name)).values()}
    assert not layers - found - {nn.Identity, nn.Unflatten, nn.DataParallel}
