"""The exceptions of operations that the engine refuses: what was expected, what came, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from .dtypes import DTYPES
from .engine import layout
from .kernels.table import ARRAYS, Op
from .slots import slot_dtype, slot_shape
from .store import raise_out_of_memory
from .user_frames import called_as


def refuse_bool(op: Op) -> NoReturn:
    """An operand is a bool, which the operation does not take though it takes integers."""
    raise RuntimeError(f"{called_as(op.name)}: {op.bool_error}")


def refuse_dtype(op: Op, operands: Sequence[Any], into: int) -> NoReturn:
    """No kernel fits the operands' dtypes."""
    got = ", ".join(x.dtype.name for x in operands if x is not None)
    wanted = []
    for name, d in zip(op.operands, op.operand_dtypes, strict=True):
        choice = op.dtypes if d == layout.SAME else (d,)
        wanted.append(f"{name}: {' or '.join(DTYPES[c].name for c in choice)}")
    where = f" into {slot_dtype(into).name}" if into else ""
    raise NotImplementedError(
        f"{called_as(op.name)}: not implemented for ({got}){where}; expected {'; '.join(wanted)}"
    )


def refuse(op: Op, operands: Sequence[Any], status: int, into: int) -> NoReturn:
    """Raise what a status means, naming the operation, what was expected and what came."""
    shapes = [tuple(x.shape) for x in operands if x is not None]
    name, in_place = called_as(op.name), called_as(f"{op.name}_")
    if status == layout.OUT_OF_MEMORY:
        raise_out_of_memory()
    if status == layout.LEAF_IN_PLACE:
        raise RuntimeError(
            f"{in_place}: a leaf Variable that requires grad is being used in an in-place operation; "
            "do it under torch.no_grad(), or use the operation without the underscore"
        )
    if status == layout.SHARED_PLACES:
        raise RuntimeError(
            f"{in_place}: unsupported operation: more than one element of the written-to tensor refers to a single "
            "memory location. Please clone() the tensor before performing the operation"
        )
    if status == layout.STALE_VIEW:
        refuse_stale_view(name)
    if status == layout.INFERENCE_SAVED:
        raise RuntimeError(f"{name}: {INFERENCE_SAVED}")
    if status == layout.INFERENCE_IN_PLACE:
        raise RuntimeError(
            f"{in_place}: Inplace update to inference tensor outside InferenceMode is not allowed. You can make a "
            "clone to get a normal tensor before doing inplace update"
        )
    if status == layout.BAD_SHAPE:
        if op.kind == ARRAYS:
            refuse_contraction(op, shapes)
        refuse_broadcast(in_place if into else name, shapes, slot_shape(into) if into else None)
    raise RuntimeError(f"{name}: the engine refused the call (status {status}) for shapes {shapes}")


INFERENCE_SAVED = (
    "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
    "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it "
    "in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`"
)


def refuse_stale_view(name: str) -> NoReturn:
    """An operand is a view whose base has been overwritten in a recorded operation since."""
    raise RuntimeError(
        f"{name}: an operand is a view made before its base was modified in place; the view's history does not "
        "contain that write. Make the view again after the write, or clone() it before"
    )


def refuse_broadcast(name: str, shapes: list[tuple], target: tuple | None) -> NoReturn:
    """The shapes do not broadcast together, or not to the tensor that is written into."""
    dims = max(len(s) for s in shapes)
    for back in range(1, dims + 1):
        sizes = list(dict.fromkeys(s[-back] for s in shapes if len(s) >= back and s[-back] != 1))
        if len(sizes) > 1:
            texts = " and ".join(str(s) for s in shapes)
            raise RuntimeError(
                f"{name}: The size of tensor a ({sizes[0]}) must match the size of tensor b ({sizes[1]}) at "
                f"non-singleton dimension {dims - back}: shapes {texts} do not broadcast; sizes must be equal or 1, "
                "counted from the last dimension"
            )
    raise RuntimeError(
        f"{name}: output with shape {list(target or ())} doesn't match the broadcast shape "
        f"of {' and '.join(str(s) for s in shapes)}; use the operation without the underscore"
    )


def refuse_contraction(op: Op, shapes: list[tuple]) -> NoReturn:
    """The shapes of a matrix product do not fit."""
    name, texts = called_as(op.name), " @ ".join(str(s) for s in shapes[:2])
    if op.rule == layout.RULE_LINEAR:
        raise RuntimeError(
            f"{name}: mat1 and mat2 shapes cannot be multiplied: input {shapes[0]}, weight {shapes[1]}"
            + (f", bias {shapes[2]}" if len(shapes) > 2 else "")
            + "; expected input (..., in), weight (out, in), bias (out,)"
        )
    raise RuntimeError(
        f"{name}: mat1 and mat2 shapes cannot be multiplied: inner sizes differ: {texts}; "
        "the last size of the first must equal the last but one of the second, and batch sizes must match"
    )
