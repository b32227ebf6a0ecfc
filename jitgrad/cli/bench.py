"""``jitgrad bench``: the benchmark suite, from wherever it is installed."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from .errors import CommandError

SECTIONS = {
    "steps": "training steps of every workload on every peer",
    "scaling": "training steps with width, depth, batch and threads",
    "startup": "the way to the first step, a new shape, memory, installed size",
    "accuracy": "seconds to 97 % on digits and MNIST",
    "rows": "the rows of compiled steps against the machine's peaks",
    "ops": "operations forward and backward, from 1 to 1M elements",
    "products": "matrix products from 4 to 512 against NumPy's BLAS",
    "vectors": "exp, tanh and others, with their errors",
    "tapes": "10,000 scalar operations: recorded, replayed, backward",
    "chains": "the two protocols that SimpleChains.jl published",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the suite."""
    add = parser.add_argument
    add("--workloads", default="", metavar="W1,...", help="of the steps; by default all")
    add(
        "--peers",
        default="",
        metavar="torch,...",
        help="libraries, or ways to run steps such as jax-scan-1; by default all that are installed",
    )
    add("--threads", default="", metavar="1,2", help="numbers of threads; by default 1 and 2")
    add("--sections", default="steps", metavar="NAME,...", help="of " + ", ".join(SECTIONS) + ", or all")
    add(
        "--rounds",
        type=_positive,
        default=8,
        metavar="N",
        help="turns of every peer; 8 by default, of startup and chains at most 3",
    )
    add("--short", action="store_true", help="few rounds and small cases, as continuous integration wants it")
    add(
        "--torch-compile",
        action=argparse.BooleanOptionalAction,
        help="with torch.compile; by default where there is a C++ compiler, but not in the short form",
    )
    add(
        "--python", default=sys.executable, metavar="PATH", help="interpreter for libraries that are not here"
    )
    add("--out", type=Path, metavar="DIR", help="write bench.json, bench.md and pictures there")
    add("--readme", type=Path, metavar="FILE", help="put the table of steps and its picture into this README")
    add("--json", type=Path, metavar="FILE", help="write the numbers alone to this file")


def _positive(text: str) -> int:
    from .parser import positive_int

    return positive_int(text)


def folder() -> Path:
    """Where the suite is: in the package when installed, beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "benchmarks", package.parent / "benchmarks"):
        if (place / "suite.py").is_file():
            return place
    raise CommandError(f"the benchmark suite is not in {package}; install jitgrad anew")


def run(options: argparse.Namespace) -> int:
    """Measure, print and write."""
    # its files import one another by their plain names, because peers run them under interpreters without jitgrad
    sys.path.insert(0, str(folder()))
    return import_module("suite").run(options)
