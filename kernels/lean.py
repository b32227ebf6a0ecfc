"""Numba without what plain loops over numbers do not need.

Numba would compile a function anew for every constant it is called with (``put_id(c, 0, s)``,
``put_id(c, 1, s)``) and run passes that only arrays and closures need. Neither serves functions of integers;
without both the compiled engine is ready in a third of the time.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode


class _Pipeline(CompilerBase):
    """Numba's passes, less those for arrays, closures, generators and context managers."""

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("lean")
        for step in (
            TranslateByteCode,
            FixupArgs,
            IRProcessing,
            ReconstructSSA,
            NopythonTypeInference,
            AnnotateTypes,
            PreLowerStripPhis,
            NativeLowering,
            NoPythonBackend,
        ):
            passes.add_pass(step, step.__doc__ or step.__name__)
        passes.finalize()
        return [passes]


def jit(function: Any) -> Any:
    """Compile a function of numbers that only compiled code calls."""
    dispatcher = njit(
        function,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=_Pipeline,
    )
    resolve = dispatcher.get_call_template

    def without_constants(args: Any, kws: Any) -> Any:
        return resolve(tuple(types.unliteral(a) for a in args), kws)

    dispatcher.get_call_template = without_constants
    return dispatcher
