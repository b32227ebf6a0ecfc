"""Finding the operation whose backward went wrong: `detect_anomaly` and `set_detect_anomaly`.

While detection is on, every recorded row notes the line of the script that made it, walks stop at every row, and
what a row hands back is looked at for nan. While it is off nothing of this is there.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from .._tensor import Tensor
from ..engine.layout import HOOKED
from ..store import store
from ..user_frames import warn
from .notes import RowNote, row_note
from .observe import observe, stop_observing

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class _Setting:
    on = False
    check_nan = True


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return _Setting.on


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection, when it is on, looks for nan."""
    return _Setting.check_nan


def _set(mode: bool, check_nan: bool) -> None:
    if not isinstance(mode, bool):
        raise TypeError(f"set_detect_anomaly: mode must be a bool, got {type(mode).__name__}")
    if mode and not _Setting.on:
        observe(_note_line)
    elif not mode and _Setting.on:
        stop_observing(_note_line)
    _Setting.on, _Setting.check_nan = mode, bool(check_nan)
    store.set_field("watch", HOOKED if mode else 0)


def _note_line(slot: int) -> None:
    """Write down where the row that has just made `slot` was recorded."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    if frame is not None:
        file, number = frame.f_code.co_filename, frame.f_lineno
        row_note(slot).line = f"{file}:{number}: {linecache.getline(file, number).strip()}"


@contextlib.contextmanager
def naming_line(note: RowNote) -> Iterator[None]:
    """An exception that passes tells the line of the forward call."""
    try:
        yield
    except Exception as error:
        name_line(error, note)
        raise


def name_line(error: Exception, note: RowNote) -> None:
    """Let an exception tell the line of the forward call."""
    if _Setting.on and note.line:
        error.add_note(f"The forward call of this operation was at {note.line}")


def check_gradients(offset: int, gradients: Sequence[Tensor | None], note: RowNote) -> None:
    """Raise RuntimeError when detection is on and one of the gradients of a row has a nan."""
    if not (_Setting.on and _Setting.check_nan):
        return
    from .graph import row_name

    for k, gradient in enumerate(gradients):
        if gradient is not None and _has_nan(gradient):
            where = (
                f" The forward call was at {note.line}"
                if note.line
                else (" The forward call was not seen: run it, too, while anomaly detection is on")
            )
            raise RuntimeError(
                f"Function '{row_name(offset)}' returned nan values in its {k}th output.{where}"
            )


def _has_nan(gradient: Tensor) -> bool:
    with store.outside_recording():
        return bool(gradient.isnan().any().item())  # type: ignore[attr-defined]


class _Detection:
    """Restores the setting that was there before at the end of a ``with`` block."""

    def __init__(self, mode: bool, check_nan: bool) -> None:
        self._before = (_Setting.on, _Setting.check_nan)
        self._mode, self._check_nan = mode, check_nan

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: Any) -> None:
        _set(*self._before)


class detect_anomaly(_Detection):
    """Inside, an error or a nan on the way back is raised with the line of the forward call that led to it.

    Parameters
    ----------
    check_nan : bool
        Raise RuntimeError when an operation hands back a nan.

    Notes
    -----
    Both the forward and the backward pass have to run inside. It is slow, and meant for debugging only.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)
        warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled "
            "for debugging."
        )

    def __enter__(self) -> None:
        self._before = (_Setting.on, _Setting.check_nan)
        _set(self._mode, self._check_nan)


class set_detect_anomaly(_Detection):
    """Switch anomaly detection on or off, at once; as a context manager, until the end of the block.

    Parameters
    ----------
    mode : bool
        On or off.
    check_nan : bool
        Whether a nan is an error.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(mode, check_nan)
        _set(mode, check_nan)
