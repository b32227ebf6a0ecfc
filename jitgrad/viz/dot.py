"""The picture as text for Graphviz."""

from __future__ import annotations

from . import model
from .model import Model, Node
from .svg import lines_of

SHAPES = {
    model.OPERATION: 'shape=box style="rounded,filled" fillcolor="#f6f8fa" color="#8c959f"',
    model.LEAF: 'shape=ellipse style=filled fillcolor="#dafbe1" color="#1a7f37"',
    model.FROZEN: 'shape=ellipse style="filled,dashed" fillcolor="#ddf4ff" color="#0969da"',
    model.CONSTANT: 'shape=ellipse style="filled,dashed" fillcolor="#ffffff" color="#8c959f"',
    model.FREED: 'shape=box style="filled,dotted" fillcolor="#fff1e5" color="#bc4c00"',
}


def quoted(text: str) -> str:
    """A string of DOT; line breaks stay."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def render(picture: Model) -> str:
    """The graph in the DOT language."""
    lines = [
        "digraph tape {",
        "  graph [rankdir=TB ranksep=0.4 nodesep=0.25]",
        "  node [fontname=monospace fontsize=10]",
        '  edge [arrowsize=0.6 color="#8c959f"]',
    ]
    lines += [_node(picture, node) for node in picture.nodes]
    for edge in picture.edges:
        label = f" [label={quoted(edge.label)}]" if edge.label else ""
        lines.append(f"  {edge.source} -> {edge.target}{label}")
    return "\n".join([*lines, "}", ""])


def _node(picture: Model, node: Node) -> str:
    label = "\n".join(text for text, _ in lines_of(node))
    root = " penwidth=2.5" if any(v is picture.root for v in node.outputs) else ""
    return f"  {node.key} [label={quoted(label)} {SHAPES[node.kind]}{root}]"
