"""Compiled functions stay sound when the interpreter ends, in whatever order it lets go of modules."""

from __future__ import annotations

import os
import subprocess
import sys

# as the interpreter does at its end: modules are emptied, and what they held is given back and used again, while
# functions that others hold are still visited by the collector
SCRIPT = """
import ctypes, gc
import jitgrad
from jitgrad.engine.entry import entries
from jitgrad.kernels import wrapper

jitgrad.ones(2) + 1
function = entries.prepare
definition = ctypes.c_void_p.from_address(id(function) + object.__basicsize__).value
vars(wrapper).clear()
gc.collect()
filler = [float(k) for k in range(200_000)]
name = ctypes.c_char_p.from_address(definition).value
assert name == function.__name__.encode() and name.endswith(b"prepare"), name
"""


def test_definitions_of_compiled_functions_outlive_their_module():
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
