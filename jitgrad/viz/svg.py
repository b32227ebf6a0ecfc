"""The picture as SVG, drawn here: Graphviz is not needed."""

from __future__ import annotations

from html import escape

from . import model
from .layers import draw
from .model import Model, Node

FONT = 12.0
CHAR = 0.602 * FONT  # width of a character of a monospaced font
LINE = 16.0
PAD = 11.0
MARGIN = 14.0
LEGEND_HEIGHT = 26.0
KINDS = {
    model.OPERATION: "operation",
    model.LEAF: "leaf: a gradient is asked for",
    model.FROZEN: "frozen parameter",
    model.CONSTANT: "constant",
    model.FREED: "history freed",
}

# colours by kind: fill, stroke; light and dark
STYLE = """
.jg{--bg:#fff;--ink:#1b1f24;--dim:#57606a;--edge:#8c959f;--op:#f6f8fa;--op-s:#8c959f;--leaf:#dafbe1;--leaf-s:#1a7f37;
--froz:#ddf4ff;--froz-s:#0969da;--const:#fff;--const-s:#8c959f;--freed:#fff1e5;--freed-s:#bc4c00;--root:#bf3989;
--now:#fff3b0;--now-s:#9a6700;--back:#fbe3f1;--back-s:#bf3989;
font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){.jg{--bg:#0d1117;--ink:#e6edf3;--dim:#9198a1;--edge:#6e7681;--op:#161b22;
--op-s:#6e7681;--leaf:#0f2d1a;--leaf-s:#3fb950;--froz:#0c2d4b;--froz-s:#58a6ff;--const:#0d1117;--const-s:#6e7681;
--freed:#3a1d05;--freed-s:#f0883e;--root:#f778ba;--now:#4d3800;--now-s:#e3b341;--back:#42143a;--back-s:#f778ba}}
.jg .paper{fill:var(--bg)}.jg text{fill:var(--ink)}.jg .dim{fill:var(--dim)}.jg .name{font-weight:600}
.jg .box{fill:var(--op);stroke:var(--op-s);stroke-width:1.2}.jg .leaf .box{fill:var(--leaf);stroke:var(--leaf-s)}
.jg .frozen .box{fill:var(--froz);stroke:var(--froz-s);stroke-dasharray:5 3}
.jg .constant .box{fill:var(--const);stroke:var(--const-s);stroke-dasharray:2 3}
.jg .freed .box{fill:var(--freed);stroke:var(--freed-s);stroke-dasharray:8 3 2 3}
.jg .root .box{stroke:var(--root);stroke-width:2.6}.jg .edge{fill:none;stroke:var(--edge);stroke-width:1.3}
.jg .tip{fill:var(--edge);fill:context-stroke}
"""


def lines_of(node: Node) -> list[tuple[str, str]]:
    """The lines in a node's box, each with its class."""
    lines = [(f"{node.number}  {node.title}" if node.number else node.title, "name")]
    if node.kind in (model.FROZEN, model.FREED):
        lines[0] = (f"{node.title} ({'frozen' if node.kind == model.FROZEN else 'freed'})", "name")
    if node.attributes:
        text = " ".join(f"{k}={v}" for k, v in node.attributes.items())
        lines.append((shortened(text, 34), "dim"))
    for k, value in enumerate(node.outputs):
        mark = f".{k} " if len(node.outputs) > 1 else ""
        lines.append((mark + value.type, ""))
        if value.numbers is not None:
            lines.append((value.numbers.brief(), "dim"))
        gradient = value.gradient or value.accumulated
        if gradient is not None:
            lines.append((f"grad {gradient.brief()}", "dim"))
    return lines


def shortened(text: str, most: int) -> str:
    """The text, with its end left out when it is long."""
    return text if len(text) <= most else text[: most - 3] + "..."


def size_of(node: Node) -> tuple[float, float]:
    """Width and height of a node's box."""
    lines = lines_of(node)
    width = max(len(text) for text, _ in lines) * CHAR * 1.02 + 2 * PAD
    return max(width, 64.0), len(lines) * LINE + PAD


def render(picture: Model, *, inside: bool = False) -> str:
    """The SVG; `inside` leaves out what a page around it brings itself."""
    number = {node.key: k for k, node in enumerate(picture.nodes)}
    edges = list(dict.fromkeys((number[e.source], number[e.target]) for e in picture.edges))
    late = [not node.number for node in picture.nodes]
    drawing = draw([size_of(n) for n in picture.nodes], edges, late)
    legend = _legend(picture)
    width = max(drawing.width, legend[1]) + 2 * MARGIN
    height = drawing.height + 2 * MARGIN + LEGEND_HEIGHT
    about = escape(f"Graph of {picture.title}, in the direction of the forward pass from top to bottom")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jg" role="img" aria-label="{about}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}">',
        f"<title>{escape(picture.title)}</title>",
        "" if inside else f"<style>{STYLE}</style>",
        '<defs><marker id="jg-tip" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0.8 L8 4 L0 7.2 z"/></marker></defs>',
        f'<rect class="paper" width="{width:.1f}" height="{height:.1f}"/>',
        legend[0],
        f'<g transform="translate({(width - drawing.width) / 2:.1f} {MARGIN + LEGEND_HEIGHT:.1f})">',
    ]
    for (a, b), points in zip(edges, drawing.lines, strict=True):
        source, target = picture.nodes[a].key, picture.nodes[b].key
        parts.append(
            f'<path class="edge" data-from="{source}" data-to="{target}" marker-end="url(#jg-tip)" '
            f'd="{_curve(points)}"/>'
        )
    for node, box in zip(picture.nodes, drawing.boxes, strict=True):
        parts.append(_box(picture, node, box.x, box.y, box.width, box.height))
    return "\n".join(p for p in (*parts, "</g>", "</svg>") if p)


def _legend(picture: Model) -> tuple[str, float]:
    """What the colours mean, for the kinds that occur; and its width."""
    parts, x = [], MARGIN
    for kind, words in KINDS.items():
        if any(n.kind == kind for n in picture.nodes):
            parts.append(
                f'<g class="{kind}"><rect class="box" x="{x:.1f}" y="9" width="18" height="13" rx="3"/>'
                f'<text class="dim" x="{x + 24:.1f}" y="20">{escape(words)}</text></g>'
            )
            x += 24 + len(words) * CHAR + 20
    return "\n".join(parts), x - MARGIN


def _curve(points: list[tuple[float, float]]) -> str:
    """A smooth line that leaves and arrives vertically."""
    (x, y), *rest = points
    text = f"M{x:.1f} {y:.1f}"
    for nx, ny in rest:
        half = (y + ny) / 2
        text += f" C{x:.1f} {half:.1f} {nx:.1f} {half:.1f} {nx:.1f} {ny:.1f}"
        x, y = nx, ny
    return text


def _box(picture: Model, node: Node, x: float, y: float, width: float, height: float) -> str:
    root = any(v is picture.root for v in node.outputs)
    classes = f"node {node.kind}{' root' if root else ''}"
    left, top = x - width / 2, y - height / 2
    radius = 5.0 if node.number else min(height / 2, 16.0)
    texts = []
    for k, (text, kind) in enumerate(lines_of(node)):
        place = top + PAD / 2 + LINE * (k + 0.76)
        style = f' class="{kind}"' if kind else ""
        texts.append(f'<text{style} x="{x:.1f}" y="{place:.1f}" text-anchor="middle">{escape(text)}</text>')
    return (
        f'<g class="{classes}" id="{node.key}"><title>{escape(_tooltip(node))}</title>'
        f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius:.1f}"/>{"".join(texts)}</g>'
    )


def _tooltip(node: Node) -> str:
    lines = [node.title if not node.number else f"row {node.number}: {node.title}", KINDS[node.kind]]
    lines += [f"{k} = {v}" for k, v in node.attributes.items()]
    for value in node.outputs:
        lines.append(f"{value.name}: {value.type}")
        lines.append(value.numbers.full() if value.numbers else "its values are not kept")
        if value.gradient:
            lines.append(f"gradient {value.gradient.full()}")
        if value.accumulated:
            lines.append(f".grad {value.accumulated.full()}")
    return "\n".join(lines)
