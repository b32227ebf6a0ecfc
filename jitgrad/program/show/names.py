"""Names for the memory that the rows of a program read and write, so that people can follow a value."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..._tensor import Tensor
from ...engine.layout import G_SLOT
from ...kernels import BY_NAME
from ...kernels.abi import FLAG_ACCUMULATE, ITEM_SIZES, R_FLAGS
from ...kernels.update_table import UPDATES
from ...nn.module import Module
from ...store import store
from ..log.rows import Row
from ..log.storages import class_size
from ..log.views import View
from ..log.views import view as make_view

if TYPE_CHECKING:
    from ..program import Program

Value = tuple[int, int]  # a place in the program's own memory, and the how-manieth value it holds
Key = str | tuple[Value, int]  # a name, or a value and how many bytes into it


class Operand(NamedTuple):
    """One array of a row.

    Attributes
    ----------
    name : str
        ``arg 0``, a parameter's name, ``0.weight.grad``, ``0.weight.exp_avg``, ``result``, ``const 0``,
        ``saved 0`` (what the way forward left for this way back), ``%a`` (another tensor from outside) or
        ``t0``. ``t0.2`` is the second value kept where ``t0`` was, ``t0+64`` begins 64 bytes into it.
    view : View
        Its geometry.
    in_place : bool
        Whether the row changes it: it reads and writes one value, such as a sum that it adds to.
    """

    name: str
    view: View
    in_place: bool


class Update(NamedTuple):
    """What an optimizer's row does to one parameter."""

    step: int  # address of its step count
    parameter: View
    gradient: View
    states: dict[str, View]


def updates_of(row: Row) -> list[Update]:
    """The parameters that an optimizer's row updates, one or many; none for other rows."""
    if row.op not in UPDATES or not row.kernel.startswith("update"):
        return []
    names = UPDATES[row.op].state
    width = 3 + len(names)
    found = []
    for k in range(0, len(row.reads) // width * width, width):  # others are hyper-parameters
        step, parameter, gradient, *states = row.reads[k : k + width]
        found.append(Update(step.address, parameter, gradient, dict(zip(names, states, strict=True))))
    return found


class Operands(NamedTuple):
    """What a row reads and what it writes."""

    reads: list[Operand]
    writes: list[Operand]


def flat_rows(program: Program) -> list[Row]:
    """The rows of a program, with the rows of a chain in place of the row that runs it strip by strip."""
    return [one for row in program.rows for one in row.chain or (row,)]


def operands_of(program: Program) -> list[Operands]:
    """The named operands of every row of `flat_rows`, in order."""
    outside, own = _Outside(program), _Own(program)
    rows = flat_rows(program)

    def key(row: Row, view: View, writing: bool) -> Key:
        storage = program._finder.at(view.address)
        if storage in program._argument_storages:
            k = program._argument_storages.index(storage)
            return _shifted(f"arg {k}", view.begin - program._arguments[k]["address"])
        return outside.find(view) or own.value(row, view, writing)

    keys = []
    for row in rows:  # reads come before writes: a write may begin a new value
        reads = [key(row, v, False) for v in row.reads]
        keys.append((reads, [key(row, v, True) for v in row.writes]))
    names = own.names(own.finals(program, outside))

    def named(views: tuple[View, ...], keys: list[Key], others: list[Key]) -> list[Operand]:
        texts = (k if isinstance(k, str) else _shifted(names[k[0]], k[1]) for k in keys)
        return [Operand(t, v, k in others) for t, v, k in zip(texts, views, keys, strict=True)]

    return [
        Operands(named(row.reads, reads, writes), named(row.writes, writes, reads))
        for row, (reads, writes) in zip(rows, keys, strict=True)
    ]


def _shifted(name: str, bytes_: int) -> str:
    return f"{name}{bytes_:+d}" if bytes_ else name


def _tensor_names(program: Program) -> dict[int, str]:
    """Names of slots: parameters and buffers of the modules, and tensors that the function names itself."""
    guards = program.guards if program.depends_on is None else program.depends_on.guards
    names: dict[int, str] = {}
    variables = guards.world.globals
    labels = {id(value): name for name, value in variables}
    modules = [m for m in guards.objects if isinstance(m, Module)]
    owners = [m for m in _outermost(modules) if any(True for _ in _contents(m))]
    for k, module in enumerate(owners):
        label = labels.get(id(module)) or f"{type(module).__name__}{k}"
        prefix = f"{label}." if len(owners) > 1 else ""
        for name, tensor in _contents(module):
            names.setdefault(tensor._slot, prefix + name)
    for name, value in variables:
        if isinstance(value, Tensor):
            names.setdefault(value._slot, name)
    return names


def _outermost(modules: list[Module]) -> list[Module]:
    inner = {id(m) for module in modules for m in list(module.modules())[1:]}
    return [m for m in modules if id(m) not in inner]


def _contents(module: Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


class _Outside:
    """Memory that was there before the program: parameters, their gradients, optimizer state, other tensors."""

    def __init__(self, program: Program) -> None:
        self._is_outside = program._finder.at
        self._letters = 0
        self._slots = _tensor_names(program)
        self._ranges: dict[tuple[int, int], str] = {}
        self._order: list[tuple[int, int]] = []
        guarded = {int(line[G_SLOT]) for line in program._tables.guards}
        for slot, name in self._slots.items():
            if slot in guarded:
                self._name(_span(slot), name)
                grad = int(store.slot_table[slot]["grad"])
                if grad in guarded:
                    self._name(_span(grad), f"{name}.grad")
        for row in flat_rows(program):
            self._add_states(row)

    def _name(self, span: tuple[int, int], name: str) -> None:
        if span not in self._ranges:
            self._ranges[span] = name
            insort(self._order, span)

    def name_of(self, slot: int) -> str:
        """The name of a tensor."""
        if slot not in self._slots:
            begin, end = _span(slot)
            self._slots[slot] = self.find(make_view(0, begin, 1, (end - begin,), (1,))) or f"tensor {slot}"
        return self._slots[slot]

    def _add_states(self, row: Row) -> None:
        """Name the state that optimizer rules keep for a parameter, counters of steps, and random state."""
        self._add_update(row)
        op = BY_NAME.get(row.op)
        if op is not None and "state" in op.operands and row.variant == 0:
            for view in row.reads:
                if view in row.writes:
                    self._name((view.begin, view.end), "random state")

    def _add_update(self, row: Row) -> None:
        for update in updates_of(row):
            parameter = self.find(update.parameter)
            step = update.step
            self._name((step, step + 8), f"{parameter}.step")
            for state, view in update.states.items():
                self._name((view.begin, view.end), f"{parameter}.{state}")

    def find(self, view: View) -> str | None:
        """The name of a piece of memory; None when it is the program's own."""
        begin, end = view.begin, view.end
        if (begin, end) in self._ranges:
            return self._ranges[begin, end]
        first = self._holding(begin)
        if first is not None:
            last = self._holding(max(begin, end - 1))
            name = _shifted(self._ranges[first], begin - first[0])
            return name if last in (first, None) else f"{name}..{self._ranges[last]}"
        if not self._is_outside(view.address):
            return None
        name = f"%{chr(ord('a') + self._letters % 26)}{self._letters // 26 or ''}"
        self._letters += 1
        self._name((begin, end), name)
        return name

    def _holding(self, address: int) -> tuple[int, int] | None:
        """The range with an address in it."""
        for k in range(bisect_right(self._order, (address, 1 << 63)) - 1, -1, -1):
            if address < self._order[k][1]:
                return self._order[k]
        return None


def _span(slot: int) -> tuple[int, int]:
    """First byte and one past the last byte of a tensor."""
    s = store.slot_table[slot]
    dims = int(s["dims"])
    shape, strides = ([int(n) for n in s[key][:dims]] for key in ("shape", "strides"))
    whole = make_view(0, int(s["address"]), ITEM_SIZES[int(s["dtype"])], tuple(shape), tuple(strides))
    return whole.begin, whole.end


def _changes(row: Row, view: View) -> bool:
    """Whether a row changes what it writes, where others write something new."""
    known = any(v.address == view.address for v in row.reads)
    return known and (row.variant < 0 or bool(int(row.words[R_FLAGS]) & FLAG_ACCUMULATE))


class _Own:
    """The program's own memory, in which one block holds several values one after another."""

    def __init__(self, program: Program) -> None:
        def blocks_of(program: Program) -> list[tuple[int, int]]:
            blocks: Any = program.recording.blocks.tolist()
            blocks = [(a, a + class_size(k)) for a, k in blocks]
            return blocks + [(x.ctypes.data, x.ctypes.data + x.nbytes) for x in program._extra]

        earlier = [] if program.depends_on is None else blocks_of(program.depends_on)
        self._saved = {begin for begin, _ in earlier}
        blocks = sorted(blocks_of(program) + earlier)
        self._begins = [b for b, _ in blocks]
        self._ends = [e for _, e in blocks]
        self._current: dict[int, int] = {}
        self._order: dict[Value, None] = {}

    def _place(self, address: int) -> int:
        """The start of the block with an address in it; the address itself where there is none."""
        k = bisect_right(self._begins, address) - 1
        return self._begins[k] if k >= 0 and address < self._ends[k] else address

    def value(self, row: Row, view: View, writing: bool) -> tuple[Value, int]:
        """What a view shows at this point of the program, and how far into it the view begins."""
        place = self._place(view.begin)
        if place not in self._current:
            self._current[place] = 1 if writing else 0
        elif writing and view.begin == place and not _changes(row, view):
            self._current[place] += 1
        value = place, self._current[place]
        self._order[value] = None
        return value, view.begin - place

    def finals(self, program: Program, outside: _Outside) -> dict[Value, str]:
        """Names of the values that are left at the end: gradients and results."""
        finals: dict[Value, str] = {}
        for leaf, grad, _own in program._tables.gradients.tolist():
            if grad:
                finals[self._last(int(store.slot_table[grad]["address"]))] = f"{outside.name_of(leaf)}.grad"
        for k, result in enumerate(program.results):
            name = "result" if len(program.results) == 1 else f"result {k}"
            finals[self._last(result["address"])] = name
        return finals

    def _last(self, address: int) -> Value:
        place = self._place(address)
        return place, self._current.get(place, 0)

    def names(self, finals: dict[Value, str]) -> dict[Value, str]:
        """A name for every value: final ones, constants (read, never written), and temporaries."""
        names: dict[Value, str] = {}
        numbers: dict[int, int] = {}
        counts: dict[int, int] = {}
        constants = saved = 0
        for value in self._order:
            place, version = value
            if value in finals:
                names[value] = finals[value]
            elif version == 0 and place in self._saved:
                names[value] = f"saved {saved}"
                saved += 1
            elif version == 0 and not self._current[place]:
                names[value] = f"const {constants}"
                constants += 1
            else:
                number = numbers.setdefault(place, len(numbers))
                counts[place] = counts.get(place, 0) + 1
                names[value] = f"t{number}" + (f".{counts[place]}" if counts[place] > 1 else "")
        return names


def segment_of(program: Program, row: Row) -> int:
    """Number of the segment that a row runs in, from 1; 0 for none."""
    place = row.words.ctypes.data
    table: Any = np.asarray(program.segments)
    inside = np.flatnonzero((table[:, 0] <= place) & (place < table[:, 1]))
    return int(inside[0]) + 1 if len(inside) else 0
