"""The package keeps its parts apart, complete and light to import."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jitgrad
from jitgrad import kernels

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(jitgrad.__file__).parent
KERNELS = Path(kernels.__file__).parent

TOP_LEVEL = {
    *(".ci", ".gitignore", "LICENSE", "README.md", "pyproject.toml"),
    *("benchmarks", "jitgrad", "kernels", "tests"),
}
MADE_BY_TOOLS = {
    *(".git", ".venv", ".benchmarks", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__"),
    *("build", "dist", "jitgrad.egg-info", "jitgrad-runs"),
    *("PKG-INFO", "setup.cfg"),  # in an unpacked sdist
}
HEAVY = (
    "sklearn",
    "matplotlib",
    "tqdm",
    "torch",
    "scipy",
    "pandas",
    "llvmlite.binding",
    "numba.core.compiler",
)

INSTRUCTIONS = {"add", "trunc"}  # LLVM's, which an operation happens to share its name with

KERNEL_FILES = sorted(KERNELS.glob("*.py"))
ENGINE_FILES = [*sorted((PACKAGE / "engine").glob("*.py")), PACKAGE / "store.py", PACKAGE / "dispatch.py"]


def imports(path):
    """Every import in a file as (level, module): level counts the leading dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def strings(path):
    """Every string constant of a file that is not a docstring."""
    tree = ast.parse(path.read_text())
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


@pytest.mark.parametrize("path", KERNEL_FILES, ids=lambda p: p.name)
def test_kernels_import_nothing_of_the_engine(path):
    outside = [(level, name) for level, name in imports(path) if level > 1 or name.split(".")[0] == "jitgrad"]
    assert outside == []


@pytest.mark.parametrize("path", ENGINE_FILES, ids=lambda p: p.name)
def test_the_engine_names_no_operation(path):
    assert sorted((set(strings(path)) & set(kernels.BY_NAME)) - INSTRUCTIONS) == []


def test_the_top_level_holds_only_what_was_agreed():
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the tests lie apart from the project")
    found = {p.name for p in ROOT.iterdir()} - MADE_BY_TOOLS
    assert found - TOP_LEVEL == set()
    assert {"jitgrad", "kernels", "tests", "README.md", "LICENSE", "pyproject.toml"} - found == set()


def test_every_package_folder_is_listed_for_installation():
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("the tests lie apart from the project")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {p.parent for p in (ROOT / "jitgrad").rglob("*.py")}
    expected = {".".join(f.relative_to(ROOT).parts) for f in folders} | {
        "jitgrad.kernels",
        "jitgrad.benchmarks",
    }
    assert set(listed) == expected
    beside = [p for f in ("kernels", "benchmarks") for p in (ROOT / f).iterdir()]
    assert not [p for p in beside if p.is_dir() and p.name != "__pycache__"]


def test_the_type_marker_is_installed():
    assert (PACKAGE / "py.typed").exists()


def module_names():
    found = {
        m.name for m in pkgutil.walk_packages(jitgrad.__path__, "jitgrad.") if not m.name.endswith("__main__")
    }
    return sorted(found | {m.name for m in pkgutil.iter_modules(kernels.__path__, "jitgrad.kernels.")})


PEERS = ("jax", "optax", "torch")  # that modules of the benchmarks import at once


@pytest.mark.parametrize("name", module_names())
def test_every_module_can_be_imported(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if not name.startswith("jitgrad.benchmarks.") or missing.name not in PEERS:
            raise
        pytest.skip(f"a peer is not installed: {missing.name}")
    assert module.__doc__, f"{name} has no docstring"


@pytest.mark.skipif(not (ROOT / "kernels").is_dir(), reason="needs a source tree")
def test_a_source_tree_can_be_imported_as_it_lies():
    code = "import jitgrad, jitgrad.kernels.gemm as g; print(jitgrad.kernels.__file__); print(g.__name__)"
    # -S: no site-packages, so what is installed there cannot help
    numpy_and_numba = os.pathsep.join(p for p in sys.path if p.endswith("site-packages"))
    code = f"import sys; sys.path += {numpy_and_numba.split(os.pathsep)!r}; {code}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == [str(ROOT / "kernels" / "__init__.py"), "jitgrad.kernels.gemm"]


def test_importing_loads_nothing_heavy_and_compiles_nothing(tmp_path):
    code = (
        "import sys, jitgrad\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "from jitgrad.kernels import compiler\n"
        "print(len(compiler._loaded))\n"
    )
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n0\n", "")
    assert not (tmp_path / "cache").exists()
