"""Integer tensors without dimensions as indices, in compiled steps: a replay reads them anew."""

from __future__ import annotations

import warnings

import pytest
from compile_cases import bits

import jitgrad as torch

# name -> how a step writes at an integer tensor without dimensions
WRITES = {
    "number": lambda y, i, v: y.__setitem__(i, 7.0),
    "row": lambda y, i, v: y.__setitem__(i, v[0]),
    "row with a slice": lambda y, i, v: y.__setitem__((i, slice(None)), v[0]),
    "part of a row": lambda y, i, v: y.__setitem__((i, slice(1, 3)), v[0, 1:3]),
    "column": lambda y, i, v: y.__setitem__((slice(None), i), v[:, 0]),
    "element": lambda y, i, v: y.__setitem__((i, i), v[0, 0]),
    "element beside an int": lambda y, i, v: y.__setitem__((1, i), v[0, 0]),
    "after an ellipsis": lambda y, i, v: y.__setitem__((Ellipsis, i), v[:, 0]),
    "with a new dimension": lambda y, i, v: y.__setitem__((None, i), v[:1]),
    "int32": lambda y, i, v: y.__setitem__(i.to(torch.int32), v[0]),
}


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_at_a_number_in_memory(name, gradient):
    x = torch.arange(12.0).reshape(3, 4).requires_grad_(gradient)
    v = (torch.arange(12.0).reshape(3, 4) - 20).requires_grad_(gradient)
    weight = torch.arange(12.0).reshape(3, 4) ** 2

    def step(i):
        y = x * 3
        WRITES[name](y, i, v)
        if not gradient:
            return y
        found = torch.autograd.grad((y * y * weight).sum(), [x, v], allow_unused=True)
        return torch.cat([g for g in found if g is not None])

    compiled = torch.compile(step, fullgraph=True)
    for k in (0, 1, 2, -1, -3, 1):
        i = torch.tensor(k)
        assert compiled(i).tolist() == step(i).tolist()
    assert len(compiled.programs) == 1


def test_a_write_at_a_number_out_of_range():
    def step(x, i):
        y = x * 1
        y[i] = 5.0
        return y

    x, compiled = torch.zeros(3), torch.compile(step, fullgraph=True)
    for k in (0, 1, 3, -4, 2, 3):
        i = torch.tensor(k)
        if -3 <= k < 3:
            assert compiled(x, i).tolist() == step(x, i).tolist()
        else:
            with pytest.raises(IndexError, match=f"index {k} is out of bounds for dimension 0 with size 3"):
                compiled(x, i)


# name -> how a step reads at an integer tensor without dimensions, and whether a program does that
READS = {
    "row": (lambda x, w, i: (x[i] * w[0]).sum(), True),
    "row with a slice": (lambda x, w, i: (x[i, :] * w[i, ...]).sum(), True),
    "part of a row": (lambda x, w, i: (x[i, 1:3] * w[1, 1:3]).sum(), True),
    "element": (lambda x, w, i: x[i, i] * w[i, 2], True),
    "one after the other": (lambda x, w, i: x[i][i] * w[i][1], True),
    "row in another shape": (lambda x, w, i: (x[i].view(2, 2) @ w[i].reshape(2, 2)).sum(), True),
    "computed": (lambda x, w, i: ((x * w)[i] ** 2).sum() + ((x + w)[i.abs() - 1] * 3).sum(), True),
    "number of a class": (lambda x, w, i: -torch.log_softmax(x @ w.t(), -1)[0, i], True),
    "int32": (lambda x, w, i: (x * w)[i.to(torch.int32)].sum(), True),
    "in a random place": (lambda x, w, i: (x[torch.randint(3, ())] * w[i]).sum(), True),
    "gradient of a gradient": (
        lambda x, w, i: torch.autograd.grad((w[i] ** 3 * x[i]).sum(), w, create_graph=True)[0].sum(),
        True,
    ),
    "after a write": (lambda x, w, i: (x.mul_(2), (x[i] * w[i]).sum())[1], True),
    "before a write": (lambda x, w, i: (x[i].sum() * w[0], x.mul_(2))[0].sum(), True),
    "before a write and a look at all": (
        lambda x, w, i: (x[i].sum() * w[0], x.mul_(2))[0].sum() * x.sum(),
        True,
    ),
    "and then at the next": (
        lambda x, w, i: (w[i] * x[i.remainder_(2)]).sum() + (w[i.add_(1), 1:3] ** 2).sum(),
        True,
    ),
    "before a write from there": (lambda x, w, i: x.mul_(x[i]).sum() * w[0].sum(), True),
    "before and after a write": (lambda x, w, i: (x[i].sum() * w, x.mul_(2))[0].sum() * x[i].sum(), False),
    "and kept over a write": (lambda x, w, i: (lambda row: (x.mul_(2), row * w)[1].sum())(x[i]), False),
    "before a write to another row": (lambda x, w, i: (x[i].sum() * w[0], x[2].mul_(2))[0].sum(), False),
    "of one row": (lambda x, w, i: (x[:1][i * 0].sum() * w[0], x[:1].mul_(2))[0].sum(), False),
    "and writes there": (lambda x, w, i: (x[i].add_(1).sum() + x.sum()) * w[0, 0], False),
    "and writes to a part": (lambda x, w, i: (x[i][1:].zero_().sum() + x.sum()) * w[0, 0], False),
    "column": (lambda x, w, i: (x[:, i] * w[:, 0]).sum(), False),
}


@pytest.mark.parametrize("name", READS)
def test_a_read_at_a_number_in_memory(name):
    read, replays = READS[name]
    states = []
    for compiled in (True, False):
        torch.manual_seed(0)
        w = torch.randn(3, 4).requires_grad_()

        def step(x, i, w=w):
            w.grad = None
            loss = read(x, w, i)
            loss.backward()
            return loss

        call, found = torch.compile(step, options={"strips": False}) if compiled else step, []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for k in (0, 1, 2, -1, 1, -3, 0):
                x = torch.randn(3, 4)
                found.append(bits([call(x, torch.tensor(k)), x, w.grad]))
        states.append(found)
        if compiled:
            assert len(call.programs) == replays and bool(caught) != replays
    assert states[0] == states[1]


def scores_of_tags(p, i):
    return -(p[i, (i + 1) % 3] + p[i].logsumexp(0))


def rows_with_names(p, i):
    one, other = p[i], p[(i + 1) % 4]
    return -torch.nn.functional.logsigmoid(one @ other) + one.square().sum()


@pytest.mark.parametrize("loss_of", [scores_of_tags, rows_with_names])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adadelta])
def test_a_parameter_that_is_updated_later_is_read_at_a_number_in_memory(loss_of, kind, recwarn):
    def run(wrap):
        torch.manual_seed(0)
        p, q = (torch.nn.Parameter(torch.randn(4, 4)) for _ in range(2))
        first, second = kind([p], lr=0.1), kind([q], lr=0.1)

        @wrap
        def step(i, j):
            losses = []
            for x, optimizer in ((p, first), (q, second)):
                optimizer.zero_grad()
                losses.append(loss_of(x, i) + loss_of(x, j))
                losses[-1].backward()
                optimizer.step()
            return losses[0].detach() + losses[1].detach()

        found = [step(torch.tensor(k % 4), torch.tensor(k * k % 3)).item() for k in range(8)]
        return found, p.tolist(), q.tolist(), step

    *eager, _ = run(lambda f: f)
    *compiled, step = run(torch.compile)
    assert compiled == eager
    assert len(step.programs) == 1 and not recwarn.list


# what a step gives back that looks at a parameter `w`, or at its row `row`, when it has been updated
LATE = {
    "another read": lambda w, row, i: w[i].detach(),
    "the row": lambda w, row, i: row,
    "the row without its graph": lambda w, row, i: row.detach(),
    "a part of it": lambda w, row, i: {"first": row.detach()[:1]}["first"],
    "a number of it": lambda w, row, i: row.detach()[0] * 2,
    "its graph": lambda w, row, i: row * 2,
}


@pytest.mark.parametrize("name", LATE)
def test_a_row_that_is_seen_after_an_update_is_read_eagerly(name):
    """What an update writes to is what a view shows."""

    def run(wrap):
        w = torch.nn.Parameter(torch.arange(6.0).view(3, 2))
        optimizer = torch.optim.SGD([w], lr=0.1)

        @wrap
        def step(i):
            optimizer.zero_grad()
            row = w[i]
            row.square().sum().backward()
            optimizer.step()
            return LATE[name](w, row, i)

        return [step(torch.tensor(k % 3)).tolist() for k in range(4)], w.tolist()

    eager = run(lambda f: f)
    with pytest.warns(RuntimeWarning, match="reads a tensor's value"):
        compiled = run(torch.compile)
    assert compiled == eager


def test_a_read_at_a_number_out_of_range():
    compiled = torch.compile(lambda x, i: x[i] * 2, fullgraph=True)
    for k in (0, 1, 2, 3, -4, -3, 3):
        i = torch.tensor(k)
        if -3 <= k < 3:
            assert compiled(torch.arange(3.0), i).item() == torch.arange(3.0)[i].item() * 2
        else:
            with pytest.raises(IndexError, match=f"index {k} is out of bounds for dimension 0 with size 3"):
                compiled(torch.arange(3.0), i)
    assert len(compiled.programs) == 1


def test_a_view_that_is_kept_stays_a_view():
    kept = {}
    x = torch.zeros(3, 2)

    def step(i):
        kept["row"] = x[i]
        return kept["row"] * 2

    compiled = torch.compile(step)
    with pytest.warns(RuntimeWarning):
        for k in range(5):
            compiled(torch.tensor(k % 3))
            kept["row"].add_(1)
    assert x.tolist() == [[2.0, 2.0], [2.0, 2.0], [1.0, 1.0]]


def test_a_write_that_comes_after_the_first_call_is_refused():
    """Nobody knew when the copy was taken that it would be written to: the results cannot be trusted."""
    writes = []

    def step(x, i):
        row = x[i]
        if writes:
            row.add_(1)
        return row.sum()

    compiled = torch.compile(step)
    compiled(torch.zeros(3, 2), torch.tensor(1))
    writes.append(True)
    with pytest.raises(RuntimeError, match="writes to x or x\\[i\\]"):
        compiled(torch.zeros(3, 2), torch.tensor(1))
