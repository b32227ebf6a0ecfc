"""The folder that a run writes to, and the weights in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import CommandError


def open_folder(chosen: str | None, dataset: str) -> Path:
    """Make the folder of a run and see that it can be written, before time is spent on training.

    Raises
    ------
    CommandError
        When it cannot be made or written.
    """
    folder = Path(chosen).expanduser() if chosen else Path("jitgrad-runs") / dataset
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CommandError(
            f"cannot write to folder {str(folder)!r} ({error.strerror}); name another one with --out"
        ) from error
    return folder


def save_weights(model: Any, path: Path) -> None:
    """Write a model's ``state_dict`` as a NumPy archive, one array a name."""
    import numpy as np

    np.savez(path, **{name: value.numpy() for name, value in model.state_dict().items()})


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    path.write_text(text, encoding="utf-8", newline="")
