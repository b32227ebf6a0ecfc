"""Section: what comes before speed. The way to the first step, cold and warm; a new shape; memory; installed size.

"cold" has an empty cache on disk, "warm" is the second process after it; PyTorch's eager mode has no such cache. A
child imports the library, builds W3 (or W6), takes steps, and then one with another batch size. Every round begins
with an empty cache.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import files as files_of
from typing import Any

import numpy as np
from cells import Cell
from children import Turn, in_turns, interpreter, run, tell
from report import best_and_middle

SECTION = "startup"
WORKLOADS = ("W3", "W6")
STEPS = 200
MOST_ROUNDS = 3  # a round compiles everything anew, which takes a minute or more
PEERS = ("jitgrad", "jitgrad-compiled", "torch", "torch-compiled", "jax")
CACHES = {  # the variables that say where
    "jitgrad": "JITGRAD_CACHE_DIR",
    "jitgrad-compiled": "JITGRAD_CACHE_DIR",
    "torch-compiled": "TORCHINDUCTOR_CACHE_DIR",
    "jax": "JAX_COMPILATION_CACHE_DIR",
}
EVERYTHING = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # goes into the cache, however small
KILOBYTE, MEGABYTE = 2**10, 2**20
Parts = Callable[[int], Callable[[], Any]]  # for a batch size, a function that takes a step


# the suite's side -----------------------------------------------------------------------------------


def cells(plan: Any) -> Iterator[Cell | str]:
    """Everything about starting, for every library."""
    turns: list[Turn] = []
    sizes: list[Turn] = []  # the same whenever they are looked at
    for peer in PEERS:
        library = peer.split("-")[0]
        if not plan.wants(library):
            continue
        if peer == "torch-compiled" and not any(p.kind == "torch-compile" for p in plan.peers):
            yield "torch-compiled: not asked for, or there is no C++ compiler"
            continue
        python = interpreter(library, plan.python)
        names = WORKLOADS[:1] if plan.short else WORKLOADS
        turns += [Turn(f"{peer} {name}", partial(_started, peer, name, python)) for name in names]
        if peer == library:
            sizes.append(Turn(peer, partial(run, "startup.py", "size", library, python=python)))
    yield from in_turns(turns, 1 if plan.short else min(plan.rounds, MOST_ROUNDS))
    yield from in_turns(sizes, 1)


def _started(peer: str, name: str, python: str) -> tuple[list[Cell], str]:
    """One start with an empty cache and one with what that left."""
    told: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        where = {CACHES[peer]: folder, **EVERYTHING} if peer in CACHES else {}
        for state in ("cold", "warm") if where else ("",):
            found, reason = run("startup.py", "steps", peer, name, state, python=python, **where)
            if reason:
                return told, reason
            told += found
    return told, ""


def markdown(found: list[Cell]) -> str:
    """Best and middle rounds."""
    return best_and_middle(found)


# a child's side -------------------------------------------------------------------------------------


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    kind, *rest = arguments
    yield from (_size(*rest) if kind == "size" else _steps(*rest))


def _steps(peer: str, name: str, state: str) -> Iterator[Cell]:
    column = f"{peer} {state}".strip()

    def cell(case: str, unit: str, value: float) -> Cell:
        return Cell(SECTION, f"{name}: {case}", column, unit, [value])

    begun = time.perf_counter()
    build = {"jax": _jax}.get(peer, _front)(peer, name)
    imported = time.perf_counter() - begun
    yield cell("import", "s", imported)
    from models import MODELS
    from workloads import NETWORKS

    batch = (
        MODELS[name].data(np.random.default_rng(0))[0].shape[0] if name in MODELS else NETWORKS[name].batch
    )
    light = _resident()
    begun = time.perf_counter()
    step = build(batch)
    step()
    first = time.perf_counter() - begun
    yield cell("model and first step", "s", first)
    yield cell("all until the first step", "s", imported + first)
    before = _resident()
    for _ in range(STEPS):
        step()
    if before:
        yield cell("memory after 200 steps, beyond the import's", "MB", (_resident() - light) / MEGABYTE)
        yield cell("memory gained a step", "kB", (_resident() - before) / STEPS / KILOBYTE)
    begun = time.perf_counter()
    build(batch // 2)()
    yield cell("a new batch size, first step", "s", time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    yield cell("peak memory", "MB", peak / MEGABYTE)


def _resident() -> int:
    """Bytes of memory in use now, where the system tells."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _front(peer: str, name: str) -> Parts:
    """Libraries with PyTorch's front: the same model for every batch size, the compiled step too."""
    if peer.startswith("torch"):
        import torch
    else:
        import jitgrad as torch  # type: ignore[no-redef]
    made: list[Any] = []

    def build(batch: int) -> Callable[[], Any]:
        if not made:
            from workloads import WORKLOADS

            built = WORKLOADS[name](torch)
            step = built.step
            if peer == "jitgrad-compiled":
                step = torch.compile(step, fullgraph=True)
            elif peer == "torch-compiled":
                from workers import compiled_by_torch

                step = compiled_by_torch(torch, built)
            made.extend((step, built.data))
        step, data = made
        rows = [t[:batch].clone() for t in data]
        return lambda: step(*rows).item()

    return build


def _jax(peer: str, name: str) -> Parts:
    import jax_workloads

    step, _, x, y = jax_workloads._functions(name)
    states: list[Any] = []

    def build(batch: int) -> Callable[[], Any]:
        if not states:
            states.append(jax_workloads._start(name))

        def advance() -> float:
            states[0], loss = step(states[0], x[:batch], y[:batch])
            return float(loss)

        return advance

    return build


def _size(library: str) -> Iterator[Cell]:
    """Bytes of a library and all that it needs."""
    seen: dict[str, int] = {}
    missing = _add_size(library, seen)
    if not missing:
        yield Cell(SECTION, "installed, with what it needs", library, "MB", [sum(seen.values()) / MEGABYTE])


def _add_size(package: str, seen: dict[str, int]) -> bool:
    key = package.lower().replace("_", "-")
    if key in seen:
        return False
    try:
        kept = files_of(package) or []
    except PackageNotFoundError:
        return True
    paths = [p.locate() for p in kept]
    seen[key] = sum(os.path.getsize(p) for p in paths if os.path.isfile(p))
    if library_folder := _editable(package, paths):
        seen[key] = library_folder
    for line in requires(package) or []:
        name = re.match(r"[\w.-]+", line)
        if name and "extra ==" not in line:  # what other markers leave out is not installed either
            _add_size(name.group(), seen)
    return False


def _editable(package: str, paths: Sequence[Any]) -> int:
    """Bytes of a package that is installed as a link to its source."""
    if any(str(p).endswith(f"{package}/__init__.py") for p in paths):
        return 0
    from importlib.util import find_spec

    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if folders and os.path.isdir(kernels := os.path.join(os.path.dirname(folders[0]), "kernels")):
        folders.append(kernels)
    walks = (os.path.join(at, f) for folder in folders for at, _, names in os.walk(folder) for f in names)
    return sum(os.path.getsize(p) for p in walks)


if __name__ == "__main__":
    tell(measured)
