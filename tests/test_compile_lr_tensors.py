"""Learning rates that are tensors, in compiled steps: a replay reads what is in them now."""

from __future__ import annotations

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn

EXACT = {"strips": False}


def _halved(scene):
    scene.lr.mul_(0.5)


def _through_numpy(scene):
    scene.lr.numpy()[...] = 0.01


def _other(scene):
    scene.optimizer.param_groups[0]["lr"] = torch.tensor(0.02)


def _number(scene):
    scene.optimizer.param_groups[0]["lr"] = 0.03


def _loaded(scene):
    scene.optimizer.load_state_dict(scene.optimizer.state_dict())


def _decayed(scene):
    scene.optimizer.param_groups[0]["weight_decay"] = torch.tensor(0.1)


CHANGES = {f.__name__.strip("_"): f for f in (_halved, _through_numpy, _other, _number, _loaded, _decayed)}
RATES = {
    "float32": lambda: torch.tensor(0.1),
    "float64": lambda: torch.tensor(0.1, dtype=torch.float64),
    "of one dimension": lambda: torch.tensor([0.1]),
    "a view": lambda: torch.tensor([0.3, 0.1])[1],
}


class Scene:
    """A model, an optimizer with a tensor as learning rate, and a step."""

    def __init__(self, kind="SGD", rate="float32", compiled=True, options=None, width=5):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))
        self.lr = RATES[rate]()
        first, last = list(self.model[0].parameters()), list(self.model[2].parameters())
        groups = [{"params": first}, {"params": last, "lr": 0.05}]
        self.optimizer = getattr(torch.optim, kind)(groups, lr=self.lr)
        self.step = self.plain
        if compiled:
            self.step = torch.compile(self.plain, fullgraph=True, options=options or EXACT)

    def plain(self, x):
        self.optimizer.zero_grad()
        loss = self.model(x).pow(2).sum()
        loss.backward()
        self.optimizer.step()
        return loss

    def now(self):
        return bits([p.detach().clone() for p in self.model.parameters()])


def _batches(count, rows=4):
    torch.manual_seed(1)
    return [torch.randn(rows, 3) for _ in range(count)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_a_rate_that_is_changed_in_place(kind, rate):
    twins = Scene(kind, rate), Scene(kind, rate, compiled=False)
    for k, x in enumerate(_batches(8)):
        for scene in twins:
            scene.step(x)
            if k % 2:
                _halved(scene)
        assert twins[0].now() == twins[1].now()
    assert len(twins[0].step.programs) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_steps(change):
    twins = Scene("Adam"), Scene("Adam", compiled=False)
    for k, x in enumerate(_batches(9)):
        for scene in twins:
            scene.step(x)
            if k in (3, 6):
                CHANGES[change](scene)
        assert twins[0].now() == twins[1].now()


def test_a_rate_that_the_step_itself_changes():
    states = []
    for compiled in (True, False):
        scene = Scene(compiled=False)

        def step(x, scene=scene):
            loss = scene.plain(x)
            scene.lr.mul_(0.5)
            scene.plain(x)
            return loss

        run = torch.compile(step, fullgraph=True, options=EXACT) if compiled else step
        for x in _batches(6):
            run(x)
        states.append((scene.now(), scene.lr.item()))
    assert states[0] == states[1]


def test_a_schedule_in_run():
    states = []
    for compiled in (True, False):
        scene = Scene(compiled=compiled)
        schedule = torch.optim.lr_scheduler.ExponentialLR(scene.optimizer, 0.5)
        data = torch.cat(_batches(6))
        if compiled:
            scene.step.run(data, batch_size=4, epochs=4, schedule=schedule)
        for _ in range(0 if compiled else 4):
            for k in range(0, len(data), 4):
                scene.step(data[k : k + 4])
            schedule.step()
        states.append((scene.now(), scene.lr.item()))
    assert states[0] == states[1] and states[0][1] == pytest.approx(0.1 / 16)


@pytest.mark.parametrize("threads", [1, 2])
def test_updates_wait_for_the_rate(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scenes = Scene(options={"strips": True}, width=3000), Scene(compiled=False, width=3000)
        for x in _batches(6, rows=64):
            for scene in scenes:
                scene.step(x * 0.01)
                _halved(scene)
        for p, q in zip(*(s.model.parameters() for s in scenes), strict=True):
            assert torch.allclose(p, q, atol=1e-6)
        rows = next(iter(scenes[0].step.programs)).rows
        flat = [one for row in rows for one in row.chain or (row,)]
        settings = [r for r in flat if r.kernel.startswith("update") and r.reads[-1].itemsize == 8]
        assert any(w.touches(r.reads[-1]) for r in settings for row in flat for w in row.writes)
    finally:
        torch.set_num_threads(before)
