"""The command that trains: what it prints, what it writes, and how it refuses."""

import os
import re
import signal
import subprocess
import sys

import cli_calls
import numpy as np
import pytest

from jitgrad.cli import datasets, fitting, train
from jitgrad.cli.datasets import RECIPES, load

sklearn_datasets = pytest.importorskip("sklearn.datasets")
pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
command, same_threads = cli_calls.command, cli_calls.same_threads


def accuracy(output):
    return float(re.search(r"^test accuracy: ([\d.]+) %", output, re.M)[1])


def weights(folder):
    with np.load(folder / "weights.npz") as archive:
        return dict(archive)


# train: results --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_digits_reaches_97_percent_of_rows_never_seen(command, tmp_path, seed):
    code, output, _ = command("train", "digits", "--seed", seed, "--out", tmp_path)
    assert code == 0
    assert accuracy(output) >= 97.0


@pytest.mark.parametrize(("dataset", "least"), [("iris", 90.0), ("wine", 94.0), ("breast_cancer", 94.0)])
def test_the_other_classifiers_learn(command, tmp_path, dataset, least):
    code, output, _ = command("train", dataset, "--out", tmp_path)
    assert code == 0
    assert accuracy(output) >= least


def test_the_regression_learns(command, tmp_path):
    code, output, _ = command("train", "diabetes", "--out", tmp_path)
    assert code == 0
    assert float(re.search(r"^test R²: (-?[\d.]+)", output, re.M)[1]) >= 0.4


def test_the_weights_alone_give_the_accuracy_that_was_printed(command, tmp_path):
    _, output, _ = command("train", "digits", "--epochs", 2, "--model", "mlp:24-12", "--out", tmp_path)
    w = weights(tmp_path)
    assert [v.shape for v in w.values()] == [(24, 64), (24,), (12, 24), (12,), (10, 12), (10,)]
    split = load("digits")
    h = split.x_test
    for layer in ("0", "2", "4"):
        h = h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
        h = np.maximum(h, 0) if layer != "4" else h
    right = 100 * (h.argmax(1) == split.y_test).mean()
    assert accuracy(output) == pytest.approx(right, abs=0.01)


def test_the_picture_shows_two_panels(command, tmp_path):
    from matplotlib.image import imread

    command("train", "iris", "--epochs", 2, "--out", tmp_path)
    picture = imread(tmp_path / "curves.png")
    height, width = picture.shape[:2]
    assert width > 800 and height > 300
    for half in (picture[:, : width // 2], picture[:, width // 2 :]):
        colours = {tuple(c) for c in np.round(255 * half[..., :3].reshape(-1, 3)).astype(int)}
        assert {(0x1F, 0x6F, 0xB4), (0xD1, 0x60, 0x1F)} <= colours  # both curves are in it


def test_the_bar_shows_loss_and_accuracy(command, tmp_path):
    _, _, errors = command("train", "iris", "--epochs", 3, "--out", tmp_path)
    assert re.search(r"epoch 3/3: 100%.*loss \d\.\d+, acc \d\.\d+, test acc \d\.\d+", errors)


def test_the_default_folder_is_named_after_the_data_set(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("train", "iris", "--epochs", 1)[0] == 0
    written = {p.name for p in (tmp_path / "jitgrad-runs" / "iris").iterdir()}
    assert written == {"weights.npz", "curves.png"}


def test_the_same_seed_gives_the_same_weights_bit_for_bit_with_any_number_of_threads(command, tmp_path):
    for name, options in {"a": (), "b": ("--threads", 2), "c": ("--eager",), "d": ("--seed", 1)}.items():
        command("train", "wine", "--epochs", 2, "--threads", 1, "--out", tmp_path / name, *options)
    a, b, c, d = (weights(tmp_path / name) for name in "abcd")
    for name, value in a.items():
        assert value.tobytes() == b[name].tobytes() == c[name].tobytes()
        assert value.tobytes() != d[name].tobytes()


@pytest.mark.parametrize(
    "optimizer", ["adamw", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam"]
)
def test_every_optimizer_trains(command, tmp_path, optimizer):
    code, output, _ = command("train", "wine", "--optimizer", optimizer, "--out", tmp_path)
    assert code == 0
    assert accuracy(output) >= 85.0


def test_a_linear_model_has_one_layer(command, tmp_path):
    assert command("train", "iris", "--model", "linear", "--epochs", 1, "--out", tmp_path)[0] == 0
    assert {k: v.shape for k, v in weights(tmp_path).items()} == {"0.weight": (3, 4), "0.bias": (3,)}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_data_set_is_split_without_overlap_and_standardised_by_its_training_rows(name):
    split = load(name)
    rows = len(split.x_train) + len(split.x_test)
    assert len(split.x_test) == pytest.approx(0.2 * rows, abs=5)
    assert split.x_train.dtype == split.x_test.dtype == np.float32
    np.testing.assert_allclose(split.x_train.mean(axis=0, dtype=float), 0, atol=1e-5)
    assert split.x_train.std() == pytest.approx(1, abs=0.02)
    if split.classes:
        shares = [np.bincount(y, minlength=split.classes) / len(y) for y in (split.y_train, split.y_test)]
        np.testing.assert_allclose(*shares, atol=0.02)


def test_the_digits_are_those_that_scikit_learn_loads():
    found = datasets.digits_file()
    assert found is not None
    x, y = sklearn_datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(found[1], y)
    assert found[2] == 10


def test_the_digits_come_from_the_package_when_their_file_does_not_lie_there(monkeypatch):
    expected = datasets.load("digits")
    monkeypatch.setattr(datasets, "digits_file", lambda: None)
    for name in ("x_train", "y_train", "x_test", "y_test", "classes"):
        np.testing.assert_array_equal(getattr(datasets.load("digits"), name), getattr(expected, name))


# train: refusals and interruptions -------------------------------------------------------------------------

REFUSED = [
    (("train", "digit"), "'digits'"),
    (
        ("train", "cifar"),
        "choose from digits, iris, wine, breast_cancer, diabetes, mnist, fashion-mnist, names",
    ),
    (("train",), "DATASET"),
    (("train", "iris", "--epochs", "0"), "--epochs: expected a whole number above 0, got '0'"),
    (("train", "iris", "--epochs", "2.5"), "got '2.5'"),
    (("train", "iris", "--batch-size", "-4"), "got '-4'"),
    (("train", "iris", "--lr", "fast"), "--lr: expected a number above 0, got 'fast'"),
    (("train", "iris", "--lr", "nan"), "got 'nan'"),
    (("train", "iris", "--lr", "inf"), "got 'inf'"),
    (("train", "iris", "--seed", "-1"), "got '-1'"),
    (("train", "iris", "--threads", "0"), "got '0'"),
    (("train", "iris", "--optimizer", "adm"), "did you mean 'adam'?"),
    (("train", "iris", "--model", "cnn"), "choose from mlp, mlp:SIZES, linear, lenet5, gpt, lstm"),
    (("train", "iris", "--model", "lenet5"), "does not suit iris: choose from mlp, mlp:SIZES, linear"),
    (("train", "iris", "--data", "x"), "takes no --data"),
    (("train", "iris", "--model", "mlp:64-x"), "mlp:64-32"),
    (("train", "iris", "--model", "mlp:0"), "mlp:64-32"),
    (("train", "iris", "--model", "mlp:"), "mlp:64-32"),
    (("train", "iris", "--model", "linear:3"), "mlp:64-32"),
    (("train", "iris", "--out", "/proc/jitgrad-run"), "--out"),
    (("train", "iris", "--colour"), "--colour"),
    (("fly",), "'train', 'doctor', 'warmup', 'cache'"),
    ((), "COMMAND"),
    (("cache",), "ACTION"),
    (("cache", "burn"), "'path', 'clear'"),
]


@pytest.mark.parametrize(
    ("arguments", "says"), REFUSED, ids=lambda a: " ".join(a) if isinstance(a, tuple) else ""
)
def test_a_wrong_request_is_one_line_and_exit_code_2(command, arguments, says):
    code, output, errors = command(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("jitgrad") and errors.endswith("\n") and errors.count("\n") == 1
    assert says.replace("'", "") in errors.replace("'", "")  # argparse quotes choices in Python 3.11 only


def test_a_folder_whose_place_a_file_takes_is_refused_before_training(command, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, output, errors = command("train", "iris", "--out", folder)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert str(folder) in errors and "--out" in errors


@pytest.mark.parametrize(
    ("module", "package"),
    [("tqdm", "tqdm"), ("matplotlib", "matplotlib"), ("sklearn.datasets", "scikit-learn")],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    command, tmp_path, monkeypatch, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    code, output, errors = command("train", "iris", "--out", tmp_path)
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert package in errors and 'pip install "jitgrad[demo]"' in errors


def test_a_loss_that_is_no_number_stops_with_a_way_out(command, tmp_path):
    code, _, errors = command("train", "diabetes", "--optimizer", "sgd", "--lr", 1e6, "--out", tmp_path)
    assert code == 1
    assert "use a lower --lr" in errors.splitlines()[-1]


def interrupt_after(monkeypatch, steps):
    """Press Ctrl-C during each training step from number `steps` on."""
    step, count = fitting.Progress.step, 0

    def counted(self, done=1):
        nonlocal count
        step(self, done)
        count += done
        if count >= steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fitting.Progress, "step", counted)


@pytest.mark.parametrize("how", [(), ("--eager",)], ids=["compiled", "eager"])
def test_an_interrupt_keeps_what_was_learnt(command, tmp_path, monkeypatch, how):
    # a test run in the background is started with interrupts ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt_after(monkeypatch, 10)
    code, output, errors = command(
        "train", "wine", "--batch-size", 20, "--epochs", 1000, "--out", tmp_path, *how
    )
    assert code == 130
    assert "interrupted in epoch 2 of 1000" in errors  # 8 batches an epoch
    assert "test accuracy" in output
    assert {p.name for p in tmp_path.iterdir()} == {"weights.npz", "curves.png"}
    assert all(np.isfinite(v).all() for v in weights(tmp_path).values())
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_an_interrupt_before_training_is_one_line(command, tmp_path, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", interrupted)
    assert command("train", "wine") == (130, "", "jitgrad train: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupted_process_ends_with_130_and_its_files(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "jitgrad",
            "train",
            "iris",
            "--epochs",
            "1000000",
            "--out",
            tmp_path / "out",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    with process:
        seen = b""
        while b"epoch" not in seen and process.poll() is None:
            seen += process.stderr.read1(4096)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"weights.npz", "curves.png"}
