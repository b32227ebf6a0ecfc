"""The kernel cache on disk, each case in fresh processes with a folder of its own."""

import ast
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import jitgrad
from jitgrad import kernels
from jitgrad.kernels import cache

# counts what is compiled: every kernel that is made, and nothing that is read, goes through cache.save
COUNTED = """
from jitgrad.kernels import cache
made, save = [], cache.save
cache.save = lambda name, value: (made.append(name), save(name, value))[1]
"""

# a kernel of each maker (staged IR, plain Python) and no engine: quick
KERNELS = (
    COUNTED
    + """
from jitgrad.kernels import BY_NAME, abi, op_kernels
for name, dtype in (("tanh", abi.FLOAT32), ("cumsum", abi.FLOAT32)):
    assert op_kernels.compile_kernel(BY_NAME[name].code, 0, dtype)
print(len(made))
"""
)

# the whole engine: a gradient, checked
ENGINE = (
    COUNTED
    + """
import jitgrad
x = jitgrad.tensor([0.5, -1.0, 2.0], requires_grad=True)
(x * x + x.tanh() * 0.0).sum().backward()
assert x.grad.tolist() == [1.0, -2.0, 4.0], x.grad
cycle = [x]
cycle.append(cycle)  # so that a tensor dies at the very end of the process, after the modules
print(len(made))
"""
)

GENERATIONS = """
import jitgrad
from jitgrad.kernels import cache
print(cache.generation("engine"), cache.generation("kernels"))
"""


def start(code, folder, **variables):
    """A Python process with `folder` as its kernel cache."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JITGRAD_", "NUMBA_"))}
    environment |= {"JITGRAD_CACHE_DIR": str(folder)} | variables
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],  # nothing is imported from the folder it starts in
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tempfile.gettempdir(),
    )


def finish(process):
    """The standard output of a process that must succeed in silence."""
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    return output.strip()


def run(code, folder, **variables):
    return finish(start(code, folder, **variables))


def written(folder):
    """Every file below a folder with its time of change."""
    return {p: p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.slow
def test_four_processes_fill_an_empty_cache_at_once_and_a_fifth_compiles_nothing(tmp_path):
    folder = tmp_path / "cache"
    together = [start(ENGINE, folder) for _ in range(4)]
    assert all(int(finish(process)) > 0 for process in together)
    before = written(folder)
    assert all(p.name.endswith(".kernel") and not p.name.startswith(".") for p in before)
    assert run(ENGINE, folder) == "0"
    assert written(folder) == before


def test_a_second_process_compiles_no_kernel(tmp_path):
    assert run(KERNELS, tmp_path / "cache") == "2"
    before = written(tmp_path)
    assert run(KERNELS, tmp_path / "cache") == "0"
    assert written(tmp_path) == before


@pytest.mark.parametrize(
    ("word", "enabled"),
    [("off", False), ("0", False), ("no", False), ("FALSE", False), ("on", True), ("", True)],
)
def test_a_variable_switches_the_cache_off(monkeypatch, word, enabled):
    monkeypatch.setenv("JITGRAD_CACHE", word)
    assert cache.enabled() is enabled


def test_a_cache_that_is_switched_off_writes_nothing(tmp_path):
    assert run(KERNELS, tmp_path / "cache", JITGRAD_CACHE="off") == "2"
    assert written(tmp_path) == {}


def test_a_cache_that_is_switched_off_is_not_read(tmp_path):
    run(KERNELS, tmp_path / "cache")
    assert run(KERNELS, tmp_path / "cache", JITGRAD_CACHE="off") == "2"


def below_a_file(tmp_path):
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "cache"


def in_proc(tmp_path):
    return Path("/proc/jitgrad-cache")


def without_permission(tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o500)
    return folder / "cache"


@pytest.mark.parametrize("place", [below_a_file, in_proc, without_permission], ids=lambda f: f.__name__)
def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path, place):
    folder = place(tmp_path)
    assert run(KERNELS, folder) == "2"
    if place is not without_permission or os.geteuid():  # root may write anywhere
        assert run(KERNELS, folder) == "2"


def test_a_full_cache_that_cannot_be_written_is_still_read(tmp_path):
    folder = tmp_path / "cache"
    run(KERNELS, folder)
    paths = [folder, *(p for p in folder.iterdir())]
    for p in paths:
        p.chmod(0o500)
    assert run(KERNELS, folder) == "0"
    for p in paths:
        p.chmod(0o700)


DAMAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "noise": lambda data: bytes(range(256)) * 16,
    "zeros": lambda data: bytes(len(data)),
    "another object": lambda data: pickle.dumps({"not": "a kernel"}),
    "text": lambda data: b"cos\nsystem\n",
    "one bit in the middle": lambda data: flipped(data, len(data) // 2),
    "one bit near the end": lambda data: flipped(data, len(data) - 20),
}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_loaded(monkeypatch, tmp_path, damage):
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path))
    code = os.urandom(1000)
    cache.save("kernel", code)
    assert cache.load("kernel") == code
    (path,) = written(tmp_path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert cache.load("kernel") is None
    cache.save("kernel", code)
    assert cache.load("kernel") == code


@pytest.mark.slow
def test_damaged_kernels_are_compiled_again(tmp_path):
    folder = tmp_path / "cache"
    run(KERNELS, folder)
    for p in written(folder):
        p.write_bytes(flipped(p.read_bytes(), p.stat().st_size // 2))
    assert run(KERNELS, folder) == "2"
    assert run(KERNELS, folder) == "0"


def copied_package(tmp_path):
    """A copy of the installed package that a process finds first with it as PYTHONPATH."""
    package = tmp_path / "site" / "jitgrad"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(jitgrad.__file__).parent, package, ignore=ignore)
    shutil.copytree(Path(kernels.__file__).parent, package / "kernels", ignore=ignore, dirs_exist_ok=True)
    return package


def generations(folder, **variables):
    engine, kernel = run(GENERATIONS, folder, **variables).split()
    return engine, kernel


def changed(path):
    path.write_text(path.read_text() + "\n# changed\n")


def test_a_change_of_source_leads_to_another_generation(tmp_path):
    package = copied_package(tmp_path)
    variables = {"PYTHONPATH": str(package.parent)}
    before = generations(tmp_path / "cache", **variables)
    for file, engine_stays, kernels_stay in (
        ("kernels/elementwise.py", True, False),
        ("kernels/abi.py", False, False),
        ("kernels/compiler.py", False, False),
        ("engine/record.py", False, True),
        ("nn/linear.py", True, True),
    ):
        changed(package / file)
        after = generations(tmp_path / "cache", **variables)
        stayed = (before[0] == after[0], before[1] == after[1])
        assert stayed == (engine_stays, kernels_stay), file
        before = after


@pytest.mark.slow
def test_a_kernel_is_compiled_again_after_a_change_of_source(tmp_path):
    package = copied_package(tmp_path)
    variables = {"PYTHONPATH": str(package.parent)}
    assert run(KERNELS, tmp_path / "cache", **variables) == "2"
    assert run(KERNELS, tmp_path / "cache", **variables) == "0"
    changed(package / "kernels" / "elementwise.py")
    assert run(KERNELS, tmp_path / "cache", **variables) == "2"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_FEATURES": "+neon" if cache.sys.platform == "darwin" else "+sse2"},
    ],
    ids=["name", "features"],
)
def test_a_change_of_cpu_leads_to_another_generation(tmp_path, variables):
    here, there = generations(tmp_path / "cache"), generations(tmp_path / "cache", **variables)
    assert here[0] != there[0] and here[1] != there[1]
    run(KERNELS, tmp_path / "cache")
    assert run(KERNELS, tmp_path / "cache", **variables) == "2"


@pytest.mark.parametrize("package", ["numpy", "numba", "llvmlite"])
@pytest.mark.parametrize("group", ["engine", "kernels"])
def test_another_version_of_a_dependency_leads_to_another_generation(monkeypatch, package, group):
    compute = cache.generation.__wrapped__
    here = compute(group)
    monkeypatch.setattr(f"{package}.__version__", "0.0.other")
    assert compute(group) != here
    monkeypatch.undo()
    assert compute(group) == here


def test_a_source_that_changes_under_a_running_process_keeps_it_from_the_cache(tmp_path):
    package = copied_package(tmp_path)
    variables = {"PYTHONPATH": str(package.parent)}
    # the process has read the old text; what it compiles must not be kept under the new text's name
    edit = f"import pathlib; p = pathlib.Path({str(package / 'kernels' / 'elementwise.py')!r})\n"
    edit += "import time; time.sleep(0.05); p.write_text(p.read_text() + '# changed')\n"
    run(KERNELS.replace("for name", edit + "for name"), tmp_path / "cache", **variables)
    assert written(tmp_path / "cache") == {}
    assert run(KERNELS, tmp_path / "cache", **variables) == "2"


def test_the_root_follows_the_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JITGRAD_CACHE_DIR", "~/here")
    assert cache.root() == tmp_path / "here"
    monkeypatch.delenv("JITGRAD_CACHE_DIR")
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.root() == tmp_path / "xdg" / "jitgrad"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == tmp_path / ".cache" / "jitgrad"


def test_clearing_takes_every_generation_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path))
    for generation in ("engine-0123", "kernels-4567", "kernels-89ab"):
        (tmp_path / generation).mkdir()
        (tmp_path / generation / "a.kernel").write_bytes(b"x")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    (tmp_path / "kernels-list.txt").write_text("keep")
    assert cache.clear() == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kernels-list.txt", "notes"]
    assert cache.clear() == 0


def test_files_of_a_process_that_died_while_writing_are_not_read(tmp_path):
    folder = tmp_path / "cache"
    run(KERNELS, folder)
    for p in list(written(folder)):
        p.rename(p.with_name(f".{p.stem}.abandoned"))
    assert run(KERNELS, folder) == "2"


def test_the_engines_key_covers_every_kernel_module_that_the_engine_uses():
    hashed = {path.name for path in cache.source_files("engine")}
    engine = Path(jitgrad.__file__).parent / "engine"
    used = {
        f"{node.module.split('.')[-1]}.py"
        for path in engine.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 2 and (node.module or "").startswith("kernels.")
    }
    assert used
    assert used <= hashed
