"""Warnings name the line of the user's code, through however many functions of ours they came."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn

F = nn.functional
ones = torch.ones

CASES = {
    "softmax": lambda: F.softmax(ones(2)),
    "Softmax": lambda: nn.Softmax()(ones(2)),
    "Softmax in Sequential": lambda: nn.Sequential(nn.Softmax())(ones(2)),
    "MSELoss": lambda: nn.MSELoss(reduce=True),
    "NLLLoss": lambda: nn.NLLLoss(size_average=True),
    "mse_loss": lambda: F.mse_loss(ones(2), ones(2), reduce=True),
    "sizes of mse_loss": lambda: F.mse_loss(ones(2), ones(2, 1)),
    "sizes of MSELoss": lambda: nn.MSELoss()(ones(2), ones(2, 1)),
    "kl_div": lambda: F.kl_div(ones(2), ones(2)),
    "KLDivLoss": lambda: nn.KLDivLoss()(ones(2), ones(2)),
    "dropout2d": lambda: F.dropout2d(ones(2, 2)),
    "Dropout2d": lambda: nn.Dropout2d()(ones(2, 2)),
    "LSTM": lambda: nn.LSTM(2, 2, dropout=0.5),
    "Linear": lambda: nn.Linear(0, 2),
    "a mask of bytes": lambda: ones(2)[torch.tensor([1, 0], dtype=torch.uint8)],
    "writing at a mask of bytes": lambda: ones(2).__setitem__(torch.tensor([1, 0], dtype=torch.uint8), 3.0),
    "autocast": lambda: torch.cuda.amp.autocast(),
    "checkpoint": lambda: torch.utils.checkpoint.checkpoint(torch.exp, ones(2), use_reentrant=True),
    "a parameter twice": lambda: torch.optim.SGD([ones(1)] * 2, lr=0.1),
    "no_grad on a class": lambda: torch.no_grad(type("Model", (), {})),
}


@pytest.mark.parametrize("name", CASES)
def test_warnings_name_the_users_line(name):
    with pytest.warns((UserWarning, FutureWarning)) as caught:
        CASES[name]()
    assert {(w.filename, w.lineno) for w in caught} == {(__file__, CASES[name].__code__.co_firstlineno)}
