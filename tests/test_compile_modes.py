"""Compiled functions that switch modules between training and evaluation."""

import pytest

import jitgrad as torch
from jitgrad import nn


class Frozen(nn.Sequential):
    """A network whose normalisation stays in evaluation mode, as in fine-tuning."""

    def train(self, mode=True):
        super().train(mode)
        self[1].eval()
        return self


def network(kind=nn.Sequential):
    torch.manual_seed(2)
    return kind(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))


def made(kind, wrap):
    """A network, and functions that train and test it and set its mode by themselves."""
    model = network(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train(x):
        model.train()
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    def test(x):
        model.eval()
        with torch.no_grad():
            return model(x)

    return model, wrap(train), wrap(test)


def trained(kind, steps, tests, wrap):
    """Bits of all results, and the modes after every call."""
    model, train, test = made(kind, wrap)
    torch.manual_seed(3)
    found = []
    for epoch in range(5):
        for function, times in ((train, steps), (test, tests)):
            for _ in range(times):
                found.append(function(torch.randn(5, 3)).detach().numpy().tobytes())
                found.append([m.training for m in model.modules()])
        if epoch == 2:
            model.eval()
            model[2].train()  # one module alone in the other mode
    return found, [x.numpy().tobytes() for x in model.state_dict().values()], (train, test)


@pytest.mark.parametrize("kind", [nn.Sequential, Frozen])
@pytest.mark.parametrize("steps, tests", [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_functions_that_set_the_mode_are_replayed_in_turns(kind, steps, tests, recwarn):
    *eager, _ = trained(kind, steps, tests, lambda f: f)
    *compiled, functions = trained(kind, steps, tests, torch.compile)
    assert compiled == eager
    assert not recwarn.list
    assert all(f.programs for f in functions)


def test_a_replay_leaves_the_mode_that_the_function_leaves(recwarn):
    model = network()

    @torch.compile
    def test(x):
        model.eval()
        return model(x).detach()

    for _ in range(4):
        model.train()
        test(torch.ones(2, 3))
        assert not any(m.training for m in model.modules())
    assert len(test.programs) == 1 and not recwarn.list


def test_run_after_an_evaluation_in_which_the_mode_was_changed(recwarn):
    def losses(whole):
        model, train, test = made(nn.Sequential, torch.compile)
        x, found = torch.linspace(-1, 1, 60).reshape(20, 3), []
        for _ in range(3):
            torch.manual_seed(4)
            if whole:
                found += train.run(x, batch_size=5, epochs=2).flatten().tolist()
            else:
                found += [train(x[i : i + 5]).item() for _ in range(2) for i in range(0, 20, 5)]
            found += test(x).flatten().tolist()
            assert not model.training
        return found

    assert losses(True) == pytest.approx(losses(False), rel=1e-5)
    assert not recwarn.list


def test_the_program_of_a_function_that_sets_the_mode_is_the_one_for_later_calls():
    model, train, _ = made(nn.Sequential, torch.compile)
    model.eval()
    x = torch.ones(2, 3)
    program = train.program(x)
    assert model.training and train.program(x) is program


def test_a_mode_is_set_when_the_results_need_their_graph(recwarn):
    model = network()
    x = torch.linspace(-1, 1, 12).reshape(4, 3)

    @torch.compile
    def loss(x):
        model.eval()
        return model(x).square().mean()

    gradients = []
    for _ in range(4):
        model.train()
        model.zero_grad()
        loss(x).backward()
        gradients.append(model[0].weight.grad.tolist())
        assert not model.training
    assert gradients == [gradients[0]] * 4 and not recwarn.list
