"""The commands beside training: doctor, warmup, cache, and what the command line says of itself."""

import os
import re
import subprocess
import sys

import cli_calls
import pytest

import jitgrad
from jitgrad.cli import doctor, warmup
from jitgrad.kernels import cache

pytest.importorskip("tqdm")
command, same_threads = cli_calls.command, cli_calls.same_threads


def test_the_doctor_reports_and_finds_the_engine_sound(command):
    code, output, errors = command("doctor")
    assert (code, errors) == (0, "")
    for part in ("jitgrad ", "numba ", "vectors ", "threads ", str(cache.root()), "GF/s", "NumPy"):
        assert part in output
    assert output.count(" ok: ") == len(doctor.SELF_TESTS) and "FAILED" not in output


def test_the_doctor_says_when_the_engine_is_wrong(command, monkeypatch):
    def broken():
        raise RuntimeError("no kernel")

    monkeypatch.setattr(doctor, "SELF_TESTS", (("gradient", broken), ("matmul", lambda: (False, "3 != 4"))))
    code, output, errors = command("doctor")
    assert code == 1
    assert "gradient       FAILED: RuntimeError: no kernel" in output and "FAILED: 3 != 4" in output
    assert errors.count("\n") == 1 and "cache clear" in errors


def test_the_doctor_says_what_a_cache_that_cannot_be_written_means(command, monkeypatch):
    monkeypatch.setattr(doctor, "SELF_TESTS", ())
    monkeypatch.setattr(doctor, "_writable", lambda folder: False)
    _, output, _ = command("doctor")
    assert "no: every process compiles anew what is not there" in output  # what is there is read


def test_warm_up_has_work_for_every_optimizer_loss_and_activation():
    names = [name for name, _ in warmup.jobs()]
    assert len(set(names)) == len(names)
    assert {f"optimizer {n}" for n in warmup.OPTIMIZERS} <= set(names)
    losses = {n for n in dir(jitgrad.nn.functional) if n.endswith("_loss") or n == "cross_entropy"}
    assert {f"loss {n}" for n in losses} <= set(names)


def test_warm_up_fills_the_cache_and_then_finds_everything_there(command):
    code, output, errors = command("warmup")
    assert code == 0
    assert re.match(r"compiled \d+ kernels in [\d.]+ s; the cache is ", output)
    assert "100%" in errors
    assert command("warmup")[1].startswith("compiled 0 kernels")


TRAINING = """
import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import compiler

torch.set_num_threads(2)
for make, hidden, loss, wanted in (
    (torch.optim.Adam, 16, nn.MSELoss(), torch.randn(512, 4)),
    (torch.optim.SGD, 128, nn.CrossEntropyLoss(), torch.arange(512) % 4),
):
    model = nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 4))
    optimizer = make(model.parameters(), lr=1e-3)

    @torch.compile
    def step(x, y):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    x = torch.randn(512, 6)
    for batch in (8, 256):
        step.run(x, wanted, batch_size=batch, epochs=20, shuffle=True)
        step.loop(1000, x[:batch], wanted[:batch])
print(compiler.compiled())
"""


@pytest.mark.slow
def test_after_the_warm_up_compiled_steps_have_nothing_to_compile(tmp_path):
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path)}

    def python(*arguments: str) -> str:
        run = [sys.executable, *arguments]
        return subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout

    assert python("-m", "jitgrad", "warmup").startswith("compiled ")
    assert python("-c", TRAINING) == "0\n"


def test_warm_up_works_without_the_progress_bar(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(warmup, "jobs", lambda: iter([("one job", lambda: None)]))
    code, output, errors = command("warmup")
    assert (code, errors) == (0, "")
    assert output.startswith("one job\ncompiled ")


def test_warm_up_with_the_cache_off_is_refused(command, monkeypatch):
    monkeypatch.setenv("JITGRAD_CACHE", "off")
    code, output, errors = command("warmup")
    assert (code, output, errors.count("\n")) == (2, "", 1)


def test_the_cache_is_shown_and_cleared(command, monkeypatch, tmp_path):
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path))
    assert command("cache", "path") == (0, f"{tmp_path}\n", "")
    (tmp_path / "kernels-1").mkdir()
    (tmp_path / "kernels-1" / "a.kernel").touch()
    assert command("cache", "clear") == (0, f"deleted 1 compiled kernels from {tmp_path}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_printed(command):
    assert command("--version") == (0, f"jitgrad {jitgrad.__version__}\n", "")


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("cache", "--help")])
def test_help_is_given(command, arguments):
    code, output, errors = command(*arguments)
    assert (code, errors) == (0, "") and "usage: jitgrad" in output


def test_help_names_every_data_set_and_model(command):
    text = " ".join(command("train", "--help")[1].split())
    for name in ("digits", "fashion-mnist", "names", "lenet5", "gpt", "lstm", "--eager", "--data"):
        assert name in text


def test_the_module_runs_as_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jitgrad", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"jitgrad {jitgrad.__version__}\n", "")
