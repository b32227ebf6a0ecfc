"""A step that adds to gradients is replayed on those it was recorded with: not on others that came into their slots."""

import pytest

import jitgrad as torch

STEPS = 12


def accumulated(wrap, convert, spread):
    """The gradients after each step; every step makes a new tensor of what was there and what it adds."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 4, bias=False)
    opt = torch.optim.Muon([model.weight], lr=0.1)

    def step(x):
        loss = model(x).tanh().square().mean() + (model.weight * 0).sum()
        (g,) = torch.autograd.grad(loss, [model.weight])
        model.weight.grad = g if model.weight.grad is None else model.weight.grad + g
        opt.step()
        opt.step()
        return loss

    step, seen = wrap(step), []
    for k in range(STEPS):
        if k == convert:  # the gradient is another tensor, too
            model.double()
            model.float()
        kept = [
            torch.zeros(spread) for _ in range(k % 3)
        ]  # so that slots and memory are found in another order
        seen.append((step(torch.full((4, 3), 0.1 * k + 0.1)).item(), model.weight.grad.tolist()))
        del kept
    return seen


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("spread", [1, 12])
@pytest.mark.parametrize("convert", [1, 2, 3, 4, 5, STEPS])
def test_steps_that_add_to_gradients_find_the_right_ones(convert, spread):
    assert accumulated(torch.compile, convert, spread) == accumulated(lambda f: f, convert, spread)


def test_gradients_that_are_added_to_in_place_are_replayed():
    model = torch.nn.Linear(3, 2)
    x = torch.ones(4, 3)

    def step(x):
        loss = model(x).sum()
        loss.backward()
        return loss

    compiled = torch.compile(step)
    for k in range(8):
        compiled(x)
        assert model.bias.grad.tolist() == [4.0 * (k + 1)] * 2
    assert len(compiled.programs) <= 2
