"""`run` over samples that require grad: the gradients of the batches reach them, as in a loop of Python's."""

import numpy as np
import pytest

import jitgrad as torch

N, SIZE, EPOCHS = 7, 3, 2
# the functions walk back over the batches, so they run eagerly, and say so once
pytestmark = pytest.mark.filterwarnings("ignore:compile")


def make():
    """Samples that are learned, their optimizer, targets, and a step."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(N, 2, generator=generator).requires_grad_()
    w = torch.randn(2, generator=generator).requires_grad_()
    opt = torch.optim.Adam([z, w], lr=0.1)

    def step(zb, yb):
        opt.zero_grad()
        loss = (((zb * w).sum(1) - yb) ** 2).sum()
        loss.backward()
        opt.step()
        return loss

    return z, w, torch.arange(N).float(), step


@pytest.mark.parametrize("shuffle", [False, True])
def test_samples_are_learned(shuffle):
    z, w, y, step = make()
    source = torch.Generator().manual_seed(5)
    got = torch.compile(step).run(z, y, batch_size=SIZE, epochs=EPOCHS, shuffle=shuffle, generator=source)
    (z2, w2, y, step), source = make(), torch.Generator().manual_seed(5)
    want = []
    for _ in range(EPOCHS):
        order = torch.randperm(N, generator=source) if shuffle else torch.arange(N)
        want.append([step(z2[k], y[k]).item() for k in order.split(SIZE)])
    assert np.array_equal(got.numpy(), np.array(want, np.float32))
    assert np.array_equal(z.numpy(force=True), z2.numpy(force=True))
    assert np.array_equal(w.numpy(force=True), w2.numpy(force=True))
    assert np.array_equal(z.grad.numpy(), z2.grad.numpy())


def test_a_step_may_write_into_a_batch_with_history():
    x = torch.ones(4, 2, requires_grad=True)

    def step(xb):
        xb.mul_(2.0)
        xb.sum().backward()

    torch.compile(step).run(x, batch_size=2)
    assert x.tolist() == [[1.0, 1.0]] * 4
    assert x.grad.tolist() == [[2.0, 2.0]] * 4


def test_samples_without_gradients_are_replayed():
    z, _, y, step = make()
    compiled = torch.compile(step)
    compiled.run(z.detach(), y, batch_size=SIZE)
    assert compiled.programs

    w = torch.ones(2)
    measure = torch.compile(lambda zb: (zb * w).sum())
    with torch.no_grad():
        total = measure.run(z, batch_size=SIZE).sum()
    assert measure.programs
    assert torch.allclose(total, z.detach().sum())
