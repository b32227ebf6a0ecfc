"""Section: the two protocols that SimpleChains.jl published, beside its figures.

The matrix exponential's network (W8) takes 10,000 full-batch steps of Adam. LeNet-5 takes 10 epochs of Adam, rate
3e-4, on 60,000 images of 28x28; the images here are random, because none are downloaded. A short run does a tenth of
both, and one round. Published times are those of other machines, of runs after the one that compiled: what can be
compared is nanoseconds a sample and core.

LeNet-5's batches: the report (julialang.org, "Doing small network scientific machine learning in Julia 5x faster than
PyTorch", April 2022) calls ``train_batched!(G, p, lenetloss, xtrain4, ADAM(3e-4), 10)`` and says that batch sizes were
proportional to the number of threads. Without the keyword ``batchsize``, SimpleChains' ``src/optimize.jl`` takes as
many images for each thread (each column of ``G``, one a core there) as the register tile of the first dense layer's
product has columns. LoopVectorization's cost model gives that number (``matmul_params``); no source states it.
Octavian.jl, which asks the same model, reports blocks of 1440 x 1782 floats with AVX-512: multiples of three vectors,
and of nine columns. So we take nine a thread, as if it were 162 on the 18 cores. PyTorch's script
(github.com/chriselrod/LeNetTorch) takes 16 for each processor that it may run on, and so does PyTorch here, though
with the images in memory and without a loader. Every epoch is shuffled and has whole batches only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from cells import Cell
from children import Turn, in_turns, run, tell
from report import best_and_middle

SECTION = "chains"
MATEXP, LENET = "matrix exponential", "LeNet-5"
# seconds, ns a sample and core: SimpleChains.jl's own report, Adam, the same networks
PUBLISHED = {
    MATEXP: {"SimpleChains, 18-core i9-10980XE": (0.41, 74), "SimpleChains, 32-core EPYC 7513": (0.72, 230)},
    LENET: {
        "SimpleChains, 18-core i9-10980XE": (1.23, 36_900),
        "SimpleChains, 32-core EPYC 7513": (3.08, 165_000),
    },
}
PUBLISHED_PYTORCH = {MATEXP: (15, 68), LENET: (10.8, 15.1)}
MOST_ROUNDS = 3  # of some minutes each
STEPS, SAMPLES, IMAGES, EPOCHS = 10_000, 10_000, 60_000, 10
BATCHES = {"jitgrad": 9, "torch": 16}  # images a thread


def cells(plan: Any) -> Iterator[Cell | str]:
    """Our figures and PyTorch's, and the published ones."""
    turns = [
        Turn(
            f"{library}, {threads} threads",
            partial(run, "chains.py", library, threads, int(plan.short), threads=threads),
        )
        for library in ("jitgrad", "torch")
        if plan.wants(library)
        for threads in plan.threads
    ]
    yield from in_turns(turns, 1 if plan.short else min(plan.rounds, MOST_ROUNDS))
    for case, figures in PUBLISHED.items():
        for machine, (seconds, a_sample) in figures.items():
            yield Cell(SECTION, f"{case}, seconds", machine, "s", [seconds], "published")
            yield Cell(SECTION, f"{case}, a sample and core", machine, "ns", [a_sample], "published")
    for case, (first, second) in PUBLISHED_PYTORCH.items():
        yield f"PyTorch on those machines, published: {case} {first} s and {second} s"


def markdown(found: list[Cell]) -> str:
    """Best and middle rounds."""
    return best_and_middle(found)


def measured(arguments: Sequence[str]) -> Iterator[Cell]:
    """What a child tells."""
    import importlib

    library, threads, short = arguments[0], int(arguments[1]), arguments[2] == "1"
    torch = importlib.import_module(library)
    torch.set_num_threads(threads)
    part = 10 if short else 1
    if (
        library == "torch"
    ):  # a tenth: the whole takes minutes, and a step takes as long in the tenth as in all
        part *= 10
    peer = f"{library}-{threads}"
    batch = BATCHES[library] * threads
    for case, whole, trained, batches in (
        (MATEXP, STEPS * SAMPLES, _matexp(torch, STEPS // part), ""),
        (LENET, EPOCHS * IMAGES, _lenet(torch, EPOCHS * IMAGES // part, batch), f"batches of {batch}"),
    ):
        seconds = trained * part
        note = ", ".join(filter(None, (batches, f"from {100 // part} %" if part > 1 else "")))
        yield Cell(SECTION, f"{case}, seconds", peer, "s", [seconds], note)
        yield Cell(SECTION, f"{case}, a sample and core", peer, "ns", [1e9 * seconds * threads / whole], note)


def _matexp(torch: Any, steps: int) -> float:
    from workloads import WORKLOADS

    built = WORKLOADS["W8"](torch)
    built.step(*built.data)
    if torch.__name__ == "jitgrad":
        step = torch.compile(built.step, fullgraph=True)
        step(*built.data)
        begun = time.perf_counter()
        step.loop(steps, *built.data)
    else:
        begun = time.perf_counter()
        for _ in range(steps):
            built.step(*built.data)
    return time.perf_counter() - begun


def _lenet(torch: Any, samples: int, batch: int) -> float:
    """Seconds for so many samples, in shuffled epochs over as many images as that needs."""
    from models import lenet

    rng = np.random.default_rng(0)
    images = min(samples, IMAGES) // batch * batch
    x = torch.from_numpy(rng.random((images, 1, 28, 28), np.float32))
    y = torch.from_numpy(rng.integers(0, 10, images))
    model = lenet(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    loss_function = torch.nn.CrossEntropyLoss()

    def step(xb: Any, yb: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(xb), yb)
        loss.backward()
        optimizer.step()
        return loss

    step(x[:batch], y[:batch])
    epochs = max(samples // images, 1)
    if torch.__name__ == "jitgrad":
        compiled = torch.compile(step, fullgraph=True)
        compiled(x[:batch], y[:batch])
        begun = time.perf_counter()
        compiled.run(x, y, batch_size=batch, epochs=epochs, shuffle=True)
    else:
        begun = time.perf_counter()
        for _ in range(epochs):
            order = torch.randperm(images)
            for at in range(0, images, batch):
                rows = order[at : at + batch]
                step(x[rows], y[rows])
    return (time.perf_counter() - begun) * samples / (epochs * images)


if __name__ == "__main__":
    tell(measured)
