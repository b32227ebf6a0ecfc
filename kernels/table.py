"""The op table: every operation is declared once, and everything else derives from the declaration.

An *elementwise* operation is a formula and, for each operand, the formula of its gradient. A gradient's
parameter names say what it reads: operands by name, ``y`` for the result, ``g`` for the cotangent. Only what is
named is kept for the walk back. A *reduction* is a way to combine two numbers. An *array* operation brings
whole-array kernels, written as staged LLVM (`kernels.stage`) or as a Python function for Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from . import abi
from .batch import Batch

MAP, REDUCE, ARRAYS = range(3)
SAME = -1

# dtypes an operation has kernels for
FLOATS = (abi.FLOAT32, abi.FLOAT64)
INTEGERS = (abi.UINT8, abi.INT32, abi.INT64)
NUMBERS = INTEGERS + FLOATS
ALL = (abi.BOOL, *NUMBERS)

FORWARD, BACKWARD, BOTH = range(3)  # kernels of an operation on whole arrays, or on one operand `with_slope`

# shape rules of array operations that compiled code can apply itself
EXPLICIT, LIKE_FIRST, SCALAR, DROP_SECOND, LINEAR, MATMUL = range(6)

# what a kernel's report is about, in the cell whose address is an attribute: see `kernels.reports`
INDICES = 0  # one that is out of range: its dimension, the index and the size
CLASSES = 1  # a target that is no class, where each row of scores has one
LABELS = 2  # a target that is no class, where they lie otherwise
VALUES = 3  # values without a result: the number of the refusal, as the caller gave it
COUNTS = 4  # too few elements: places to fill, elements given
SHAPES = 5  # those of the operands, so that a call like one that went well reports nothing

Build = Callable[[str, int], Any]  # (symbol, dtype code) -> LLVM module


def loops(module: str, name: str, *options: Any) -> Build:
    """The builder ``name(dtype, *options)`` in a file that is imported when a kernel is built: it needs Numba."""

    def build(symbol: str, dtype: int) -> Any:
        return getattr(import_module(f".{module}", __package__), name)(dtype, *options)

    return build


def identity(g: Any) -> Any:
    """The gradient formula of an operand whose gradient is the cotangent itself."""
    return g


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes
    ----------
    name : str
        Name in the table, unique.
    code : int
        Its index: the op code on the tape.
    kind : int
        MAP, REDUCE or ARRAYS.
    operands : tuple of str
        Names of the operands, in order.
    attributes : tuple of str
        Names of the float attributes that follow the operands in a formula.
    dtypes : tuple of int
        Dtype codes that have kernels.
    operand_dtypes : tuple of int
        Per operand, the dtype code it must have, or SAME for the one that picks the kernel.
    result : int
        Dtype code of the result, or SAME.
    forward : callable
        The formula, or the builder of an array kernel.
    gradients : dict
        Operand name to gradient formula. For array operations, operand name to the names of the values
        that the joint backward kernel reads for it.
    backward : callable or None
        Builder of the joint backward kernel of an array operation.
    vjp : dict
        For an array operation, operand name to its gradient as a formula on tensors; see `kernels.vjps`.
    reference : callable or None
        The same operation on NumPy arrays, in float64, for tests.
    rule : int
        How compiled code finds the shape of an array operation's result.
    samples : dict
        How tests make operands: see `tests`.
    combine, initial, after : callable or None
        Of a reduction, see `reduction`.
    batch : Batch or None
        How an array operation treats the samples of a batch, when it takes them one by one.
    plan : callable or None
        What a call of an array operation's kernels comes to when shapes are known; see `kernels.planned`.
    both : callable or None
        Builder of a kernel of an array operation that goes there and back.
    with_slope : callable or None
        Of an elementwise operation, the formula of the result and its derivative, where they have much in common.
    underivable : bool
        Of an elementwise operation: its result has a history, but a walk back through it is an error.
    replaces : bool
        Of an elementwise operation: what it writes in place does not depend on what was there.
    picks : bool
        Of an array operation: of operand 0 it reads only what the others name, however large it is.
    changes : tuple of str
        Of an array operation: the operands that its forward kernel writes, too.
    reports : int
        What the forward kernel of an array operation says if it reports something.
    """

    name: str
    code: int
    kind: int
    operands: tuple[str, ...]
    attributes: tuple[str, ...]
    dtypes: tuple[int, ...]
    operand_dtypes: tuple[int, ...]
    result: int
    forward: Callable
    gradients: dict[str, Any]
    backward: Callable | None = None
    vjp: dict[str, Callable] = field(default_factory=dict)
    reference: Callable | None = None
    rule: int = EXPLICIT
    outputs: int = 1
    grad_name: str = ""
    samples: dict[str, Any] = field(default_factory=dict)
    combine: Callable | None = None
    initial: Callable | None = None
    after: Callable | None = None
    requires: tuple[Callable[[int], None], ...] = ()
    bool_error: str = ""  # why it refuses bools, when it does and integers are fine
    identity: str = ""  # of an operation declared at run time: distinguishes its kernels from any other's
    cached: bool = True  # whether `identity` says all that its code depends on, so that a disk may keep it
    batch: Batch | None = None
    plan: Callable | None = None
    both: Build | None = None
    with_slope: Callable | None = None
    underivable: bool = False
    replaces: bool = False
    picks: bool = False
    changes: tuple[str, ...] = ()
    reports: int = INDICES

    @property
    def main(self) -> int:
        """The operand whose dtype picks the kernel."""
        return self.operand_dtypes.index(SAME) if SAME in self.operand_dtypes else 0

    def differentiable(self) -> int:
        """Operands through which history flows, as bits; every operand of a variadic operation."""
        if self.underivable:
            return (1 << len(self.operands)) - 1
        if self.operands == ("*",):
            return -1 if self.gradients else 0
        return sum(1 << k for k, name in enumerate(self.operands) if name in self.gradients)

    def reads(self, operand: str) -> tuple[str, ...]:
        """Names of the values that the gradient of `operand` reads."""
        gradient = self.gradients.get(operand)
        if gradient is None:
            return ()
        if self.kind == ARRAYS:
            return tuple(gradient)
        return parameters(gradient)


OPS: list[Op] = []
BY_NAME: dict[str, Op] = {}


def parameters(function: Callable) -> tuple[str, ...]:
    """Names of a formula's positional parameters."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


def register(**fields: Any) -> Op:
    """Append an operation to the table; names are unique.

    One that is declared at run time (it has an `identity`) takes the place of the one that had its name. The
    other keeps its code, for rows of the tape, and its own name in `BY_NAME`, for kernels of programs.
    """
    identity = fields.get("identity", "")
    if fields["name"] in BY_NAME and not (identity and BY_NAME[fields["name"]].identity):
        raise ValueError(f"operation {fields['name']!r} is declared twice")
    op = Op(code=len(OPS), **fields)
    OPS.append(op)
    BY_NAME[op.name] = BY_NAME[stem(op)] = op
    return op


def stem(op: Op) -> str:
    """The name of an operation's kernels, without variant and dtype; no two operations share it."""
    return op.name + op.identity


def elementwise(
    name: str,
    forward: Callable,
    *,
    attributes: Sequence[str] = (),
    dtypes: tuple[int, ...] = FLOATS,
    operand_dtypes: dict[str, int] | None = None,
    result: int = SAME,
    reference: Callable | None = None,
    samples: dict[str, Any] | None = None,
    grad_name: str = "",
    bool_error: str = "",
    identity: str = "",
    cached: bool = True,
    with_slope: Callable | None = None,
    underivable: bool = False,
    replaces: bool = False,
    **gradients: Callable,
) -> Op:
    """Declare an elementwise operation; keyword arguments by operand name are its gradients.

    `with_slope` returns the result of one operand and its derivative, as far as programs had better keep that. An
    `underivable` operation has no gradients; a walk back through it is an error. For `replaces` see `Op`.
    """
    names = parameters(forward)
    operands = names[: len(names) - len(attributes)]
    unknown = set(gradients) - set(operands)
    if unknown:
        raise ValueError(f"{name}: gradients for unknown operands {sorted(unknown)}")
    fixed = operand_dtypes or {}
    return register(
        name=name,
        kind=MAP,
        operands=operands,
        attributes=tuple(attributes),
        dtypes=dtypes,
        operand_dtypes=tuple(fixed.get(o, SAME) for o in operands),
        result=result,
        forward=forward,
        gradients=gradients,
        reference=reference,
        samples=samples or {},
        grad_name=grad_name or camel_case(name),
        bool_error=bool_error,
        identity=identity,
        cached=cached,
        with_slope=with_slope,
        underivable=underivable,
        replaces=replaces,
    )


def reduction(
    name: str,
    *,
    initial: Callable,
    combine: Callable,
    before: Callable = lambda x: x,
    after: Callable = lambda total, n: total,
    gradient: Callable | None = None,
    attributes: Sequence[str] = (),
    dtypes: tuple[int, ...] = FLOATS,
    result: int = SAME,
    reference: Callable | None = None,
    samples: dict[str, Any] | None = None,
    grad_name: str = "",
) -> Op:
    """Declare a reduction.

    Parameters
    ----------
    initial : callable
        ``initial(dtype_code)``: the number with which the fold begins.
    combine : callable
        ``combine(a, b)``: associative and commutative up to rounding.
    before, after : callable
        Applied to each element, and to the total with the number of folded elements ``n``.
    gradient : callable, optional
        Formula over any of ``x``, ``y``, ``g``, ``n`` and the attributes; ``y`` and ``g`` are broadcast.
    """

    def forward(x: Any) -> Any:
        return before(x)

    return register(
        name=name,
        kind=REDUCE,
        operands=("x",),
        attributes=tuple(attributes),
        dtypes=dtypes,
        operand_dtypes=(SAME,),
        result=result,
        forward=forward,
        gradients={"x": gradient} if gradient else {},
        combine=combine,
        initial=initial,
        after=after,
        reference=reference,
        samples=samples or {},
        grad_name=grad_name or camel_case(name),
    )


def array_op(
    name: str,
    operands: Sequence[str],
    forward: Build,
    *,
    backward: Build | None = None,
    gradients: dict[str, Sequence[str]] | None = None,
    vjp: dict[str, Callable] | None = None,
    rule: int = EXPLICIT,
    dtypes: tuple[int, ...] = FLOATS,
    operand_dtypes: dict[str, int] | None = None,
    result: int = SAME,
    outputs: int = 1,
    requires: tuple[Callable[[int], None], ...] = (),
    reference: Callable | None = None,
    samples: dict[str, Any] | None = None,
    grad_name: str = "",
    attributes: Sequence[str] = (),
    identity: str = "",
    cached: bool = True,
    batch: Batch | None = None,
    plan: Callable | None = None,
    both: Build | None = None,
    picks: bool = False,
    changes: Sequence[str] = (),
    reports: int = INDICES,
) -> Op:
    """Declare an operation on whole arrays.

    Parameters
    ----------
    operands : sequence of str
        Names; ``("*",)`` for any number of operands of one dtype.
    forward, backward : callable
        ``build(symbol, dtype)`` returns an LLVM module, or a Python function that takes the record's
        address, part and parts and that Numba compiles. Arrays come in the order operands, outputs, and
        for backward also the outputs' cotangents and the operands' gradients.
    gradients : dict
        Operand name to the names of the values that backward reads for it: operands, ``y`` for output 0, ``y1``
        and so on for the others. An output that is not read may be gone by then, and with it its shape.
    vjp : dict
        Operand name to its gradient as a formula on tensors, for gradients of gradients; see `kernels.vjps`.
    rule : int
        How compiled code finds the output's shape; EXPLICIT when Python gives it.
    requires : tuple of callable
        Called with the dtype before compiling: provides the symbols that the kernels call.
    attributes : sequence of str, optional
        Names of float attributes, where every attribute word is one.
    batch : Batch, optional
        How the operation treats the samples of a batch, when it takes them one by one.
    plan : callable, optional
        ``plan(variant, operands)`` returns the products that a kernel's call comes to, or None; see `kernels.planned`.
    both : callable, optional
        As `backward`, but the output is written, too: for programs that go both ways at once.
    picks : bool
        Of operand 0 only what the others name is read, however large it is.
    changes : sequence of str, optional
        Operands that forward writes, too: a generator's state, or what a recurrent layer keeps.
    reports : int
        What forward says if it reports something: INDICES and so on.
    """
    fixed = operand_dtypes or {}
    return register(
        name=name,
        kind=ARRAYS,
        operands=tuple(operands),
        attributes=tuple(attributes),
        dtypes=dtypes,
        operand_dtypes=tuple(fixed.get(o, SAME) for o in operands),
        result=result,
        forward=forward,
        gradients={k: tuple(v) for k, v in (gradients or {}).items()},
        backward=backward,
        vjp=vjp or {},
        rule=rule,
        outputs=outputs,
        requires=requires,
        reference=reference,
        samples=samples or {},
        grad_name=grad_name or camel_case(name),
        identity=identity,
        cached=cached,
        batch=batch,
        plan=plan,
        both=both,
        picks=picks,
        changes=tuple(changes),
        reports=reports,
    )


def camel_case(name: str) -> str:
    """What ``grad_fn`` calls an operation of this name: ``a_b`` is ``AB``."""
    return "".join(part.capitalize() for part in name.split("_"))
