"""Register tiles of the matrix multiply: a strip of rows of ``C = A B`` with B's columns contiguous.

A *tile* keeps ``m`` rows by ``w`` vectors of C in registers while k runs; each turn loads ``w`` vectors of B
and multiplies them by one broadcast element of each row of A. A *strip* is a function that runs tiles of one
``m`` along all columns. `build_rows` cuts any number of rows into strips.

Every element of C is one chain of multiply-adds in increasing k, begun at the bias (or zero); with
ACCUMULATE the chain's end is added to what C held. Strips of very few rows have too few chains to fill the
multipliers, so they run `Plan.interleave` chains an element, over k modulo that number, and add the chains at
the end. Which of the two happens depends on the number of rows of the whole product, never on how the
work is cut, so results do not depend on tiles or threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from llvmlite import ir

from . import abi
from .gemm_plan import ROWS_A_BASE, Plan, cuts
from .stage import ELEMENT, I64, SUFFIX, VOID, Scope, Vec

DEPTH = 256  # terms summed before a block of C goes back to memory

# a strip one tile across, of at most so many terms, has fewer rows: the next one begins while its C is being stored
LOW, SHALLOW = 6, 64
TOGETHER = {1: 4}  # terms of a turn, by the tile's vectors: a tile of one vector has little to do in each

WRITE, ACCUMULATE = 0, abi.FLAG_ACCUMULATE
FAR = 1 << 19  # C is not in the nearest cache: fetch a tile of it while the sums run
NEAR = 1 << 18  # copy each strip of A to the stack


def define(
    module: ir.Module, name: str, parameters: str, inline: str = "noinline"
) -> tuple[ir.IRBuilder, dict[str, ir.Value]]:
    """Begin a function of 64-bit integers that returns nothing; gives the builder and the arguments.

    The function is the module's own, unless `inline` is empty.
    """
    names = parameters.split()
    function = ir.Function(module, ir.FunctionType(VOID, [I64] * len(names)), name)
    if inline:
        function.linkage = "internal"
        function.attributes.add(inline)
    for argument, key in zip(function.args, names, strict=True):
        argument.name = key
    return ir.IRBuilder(function.append_basic_block("entry")), dict(zip(names, function.args, strict=True))


def when(
    b: ir.IRBuilder, condition: ir.Value, value: Callable[[], ir.Value], otherwise: ir.Value
) -> ir.Value:
    """A value whose instructions run only when the bit `condition` is set, or another one."""
    before = b.block
    with b.if_then(condition):
        found = value()
        inside = b.block
    phi = b.phi(found.type)
    phi.add_incoming(found, inside)
    phi.add_incoming(otherwise, before)
    return phi


STRIP_TAIL = "rsA csA B rsB C rsC bias flags"
Mask = ir.Value | None  # of a vector; None for a whole one
Masks = list[Mask]  # of the vectors of a tile, side by side


def build_rows(module: ir.Module, p: Plan, copy: ir.Function) -> ir.Function:
    """The function that computes any number of rows.

    ``rows(M, N, K, A, rsA, csA, B, rsB, C, rsC, bias, flags)``: strides count elements, columns of B and C
    are contiguous, 0 <= K <= DEPTH. With NEAR in `flags` each strip of A is first copied to the stack
    by `copy` (see `gemm_transposed.build_copy`).
    """
    strips = {m: _strip(module, p, m) for m in p.all_sizes}
    b, a = define(module, "rows", "M N K A " + STRIP_TAIL, "alwaysinline")
    scope = Scope(b, 1)
    narrow = b.icmp_signed("<=", a["N"], I64(p.width * p.lanes))
    lone = b.and_(narrow, b.icmp_signed("<=", a["K"], I64(SHALLOW)))
    heights = min(LOW, p.largest), p.largest
    tables, limits = zip(*(_cut_table(module, p, h) for h in heights), strict=True)
    table, limit = b.select(lone, *tables), b.select(lone, *map(I64, limits))
    left, at_a, at_c = (scope.variable(I64) for _ in range(3))
    for cell, key in ((left, "M"), (at_a, "A"), (at_c, "C")):
        b.store(a[key], cell)
    head, choose, done = (b.append_basic_block(n) for n in ("head", "choose", "done"))
    b.branch(head)
    b.position_at_end(head)
    rows, address, out = b.load(left), b.load(at_a), b.load(at_c)
    b.cbranch(b.icmp_signed(">", rows, I64(0)), choose, done)
    b.position_at_end(choose)
    short = b.icmp_signed("<", rows, limit)
    size = b.load(b.gep(table, [b.select(short, rows, I64(0))]))
    near = b.icmp_signed("!=", b.and_(a["flags"], I64(NEAR)), I64(0))
    # divided by constants, as that takes no time
    beyond = b.sub(rows, limit)
    full = b.add(b.select(lone, *(b.udiv(beyond, I64(h)) for h in heights)), I64(1))
    count = b.select(b.or_(short, near), I64(1), full)
    strip_a = _strip_of_a(b, p, copy, a, size, address, near)
    tail = {**a, **strip_a, "C": out}
    addresses = _base_addresses(b, p, strip_a)
    joined = b.append_basic_block("joined")
    switch = b.switch(size, joined)
    for m, strip in strips.items():
        block = b.append_basic_block(f"rows{m}")
        switch.add_case(I64(m), block)
        b.position_at_end(block)
        b.call(strip, [count, a["N"], a["K"], *addresses, *(tail[k] for k in STRIP_TAIL.split())])
        b.branch(joined)
    b.position_at_end(joined)
    taken = b.mul(size, count)
    b.store(b.sub(rows, taken), left)
    moved = b.mul(taken, I64(p.item))
    b.store(b.add(address, b.mul(moved, a["rsA"])), at_a)
    b.store(b.add(out, b.mul(moved, a["rsC"])), at_c)
    b.branch(head)
    b.position_at_end(done)
    b.ret_void()
    return b.function


def _cut_table(module: ir.Module, p: Plan, height: int) -> tuple[ir.Value, int]:
    """For every number of rows below a limit the next strip; entry 0, the height, is for all larger numbers."""
    limit = height + 2 * p.sizes[0] + p.thin + 1
    values = cuts(p.sizes, limit, height)
    values[: p.thin + 1] = range(p.thin + 1)
    values[0] = height
    name = f"cuts{height}"
    if name not in module.globals:
        table = ir.GlobalVariable(module, ir.ArrayType(I64, limit), name)
        table.linkage, table.global_constant = "internal", True
        table.initializer = ir.Constant(table.value_type, values)
    return module.globals[name].gep([I64(0), I64(0)]), limit


def _strip_of_a(
    b: ir.IRBuilder,
    p: Plan,
    copy: ir.Function,
    a: dict[str, ir.Value],
    size: ir.Value,
    address: ir.Value,
    near: ir.Value,
) -> dict[str, ir.Value]:
    """The strip's address and strides, after copying it to the stack, the way it lies, if `near`."""
    height = -(-p.largest // p.lanes) * p.lanes
    pitch = DEPTH + p.lanes  # not a power of two: the rows must not meet in the cache
    lies = {"A": address, "rsA": a["rsA"], "csA": a["csA"]}
    before = b.block
    with b.if_then(near):
        to = stack_buffer(b, p, max(height * DEPTH, p.largest * pitch))
        across = b.icmp_signed("==", a["rsA"], I64(1))

        def pick(x: ir.Value, y: ir.Value) -> ir.Value:
            return b.select(across, x, y)

        extent = [pick(a["K"], size), pick(size, a["K"])]
        step, gap = pick(a["csA"], a["rsA"]), pick(I64(height), I64(pitch))
        b.call(copy, [*extent, address, step, I64(1), to, gap])
        copied = {"A": to, "rsA": pick(I64(1), I64(pitch)), "csA": pick(I64(height), I64(1))}
        inside = b.block
    result = {}
    for key, value in lies.items():
        phi = b.phi(I64)
        phi.add_incoming(value, before)
        phi.add_incoming(copied[key], inside)
        result[key] = phi
    return result


def _base_addresses(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> list[ir.Value]:
    step = b.mul(a["rsA"], I64(p.item * ROWS_A_BASE))
    addresses = [a["A"]]
    while len(addresses) < p.bases:
        addresses.append(b.add(addresses[-1], step))
    return addresses


def stack_buffer(b: ir.IRBuilder, p: Plan, elements: int) -> ir.Value:
    """The address of stack memory for `elements` and a vector more, at a cache line."""
    return b.ptrtoint(Scope(b, 1).cells(ELEMENT[p.dtype], elements + p.lanes), I64)


class _Strip:
    """Writes one strip function: `count` times `m` rows."""

    def __init__(self, b: ir.IRBuilder, p: Plan, m: int, a: dict[str, ir.Value]) -> None:
        self.b, self.p, self.m, self.a = b, p, m, a
        self.one = Scope(b, 1)
        self.columns, self.depth = a["N"], a["K"]
        self.row_steps = (I64(0), a["rsA"], b.shl(a["rsA"], I64(1)))
        self.accumulate, self.far = (
            b.icmp_signed("!=", b.and_(a["flags"], I64(bit)), I64(0)) for bit in (ACCUMULATE, FAR)
        )
        self.bases: list[Vec] = []  # addresses of rows of A, every ROWS_A_BASE-th
        self.out = a["C"]  # the strip's first row of C

    def write(self) -> None:
        b, a, one, dtype = self.b, self.a, self.one, self.p.dtype
        bases = [one.pointer(a[f"A{j}"], dtype) for j in range(-(-self.m // ROWS_A_BASE))]
        out = one.pointer(a["C"], dtype)
        with one.loop(I64(0), a["count"]) as i:
            row = b.mul(i, I64(self.m))
            self.bases = [Vec(one, one.at(q, b.mul(row, a["rsA"])), dtype) for q in bases]
            self.out = one.at(out, b.mul(row, a["rsC"]))
            for s, j, masks in tiles_across(b, self.p, self.p.widths(self.m), self.columns):
                self._tile(s, j, masks)
        b.ret_void()

    def _tile(self, s: Scope, j: ir.Value, masks: Masks) -> None:
        b, a, m, w = self.b, self.a, self.m, len(masks)
        start = start_of_tile(s, self.p, a["bias"], j, masks)
        places = self._places(s, w, j)
        if m == self.p.largest and w > 1:
            with b.if_then(self.far):
                for q in places:
                    fetch(s, q)
        column = s.at(s.pointer(a["B"], self.p.dtype), j)
        chains, rows = self.p.interleave(m), len(self.bases)
        turns = chains if chains > 1 else TOGETHER.get(w, 1)
        stop = b.sub(self.depth, I64(turns - 1))
        zero = Vec(s, ir.Constant(s.type(self.p.dtype), None), self.p.dtype)
        initial = [*self.bases, *start * m, *[zero] * (w * m * (chains - 1))]
        step = w * m
        with s.carried(I64(0), stop, turns, initial) as (k, now, carry):
            at, sums = now[:rows], now[rows:]
            after: list[Vec] = list(sums)
            for c in range(turns):
                own = slice(c % chains * step, (c % chains + 1) * step)
                after[own] = self._turn(s, b.add(k, I64(c)), at, column, masks, after[own])
                at = self._onward(at)
            carry.next(*at, *after)
        at, sums = carry.final[:rows], carry.final[rows:]
        if turns > 1:
            sums = self._finish_chains(s, k, at, column, masks, sums)
        store_tile(b, self.accumulate, zip(sums, places, masks * m, strict=True))

    def _onward(self, at: list[Vec]) -> list[Vec]:
        """The addresses of A's rows one k further."""
        return [Vec(q.scope, unknown(self.b, self.one.at(q.value, self.a["csA"])), q.dtype) for q in at]

    def _turn(
        self, s: Scope, k: ir.Value, at: list[Vec], column: ir.Value, masks: list, sums: list[Vec]
    ) -> list[Vec]:
        """Add ``A[:, k] B[k, :]`` to the tile; `at` are the addresses of every ROWS_A_BASE-th row of A at k."""
        b, dtype, w = self.b, self.p.dtype, len(masks)
        row = s.at(column, b.mul(k, self.a["rsB"]))
        vectors = [s.load(s.at(row, v * s.lanes), dtype, masks[v]) for v in range(w)]
        result = []
        for r in range(self.m):
            place = s.at(at[r // ROWS_A_BASE].value, self.row_steps[r % ROWS_A_BASE])
            x = s.splat(b.load(place), dtype)
            result += [multiply_add(x, vectors[v], sums[r * w + v]) for v in range(w)]
        return result

    def _finish_chains(
        self, s: Scope, k: ir.Value, at: list[Vec], column: ir.Value, masks: list, sums: list[Vec]
    ) -> list[Vec]:
        """The turns left over continue the first chain; then the chains are added, neighbours first."""
        step, rows = self.m * len(masks), len(at)
        with s.carried(k, self.depth, 1, [*at, *sums[:step]]) as (i, now, carry):
            carry.next(*self._onward(now[:rows]), *self._turn(s, i, now[:rows], column, masks, now[rows:]))
        chains = [carry.final[rows:], *(sums[c : c + step] for c in range(step, len(sums), step))]
        while len(chains) > 1:
            chains = [
                [x + y for x, y in zip(chains[c], chains[c + 1], strict=True)]
                for c in range(0, len(chains), 2)
            ]
        return chains[0]

    def _places(self, s: Scope, w: int, j: ir.Value) -> list[ir.Value]:
        """Where the tile's vectors go, row by row."""
        row, places = s.at(self.out, j), []
        for _ in range(self.m):
            places += [s.at(row, v * s.lanes) for v in range(w)]
            row = s.at(row, self.a["rsC"])
        return places


def _strip(module: ir.Module, p: Plan, m: int) -> ir.Function:
    addresses = " ".join(f"A{j}" for j in range(p.bases))
    b, a = define(module, f"strip{m}", f"count N K {addresses} {STRIP_TAIL}")
    _Strip(b, p, m, a).write()
    return b.function


def tiles_across(
    b: ir.IRBuilder, p: Plan, widths: tuple[int, ...], columns: ir.Value
) -> Iterator[tuple[Scope, ir.Value, Masks]]:
    """Write the loops over tiles of these widths, in vectors, along all columns: scope, first column, masks of each.

    Without masks the columns left over are tiles of single elements.
    """
    wide, one = Scope(b, p.lanes), Scope(b, 1)
    column: ir.Value = I64(0)
    for w in widths:
        # a masked tile also takes a column count that ends within its last vector
        reach = (w - 1) * p.lanes if p.masked else w * p.lanes - 1
        with wide.loop(column, b.sub(columns, I64(reach)), w * p.lanes) as j:
            masks: Masks = [None] * w
            if p.masked:
                masks[-1] = wide.tail_mask(b.sub(columns, b.add(j, I64((w - 1) * p.lanes))))
            yield wide, j, masks
        column = j
    if not p.masked:
        with one.loop(column, columns) as j:
            yield one, j, [None]


def start_of_tile(s: Scope, p: Plan, bias: ir.Value, j: ir.Value, masks: Masks) -> list[Vec]:
    """What the chains of a tile begin at: the bias of each vector of columns from `j` on, or zeros."""
    b = s.b
    before = b.block
    with b.if_then(b.icmp_signed("!=", bias, I64(0))):
        place = s.at(s.pointer(bias, p.dtype), j)
        loaded = [s.load(s.at(place, v * s.lanes), p.dtype, mask) for v, mask in enumerate(masks)]
        inside = b.block
    start = []
    for v in loaded:
        phi = b.phi(v.value.type)
        phi.add_incoming(v.value, inside)
        phi.add_incoming(ir.Constant(v.value.type, None), before)
        start.append(Vec(s, phi, p.dtype))
    return start


def store_tile(
    b: ir.IRBuilder, accumulate: ir.Value, cells: Iterable[tuple[Vec, ir.Value, ir.Value | None]]
) -> None:
    """Store vectors at their places, under masks, or add them to what is there."""
    cells = list(cells)
    with b.if_else(accumulate) as (add, write):
        with add:
            for x, q, mask in cells:
                x.scope.store(x.scope.load(q, x.dtype, mask) + x, q, mask)
        with write:
            for x, q, mask in cells:
                x.scope.store(x, q, mask)


def unknown(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The value itself, of which the optimizer knows nothing.

    Were a loop's addresses known to go up evenly, LLVM would keep one for every row, more than there are
    registers, and read some of them from the stack in each turn.
    """
    return b.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)


def in_low_register(x: Vec) -> Vec:
    """The vector itself, which LLVM does not look through, in one of x86's first sixteen registers.

    Instructions of vectors of up to 32 bytes are shorter with those.
    """
    kind = x.value.type
    value = x.scope.b.asm(ir.FunctionType(kind, [kind]), "", "=x,0", [x.value], False)
    return Vec(x.scope, value, x.dtype)


def pinned(x: Vec) -> Vec:
    """The vector itself, which x86's LLVM neither looks through nor moves past another one."""
    kind = x.value.type
    value = x.scope.b.asm(ir.FunctionType(kind, [kind]), "", "=v,0", [x.value], True)
    return Vec(x.scope, value, x.dtype)


def fetch(s: Scope, place: ir.Value) -> None:
    """Bring the cache line of an address near, for writing."""
    i32 = ir.IntType(32)
    s.call("llvm.prefetch.p0", VOID, [place, i32(1), i32(3), i32(1)])


def multiply_add(x: Vec, y: Vec, z: Vec) -> Vec:
    """``x * y + z``, rounded once where the machine can."""
    s = x.scope
    kind = SUFFIX[ELEMENT[x.dtype]]
    name = f"llvm.fmuladd.{kind}" if s.lanes == 1 else f"llvm.fmuladd.v{s.lanes}{kind}"
    return Vec(s, s.call(name, x.value.type, [x.value, y.value, z.value]), x.dtype)
