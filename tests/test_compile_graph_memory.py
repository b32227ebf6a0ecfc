"""What the walk back through a compiled function's results reads, and what may have become of it by then."""

from __future__ import annotations

import random

import pytest
from compile_cases import bits, state_of

import jitgrad as torch
from jitgrad import nn
from jitgrad.program.rewrites.facts import OTHERS, Facts

X = (5, 3)


WRITES = {
    "weight": lambda s: s.w.mul_(2),
    "input": lambda s: s.x.add_(1),
    "buffer": lambda s: s.scale.add_(1),
    "optimizer": lambda s: s.optimizer.step(),
}


@pytest.mark.parametrize("name", WRITES)
def test_values_that_are_overwritten_before_the_walk_back(name):
    """As of an eager call, it is an error; the next call is fine."""

    class Case:
        def __init__(self):
            self.w = torch.ones(3, requires_grad=True)
            self.scale = torch.full((3,), 2.0)
            self.optimizer = torch.optim.SGD([self.w], lr=0.1)

    def run(compiled):
        case = Case()

        def function(x):
            return ((x * case.w).exp() * case.w * case.scale).sum()

        f = torch.compile(function) if compiled else function
        found = []
        for k in range(5):
            case.x = torch.full((3,), 0.1 * k, requires_grad=False)
            case.w.grad = torch.ones(3) if name == "optimizer" else None
            loss = f(case.x)
            if k in (1, 3):
                with torch.no_grad():
                    WRITES[name](case)
                with pytest.raises(RuntimeError, match="modified"):
                    loss.backward()
                found.append("error")
            else:
                loss.backward()
                found.append((bits(loss), bits(case.w.grad)))
        return found

    assert run(True) == run(False)


def test_a_write_that_the_walk_back_does_not_read_is_no_error():
    def run(compiled):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        f = torch.compile(model) if compiled else model
        found = []
        for _ in range(4):
            loss = f(torch.ones(*X)).sum()
            with torch.no_grad():
                model.bias.add_(1.0)
            loss.backward()
            found.append((bits(loss), state_of(model)))
        return found

    assert run(True) == run(False)


def test_data_replaced_before_the_walk_back():
    model = nn.Linear(3, 2)
    f = torch.compile(model)
    for k in range(3):
        x = torch.randn(*X, requires_grad=True)
        loss = f(x).sum()
        expected = model.weight.detach().sum(0).tolist()
        if k == 2:
            model.weight.data = torch.zeros(2, 3)
            try:
                loss.backward()
            except RuntimeError:
                break
        else:
            loss.backward()
        assert x.grad[0].tolist() == expected


def test_what_the_way_forward_has_saved_is_not_taken_for_memory_of_the_way_back():
    """Else rewrites would depend on where it happens to lie, and with the number of strips the rounding."""
    torch.manual_seed(0)
    x, scale = torch.randn(2048, 1), torch.ones(1, requires_grad=True)
    shapes = [(16, 1), (16,), (16, 4), (16, 4), (3, 3)]
    w, b, v, u, last = (torch.randn(*s, requires_grad=True) for s in shapes)

    def forward(x):
        hidden = nn.functional.leaky_relu(nn.functional.linear(x * scale, w, b)) @ v
        hidden = nn.functional.hardtanh(nn.functional.linear(hidden + 1, u))
        return nn.functional.linear(hidden.topk(3, 1)[0], last), hidden

    found = set()
    for k in range(12):
        scraps = [torch.empty(2048, n) for n in (1, 3, 4, 16) for _ in range(20)]
        random.Random(k).shuffle(scraps)
        while scraps:  # so that the next one's memory lies elsewhere
            scraps.pop()
        w.grad = b.grad = None
        step = torch.compile(forward)
        for _ in range(4):
            out, hidden = step(x)
            (out.square().mean() + hidden.abs().mean()).backward()
        found.add((w.grad.numpy().tobytes(), b.grad.numpy().tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("address", "block"), [(99, OTHERS), (100, 100), (163, 100), (164, OTHERS), (300, -7), (500, 500)]
)
def test_a_block_is_the_programs_own_up_to_its_end(address, block):
    facts = Facts(lambda at: 7 if 300 <= at < 400 else 0, [(500, 600), (100, 164)], [], lambda row: False)
    assert facts.block(address) == block
