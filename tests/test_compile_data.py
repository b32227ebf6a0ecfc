"""Steps that write to parameters through ``.data``, as scripts without an optimizer do."""

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.store import store


def descent(layer, mask):
    for p in layer.parameters():
        p.data -= 0.1 * p.grad


def descent_of_data(layer, mask):
    for p in layer.parameters():
        p.data -= 0.1 * p.grad.data
        p.grad.data *= 0.5


def pruning(layer, mask):
    layer.weight.data *= mask
    layer.bias.data += 0.01


def powers(layer, mask):
    layer.weight.data /= 1.5
    layer.weight.data **= 1.0
    layer.weight.data[0] = 0.25


def assigned_descent(layer, mask):
    for p in layer.parameters():
        p.data = p.data - 0.1 * p.grad.data


def clipping(layer, mask):
    for p in layer.parameters():
        p.data = p.data.clamp(-0.2, 0.2)


def assigned_twice(layer, mask):
    new = layer.weight.data * 0.5
    layer.weight.data = new
    layer.weight.data = layer.weight.data + new  # of which the weight is the memory by now
    new.mul_(0.75)


def seen_after(layer, mask):
    new = layer.bias.data * 0.5
    layer.bias.data = new
    layer.bias.data.add_(1.0)
    layer.weight.data = layer.weight.data * new.sum()


def run_with(update):
    """A function that trains a layer with a wrapped step, on batches of two sizes."""

    def run(wrap):
        torch.manual_seed(1)
        layer, mask = nn.Linear(3, 2), torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])

        @wrap
        def step(x):
            layer.zero_grad()
            loss = layer(x).square().mean()
            loss.backward()
            update(layer, mask)
            return loss

        losses = [step(torch.randn(4 + k % 2, 3)).item() for k in range(8)]
        return losses, layer.weight.tolist(), layer.bias.tolist(), layer.weight.grad.tolist(), step

    return run


UPDATES = [descent, descent_of_data, pruning, powers]
ASSIGNMENTS = [assigned_descent, clipping, seen_after]


@pytest.mark.parametrize("update", UPDATES + ASSIGNMENTS)
def test_steps_that_update_data_are_replayed(update, recwarn):
    run = run_with(update)
    *eager, _ = run(lambda f: f)
    *compiled, step = run(torch.compile)
    assert compiled == eager
    assert len(step.programs) == 2 and not recwarn.list


def old_memory_is_read(layer, mask):
    old = layer.weight.data
    layer.weight.data = old * 0.5
    layer.weight.data += 0.1 * old


def view_of_the_old_memory(layer, mask):
    row = layer.weight.detach()[0]
    layer.weight.data = layer.weight.data * 0.5
    layer.bias.data -= row.sum()


def two_with_one_memory(layer, mask):
    new = layer.bias.data * 0.5
    layer.bias.data = new[:]
    new += 1.0


def other_shape(layer, mask):
    layer.bias.data = torch.ones(1) * layer.bias.data.sum()


def swapped(layer, mask):
    layer.bias.data, mask.data = mask.data[0, :2], layer.bias.data.expand(2, 2)


@pytest.mark.parametrize(
    "update",
    [old_memory_is_read, view_of_the_old_memory, two_with_one_memory, assigned_twice, other_shape, swapped],
)
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_data_whose_memory_is_seen_elsewhere_is_not_replayed(update):
    run = run_with(update)
    *eager, _ = run(lambda f: f)
    *compiled, _ = run(torch.compile)
    assert compiled == eager


# how somebody keeps the memory of a parameter between two calls
KEPT = {
    "data": lambda w: w.data,
    "a view": lambda w: w.detach()[0],
    "an array": lambda w: w.detach().numpy(),
    "a graph": lambda w: w * w,
}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_memory_that_is_kept_between_calls_stays_as_it_was_when_data_is_assigned(name):
    def run(wrap):
        w = nn.Parameter(torch.arange(6.0).view(3, 2))

        @wrap
        def step(x):
            w.data = w.data * 0.5 + x
            return w.detach().sum()

        found, kept = [], []
        for k in range(8):
            if k in (3, 5):
                kept.append(KEPT[name](w))
            found.append(step(torch.ones(2) * k).item())
            if k == 6:
                found += [x.tolist() for x in kept]
                kept.clear()
        return found, w.tolist()

    assert run(torch.compile) == run(lambda f: f)


# arrays whose memory a parameter shows, and the matrix in them
LENDERS = {
    "an array": lambda: (a := np.ones((3, 2), np.float32), a),
    "part of an array": lambda: (a := np.ones((4, 2), np.float32), a[1:]),
    "bytes": lambda: (b := np.ones((3, 2), np.float32).tobytes(), np.frombuffer(b, np.float32).reshape(3, 2)),
}


@pytest.mark.parametrize("name", LENDERS)
@pytest.mark.parametrize("when", [0, 3])
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:from_numpy:UserWarning")
def test_an_array_that_a_parameter_shows_stays_as_it_was_when_data_is_assigned(name, when):
    w = nn.Parameter(torch.zeros(3, 2))

    @torch.compile
    def step(x):
        w.data = w.data * 0.5 + x
        return w.detach().sum()

    for k in range(5):
        if k == when:
            lender, array = LENDERS[name]()
            w.data = torch.from_numpy(array)
            del array
        step(torch.ones(2) * k)
    assert (np.frombuffer(lender, np.float32) == 1).all()


def test_an_array_that_nobody_else_holds_is_no_hindrance_to_assigned_data(recwarn):
    w = nn.Parameter(torch.from_numpy(np.ones((3, 2), np.float32)))

    @torch.compile
    def step(x):
        w.data = w.data * 0.5 + x
        return w.detach().sum()

    assert [step(torch.ones(2)).item() for _ in range(3)] == [9.0, 10.5, 11.25]
    assert len(step.programs) == 1 and not recwarn.list


def test_memory_that_is_kept_between_the_epochs_of_a_run_stays_as_it_was_when_data_is_assigned():
    w, kept = nn.Parameter(torch.ones(2)), []

    @torch.compile
    def step(x):
        w.data = w.data + x.sum(0)
        return w.detach().sum()

    step.run(torch.ones(4, 2), batch_size=1, epochs=3, callback=lambda epoch, losses: kept.append(w.data))
    assert [x.tolist() for x in kept] == [[5.0, 5.0], [9.0, 9.0], [13.0, 13.0]]


def test_a_momentum_encoder_between_a_forward_pass_and_its_way_back(recwarn):
    def run(wrap):
        torch.manual_seed(1)
        query, key = nn.Linear(3, 2), nn.Linear(3, 2)
        optimizer = torch.optim.SGD(query.parameters(), lr=0.1)

        @wrap
        def step(x):
            near = query(x)
            with torch.no_grad():
                for q, k in zip(query.parameters(), key.parameters(), strict=True):
                    k.data = k.data * 0.9 + q.data * 0.1
            loss = (near - key(x).detach()).square().mean() + (key(x) * near).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return (
            [step(torch.randn(4, 3)).item() for _ in range(5)],
            key.weight.tolist(),
            query.weight.tolist(),
            step,
        )

    *eager, _ = run(lambda f: f)
    *compiled, step = run(torch.compile)
    assert compiled == eager and step.programs and not recwarn.list


def test_data_that_is_written_in_place_counts_as_no_change_of_modules():
    layer = nn.Linear(3, 2)
    before, version, place = store.structure, layer.weight._version, layer.weight.data_ptr()
    layer.weight.data *= 2
    assert store.structure == before and layer.weight._version > version
    assert layer.weight.data_ptr() == place


@pytest.mark.parametrize(
    "value",
    [
        lambda x: torch.zeros(4, 2),
        lambda x: x.data.t(),
        lambda x: x.data[:2],
        lambda x: x.data[1:],
        lambda x: x.data.view(2, 4),
        lambda x: x.data.double(),
    ],
)
def test_data_becomes_whatever_lies_elsewhere_or_otherwise(value):
    x = torch.arange(8.0).view(4, 2).requires_grad_()
    new = value(x)
    x.data = new
    assert x.dtype == new.dtype and x.stride() == new.stride() and x.data_ptr() == new.data_ptr()
    assert x.tolist() == new.tolist() and x.requires_grad


ELSEWHERE = {
    "another tensor": lambda w, other: other,
    "data of another": lambda w, other: other.data,
    "a view": lambda w, other: other[:],
    "its own": lambda w, other: w.data,
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_data_assigned_where_it_happens_to_lie_is_assigned_once_that_lies_elsewhere(name):
    def run(wrap):
        w, other, found = nn.Parameter(torch.zeros(2)), torch.ones(2), []

        @wrap
        def step(x):
            w.data = ELSEWHERE[name](w, other)
            return x * 2

        w.data = ELSEWHERE[name](w, other)
        for moved in (None, w, other, w):
            if moved is not None:
                moved.data = torch.full((2,), 5.0)
            for k in range(3):
                step(torch.ones(2) * k)
                found.append((w.tolist(), w.data_ptr() == other.data_ptr()))
        return found

    assert run(torch.compile) == run(lambda f: f)


# what a step returns of a parameter without computing anything
RETURNED = {
    "data": lambda w: [w.data],
    "detach": lambda w: [w.detach()],
    "both": lambda w: [w.detach(), w.data],
}


@pytest.mark.parametrize("name", RETURNED)
def test_data_that_is_returned_is_that_of_the_parameter_as_it_is_now(name, recwarn):
    w = nn.Parameter(torch.zeros(2, 2))
    step = torch.compile(lambda x: RETURNED[name](w))
    for k in range(4):
        leaves = step(torch.ones(2))
        for x in leaves:
            assert x.data_ptr() == w.data_ptr() and x.tolist() == w.tolist()
            assert not x.requires_grad and x is not w
        leaves[0].data = torch.full((2, 2), 7.0)  # no matter to later calls
        w.data = torch.full((2, 2), float(k))
    assert len(step.programs) == 1 and not recwarn.list


@pytest.mark.parametrize("part", [lambda w: w[1].detach(), lambda w: w.data[0], lambda w: w.t().detach()])
def test_a_part_of_data_that_is_returned_is_that_of_the_parameter_as_it_is_now(part):
    w = nn.Parameter(torch.zeros(2, 2))
    step = torch.compile(lambda x: part(w))
    for k in range(4):
        assert step(torch.ones(2)).tolist() == part(w).tolist()
        w.data = torch.arange(4.0).view(2, 2) + k


@pytest.mark.parametrize("wrap", [lambda f: f, torch.compile])
@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
def test_parameters_of_a_lazy_layer_get_their_memory(wrap):
    layer = nn.LazyLinear(2)
    call = wrap(lambda x: layer(x).detach())
    for _ in range(3):
        assert call(torch.ones(4, 3)).tolist() == layer(torch.ones(4, 3)).tolist()
    assert layer.weight.shape == (2, 3)
