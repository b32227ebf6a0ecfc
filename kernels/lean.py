"""Numba without what plain loops over numbers do not need.

Numba would compile a function anew for every constant it is called with (``put_id(c, 0, s)``,
``put_id(c, 1, s)``) and run passes that only arrays and closures need. Neither serves functions of integers;
without both the compiled engine is ready in a third of the time.
It would also work out anew, at every place, what ``+`` of two integers is; `remembered` makes it do so once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from numba import njit, types
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.ssa import reconstruct_ssa
from numba.core.transforms import canonicalize_cfg
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.types.functions import BaseFunction
from numba.core.untyped_passes import FixupArgs, ReconstructSSA, TranslateByteCode


@register_pass(mutates_CFG=True, analysis_only=False)
class _Assignments(ReconstructSSA):
    """Give every assignment of a variable a name of its own."""

    _name = "lean_assignments"

    def run_pass(self, state: Any) -> bool:
        code = state.func_ir
        code.blocks = canonicalize_cfg(code.blocks)
        state.func_ir = code = reconstruct_ssa(code)
        code._definitions = build_definitions(code.blocks)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Joins(PreLowerStripPhis):
    """Put what comes together from several blocks into one variable in each of them."""

    _name = "lean_joins"

    def run_pass(self, state: Any) -> bool:
        state.func_ir = code = self._strip_phi_nodes(state.func_ir)
        code._definitions = build_definitions(code.blocks)
        return True


class Pipeline(CompilerBase):
    """Numba's passes, less those for arrays, closures, generators and context managers.

    Numba would also find out after some of them how long each variable lives, for generators and for counting
    references. Numbers have no use for it, and it took a tenth of the time before LLVM.
    """

    def define_pipelines(self) -> list[PassManager]:
        """The passes in their order."""
        passes = PassManager("lean")
        for step in (
            TranslateByteCode,
            FixupArgs,
            _Assignments,
            NopythonTypeInference,
            AnnotateTypes,
            _Joins,
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
        pipeline_class=Pipeline,
    )
    resolve = dispatcher.get_call_template

    def without_constants(args: Any, kws: Any) -> Any:
        return resolve(tuple(types.unliteral(a) for a in args), kws)

    dispatcher.get_call_template = without_constants
    return dispatcher


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Let Numba resolve each builtin function or operator once for the same operand types.

    The answer depends on nothing else, and Numba keeps what lowering needs of it with the function's type.
    """
    resolve = BaseFunction.get_call_type
    known: dict[tuple[Any, Any], Any] = {}

    def resolve_once(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws:
            return resolve(self, context, args, kws)
        key = self, args
        if key not in known:
            known[key] = resolve(self, context, args, kws)
        return known[key]

    BaseFunction.get_call_type = resolve_once
    try:
        yield
    finally:
        BaseFunction.get_call_type = resolve
