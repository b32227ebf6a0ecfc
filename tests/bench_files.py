"""The modules of the benchmark suite, which import one another by their plain names."""

import importlib
import sys
from pathlib import Path

import jitgrad

_PACKAGE = Path(jitgrad.__file__).parent
FOLDER = next(f for f in (_PACKAGE / "benchmarks", _PACKAGE.parent / "benchmarks") if f.is_dir())


def load(name):
    """Import one of them."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)
