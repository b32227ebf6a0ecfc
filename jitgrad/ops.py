"""From the op table to the compiled engine: fills its tables, and calls one operation by code."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from .engine import layout
from .engine.entry import entries
from .kernels import BY_NAME, OPS, ROLES
from .kernels.table import Op
from .store import store

if TYPE_CHECKING:
    from collections.abc import Sequence

_BITS = {"y": layout.USE_OUTPUT, "g": layout.USE_COTANGENT}


def publish(op: Op) -> None:
    """Write one operation's line of the engine's table."""
    from .kernels.table import identity

    line = store.ops[op.code]
    line["kind"] = op.kind
    line["inputs"] = len(op.operands)
    line["main"] = op.main
    for k, dtype in enumerate(op.operand_dtypes[: layout.MAX_OPERANDS]):
        line["input_dtype"][k] = dtype
    line["output_dtype"][:] = layout.SAME
    line["output_dtype"][0] = op.result
    line["differentiable"] = op.differentiable()
    line["rule"] = op.rule
    bits = {name: 1 << k for k, name in enumerate(op.operands)} | _BITS
    for k, name in enumerate(op.operands[: layout.MAX_OPERANDS]):
        uses = sum(bits[read] for read in op.reads(name) if read in bits)
        if op.gradients.get(name) is identity:
            uses |= layout.USE_PASS
        line["uses"][k] = uses


def publish_all() -> None:
    """Fill the engine's table from the declarations."""
    for op in OPS:
        publish(op)
    for role, name in ROLES.items():
        store.set_field(role, BY_NAME[name].code)


publish_all()
NO_WORDS = 0
