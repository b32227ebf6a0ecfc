"""``jitgrad bench`` and its files: what is asked for, cells, comparison, pictures, README. No time is asserted."""

import json
import subprocess
import sys

import pytest
from bench_files import FOLDER, load

import jitgrad
from jitgrad.cli import main
from jitgrad.cli.bench import SECTIONS, folder

cells, compare, measure, suite, workloads = map(load, ("cells", "compare", "measure", "suite", "workloads"))


def cell(values, peer="jitgrad-loop-1", unit="s", case="W2", section="steps"):
    return cells.Cell(section, case, peer, unit, values)


def written(path, *found):
    path.write_text(json.dumps(cells.write_cells(found, {"date": "a day", "machine": "m", "load": [0, 0]})))
    return str(path)


def plan(*arguments):
    import argparse

    from jitgrad.cli.bench import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return suite.plan_of(parser.parse_args(arguments))


# what is asked for ----------------------------------------------------------------------------------


def test_the_command_finds_the_suite():
    assert folder() == FOLDER


def test_every_section_has_a_module_with_cells():
    for name in SECTIONS:
        assert callable(load(name).cells)


def test_libraries_ways_and_single_peers_can_be_chosen():
    assert {p.key for p in plan("--peers", "jax,numpy", "--threads", "1").peers} == {
        *("jitgrad-1", "jitgrad-call-1", "jitgrad-loop-1"),
        *("jax-1", "jax-scan-1", "numpy-1"),
    }
    assert [p.key for p in plan("--peers", "jitgrad-loop-1,torch-2").peers] == ["jitgrad-loop-1", "torch-2"]
    assert not any(p.kind == "torch-compile" for p in plan("--no-torch-compile").peers)
    assert not any(p.kind == "torch-compile" for p in plan("--short").peers)
    assert any(p.kind == "torch-compile" for p in plan("--torch-compile").peers)


def test_all_workloads_are_the_default_and_the_short_form_has_fewer():
    assert plan().workloads == list(workloads.WORKLOADS)
    short = plan("--short")
    assert set(short.workloads) < set(workloads.WORKLOADS)
    assert short.rounds < plan().rounds


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--workloads", "W12", "unknown workload 'W12'"),
        ("--peers", "jaxx", "did you mean 'jax'?"),
        ("--threads", "3", "unknown number of threads '3'"),
        ("--sections", "opps", "did you mean 'ops'?"),
        ("--rounds", "0", "expected a whole number above 0, got '0'"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(capsys, option, value, says):
    try:
        code = main(["bench", option, value])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err
    assert code == 2
    assert says in said
    assert said.count("\n") == 1


# running --------------------------------------------------------------------------------------------


def test_steps_are_measured_in_processes_and_written(tmp_path, capsys):
    code = main(
        [
            "bench",
            "--workloads",
            "W1",
            "--peers",
            "jitgrad-1,numpy-1",
            "--rounds",
            "1",
            "--out",
            str(tmp_path),
        ]
    )
    shown = capsys.readouterr().out
    found, about = cells.read_cells(json.loads((tmp_path / "bench.json").read_text()))
    assert code == 0
    assert [c.place for c in found] == [("steps", "W1", "jitgrad-1"), ("steps", "W1", "numpy-1")]
    assert all(len(c.values) == 1 and c.values[0] > 0 for c in found)
    assert {"date", "machine", "load", "versions"} <= set(about)
    assert "| W1: linear regression, batch 4, SGD |" in shown
    assert "not the same work" not in shown
    assert "NumPy by hand" in (tmp_path / "bench.md").read_text()


def test_a_section_runs_in_a_child(capsys):
    assert main(["bench", "--sections", "vectors,products", "--peers", "numpy", "--short"]) == 0
    shown = capsys.readouterr().out
    assert "exp, largest error" in shown
    assert "| 64x64 |" in shown


@pytest.mark.parametrize(
    ("arguments", "peer", "cases"),
    [
        (("ops.py", "numpy", "short"), "numpy", {"exp forward 16", "tanh forward 4096"}),
        (("startup.py", "size", "numba"), "numba", {"installed, with what it needs"}),
        (("startup.py", "steps", "jitgrad", "W3", "warm"), "jitgrad warm", {"W3: import", "W3: peak memory"}),
        (("tapes.py", "jitgrad"), "jitgrad", {"chain: record, an operation", "tree: backward, an operation"}),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, tuple) else "",
)
def test_children_tell_cells(arguments, peer, cases):
    found, reason = load("children").run(*arguments)
    assert reason == ""
    assert {c.peer for c in found} == {peer}
    assert cases <= {c.case for c in found}
    assert all(c.values for c in found)


def test_a_child_that_cannot_says_why():
    found, reason = load("children").run("accuracy.py", "no_such_library", "digits")
    assert found == []
    assert "no_such_library" in reason


def test_children_take_turns_and_what_fails_is_said_once():
    children, asked = load("children"), []

    def answers(peer, reason=""):
        def measure():
            asked.append(peer)
            return ([] if reason else [cell([float(len(asked))], peer)]), reason

        return children.Turn(peer, measure)

    told = list(children.in_turns([answers("a"), answers("b", "it is not there"), answers("c")], 3))
    assert asked == ["a", "b", "c", "a", "c", "a", "c"]
    assert told == ["b: it is not there", cell([1.0, 4.0, 6.0], "a"), cell([3.0, 5.0, 7.0], "c")]


@pytest.mark.parametrize(
    ("name", "arguments", "rounds"),
    [
        ("startup", ("--rounds", "8"), 3),
        ("startup", ("--rounds", "2"), 2),
        ("startup", ("--short",), 1),
        ("chains", ("--rounds", "4"), 3),
        ("chains", ("--short",), 1),
    ],
)
def test_sections_in_children_have_the_rounds_that_are_asked_for(monkeypatch, name, arguments, rounds):
    module = load(name)
    monkeypatch.setattr(
        module, "run", lambda script, *rest, **more: ([cell([1.0], case=" ".join(map(str, rest)))], "")
    )
    asked = plan("--peers", "jitgrad,torch", "--no-torch-compile", *arguments)
    found = [c for c in module.cells(asked) if isinstance(c, cells.Cell) and c.section == "steps"]
    assert found
    assert {len(c.values) for c in found if not c.case.startswith("size")} == {rounds}
    assert all(len(c.values) == 1 for c in found if c.case.startswith("size"))


def test_lenets_batches_of_the_published_protocol_grow_with_the_threads(monkeypatch):
    chains, threads = load("chains"), jitgrad.get_num_threads()
    monkeypatch.setattr(chains, "_matexp", lambda torch, steps: 1.0)
    monkeypatch.setattr(chains, "_lenet", lambda torch, samples, batch: 1.0)
    try:
        for n in (1, 2):
            found = list(chains.measured(["jitgrad", str(n), "0"]))
            assert {c.note for c in found} == {"", f"batches of {9 * n}"}
    finally:
        jitgrad.set_num_threads(threads)


def test_start_and_chains_show_the_best_and_the_middle_round():
    found = [cell([1.0, 3.0, 2.0], "a"), cell([5.0], "b", case="W3")]
    for name in ("startup", "chains"):
        shown = load(name).markdown(found)
        assert "|  | a | b |" in shown
        assert "| W2 | 1 s | - |" in shown
        assert shown.endswith("|  | a |\n| --- | --- |\n| W2 | 2 s |")
        assert "middle" not in load(name).markdown(found[1:])


def test_other_losses_are_other_work():
    result = measure.Result(
        "W1", {"a-1": 1.0, "b-1": 1.0005, "c-1": 1.1, "d-1": float("nan")}, {}, {}, {}, {}
    )
    assert set(result.other_work) == {"c-1", "d-1"}


def test_a_peer_that_is_missing_says_why():
    command = [
        sys.executable,
        "-c",
        "import sys; sys.modules['mygrad'] = None; sys.argv[1:] = ['mygrad', '1', '']\n",
    ]
    command[-1] += f"sys.path.insert(0, {str(FOLDER)!r}); import workers; workers.main()"
    done = subprocess.run(command, capture_output=True, text=True, check=True, input="")
    assert "mygrad" in json.loads(done.stdout)["error"]


# cells and their comparison -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5, "s", "1.5 s"),
        (0.0123, "s", "12.3 ms"),
        (512.3, "ns", "512 ns"),
        (2_500, "ns", "2.5 us"),
        (123.4, "GF/s", "123 GF/s"),
    ],
)
def test_numbers_are_shown_with_three_digits(value, unit, text):
    assert cells.value_text(value, unit) == text


def test_cells_come_back_from_their_file():
    found = [cell([2.0, 1.0]), cell([], "torch-1"), cell([3.0, 4.0], unit="GF/s")]
    again, about = cells.read_cells(json.loads(json.dumps(cells.write_cells(found, {"date": "x"}))))
    assert again == found
    assert about == {"date": "x"}
    assert (found[0].best, found[2].best) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("old", "new", "unit", "verdict"),
    [
        ([1.0, 1.01], [1.5, 1.51], "s", "slower"),
        ([1.0, 1.01], [1.05, 1.06], "s", "same"),
        ([1.0, 1.01], [0.5, 0.51], "s", "faster"),
        ([1.0, 1.6], [1.5, 1.6], "s", "same"),  # the rounds themselves are as far apart
        ([100.0, 99.0], [50.0, 49.0], "GF/s", "slower"),
        ([100.0, 99.0], [150.0, 149.0], "GF/s", "faster"),
    ],
)
def test_a_change_counts_when_it_is_beyond_noise(old, new, unit, verdict):
    (change,) = compare.changes([cell(old, unit=unit)], [cell(new, unit=unit)])
    assert change.verdict == verdict


def test_comparing_files_exits_1_when_something_became_slower(tmp_path, capsys):
    old = written(tmp_path / "old.json", cell([1.0]), cell([1.0], case="W3"), cell([1.0], "torch-1"))
    slow = written(tmp_path / "slow.json", cell([2.0]), cell([1.0], case="W3"), cell([1.5], "torch-1"))
    assert compare.main([old, slow]) == 1
    shown = capsys.readouterr().out
    assert "| steps | W2 | jitgrad-loop-1 | 1 s | 2 s | 2.00 | 10 % | slower |" in shown
    assert "W3" not in shown
    assert "other libraries took 1.50 times as long" in shown
    assert compare.main([old, old]) == 0
    assert "none changed" in capsys.readouterr().out


def test_a_slower_machine_is_not_held_against_us(tmp_path, capsys):
    old = written(tmp_path / "old.json", cell([1.0]), cell([1.0], "torch-1"))
    new = written(tmp_path / "new.json", cell([2.0]), cell([2.0], "torch-1"))
    assert compare.main([old, new]) == 0
    assert "so did the machine" in capsys.readouterr().out


def test_files_without_common_cells_cannot_be_compared(tmp_path, capsys):
    old, new = (written(tmp_path / f"{w}.json", cell([1.0], case=w)) for w in ("W1", "W2"))
    assert compare.main([old, new]) == 2
    assert "no cell of jitgrad in common" in capsys.readouterr().err


def test_pictures_are_drawn_from_cells(tmp_path):
    pytest.importorskip("matplotlib")
    pictures = load("pictures")
    note = {"kernel": "linear", "flops": 8e4, "bytes": 1e4, "share": 0.5, "of_peak": 0.5, "product": True}
    peaks = {"multiply_adds": 100.0, "copies": {1 << 14: 90.0, 1 << 18: 50.0, 1 << 27: 10.0}}
    found = [
        cell([1e-6]),
        cell([5e-6], "torch-1"),
        cell([4e-6], "torch-2"),
        *(
            cell([1e-6 * n], f"jitgrad-loop-{t}", case=f"width-{n}", section="scaling")
            for n in (8, 32)
            for t in (1, 2)
        ),
        cells.Cell("rows", "peaks", "machine", "GF/s", [100.0], json.dumps(peaks)),
        cells.Cell("rows", "W3 1", "jitgrad", "ns", [1000.0], json.dumps(note)),
        cells.Cell("ops", "exp forward 16", "jitgrad", "ns", [300.0], "0.4 GB/s"),
        cell([5.0], "numpy", "GF/s", "16x16", "products"),
    ]
    about = {"date": "a day", "machine": "m", "load": [0, 0]}
    names = pictures.draw(found, about, tmp_path)
    assert names == [f"{n}.png" for n in pictures.PICTURES]
    assert all((tmp_path / n).stat().st_size > 5000 for n in names)
    assert pictures.draw([], about, tmp_path) == []


def test_the_roofline_has_one_point_for_each_kernel_of_a_workload():
    pytest.importorskip("matplotlib")
    roofline = load("roofline")

    def row(kernel, ns, flops, share, of_peak):
        note = {"kernel": kernel, "flops": flops, "bytes": 100, "share": share, "of_peak": of_peak}
        return cells.Cell("rows", "W3 1", "jitgrad", "ns", [ns], json.dumps(note | {"product": False}))

    found = roofline.points(
        [
            row("linear back to x, w, bias", 10, 40, 0.25, 1.0),
            row("linear back to w, bias, added", 30, 20, 0.75, 0.5),
            row("clear", 1, None, 0, 3.0),
        ]
    )
    assert [(p.kernel, p.rate, p.intensity) for p in found] == [("linear, back", 1.5, 0.3), ("clear", 0, 0)]
    assert [p.of_peak for p in found] == [0.625, 1.0]
