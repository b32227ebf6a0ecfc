"""Large operations of eager code and of walks back are shared by the team, with the same bits."""

from __future__ import annotations

import ctypes
import time

import numpy as np
import pytest
from call_samples import public, valid_call
from compile_cases import bits, random_state
from test_compile_ops import INDEFINITE, shown, tensors_in
from test_team_threads import script, setting  # noqa: F401

import jitgrad as torch
from jitgrad import nn
from jitgrad import team as teams
from jitgrad.engine import block
from jitgrad.kernels import abi
from jitgrad.store import SHARED_FROM, store

PATIENCE = 60  # seconds for what needs another thread to run
PARTS = 3
PUBLIC = dict(public())
KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


ran: list[int] = []


@KERNEL
def from_the_last_part_on(record, _team, _extent):
    """Run a record as threads might that take their parts one after the other, the first one last."""
    ran.append(record)
    kernel = KERNEL(ctypes.c_int64.from_address(record + abi.R_KERNEL * abi.WORD).value)
    for part in reversed(range(PARTS)):
        kernel(record, part, PARTS)


@pytest.fixture
def in_parts():
    """Have every record of more than one element run in parts, or as usual, while the test says so."""

    def change(on: bool) -> None:
        store.set_field("shared_from", 2 if on else SHARED_FROM)
        store.set_field("sharer", ctypes.cast(from_the_last_part_on, ctypes.c_void_p).value if on else 0)

    change(False)
    yield change
    change(False)


def outcome(name: str):
    """What a call of a public function makes, and what its gradients are where it has some."""
    torch.manual_seed(3)
    function = PUBLIC[name]
    arguments = valid_call(name, function)
    result = function(*arguments)
    floats = [y for y in tensors_in(result) if y.requires_grad and y.numel()]
    if floats:
        leaves = [x for x in tensors_in(arguments) if x.requires_grad and x.is_leaf]
        weights = [torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape) for y in floats]
        torch.autograd.backward(floats, weights)
        return shown(result), [bits(x.grad) for x in leaves], random_state()
    return shown(result), bits(list(tensors_in(arguments))), random_state()


DEFINITE = [n for n in PUBLIC if not n.rpartition(".")[2].removeprefix("new_").startswith(INDEFINITE)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DEFINITE)
def test_every_function_gives_the_same_bits_in_parts(in_parts, name):
    try:
        expected = outcome(name)
    except (RuntimeError, ValueError) as error:
        in_parts(True)
        with pytest.raises(type(error)):
            outcome(name)
        return
    in_parts(True)
    assert outcome(name) == expected


def test_records_of_more_than_one_element_are_run_in_parts(in_parts):
    x = torch.randn(3, requires_grad=True)
    ran.clear()
    in_parts(True)
    y = torch.tanh(x)
    forward = len(ran)
    y.backward(torch.ones(3))
    assert forward == 1 and len(ran) > forward


NETWORKS = {
    "layers": (lambda: nn.Sequential(nn.Linear(256, 512), nn.Tanh(), nn.Linear(512, 64)), (300, 256)),
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        (16, 3, 40, 40),
    ),
    "recurrent": (lambda: nn.LSTM(96, 128), (20, 32, 96)),
    "attention": (
        lambda: nn.TransformerEncoderLayer(64, 4, 128, dropout=0.25, batch_first=True),
        (24, 40, 64),
    ),
}


def trained(name: str, steps: int) -> list[bytes]:
    torch.manual_seed(5)
    make, shape = NETWORKS[name]
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.randn(*shape)
    for _ in range(steps):
        optimizer.zero_grad()
        y = model(x)
        y = y[0] if isinstance(y, tuple) else y
        (y * y).mean().backward()
        optimizer.step()
    return [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.mark.parametrize("name", NETWORKS)
def test_training_gives_the_same_bits_with_any_number_of_threads(setting, name):  # noqa: F811
    torch.set_num_threads(1)
    alone = trained(name, 8)
    torch.set_num_threads(3)
    teams.help_eager_code()
    assert trained(name, 8) == alone


def segments_done() -> int:
    team = teams.current()
    return 0 if team is None else int(team._block[block.T_NUMBER])


def test_much_work_brings_the_team_and_little_does_not(setting, monkeypatch):  # noqa: F811
    monkeypatch.setattr(teams, "processors", lambda: 2)
    torch.set_num_threads(2)
    x, small = torch.randn(400, 400), torch.randn(40, 40)
    before = store.field("large")
    for _ in range(200):
        small = torch.tanh(small @ small)
    assert store.field("sharer") == 0 and store.field("large") == before
    end = time.monotonic() + PATIENCE
    while not segments_done():
        torch.tanh(x @ x)
        assert time.monotonic() < end, "the team was not asked"
    done = segments_done()
    for _ in range(200):
        small = torch.tanh(small @ small)
    assert segments_done() == done


def test_one_thread_is_one_thread(setting):  # noqa: F811
    torch.set_num_threads(2)
    teams.help_eager_code()
    torch.set_num_threads(1)
    assert store.field("sharer") == 0
    teams.help_eager_code()
    x = torch.randn(300, 300)
    before = np.asarray(x @ x)
    assert store.field("sharer") == 0 and store.field("large") == 0
    np.testing.assert_array_equal(np.asarray(x @ x), before)


def test_a_team_that_another_call_has_is_not_waited_for(setting, monkeypatch):  # noqa: F811
    monkeypatch.setattr(teams, "processors", lambda: 2)
    torch.set_num_threads(2)
    x = torch.randn(300, 300)
    alone = np.asarray(x @ x)
    teams.help_eager_code()
    team = teams.current()
    assert team is not None
    team._block[block.T_BUSY] = 1
    try:
        for _ in range(3):
            np.testing.assert_array_equal(np.asarray(x @ x), alone)
        assert segments_done() == 0
    finally:
        team._block[block.T_BUSY] = 0


def test_a_forked_process_makes_a_team_of_its_own():
    script(
        """
        import os, sys
        import numpy as np
        import jitgrad as torch
        from jitgrad import team
        torch.set_num_threads(2)
        x = torch.randn(300, 300)
        alone = np.asarray(x @ x)
        team.help_eager_code()
        for _ in range(20):
            assert (np.asarray(x @ x) == alone).all()
        child = os.fork()
        if child == 0:
            for _ in range(20):
                if not (np.asarray(x @ x) == alone).all():
                    os._exit(1)
            team.help_eager_code()
            for _ in range(20):
                if not (np.asarray(x @ x) == alone).all():
                    os._exit(2)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )
