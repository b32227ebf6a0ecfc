"""Samples of which batches are taken from a copy, because they do not lie one after the other in memory."""

from __future__ import annotations

from ..._tensor import Tensor
from ...autograd import no_grad
from ...engine.layout import S_STORAGE
from ..layout.rewritten import Rewritten


class Sources:
    """The samples that were copied; the copies follow them, as a loop over the samples themselves would.

    Parameters
    ----------
    given, taken : list of Tensor
        The samples, and what batches are taken of: the same memory, or a copy.
    """

    def __init__(self, given: list[Tensor], taken: list[Tensor]) -> None:
        pairs = zip(given, taken, strict=True)
        self._pairs = [(x, y) for x, y in pairs if x._word(S_STORAGE) != y._word(S_STORAGE)]
        self._seen = self._versions()

    def _versions(self) -> list[int]:
        return [x._version for x, _ in self._pairs]

    def follow(self) -> None:
        """Copy again what has been written to since."""
        now = self._versions()
        for (x, y), version, seen in zip(self._pairs, now, self._seen, strict=True):
            if version != seen:
                with no_grad():
                    y.copy_(x)  # type: ignore[attr-defined]
        self._seen = now

    def are_written_by(self, made: Rewritten) -> bool:
        """Whether rows write to them, so that every step has to take its batch anew."""
        return any(x._word(S_STORAGE) in made.outside for x, _ in self._pairs)
