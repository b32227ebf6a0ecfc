"""The picture as a page that needs nothing else: it walks through the forward and the backward pass."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from . import svg
from .model import FROZEN, LEAF, Model, Node, Value

_HERE = Path(__file__).parent


def render(picture: Model) -> str:
    """The page."""
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    data = json.dumps(_data(picture), separators=(",", ":")).replace("<", "\\u003c")
    rows = "\n".join(_row(node) for node in picture.rows)
    count = len(picture.rows)
    parts = {
        "{{title}}": escape(picture.title),
        "{{style}}": svg.STYLE,
        "{{svg}}": svg.render(picture, inside=True),
        "{{rows}}": rows,
        "{{count}}": str(max(2 * count, 1)),
        "{{data}}": data,
    }
    for mark, text in parts.items():
        template = template.replace(mark, text)
    return template


def _row(node: Node) -> str:
    """A line of the table of rows."""
    operands = " ".join("-" if v is None else v.name for v in node.operands)
    results = ", ".join(v.type for v in node.outputs)
    return (
        f'<tr data-row="{node.key}" tabindex="-1"><td>{node.number}</td><th scope="row">{escape(node.title)}</th>'
        f"<td>{escape(operands)}</td><td>{escape(results)}</td></tr>"
    )


def _data(picture: Model) -> dict[str, Any]:
    sources: dict[str, list[str]] = {}
    for edge in picture.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    kinds = {id(v): n.kind for n in picture.nodes for v in n.outputs}
    return {
        "rows": [
            {
                "key": n.key,
                "number": n.number,
                "op": n.title,
                "attributes": n.attributes,
                "operands": [
                    None if v is None else _value(v, kinds) | {"kept": kept}
                    for v, kept in zip(n.operands, n.saved, strict=False)
                ],
                "outputs": [
                    _value(v, kinds) | {"kept": kept}
                    for v, kept in zip(n.outputs, n.saved[len(n.operands) :], strict=True)
                ],
                "sources": sources.get(n.key, []),
            }
            for n in picture.rows
        ]
    }


def _value(value: Value, kinds: dict[int, str]) -> dict[str, Any]:
    kind = kinds.get(id(value), "")
    return {
        "name": value.name,
        "type": value.type,
        "kind": {LEAF: "leaf", FROZEN: "frozen"}.get(kind, kind),
        "value": value.numbers.full() if value.numbers else None,
        "gradient": value.gradient.full() if value.gradient else None,
        "uses": value.uses,
    }
