"""A row of a program gives the same bits in however many parts threads compute it."""

from __future__ import annotations

import pytest
from kernel_records import row_in_parts

import jitgrad as torch
from jitgrad import nn

PARTS = (2, 3, 5)

CONVOLUTIONS = {  # batch, channels, filters, kernel, size of the map
    "few channels in a part": (1, 8, 16, 1, 4),
    "a group of channels that is not full": (9, 3, 9, 1, 4),
    "channels of several taps": (3, 2, 9, 2, 8),
    "many images": (17, 8, 8, 1, 4),
    "few positions": (1, 16, 16, 1, 2),
    "narrow maps": (2, 9, 12, 2, 3),
}
RECURRENT = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


def check(function, parameters, x) -> int:
    """Compute each row of a step forward and back in parts; returns how many rows there were."""

    def step(x):
        x = x.detach().requires_grad_()
        y = function(x)
        return y, *torch.autograd.grad((y * y).sum(), [x, *parameters])

    compiled = torch.compile(step, fullgraph=True, options={"strips": False})
    compiled(x)
    program = compiled.program(x)
    program.improve()
    assert program.fits([x])
    checked = 0
    for row in program.rows:
        if row.variant < 0 or any(w.touches(r) for w in row.writes for r in row.reads):
            continue  # not twice
        whole = row_in_parts(row, 1)
        for parts in PARTS:
            assert row_in_parts(row, parts) == whole, (row.kernel, parts)
        checked += 1
    return checked


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case):
    batch, channels, filters, kernel, size = CONVOLUTIONS[case]
    layer = nn.Conv2d(channels, filters, kernel)
    x = torch.randn(batch, channels, size + kernel - 1, size + kernel - 1)
    assert check(layer, [*layer.parameters()], x) > 2


@pytest.mark.parametrize("sizes", [(9, 8, 4), (40, 33, 3), (7, 64, 17), (13, 4, 16)], ids=str)
def test_layers(sizes):
    rows, inputs, outputs = sizes
    layer = nn.Linear(inputs, outputs)
    assert check(layer, [*layer.parameters()], torch.randn(rows, inputs)) > 2


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("sizes", [(9, 8, 4), (16, 5, 3)], ids=str)
def test_recurrent_layers(kind, sizes):
    batch, inputs, hidden = sizes
    layer = RECURRENT[kind](inputs, hidden, batch_first=True)
    assert check(lambda x: layer(x)[0], [*layer.parameters()], torch.randn(batch, 3, inputs)) > 2


@pytest.mark.parametrize("shape", [(1, 2, 9, 4), (2, 3, 20, 16)], ids=str)
def test_attention(shape):
    key, value = (torch.randn(shape, requires_grad=True) for _ in range(2))
    attend = nn.functional.scaled_dot_product_attention
    assert check(lambda x: attend(x, key, value), [key, value], torch.randn(shape)) > 2
