"""`run` sees what is written to its samples on the way, however they lie in memory."""

import pytest

import jitgrad as torch

FORMS = {
    "contiguous": lambda base: base.clone(),
    "transposed": lambda base: base.T.contiguous().T,
    "expanded columns": lambda base: base[:, :1].expand(-1, 3),
    "every other row": lambda base: torch.cat([base, base], 1).reshape(8, 3)[::2],
}
LAST = 3


def samples(form):
    return FORMS[form](torch.arange(12.0).reshape(4, 3))


def in_python(step, x, epochs, callback):
    sums = []
    for epoch in range(epochs):
        sums.append([step(x[k : k + 1]).item() for k in range(4)])
        callback(epoch, sums[-1])
    return sums


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_callback_may_write_to_the_samples(form, shuffle):
    def played(run):
        x = samples(form)

        def callback(epoch, _):
            x[:, 0].mul_(2.0) if form != "expanded columns" else x[:, 0].add_(1.0)

        return run(lambda b: b.sum(), x, callback)

    want = played(lambda step, x, callback: in_python(step, x, 4, callback))
    got = played(
        lambda step, x, callback: (
            torch.compile(step).run(x, batch_size=1, epochs=4, shuffle=shuffle, callback=callback).tolist()
        )
    )
    assert [sorted(row) for row in got] == [sorted(row) for row in want]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("form", [name for name in FORMS if name != "expanded columns"])
def test_a_step_may_write_to_samples_that_come_later(form, known):
    def played(run):
        x = samples(form)

        def step(batch):
            total = batch.sum()
            x[LAST].add_(total)
            return total

        return run(step, x)

    def compiled(step, x):
        step = torch.compile(step)
        if known:  # there is a program for batches of this size before `run` begins
            for _ in range(3):
                step(torch.zeros(1, 3))
        return step.run(x, batch_size=1, epochs=3).tolist()

    want = played(lambda step, x: in_python(step, x, 3, lambda *_: None))
    assert played(compiled) == want


def test_labels_that_lie_apart_are_looked_at_again():
    labels = torch.zeros(4, 2, dtype=torch.int64)[:, 0]
    scores = torch.randn(4, 3)
    step = torch.compile(lambda s, t: torch.nn.functional.cross_entropy(s, t))

    def spoil(epoch, _):
        labels.fill_(7)

    with pytest.raises(IndexError, match="Target 7 is out of bounds"):
        step.run(scores, labels, batch_size=2, epochs=3, callback=spoil)
