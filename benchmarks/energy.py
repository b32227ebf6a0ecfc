"""Energy, where the machine tells: the counters of Intel's and AMD's RAPL as Linux shows them, for whole packages.

What else runs on the machine is counted too, so figures compare only where it is idle.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/class/powercap")


class Domain(NamedTuple):
    """A package's counter, which begins anew after `span` microjoules."""

    file: Path
    span: int


class Meter:
    """Joules between readings, over all packages; `reason` says why there are none."""

    def __init__(self, root: Path = ROOT) -> None:
        self.domains: list[Domain] = []
        self.reason = f"{root} is not there"
        if not root.is_dir():
            return
        self.reason = f"no package has a counter in {root}"
        for folder in sorted(root.glob("*-rapl:[0-9]*")):
            if folder.name.count(":") > 1:
                continue  # a part of a package
            try:
                int((folder / "energy_uj").read_text())
                self.domains.append(
                    Domain(folder / "energy_uj", int((folder / "max_energy_range_uj").read_text()))
                )
            except (OSError, ValueError) as error:
                self.reason = f"{folder / 'energy_uj'} cannot be read: {error}"
        if self.domains:
            self.reason = ""

    def read(self) -> list[int]:
        """Microjoules of each package, from anywhere on."""
        return [int(d.file.read_text()) for d in self.domains]

    def joules(self, before: list[int]) -> float:
        """Joules since a reading."""
        pairs = zip(self.domains, before, self.read(), strict=True)
        return 1e-6 * sum((now - then) % d.span if d.span else now - then for d, then, now in pairs)
