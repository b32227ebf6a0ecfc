"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict."""

from collections import OrderedDict

import pytest

import jitgrad as jg
from jitgrad import nn


def kinds(modules):
    return [type(m).__name__ for m in modules]


def three():
    return nn.ReLU(), nn.Tanh(), nn.Sigmoid()


@pytest.mark.parametrize("make", [lambda m: nn.Sequential(*m), nn.ModuleList])
def test_both_lists_behave_like_lists(make):
    relu, tanh, sigmoid = three()
    modules = make([relu, tanh])
    assert modules.append(sigmoid) is modules
    assert len(modules) == 3 and modules[0] is relu and modules[-1] is sigmoid
    assert kinds(modules) == ["ReLU", "Tanh", "Sigmoid"]
    assert type(modules[1:]) is type(modules) and list(modules[1:]) == [tanh, sigmoid]
    modules[1] = nn.ELU()
    modules.insert(0, nn.Mish())
    assert kinds(modules) == ["Mish", "ReLU", "ELU", "Sigmoid"]
    modules.insert(-1, nn.SiLU())
    assert kinds(modules) == ["Mish", "ReLU", "ELU", "SiLU", "Sigmoid"]
    assert list(modules._modules) == ["0", "1", "2", "3", "4"]
    assert modules.pop(3).__class__ is nn.SiLU
    del modules[0], modules[-1]
    assert kinds(modules) == ["ReLU", "ELU"]
    del modules[0:2]
    assert len(modules) == 0 and not list(modules)
    modules.extend([tanh, tanh])
    modules += type(modules)([relu] if isinstance(modules, nn.ModuleList) else relu)
    assert list(modules) == [tanh, tanh, relu]
    assert tanh in modules
    assert not any(name.isdigit() for name in dir(modules))


def test_sequential_applies_in_order_and_names_can_be_given():
    twice, add = nn.Linear(1, 1, bias=False), nn.Linear(1, 1)
    with jg.no_grad():
        twice.weight.fill_(2.0)
        add.weight.fill_(1.0)
        add.bias.fill_(3.0)
    model = nn.Sequential(OrderedDict(twice=twice, add=add))
    assert model.twice is twice and list(model.state_dict()) == ["twice.weight", "add.weight", "add.bias"]
    assert model(jg.tensor([[5.0]])).item() == 13.0
    assert model[::-1](jg.tensor([[5.0]])).item() == 16.0
    assert list(model[:1]._modules) == ["twice"]
    x = jg.ones(1)
    assert nn.Sequential()(x) is x


def test_sequential_arithmetic():
    relu, tanh, _ = three()
    both = nn.Sequential(relu) + nn.Sequential(tanh)
    assert list(both) == [relu, tanh]
    assert list(both * 2) == [relu, tanh, relu, tanh] == list(2 * both)
    both *= 2
    assert len(both) == 4
    assert kinds(nn.ModuleList([relu]).__add__([tanh])) == ["ReLU", "Tanh"]


def test_module_list_repr_folds_equal_neighbours():
    modules = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh()), nn.ReLU()])
    assert repr(modules) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Sequential(\n    (0): Tanh()\n  )\n  (3): ReLU()\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict_behaves_like_a_dict():
    relu, tanh, sigmoid = three()
    modules = nn.ModuleDict({"b": relu, "a": tanh})
    modules["c"] = sigmoid
    assert list(modules) == ["b", "a", "c"] == list(modules.keys())
    assert list(modules.values()) == [relu, tanh, sigmoid] and dict(modules.items())["a"] is tanh
    assert "a" in modules and "z" not in modules and len(modules) == 3
    assert modules.pop("a") is tanh and list(modules) == ["b", "c"]
    del modules["b"]
    modules.update([("d", relu), ["e", tanh]])
    assert list(modules) == ["c", "d", "e"] and modules["d"] is relu
    modules.clear()
    assert len(modules) == 0
    with pytest.raises(KeyError):
        modules["c"]
    with pytest.raises(NotImplementedError):
        modules(jg.ones(1))


def test_parameter_list():
    values = nn.ParameterList([jg.ones(2), 3, nn.Parameter(jg.zeros(1))])
    assert len(list(values.parameters())) == 2 and values[1] == 3
    assert isinstance(values[0], nn.Parameter) and len(values) == 3
    values.append(jg.ones(1))
    values += [jg.ones(4)]
    values[-1] = jg.zeros(5)
    assert [n for n, _ in values.named_parameters()] == ["0", "2", "3", "4"]
    assert tuple(values[-1].shape) == (5,) and len(list(values)) == 5
    assert type(values[1:3]) is nn.ParameterList and values[1:3][0] == 3
    assert values.pop(0).numel() == 2 and len(values) == 4 and values[0] == 3
    assert list(values.state_dict()) == ["1", "2", "3"]
    assert "(0): Object of type: int\n" in repr(values)
    assert "(1): Parameter containing: [" in repr(values) and "of size 1]" in repr(values)
    named = nn.ParameterDict({"a": jg.ones(2, 1), "b": jg.ones(3, dtype=jg.float64)})
    assert "(a): Parameter containing: [torch.FloatTensor of size 2x1]" in repr(named)
    assert "(b): Parameter containing: [torch.DoubleTensor of size 3]" in repr(named)


def test_parameter_dict():
    values = nn.ParameterDict({"b": jg.ones(2), "a": 3})
    assert list(values) == ["a", "b"], "plain mappings are sorted, as in PyTorch"
    values["c"] = jg.zeros(1)
    assert isinstance(values["c"], nn.Parameter) and isinstance(values.b, nn.Parameter)
    assert [n for n, _ in values.named_parameters()] == ["b", "c"]
    assert values.get("z") is None and values.get("z", 1) == 1 and values.setdefault("a", 4) == 3
    assert list(reversed(values)) == ["c", "b", "a"] and len(values) == 3 and "b" in values
    joined = values | nn.ParameterDict([("z", jg.ones(1))])
    assert list(joined) == ["a", "b", "c", "z"] and joined["b"] is values["b"]
    assert values.pop("b").numel() == 2 and values.popitem()[0] == "c"
    assert list(values.copy().items()) == [("a", 3)]
    assert list(values.fromkeys(["x", "y"], 0).values()) == [0, 0]
    values.clear()
    assert len(values) == 0 and list(values.keys()) == []
    with pytest.raises(KeyError):
        values.popitem()


BAD = {
    "sequential of a number": (TypeError, lambda: nn.Sequential(3)),
    "sequential index": (IndexError, lambda: nn.Sequential(nn.ReLU())[1]),
    "sequential assignment": (IndexError, lambda: nn.Sequential().__setitem__(0, nn.ReLU())),
    "sequential append": (TypeError, lambda: nn.Sequential().append(3)),
    "sequential insert": (IndexError, lambda: nn.Sequential().insert(1, nn.ReLU())),
    "sequential insert number": (TypeError, lambda: nn.Sequential().insert(0, 3)),
    "sequential extend": (TypeError, lambda: nn.Sequential().extend(3)),
    "sequential pop": (IndexError, lambda: nn.Sequential().pop(0)),
    "sequential plus": (ValueError, lambda: nn.Sequential() + nn.ReLU()),
    "sequential times 0": (ValueError, lambda: nn.Sequential() * 0),
    "sequential times 1.5": (TypeError, lambda: nn.Sequential() * 1.5),
    "list of a number": (TypeError, lambda: nn.ModuleList(3)),
    "list of numbers": (TypeError, lambda: nn.ModuleList([nn.ReLU(), 3])),
    "list index": (IndexError, lambda: nn.ModuleList()[0]),
    "list call": (NotImplementedError, lambda: nn.ModuleList()(1)),
    "dict of a number": (TypeError, lambda: nn.ModuleDict(3)),
    "dict of numbers": (TypeError, lambda: nn.ModuleDict([3])),
    "dict of singles": (ValueError, lambda: nn.ModuleDict([(3,)])),
    "dict dotted": (KeyError, lambda: nn.ModuleDict({"a.b": nn.ReLU()})),
    "dict method": (KeyError, lambda: nn.ModuleDict({"keys": nn.ReLU()})),
    "dict number key": (TypeError, lambda: nn.ModuleDict({3: nn.ReLU()})),
    "parameter list of a tensor": (TypeError, lambda: nn.ParameterList(jg.ones(3))),
    "parameter list of a number": (TypeError, lambda: nn.ParameterList(3)),
    "parameter list index": (IndexError, lambda: nn.ParameterList()[0]),
    "parameter dict number key": (TypeError, lambda: nn.ParameterDict({3: jg.ones(1)})),
    "parameter dict method": (KeyError, lambda: nn.ParameterDict({"keys": jg.ones(1)})),
    "parameter dict missing": (KeyError, lambda: nn.ParameterDict()["a"]),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_use_is_refused(label):
    error, action = BAD[label]
    with pytest.raises(error):
        action()


def test_parameter_containers_show_one_entry_beside_their_name_and_more_below_it():
    one = nn.ParameterList([jg.ones(2)])
    assert repr(one) == "ParameterList(  (0): Parameter containing: [torch.float32 of size 2])"
    two = nn.ParameterDict({"a": jg.ones(2, 3), "b": 1})
    assert repr(two).splitlines() == [
        "ParameterDict(",
        "    (a): Parameter containing: [torch.FloatTensor of size 2x3]",
        "    (b): Object of type: int",
        ")",
    ]
    assert repr(nn.Sequential(one)) == f"Sequential(\n  (0): {one!r}\n)"
    assert repr(nn.ParameterDict()) == "ParameterDict()"
