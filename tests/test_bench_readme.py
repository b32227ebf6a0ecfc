"""The README's table of training steps is generated, and what the README says of commands and workloads exists."""

import argparse
import json
import re
from pathlib import Path

import pytest
from bench_files import load

from jitgrad.cli.parser import build_parser

cells, readme, suite, workloads = map(load, ("cells", "readme", "suite", "workloads"))
README = Path(__file__).resolve().parents[1] / "README.md"
in_a_source_tree = pytest.mark.skipif(not README.is_file(), reason="needs a source tree")

ABOUT = {
    "date": "2026-01-02 03:04 UTC",
    "machine": "a machine",
    "load": [0.1, 0.2],
    "rounds": 3,
    "python": "3.11.0",
    "versions": {"jitgrad": "1"},
    "notes": ["steps: versions: jitgrad 1, PyTorch 2"],
}
STEPS = [
    cells.Cell("steps", "W2", "jitgrad-loop-1", "s", [2e-6, 1e-6]),
    cells.Cell("steps", "W2", "jitgrad-loop-2", "s", [3e-6]),
    cells.Cell("steps", "W2", "torch-1", "s", [5e-4]),
    cells.Cell("steps", "W2", "numba-1", "s", [5e-6], cells.OTHER_WORK),
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    return path


def subcommands():
    actions = build_parser()._actions
    return next(a.choices for a in actions if isinstance(a, argparse._SubParsersAction))


# generated ------------------------------------------------------------------------------------------


def test_the_table_and_the_picture_are_put_between_the_marks(file, capsys):
    pytest.importorskip("matplotlib")
    numbers = file.parent / "bench.json"
    numbers.write_text(json.dumps(cells.write_cells(STEPS, ABOUT)))
    assert readme.main([str(numbers), str(file)]) == 0
    text = file.read_text()
    assert text.startswith(f"before\n{readme.BEGIN}\n")
    assert text.endswith(f"{readme.END}\nafter\n")
    assert "old" not in text
    assert "| W2 2-16-16-1 tanh, batch 8, Adam | 1 | 500 |" in text
    assert "2026-01-02 03:04 UTC; a machine" in text
    assert "PyTorch 2" in text
    (picture,) = re.findall(r"!\[.*\]\((.*)\)", text)
    assert (file.parent / picture).stat().st_size > 5000
    assert readme.main([str(numbers), str(file)]) == 0
    assert file.read_text() == text


def test_a_readme_without_the_marks_is_refused_before_anything_is_measured(tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text("no marks")
    assert suite.main(["--readme", str(path)]) == 2
    assert "has no lines" in capsys.readouterr().err
    assert suite.main(["--readme", str(tmp_path / "none.md")]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_table_needs_steps(file, capsys):
    numbers = file.parent / "bench.json"
    numbers.write_text(json.dumps(cells.write_cells([], ABOUT)))
    before = file.read_text()
    assert readme.main([str(numbers), str(file)]) == 2
    assert "no training steps" in capsys.readouterr().err
    assert file.read_text() == before


# what the README names ------------------------------------------------------------------------------


@in_a_source_tree
def test_workloads_of_the_readme_exist():
    text = README.read_text()
    named = set(re.findall(r"\bW\d+\b", text))
    assert named
    assert named <= set(workloads.WORKLOADS)
    in_the_table = set(re.findall(r"^\| (W\d+) ", text, re.MULTILINE))
    assert named - {"W11"} <= in_the_table <= named


@in_a_source_tree
def test_commands_of_the_readme_exist_with_their_options():
    known = subcommands()
    text = re.sub(r"\s+", " ", README.read_text())
    spans = re.findall(r"`((?:\$ )?jitgrad [^`]*)`", text)
    commands = [s.split() for s in spans if (s.split()[1].isalpha() and s.split()[1] in known) or "--" in s]
    assert {c[1] for c in commands} >= {"bench", "train", "doctor", "warmup", "cache"}
    for command in commands:
        parser = known[command[1]]
        for option in re.findall(r"--[a-z-]+", " ".join(command)):
            assert option in parser._option_string_actions, " ".join(command)


@in_a_source_tree
def test_the_marks_of_the_table_and_the_scripts_are_there():
    text = README.read_text()
    assert readme.checked(README) == text
    assert "`jitgrad bench --readme README.md`" in re.sub(r"\s+", " ", text)
    for script in re.findall(r"benchmarks/\w+\.py", text):
        assert (README.parent / script).is_file(), script
