"""A layered drawing of a graph without cycles: places for boxes, and for the bends of the lines between them.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers by the longest way, order within a layer by
barycentres, then places. Given an order, places that are as close as possible to the wished-for ones, at a least
distance, are an isotonic regression: neighbours that would overlap are joined into blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP = 26.0  # between boxes of a layer
LINE_GAP = 16.0  # beside a line that passes a layer
LAYER_GAP = 46.0
SWEEPS = 24
PLACINGS = 16
STRAIGHT = 8.0  # how much more the line between two bends weighs than one to a box
LIGHT = 0.05  # how much less a box weighs that only its reader places: the chain of the others stays straight


@dataclass
class Box:
    """A rectangle to be placed: `x`, `y` are its centre. A bend of a line has no size."""

    width: float
    height: float
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    bend: bool = False
    light: bool = False
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class Drawing:
    """Boxes in the given order, and the extent.

    Lines are points from the bottom of one box to the top of another.
    """

    boxes: list[Box]
    lines: list[list[tuple[float, float]]]
    width: float
    height: float


def draw(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], late: Sequence[bool]
) -> Drawing:
    """Place boxes of these sizes.

    Parameters
    ----------
    edges : sequence of (int, int)
        From and to, as numbers of boxes; every edge leads to a later box.
    late : sequence of bool
        Boxes without predecessors that belong right above what they lead to, such as parameters.
    """
    boxes = [Box(*size) for size in sizes]
    for k, box in enumerate(boxes):
        box.light = late[k] and sum(a == k for a, _ in edges) == 1
    _set_layers(boxes, edges, late)
    chains = _bend(boxes, edges)
    layers = _ordered(boxes)
    _place(boxes, layers)
    y = 0.0
    for layer in layers:
        height = max(boxes[k].height for k in layer)
        for k in layer:
            boxes[k].y = y + height / 2
            if boxes[k].bend:  # the line passes the whole layer upright, so that it meets none of its boxes
                boxes[k].height = height
        y += height + LAYER_GAP
    left = min(b.x - b.width / 2 for b in boxes)
    for b in boxes:
        b.x -= left
    width = max(b.x + b.width / 2 for b in boxes)
    lines = [_line(boxes, chain, chains) for chain in chains]
    return Drawing(boxes[: len(sizes)], lines, width, y - LAYER_GAP)


def _set_layers(boxes: list[Box], edges: Sequence[tuple[int, int]], late: Sequence[bool]) -> None:
    for a, b in edges:  # in the order of targets, so sources are final
        boxes[b].layer = max(boxes[b].layer, boxes[a].layer + 1)
    for _ in range(len(boxes)):
        changed = False
        for a, b in edges:
            if boxes[b].layer <= boxes[a].layer:
                boxes[b].layer, changed = boxes[a].layer + 1, True
        if not changed:
            break
    for k, is_late in enumerate(late):
        if is_late:
            below = [boxes[b].layer for a, b in edges if a == k]
            if below:
                boxes[k].layer = min(below) - 1


def _bend(boxes: list[Box], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Give every line that passes layers a bend in each; lines of one value share them. Returns lines as boxes."""
    chains = []
    shared: dict[tuple[int, int], int] = {}
    joined: set[tuple[int, int]] = set()
    for a, b in edges:
        chain = [a]
        for layer in range(boxes[a].layer + 1, boxes[b].layer):
            if (a, layer) not in shared:
                shared[a, layer] = len(boxes)
                boxes.append(Box(0.0, 0.0, layer, bend=True))
            chain.append(shared[a, layer])
        chain.append(b)
        for one, two in pairwise(chain):
            if (one, two) not in joined:
                joined.add((one, two))
                boxes[one].below.append(two)
                boxes[two].above.append(one)
        chains.append(chain)
    return chains


def _ordered(boxes: list[Box]) -> list[list[int]]:
    """Layers with their boxes from left to right, with few crossings."""
    depth = max(b.layer for b in boxes) + 1
    layers: list[list[int]] = [[] for _ in range(depth)]
    seen: set[int] = set()

    def visit(k: int) -> None:  # neighbours first find each other by a walk in depth
        stack = [k]
        while stack:
            j = stack.pop()
            if j not in seen:
                seen.add(j)
                layers[boxes[j].layer].append(j)
                stack += [n for n in (*boxes[j].below, *boxes[j].above) if n not in seen]

    for k in range(len(boxes)):
        visit(k)
    best, fewest = [list(x) for x in layers], _crossings(boxes, layers)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for d in range(1, depth) if down else range(depth - 2, -1, -1):
            beside = layers[d - 1] if down else layers[d + 1]
            place = {k: i for i, k in enumerate(beside)}
            own = {k: i for i, k in enumerate(layers[d])}

            def centre(k: int, place: dict = place, own: dict = own, down: bool = down) -> float:
                near = [place[n] for n in (boxes[k].above if down else boxes[k].below)]
                return sum(near) / len(near) if near else own[k] * len(place) / max(len(own), 1)

            layers[d].sort(key=centre)
        _swap(boxes, layers)
        count = _crossings(boxes, layers)
        if count < fewest:
            best, fewest = [list(x) for x in layers], count
        if fewest == 0:
            break
    return best


def _swap(boxes: list[Box], layers: list[list[int]]) -> None:
    """Exchange neighbours where that saves crossings."""
    place = {k: i for layer in layers for i, k in enumerate(layer)}
    for layer in layers:
        for i in range(len(layer) - 1):
            a, b = layer[i], layer[i + 1]
            now = later = 0
            for side in ("above", "below"):
                for p in getattr(boxes[a], side):
                    for q in getattr(boxes[b], side):
                        now += place[p] > place[q]
                        later += place[p] < place[q]
            if later < now:
                layer[i], layer[i + 1] = b, a
                place[a], place[b] = i + 1, i


def _crossings(boxes: list[Box], layers: list[list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        place = {k: i for i, k in enumerate(lower)}
        ends = [place[n] for k in upper for n in sorted(boxes[k].below, key=place.__getitem__)]
        for i, e in enumerate(ends):
            total += sum(e > f for f in ends[i + 1 :])
    return total


def _distance(a: Box, b: Box) -> float:
    return (a.width + b.width) / 2 + (LINE_GAP if a.bend or b.bend else GAP)


def _place(boxes: list[Box], layers: list[list[int]]) -> None:
    """Set `x`: near the neighbours in other layers, in order, at the least distance."""
    for layer in layers:
        x = 0.0
        for i, k in enumerate(layer):
            x += _distance(boxes[layer[i - 1]], boxes[k]) if i else 0.0
            boxes[k].x = x
        for k in layer:
            boxes[k].x -= x / 2
    for turn in range(PLACINGS):
        order = layers if turn % 2 == 0 else layers[::-1]
        last = turn >= PLACINGS - 2
        for layer in order:
            wishes, weights = [], []
            for k in layer:
                sides = (*boxes[k].above, *boxes[k].below) if last else (
                    boxes[k].above if turn % 2 == 0 else boxes[k].below
                )  # fmt: skip
                near = [(boxes[n].x, _pull(boxes[k], boxes[n])) for n in sides]
                weight = sum(w for _, w in near)
                wishes.append(sum(x * w for x, w in near) / weight if near else boxes[k].x)
                weights.append(weight if near else 0.1)
            for k, x in zip(layer, _spread(boxes, layer, wishes, weights), strict=True):
                boxes[k].x = x


def _pull(a: Box, b: Box) -> float:
    """How strongly two neighbours want to be one above the other."""
    if a.light or b.light:
        return LIGHT
    return STRAIGHT if a.bend and b.bend else 1.0


def _spread(boxes: list[Box], layer: list[int], wishes: list[float], weights: list[float]) -> list[float]:
    """Places closest to the wishes, in order and at the least distances (pool adjacent violators)."""
    offsets = [0.0]
    for a, b in pairwise(layer):
        offsets.append(offsets[-1] + _distance(boxes[a], boxes[b]))
    blocks: list[list[float]] = []  # weighted sum, weight, count
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        blocks.append([(wish - offset) * weight, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, weight_, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += weight_
            blocks[-1][2] += count
    starts = [total / weight for total, weight, count in blocks for _ in range(int(count))]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _line(boxes: list[Box], chain: list[int], chains: list[list[int]]) -> list[tuple[float, float]]:
    """Points of a line; those that enter one box do so side by side, in the order of where they come from."""
    first, last = boxes[chain[0]], boxes[chain[-1]]
    arriving = sorted({c[-2] for c in chains if c[-1] == chain[-1]}, key=lambda k: (boxes[k].x, k))
    k, count = arriving.index(chain[-2]), len(arriving)
    room = min(last.width * 0.7, 34.0 * (count - 1))
    end = last.x + (k / (count - 1) - 0.5) * room if count > 1 else last.x
    bends = [boxes[n] for n in chain[1:-1]]
    inner = [(b.x, b.y + side * b.height / 2) for b in bends for side in (-1, 1)]
    return [(first.x, first.y + first.height / 2), *inner, (end, last.y - last.height / 2)]
