"""Calling one operation: the fast way in, and the slow way when the engine says that something is missing.

The fast way is one compiled call that returns a slot. A negative status means that nothing has happened: a
kernel has to be compiled, a table has to grow, dtypes have to be promoted, or the operands are wrong.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .dtypes import DTYPES, category, dtype, get_default_dtype, number_category, promote_types
from .engine import layout
from .engine.entry import entries
from .engine.layout import S_DIMS, S_DTYPE, S_FLAGS, SLOT_WORDS, WRAPPED
from .kernels import BY_NAME, OPS, ROLES
from .kernels.table import ARRAYS, Op, identity
from .refusals import refuse, refuse_bool, refuse_dtype, refuse_stale_view
from .slots import slot_dtype
from .store import raise_out_of_memory, store

if TYPE_CHECKING:
    from ._tensor import Tensor

CONTEXT = store.context
_READS = {"y": layout.USE_OUTPUT, "g": layout.USE_COTANGENT}
_READS |= {f"y{k}": layout.USE_OUTPUT << k for k in range(1, layout.MAX_OUTPUTS)}


def entered_as(op: Op, common: dtype) -> dtype | None:
    """The dtype in which operands that combine in `common` enter an operation; None for the default one.

    Integers and bools enter an operation on integers as int64, others as the default floating dtype.
    """
    if common.code in op.dtypes or common.is_floating_point:
        return common
    return DTYPES[3] if DTYPES[3].code in op.dtypes else None


def publish(op: Op) -> None:
    """Write one operation's line of the engine's table."""
    store.grow_ops(op.code + 1)
    line = store.ops[op.code]
    line["kind"] = op.kind
    line["inputs"] = 0 if op.operands == ("*",) else len(op.operands)
    line["main"] = op.main
    for k, code in enumerate(op.operand_dtypes[: layout.MAX_OPERANDS]):
        line["input_dtype"][k] = code
    line["output_dtype"][:] = layout.SAME
    line["output_dtype"][0] = op.result
    line["differentiable"] = op.differentiable()
    line["underivable"] = op.underivable
    line["rule"] = op.rule
    line["picks"] = op.picks
    bits = {name: 1 << k for k, name in enumerate(op.operands)} | _READS
    for k, name in enumerate(op.operands[: layout.USES]):
        uses = sum(bits[read] for read in op.reads(name) if read in bits)
        if op.underivable or op.gradients.get(name) is identity:  # no kernel is needed
            uses |= layout.USE_PASS
        line["uses"][k] = uses
    line["entered"][:] = layout.ENTERS_NOT
    if op.kind != ARRAYS and set(op.operand_dtypes) == {layout.SAME}:
        for d in DTYPES[1:] if op.bool_error else DTYPES:
            kind = entered_as(op, d)
            line["entered"][d.code] = layout.ENTERS_DEFAULT if kind is None else kind.code


for _op in OPS:
    publish(_op)
for _role, _name in ROLES.items():
    store.set_field(_role, BY_NAME[_name].code)


def result_type(operands: Sequence[Any]) -> dtype:
    """The dtype in which operands (tensors and Python numbers) combine, by PyTorch's rules.

    Tensors with dimensions decide; one without counts only when its category (bool, integer, floating) is
    higher, and so does a number, which then brings its default dtype.
    """
    best: list[dtype | None] = [None, None, None]  # with dimensions, without, numbers
    for x in operands:
        if hasattr(x, "_slot"):
            at = x._slot * SLOT_WORDS
            words = store.slots
            d = DTYPES[words[at + S_DTYPE]]
            rank = 2 if words[at + S_FLAGS] & WRAPPED else (0 if words[at + S_DIMS] else 1)
        else:
            d = (DTYPES[0], DTYPES[3], get_default_dtype())[number_category(x)]
            rank = 2
        known = best[rank]
        best[rank] = d if known is None else promote_types(known, d)
    result: dtype | None = None
    for d in best:
        if d is not None and (result is None or category(d) > category(result)):
            result = d
    assert result is not None
    return result


def complete(op: Op, operands: Sequence[Any], words: array | None, into: int, status: int) -> int:
    """Finish a call that the fast way could not: returns the slot, or raises."""
    slots = [0 if x is None else x._slot for x in operands]
    slots += [0] * (layout.MAX_OPERANDS - len(slots))
    address, count = words.buffer_info() if words is not None else (0, 0)
    held = list(operands)
    while status < 0:
        if status == layout.BAD_DTYPE or (status == layout.NEED_KERNEL and _lacks_kernel(op)):
            cast = promoted(op, held, into)
            if all(a is b for a, b in zip(cast, held, strict=True)):
                refuse_dtype(op, operands, into)
            held = cast
            slots[: len(held)] = [0 if x is None else x._slot for x in held]
        else:
            status = settle(op, held, status, into, lambda given, where: call_words(op, given, words, where))
            if status >= 0:
                return status
        status = entries.apply(CONTEXT, op.code, into, *slots, address, count)
    return status


def settle(
    op: Op, operands: Sequence[Any], status: int, into: int, run: Callable[[Sequence[Any], int], int]
) -> int:
    """Answer a call's status other than BAD_DTYPE: returns the slot, or the status when the call is to be repeated.

    `run` makes the call on other operands, into another place (0 for none), and returns the slot.
    """
    if status == layout.COPY_OPERANDS:  # of those that the write in place would spoil
        bits = store.detail()[0]
        spared = [x.clone() if x is not None and (bits >> k) & 1 else x for k, x in enumerate(operands)]
        return run(spared, into)
    if status == layout.SHARED_PLACES and op.replaces and operands[1].numel() == 1:
        from .aliases import without_repetitions

        once = without_repetitions(into)
        if once is not None:
            run((once, operands[1]), once._slot)
            return into
    if status == layout.VIEW_IN_PLACE:
        from .aliases import write

        return write(op.name, into, operands, lambda given: run(given, 0))
    if not store.mend(status):
        refuse(op, operands, status, into)
    return status


def _lacks_kernel(op: Op) -> bool:
    """Whether the kernel that the engine asked for is one that the operation does not have."""
    code, _variant, kind = store.detail()[:3]
    return code == op.code and kind not in op.dtypes


def promoted(op: Op, operands: Sequence[Any], into: int) -> list[Any]:
    """The operands cast to the dtypes in which the operation can run."""
    free = [x for x, d in zip(operands, op.operand_dtypes, strict=True) if d == layout.SAME]
    common = result_type([x for x in free if x is not None])
    if op.bool_error and any(x is not None and x.dtype.code == 0 for x in free):
        refuse_bool(op)
    common = entered_as(op, common) or get_default_dtype()
    if into and common.code != store.slots[into * SLOT_WORDS + S_DTYPE]:
        target = slot_dtype(into)
        if op.result == layout.SAME and category(common) > category(target):
            raise RuntimeError(
                f"{op.name}_: result type {common.name} can't be cast to the desired output type "
                f"{target.name}; use the operation without the underscore, or convert the tensor first"
            )
        common = target
    if common.code not in op.dtypes:
        refuse_dtype(op, operands, into)
    return [
        x if x is None or d != layout.SAME else x._cast(common)
        for x, d in zip(operands, op.operand_dtypes, strict=True)
    ]


def call(op: Op, operands: Sequence[Tensor | None], floats: Sequence[float] = (), into: int = 0) -> int:
    """Run an elementwise operation, or an array operation with a shape rule; returns the slot."""
    if floats:
        return call_words(op, operands, array("q", array("d", floats).tobytes()), into)
    a, b = operands if len(operands) == 2 else (None, None)
    if a is not None and b is not None:
        slot = entries.apply(CONTEXT, op.code, into, a._slot, b._slot, 0, 0, 0, 0)
        return slot if slot >= 0 else complete(op, operands, None, into, slot)
    return call_words(op, operands, None, into)


def call_words(op: Op, operands: Sequence[Tensor | None], words: array | None, into: int = 0) -> int:
    """`call` with the attribute words given."""
    slots = [0 if x is None else x._slot for x in operands]
    slots += [0] * (layout.MAX_OPERANDS - len(slots))
    address, count = words.buffer_info() if words is not None else (0, 0)
    slot = entries.apply(CONTEXT, op.code, into, *slots, address, count)
    return slot if slot >= 0 else complete(op, operands, words, into, slot)


_reduce_words: dict[tuple[int, int], array] = {}


def reduce(op: Op, x: Tensor, mask: int, keep: bool) -> int:
    """Run a reduction over the dimensions whose bits are set; returns the slot."""
    words = _reduce_words.get((mask, keep))
    if words is None:
        words = _reduce_words[mask, keep] = array("q", (mask, int(keep)))
    address, count = words.buffer_info()
    slot = entries.apply(CONTEXT, op.code, 0, x._slot, 0, 0, 0, address, count)
    return slot if slot >= 0 else complete(op, (x,), words, 0, slot)


VIEW_CODE = 1 << 20  # rows of views carry a code from here on where others carry their operation
VIEW_NAMES: list[str] = []
_view_codes: dict[str, int] = {}


def view_code(what: str) -> int:
    """The code that rows of views carry which are called `what` in ``grad_fn``."""
    code = _view_codes.get(what)
    if code is None:
        code = _view_codes[what] = VIEW_CODE + len(VIEW_NAMES)
        VIEW_NAMES.append(what)
    return code


def view(kind: int, x: Tensor, words: array, what: str) -> int:
    """Make a view, called `what` in ``grad_fn``; returns its slot, or NOT_VIEWABLE."""
    address, count = words.buffer_info()
    code = view_code(what)
    while True:
        slot = entries.make_view(CONTEXT, kind, code, x._slot, address, count)
        if slot >= 0 or slot == layout.NOT_VIEWABLE:
            return slot
        if slot == layout.STALE_VIEW:
            refuse_stale_view(what)
        if not store.mend(slot):
            raise RuntimeError(f"{what}: the engine refused the view (status {slot}) of {tuple(x.shape)}")


OUTPUT_WORDS = 2 + layout.MAX_DIMS  # of a result's description: dtype, dimensions, sizes


def described(outputs: Iterable[tuple[int, Sequence[int]]]) -> array:
    """What the engine reads about the results of an array operation: for each the code of its dtype, and its shape.

    A call leaves the slot of a result where its dtype was, so they stand OUTPUT_WORDS apart.
    """
    words = array("q")
    for code, shape in outputs:
        words.extend((code, len(shape), *shape, *(0,) * (layout.MAX_DIMS - len(shape))))
    return words


def arrays(
    op: Op,
    operands: Sequence[Tensor | None],
    outputs: Sequence[tuple[dtype, Sequence[int]]],
    words: Sequence[int] = (),
    into: int = 0,
) -> list[int]:
    """Run an array operation whose output shapes are known; returns the output slots.

    Operands must already have the dtypes that the operation declares. Float attributes travel by their bits.
    """
    ids = array("q", [0 if x is None else x._slot for x in operands])
    results = described([(kind.code, shape) for kind, shape in outputs])
    attributes = array("q", words)
    main = next(
        (x for x, d in zip(operands, _dtypes_of(op, operands), strict=True) if x is not None and d < 0), None
    )
    key = main.dtype.code if main is not None else outputs[0][0].code
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, key, into, len(ids), ids.buffer_info()[0], len(outputs),
            results.buffer_info()[0], *attributes.buffer_info(),
        )  # fmt: skip
        if slot >= 0:
            return [slot, *results[OUTPUT_WORDS::OUTPUT_WORDS]]
        slot = settle(
            op, operands, slot, into, lambda given, where: arrays(op, given, outputs, words, where)[0]
        )
        if slot >= 0:
            return [slot]


def _dtypes_of(op: Op, operands: Sequence[Any]) -> Sequence[int]:
    return [-1] * len(operands) if op.operands == ("*",) else op.operand_dtypes


def demand(entry: str, *args: int) -> int:
    """Call an entry that can only ask for table space; returns its result."""
    return insist(entry, CONTEXT, *args)


def insist(entry: str, *args: Any) -> Any:
    """`demand` of an entry that takes objects or makes them, and no context."""
    while True:
        result = getattr(entries, entry)(*args)
        if type(result) is not int or result >= 0:
            return result
        if not store.mend(result):
            if result == layout.OUT_OF_MEMORY:
                raise_out_of_memory()
            raise RuntimeError(f"{entry}: the engine refused the call (status {result})")
