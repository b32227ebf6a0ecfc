"""What all pictures of the suite have in common: colours and names of the peers."""

from __future__ import annotations

from collections.abc import Sequence

from cells import Cell
from measure import PEERS

COLOURS = {
    "jitgrad": "#0b6e4f",
    "torch": "#d1495b",
    "torch-compile": "#e8998d",
    "jax": "#30638e",
    "jax-scan": "#8fb8de",
    "numba": "#edae49",
    "tuned": "#444444",
    "numpy": "#9a8c98",
    "autograd": "#bc8034",
    "mygrad": "#7b5ea7",
    "tinygrad": "#66a182",
    "micrograd": "#c5a3ff",
    "sklearn": "#f79256",
}
LABELS = {p.kind: p.label.split(",")[0] for p in PEERS if p.threads == 1}
LABELS |= {"jitgrad-loop": "jitgrad, compiled loop", "jitgrad-call": "jitgrad, a call a step"}


def of_section(cells: Sequence[Cell], section: str) -> list[Cell]:
    """The cells of one section."""
    return [c for c in cells if c.section == section]


def colour(kind: str) -> str:
    """The colour of a way to run steps, or of its library."""
    return COLOURS.get(kind, COLOURS.get(kind.split("-")[0], "#888888"))
