"""How tensors print: PyTorch's text, character for character."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .dtypes import bool_, get_default_dtype, int64

if TYPE_CHECKING:
    from ._tensor import Tensor

PREFIX = "tensor("
RATIO_FOR_SCIENTIFIC = 1000.0  # between the greatest and the smallest magnitude
GREATEST_PLAIN, SMALLEST_PLAIN = 1e8, 1e-4


class _Options:
    precision = 4
    threshold: float = 1000
    edgeitems = 3
    linewidth = 80
    sci_mode: bool | None = None


_PROFILES: dict[str, dict[str, float]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print.

    Parameters
    ----------
    precision : int
        Digits after the point (default 4).
    threshold : int
        More elements than this are summarised (default 1000).
    edgeitems : int
        Elements shown at each end of a summarised dimension (default 3).
    linewidth : int
        Characters on a line (default 80).
    profile : {"default", "short", "full"}
        Several of these at once; the other arguments override it.
    sci_mode : bool, optional
        Always or never write in scientific notation; None decides by the values.
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(
                f"set_printoptions: profile must be one of {', '.join(_PROFILES)}; got {profile!r}"
            )
        for name, value in _PROFILES[profile].items():
            setattr(_Options, name, value)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None:
            setattr(_Options, name, value)
    _Options.sci_mode = sci_mode


def tensor_repr(tensor: Tensor) -> str:
    """The text of a tensor, with its dtype and history where they are not the usual ones."""
    values = tensor.numpy(force=True)
    kind = tensor.dtype
    notes = []
    if not values.size:
        text = "[]"
        if values.ndim != 1:
            notes.append(f"size={tuple(values.shape)}")
        usual = kind is get_default_dtype()
    else:
        text = _body(values)
        usual = kind in (get_default_dtype(), int64, bool_)
    if not usual:
        notes.append(f"dtype={kind!r}")
    node = tensor.grad_fn
    if node is not None:
        notes.append(f"grad_fn=<{node.name()}>")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(PREFIX + text, notes)


def _with_notes(text: str, notes: list[str]) -> str:
    """Append the notes, each on a line of its own where the current line is full."""
    indent = len(PREFIX)
    used = len(text) - text.rfind("\n") + 1
    for note in notes:
        if used + len(note) + 2 > _Options.linewidth:
            text += ",\n" + " " * indent + note
            used = indent + len(note)
        else:
            text += ", " + note
            used += len(note) + 2
    return text + ")"


def _body(values: np.ndarray) -> str:
    summarise = values.size > _Options.threshold
    return _nested(values, _Format(_edges(values) if summarise else values), len(PREFIX), summarise)


def _edges(values: np.ndarray) -> np.ndarray:
    """The elements that a summary shows."""
    edge = int(_Options.edgeitems)
    for axis, size in enumerate(values.shape):
        if size > 2 * edge:
            shown = [*range(edge), *range(size - edge, size)]
            values = values.take(shown, axis)
    return values


def _nested(values: np.ndarray, form: _Format, indent: int, summarise: bool) -> str:
    if values.ndim == 0:
        return form(values.item())
    edge = int(_Options.edgeitems)
    cut = summarise and len(values) > 2 * edge
    if values.ndim == 1:
        return _vector(values, form, indent, cut)
    head, tail = (values[:edge], values[len(values) - edge :]) if cut else (values, values[:0])
    parts = [_nested(part, form, indent + 1, summarise) for part in head]
    if cut:
        parts.append("...")
        parts += [_nested(part, form, indent + 1, summarise) for part in tail]
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _vector(values: np.ndarray, form: _Format, indent: int, cut: bool) -> str:
    edge = int(_Options.edgeitems)
    if cut:
        items = [form(v) for v in values[:edge].tolist()]
        items.append(" ...")
        items += [form(v) for v in values[len(values) - edge :].tolist()]
    else:
        items = [form(v) for v in values.tolist()]
    a_line = max(1, (int(_Options.linewidth) - indent) // (form.width + 2))
    lines = [", ".join(items[k : k + a_line]) for k in range(0, len(items), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


class _Format:
    """How every element of one tensor is written: all in one way and one width."""

    def __init__(self, values: np.ndarray) -> None:
        self.floating = values.dtype.kind == "f"
        self.whole = True
        self.scientific = False
        self.width = 1
        if not self.floating:
            self.width = max(1, *(len(str(v)) for v in values.reshape(-1).tolist()))
            return
        usual = values[np.isfinite(values) & (values != 0)].astype(np.float64)
        if not usual.size:
            return
        magnitude = np.abs(usual)
        greatest, smallest = float(magnitude.max()), float(magnitude.min())
        self.whole = bool((usual == np.ceil(usual)).all())
        with np.errstate(over="ignore"):
            spread = np.float64(greatest) / smallest > RATIO_FOR_SCIENTIFIC
        self.scientific = bool(
            spread or greatest > GREATEST_PLAIN or (not self.whole and smallest < SMALLEST_PLAIN)
        )
        if _Options.sci_mode is not None:
            self.scientific = _Options.sci_mode
        self.width = max(1, *(len(self._plain(v)) for v in usual.tolist()))

    def _plain(self, value: float) -> str:
        if self.scientific:
            return f"{value:.{_Options.precision}e}"
        if self.whole:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{_Options.precision}f}"

    def __call__(self, value: Any) -> str:
        return (self._plain(value) if self.floating else str(value)).rjust(self.width)
