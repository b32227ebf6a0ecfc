"""Compiled functions that read settings which a replay takes from memory, or does not depend on, as Python's values."""

from __future__ import annotations

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn
from jitgrad import team as teams


class Settings:
    """An optimizer, the number of threads and a computed tensor, each to be changed and to be read."""

    def __init__(self):
        self.optimizer = torch.optim.Adam([nn.Parameter(torch.ones(2))], lr=0.5)
        self.computed = torch.ones(2, requires_grad=True) * 2

    def change(self, k):
        self.optimizer.param_groups[0]["lr"] = 0.1 + k / 64
        torch.set_num_threads(k % 2 + 1)
        if k > 2:
            self.computed.retain_grad()


READERS = {
    "state_dict": lambda s, x: x * next(iter([*s.optimizer.state_dict().values()][1]))["lr"],
    "text": lambda s, x: x * len(f"{s.optimizer}"),
    "repr": lambda s, x: x * len(repr(s.optimizer)),
    "threads": lambda s, x: x * torch.get_num_threads(),
    "retains_grad": lambda s, x: x * (2 if x.retains_grad else 3),
}


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
@pytest.mark.parametrize("name", READERS)
def test_a_setting_is_read_anew(name):
    settings, read, threads = Settings(), READERS[name], torch.get_num_threads()
    step = torch.compile(lambda x: read(settings, x))
    other = torch.ones(2, requires_grad=True) * 2
    try:
        for k in range(6):
            settings.change(k)
            for x in (other, settings.computed, other):
                assert bits(step(x)) == bits(read(settings, x))
    finally:
        torch.set_num_threads(threads)


def test_a_team_that_comes_while_a_step_is_recorded_reads_nothing():
    threads = torch.get_num_threads()

    def double(x):
        teams.help_eager_code()  # as the engine has it called after some large operations
        return x * 2

    step = torch.compile(double, fullgraph=True)
    try:
        torch.set_num_threads(2)  # how many there will be is asked for anew
        assert [step(torch.ones(2)).tolist() for _ in range(4)] == [[2.0, 2.0]] * 4
    finally:
        torch.set_num_threads(threads)
