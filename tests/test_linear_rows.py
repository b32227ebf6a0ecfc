"""Linear layers on inputs whose rows do not lie evenly in memory: one product, with the values of inputs in order."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.show.table import lines_of

INPUTS = {
    "a part of each sample": lambda x: x[:, 1:],
    "the first dimensions exchanged": lambda x: x.transpose(0, 1),
    "rows across": lambda x: x.transpose(1, 2)[..., :6],
    "repeated": lambda x: x[:1].expand(4, -1, -1),
    "four dimensions": lambda x: x.unflatten(0, (2, 2)).permute(2, 0, 1, 3),
    "no elements": lambda x: x[:0].transpose(0, 1),
}


def values(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", INPUTS)
def test_values_and_gradients_are_those_of_rows_in_order(name, bias, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x = torch.tensor(values(4, 7, 6), requires_grad=True)
        width = INPUTS[name](x).shape[-1]
        layer = nn.Linear(width, 5, bias=bias, dtype=torch.float64)
        parameters = [x, *layer.parameters()]

        def gradients(view):
            out = layer(view)
            return out, torch.autograd.grad((out.sin() * 2).sum(), parameters)

        found, expected = gradients(INPUTS[name](x)), gradients(INPUTS[name](x).contiguous())
        assert torch.equal(found[0], expected[0])
        for got, wanted in zip(found[1], expected[1], strict=True):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-12)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", INPUTS)
def test_compiled_steps_have_the_values_of_eager_code(name):
    width = INPUTS[name](torch.zeros(4, 7, 6)).shape[-1]
    layer = nn.Linear(width, 5, dtype=torch.float64)

    def step(x):
        layer.zero_grad()
        loss = (layer(INPUTS[name](x)) ** 2).sum()
        loss.backward()
        return loss.detach(), layer.weight.grad

    compiled = torch.compile(step)
    for seed in range(3):
        x = torch.tensor(values(4, 7, 6, seed=seed))
        expected = [t.clone() for t in step(x)]
        for got, wanted in zip(compiled(x), expected, strict=True):
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("view", "copies"),
    [
        (lambda x: x.transpose(0, 1), 1),
        (lambda x: x[:, 1:], 1),
        (lambda x: x, 0),
        (lambda x: x[..., :4], 0),
        (lambda x: x[0].t(), 0),
    ],
)
def test_rows_are_copied_only_where_they_lie_unevenly(view, copies):
    shape = view(torch.zeros(4, 7, 6)).shape
    weight = torch.tensor(values(5, shape[-1]))
    step = torch.compile(lambda x: nn.functional.linear(view(x), weight).exp())
    program = step.program(torch.tensor(values(4, 7, 6)))
    kernels = [part.kernel for line in lines_of(program) for part in (line.chain or (line,))]
    assert kernels.count("copy") == copies
