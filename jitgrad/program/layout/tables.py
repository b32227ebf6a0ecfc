"""What compiled code reads of a program: a header, and the tables of arguments, guards, gradients and results.

Compiled code makes them, too, in one call: see engine/making.py. What only pictures and rewrites need is taken from
them when somebody asks.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...dispatch import CONTEXT
from ...engine.entry import entries
from ...engine.layout import (
    A_BEHIND,
    A_DIMS,
    A_DTYPE,
    A_FIRST,
    A_FLAGS,
    A_SHAPE,
    ARGUMENT_GRADIENT,
    ARGUMENT_WORDS,
    G_SLOT,
    GRADIENT_SLOT,
    GRADIENT_WORDS,
    GUARD_WORDS,
    LOST_MEMORY,
    MAX_DIMS,
    NEED_KINDS,
    OTHER_PROGRAM,
    PATCH_WORDS,
    RESULT_DIMS,
    RESULT_DTYPE,
    RESULT_SHAPE,
    RESULT_SOURCE,
    RESULT_WORDS,
    SPAN_WORDS,
    program_dtype,
)
from ...kernels.abi import ITEM_SIZES
from ...ways_out import GRADIENT, LET_GO, SMALLER
from ..log.survey import known
from ..record.recording import ZERO, Recording
from ..spoiled import Spoiled

FIELDS = {name: at // 8 for name, (_, at, *_) in program_dtype.fields.items()}  # type: ignore[union-attr]
_REASONS = {
    LOST_MEMORY: ("lets go of a tensor from outside that it uses", LET_GO, False),
    OTHER_PROGRAM: ("reports in more places than there are records", SMALLER, True),
    ARGUMENT_GRADIENT: ("sets the gradient of an argument", GRADIENT, True),
}


class Tables:
    """The header of a program and what it names.

    Parameters
    ----------
    recording : Recording
        What has been recorded.
    arguments, results : sequence of Tensor
        What the program will be called with, and what it returns, in the recording's memory.
    base : int
        Number of the program whose way back this is, or 0.

    Attributes
    ----------
    address : int
        Of the header, the engine's `program_dtype`.
    words : array
        The header's, and behind them those of the tables.

    Raises
    ------
    Spoiled
        When the recording cannot be replayed.
    """

    def __init__(
        self, recording: Recording, arguments: Sequence[Tensor], results: Sequence[Tensor], base: int
    ) -> None:
        self._held = False  # whether the program has handles on what it guards and sets
        self._lists: list[array] = []
        ids = array("q", [x._slot for x in arguments])
        ids.extend([x._slot for x in results])
        taken = recording.address
        arity, count = len(arguments), len(results)
        self.words = ZERO * entries.program_room(CONTEXT, taken, arity, count)
        self.address: int = self.words.buffer_info()[0]
        place = ids.buffer_info()[0]
        while True:
            kinds = known.words  # held, as another thread may put a longer list in its place
            status = entries.make_program(
                CONTEXT, self.address, taken, kinds.buffer_info()[0], place, arity, count, recording.number, base,
                recording.first_row,
            )  # fmt: skip
            if status != NEED_KINDS:
                break
            known.learn(recording.log)
            self.words = ZERO * len(self.words)
            self.address = self.words.buffer_info()[0]
        if status != 0:
            reason, way_out, lasting = _REASONS[status]
            raise Spoiled(reason, way_out, None, lasting)
        self._held = True
        self._patches = self.field("patches"), self.field("patch_count")  # the header will name others

    def field(self, name: str) -> int:
        """A field of the header."""
        return self.words[FIELDS[name]]

    def table(self, name: str, count: str, width: int) -> np.ndarray:
        """A table that has been made with the header, a line each."""
        return self._lines(self.field(name), self.field(count), width)

    def _lines(self, place: int, count: int, width: int) -> np.ndarray:
        first = place - self.address if count else 0
        return np.frombuffer(self.words, np.int64, count * width, first).reshape(count, width)

    def put(self, name: str, count: str, lines: Sequence[Sequence[int]]) -> None:
        """Let the header name another table."""
        made = array("q", [word for line in lines for word in line])
        self._lists.append(made)
        self.words[FIELDS[name]] = made.buffer_info()[0]
        self.words[FIELDS[count]] = len(lines)

    def watch(self, address: int, count: int) -> None:
        """Let compiled code compare the words of a table in every call."""
        self.words[FIELDS["watched"]], self.words[FIELDS["watched_count"]] = address, count

    def let_go(self) -> bool:
        """Give back the handles; whether there were any."""
        if not self._held:
            return False
        self._held = False
        held = [*self.guards[:, G_SLOT].tolist(), *self.gradients[:, GRADIENT_SLOT].tolist()]
        for slot in held:
            if slot:
                entries.release_held(CONTEXT, slot)
        return bool(held)

    # what they say -----------------------------------------------------------------------------------

    @property
    def guards(self) -> np.ndarray:
        """GUARD_WORDS for each tensor from outside."""
        return self.table("guards", "guard_count", GUARD_WORDS)

    @property
    def gradients(self) -> np.ndarray:
        """GRADIENT_WORDS for each leaf whose gradient is set."""
        return self.table("gradients", "gradient_count", GRADIENT_WORDS)

    @property
    def patches(self) -> list[list[int]]:
        """Where the records as they were written name an argument's memory: see PATCH_ARGUMENT and so on."""
        return self._lines(*self._patches, PATCH_WORDS).tolist()

    @property
    def spans(self) -> list[list[int]]:
        """Whose memory lay where: see SPAN_BEGIN and so on."""
        return self.table("spans", "span_count", SPAN_WORDS).tolist()

    def pairs(self, name: str) -> list[tuple[int, int]]:
        """A table of pairs."""
        first, count = (self.field(name) - self.address) // 8, self.field(f"{name}_count")
        words = self.words
        return [(words[at], words[at + 1]) for at in range(first, first + 2 * count, 2)]

    def argument_storages(self) -> tuple[list[int], list[int]]:
        """Storages and addresses of the arguments that the program was recorded with."""
        words = self.table("given", "arity", 2)
        return words[:, 0].tolist(), words[:, 1].tolist()

    def argument_like(self, address: int, shape: list[int]) -> int | None:
        """The number of the argument that lies at an address and has that shape, if there is one."""
        words, arity = self.words, self.field("arity")
        given, lines = (
            (self.field("given") - self.address) // 8,
            (self.field("arguments") - self.address) // 8,
        )
        for k in range(arity):
            at = lines + k * ARGUMENT_WORDS
            own = words[at + A_SHAPE : at + A_SHAPE + words[at + A_DIMS]].tolist()
            if words[given + 2 * k + 1] == address and own == shape:
                return k
        return None

    def arguments(self) -> list[dict[str, Any]]:
        """Where the arguments were, and what they have to be like."""
        _, addresses = self.argument_storages()
        lines = self.table("arguments", "arity", ARGUMENT_WORDS).tolist()
        return [
            {
                "address": address,
                "dtype": line[A_DTYPE],
                "shape": line[A_SHAPE : A_SHAPE + line[A_DIMS]],
                "strides": line[A_SHAPE + MAX_DIMS : A_SHAPE + MAX_DIMS + line[A_DIMS]],
                "flags": line[A_FLAGS],
                "first": line[A_FIRST],
                "behind": line[A_BEHIND],
            }
            for address, line in zip(addresses, lines, strict=True)
        ]

    def results(self) -> list[dict[str, Any]]:
        """Where the results are, and what they are like."""
        found = []
        for line in self.table("results", "result_count", RESULT_WORDS).tolist():
            shape = line[RESULT_SHAPE : RESULT_SHAPE + line[RESULT_DIMS]]
            size = math.prod(shape) * ITEM_SIZES[line[RESULT_DTYPE]]
            found.append(
                {"address": line[RESULT_SOURCE], "dtype": line[RESULT_DTYPE], "shape": shape, "bytes": size}
            )
        return found
