"""Functions on tensors that are named in the body of a module's class are called without the module."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F

X = torch.tensor([[0.5, -1.0, 2.0]])
FUNCTIONS = {
    "tanh": (torch.tanh, (X,)),
    "relu": (torch.relu, (X,)),
    "add": (torch.add, (X, X)),
    "matmul": (torch.matmul, (X, X.T)),
    "gelu": (F.gelu, (X,)),
    "softplus": (F.softplus, (X,)),
    "linear": (F.linear, (X, X)),
    "conv1d": (torch.conv1d, (X[None], torch.ones(1, 1, 2))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_class_does_not_become_a_method(name):
    function, operands = FUNCTIONS[name]

    class Net(nn.Module):
        act = function

        def forward(self, *operands):
            return self.act(*operands)

    class Below(Net):
        pass

    wanted = function(*operands)
    assert torch.equal(Net()(*operands), wanted) and torch.equal(Below()(*operands), wanted)
    assert torch.equal(torch.compile(Net(), fullgraph=True)(*operands), wanted)
    assert Net.act is function


def test_ones_own_functions_stay_methods():
    def double(self, x):
        return self.factor * x

    class Net(nn.Module):
        factor = 2.0
        forward = double

    assert torch.equal(Net()(X), 2 * X)
    Net.forward = lambda self, x: x
    assert Net()(X) is X
