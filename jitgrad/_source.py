"""Where `jitgrad.kernels` lies when this package is imported from a source tree.

Installed, the kernels are a folder of this package. In a source tree they lie beside it, and Python started there
finds this package before the installed one, so it has to be told.
"""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(__file__)


def _load_kernels(folder: str) -> None:
    """Import the package in `folder` as ``jitgrad.kernels``."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(
        "jitgrad.kernels", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules["jitgrad.kernels"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["jitgrad"].kernels = module  # type: ignore[attr-defined]


if not os.path.isdir(os.path.join(_HERE, "kernels")):
    _load_kernels(os.path.join(os.path.dirname(_HERE), "kernels"))
