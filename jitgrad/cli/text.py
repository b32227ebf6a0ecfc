"""Names, or the lines of any text, character by character: what a language model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .datasets import SPLIT_SEED, Recipe
from .errors import CommandError, unreadable

RECIPES = {"gpt": Recipe((), 25, 32, 4e-3), "lstm": Recipe((), 15, 32, 5e-3)}
TEST_SHARE = 0.1
LONGEST = 64  # characters of a line; the rest is cut off
FEWEST = 10  # lines
END = 0  # the token before and after every line; characters follow
IGNORED = -100  # in place of a target after a line's end, as cross_entropy has it


@dataclass(frozen=True)
class Corpus:
    """Lines as tokens.

    Attributes
    ----------
    characters : str
        Those that occur; the first one is token 1.
    train, test : pair of ndarray
        Tokens and the tokens that follow them, int64, (lines, positions); after a line's end they are `IGNORED`.
    cut : int
        Lines that were too long.
    """

    characters: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    cut: int

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.characters) + 1

    @property
    def positions(self) -> int:
        """Tokens of a row."""
        return self.train[0].shape[1]

    def text(self, row: list[int]) -> str:
        """The characters of a row of tokens after its first, up to its end."""
        row = row[1:]
        return "".join(self.characters[t - 1] for t in row[: row.index(END) if END in row else None])


def load(path: str | None) -> Corpus:
    """Read the lines of a file, or the first names that the package ``names`` carries.

    Lines that occur again are left out, so that no held-out line is learnt from.

    Raises
    ------
    CommandError
        When the file cannot be read or has too few lines, or there is none.
    """
    lines = list(dict.fromkeys(_lines(Path(path).expanduser()) if path is not None else _first_names()))
    if len(lines) < FEWEST:
        raise CommandError(f"{path!r} has {len(lines)} different lines; at least {FEWEST} are needed")
    short = list(dict.fromkeys(line[:LONGEST] for line in lines))
    characters = "".join(sorted(set().union(*short)))
    tokens, targets = _encoded(short, characters)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(short))
    held = max(1, round(TEST_SHARE * len(short)))
    test, train = np.sort(order[:held]), np.sort(order[held:])
    return Corpus(
        characters,
        (tokens[train], targets[train]),
        (tokens[test], targets[test]),
        sum(len(line) > LONGEST for line in lines),
    )


def _encoded(lines: list[str], characters: str) -> tuple[np.ndarray, np.ndarray]:
    number = {character: k + 1 for k, character in enumerate(characters)}
    width = 1 + max(map(len, lines))
    tokens = np.full((len(lines), width), END, np.int64)
    targets = np.full((len(lines), width), IGNORED, np.int64)
    for row, line in enumerate(lines):
        numbers = [number[c] for c in line]
        tokens[row, 1 : 1 + len(line)] = numbers
        targets[row, : 1 + len(line)] = [*numbers, END]
    return tokens, targets


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "name a text file in UTF-8 with --data") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _first_names() -> list[str]:
    package = find_spec("names")
    if package is None or package.origin is None:
        raise CommandError(
            'the package names is not installed; install it with: pip install "jitgrad[names]", or name a text '
            "file with a name on each line with --data FILE"
        )
    found = []
    for kind in ("female", "male"):
        lines = _lines(Path(package.origin).parent / f"dist.{kind}.first")
        found += [line.split()[0].lower() for line in lines]
    return found
