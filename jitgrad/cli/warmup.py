"""``jitgrad warmup``: compile the engine and the common float32 kernels ahead, for images and CI.

Kernels are compiled by using them: small training steps of typical models with every activation, loss and
optimizer run once. What is in the cache already is only read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .models import build_model, build_optimizer
from .parser import OPTIMIZERS

ACTIVATIONS = (
    *("ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Softplus", "Softsign"),
    *("Tanh", "Sigmoid", "LogSigmoid", "Hardtanh", "ReLU6", "Hardswish", "Hardsigmoid"),
)
ROWS, WIDTH, CLASSES = 5, 8, 3
BATCH = 256  # rows that a program takes through a network in strips

Job = tuple[str, Callable[[], Any]]


def run(options: argparse.Namespace) -> int:
    """Compile everything in `jobs`, with a progress bar when tqdm is installed."""
    from ..kernels import cache, compiler

    if not cache.enabled():
        print("jitgrad warmup: JITGRAD_CACHE switches the cache off: nothing can be kept", file=sys.stderr)
        return 2
    before, begun = compiler.compiled(), time.perf_counter()
    work = list(jobs())
    with _bar(len(work)) as show:
        for name, job in work:
            show(name)
            job()
    made = compiler.compiled() - before
    print(f"compiled {made} kernels in {time.perf_counter() - begun:.1f} s; the cache is {cache.root()}")
    if not cache.files():
        print(
            f"jitgrad warmup: cannot write to {cache.root()}; move it with JITGRAD_CACHE_DIR", file=sys.stderr
        )
        return 2
    return 0


def jobs() -> Iterator[Job]:
    """Name and action of every piece of work."""
    yield "engine", _engine
    yield "tensors", _tensors
    yield "matrices", _matrices
    for hidden in ((), (WIDTH,)):
        yield f"classifier, {len(hidden)} hidden layers", lambda h=hidden: _classifier(h)
    for name in ("LeNet5", "ResNet", "GPT", "LSTMLanguageModel"):
        yield f"model {name}", lambda n=name: _model(n)
    for name in ACTIVATIONS:
        yield f"activation {name}", lambda n=name: _activation(n)
    for name, loss in _losses():
        yield f"loss {name}", lambda f=loss: f().backward()
    for name in OPTIMIZERS:
        yield f"optimizer {name}", lambda n=name: _optimizer(n)
        yield f"compiled step, {name}", lambda n=name: _compiled_step(n, "mse_loss", ROWS)
    yield "compiled step, plain sgd", lambda: _compiled_step("", "mse_loss", ROWS)
    yield "compiled classifier", lambda: _compiled_step("adam", "cross_entropy", ROWS)
    yield "compiled step in strips", lambda: _compiled_step("adam", "cross_entropy", BATCH)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[str], None]]:
    try:
        from tqdm import tqdm
    except ImportError:  # the bar is a comfort: without it the names are printed
        yield lambda name: print(name, flush=True)
        return
    with tqdm(total=total, unit="job", mininterval=0.1) as bar:
        done = 0

        def show(name: str) -> None:
            nonlocal done
            bar.update(done)
            done = 1
            bar.set_description_str(name, refresh=False)

        yield show
        bar.set_description_str("done", refresh=False)
        bar.update(done)


def _engine() -> None:
    """All compiled calls that Python makes: those of programs and threads come with the first that needs them."""
    from ..engine.entry import GROUPS, entries

    for names in GROUPS.values():
        getattr(entries, names[0])


def _rows(width: int = WIDTH) -> Any:
    import jitgrad

    return jitgrad.randn(ROWS, width)


def _labels() -> Any:
    import jitgrad

    return jitgrad.arange(ROWS) % CLASSES


def _wanted(*shape: int) -> Any:
    import jitgrad

    return jitgrad.randn(*shape, requires_grad=True)


def _classifier(hidden: tuple[int, ...]) -> None:
    """A training step and an evaluation, from a shuffled loader."""
    from jitgrad import no_grad
    from jitgrad.nn.functional import cross_entropy
    from jitgrad.utils.data import DataLoader, TensorDataset

    model = build_model(WIDTH, hidden, CLASSES)
    optimizer = build_optimizer("adam", model, 1e-3)
    for x, y in DataLoader(TensorDataset(_rows(), _labels()), batch_size=3, shuffle=True):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    with no_grad():
        cross_entropy(model(_rows()), _labels()).item()


def _model(name: str) -> None:
    """A training step of a model with convolutions, recurrence or attention, and an evaluation."""
    import jitgrad
    from jitgrad import models
    from jitgrad.nn.functional import cross_entropy

    tokens = jitgrad.arange(ROWS * WIDTH).reshape(ROWS, WIDTH) % CLASSES
    make, x = {
        "LeNet5": (lambda: models.LeNet5(CLASSES), jitgrad.randn(ROWS, 1, 28, 28)),
        "ResNet": (
            lambda: models.ResNet(models.BasicBlock, (1, 1, 1, 1), CLASSES),
            jitgrad.randn(ROWS, 3, 32, 32),
        ),
        "GPT": (lambda: models.GPT(CLASSES, WIDTH, 1, 2, WIDTH), tokens),
        "LSTMLanguageModel": (lambda: models.LSTMLanguageModel(CLASSES, WIDTH, WIDTH), tokens),
    }[name]
    model = make()
    for training in (True, False):
        output = model.train(training)(x)
        output = output[0] if isinstance(output, tuple) else output
        loss = cross_entropy(output.reshape(-1, CLASSES), jitgrad.zeros(output.numel() // CLASSES).long())
        if training:
            loss.backward()


def _activation(name: str) -> None:
    from jitgrad import nn

    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), getattr(nn, name)(), nn.Linear(WIDTH, 1))
    nn.functional.mse_loss(model(_rows()), _rows(1)).backward()


def _optimizer(name: str) -> None:
    model = build_model(WIDTH, (), 1)
    optimizer = build_optimizer(name, model, 1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        model(_rows()).square().mean().backward()
        optimizer.step()


def _compiled_step(optimizer: str, loss: str, batch: int) -> None:
    """Two epochs of two shuffled batches in compiled code; without an optimizer's name by plain gradient descent."""
    import jitgrad
    from jitgrad import nn, optim

    model = build_model(WIDTH, (WIDTH,), CLASSES)
    rule = build_optimizer(optimizer, model, 1e-3) if optimizer else optim.SGD(model.parameters(), lr=1e-3)
    compare = getattr(nn.functional, loss)

    @jitgrad.compile
    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        value = compare(model(x), y)
        value.backward()
        rule.step()
        return value

    rows = 2 * batch
    wanted = jitgrad.randn(rows, CLASSES) if loss == "mse_loss" else jitgrad.arange(rows) % CLASSES
    step.run(jitgrad.randn(rows, WIDTH), wanted, batch_size=batch, epochs=2, shuffle=True)


def _losses() -> Iterator[tuple[str, Callable[[], Any]]]:
    from jitgrad.nn import functional as F

    yield "cross_entropy", lambda: F.cross_entropy(_wanted(ROWS, CLASSES), _labels())
    yield "nll_loss", lambda: F.nll_loss(_wanted(ROWS, CLASSES).log_softmax(1), _labels())
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        yield name, lambda n=name: getattr(F, n)(_wanted(ROWS, 1), _rows(1))
    yield (
        "binary_cross_entropy",
        lambda: F.binary_cross_entropy(_wanted(ROWS, 1).sigmoid(), _rows(1).sigmoid()),
    )
    yield (
        "binary_cross_entropy_with_logits",
        lambda: F.binary_cross_entropy_with_logits(_wanted(ROWS, 1), _rows(1).sigmoid()),
    )
    yield (
        "kl_div",
        lambda: F.kl_div(
            _wanted(ROWS, CLASSES).log_softmax(1), _rows(CLASSES).softmax(1), reduction="batchmean"
        ),
    )
    yield "ctc_loss", _ctc
    yield "poisson_nll_loss", lambda: F.poisson_nll_loss(_wanted(ROWS, 1), _rows(1).abs())
    yield (
        "gaussian_nll_loss",
        lambda: F.gaussian_nll_loss(_wanted(ROWS, 1), _rows(1), _wanted(ROWS, 1).exp()),
    )
    yield "hinge_embedding_loss", lambda: F.hinge_embedding_loss(_wanted(ROWS), _signs())
    yield "margin_ranking_loss", lambda: F.margin_ranking_loss(_wanted(ROWS), _wanted(ROWS), _signs())
    yield (
        "cosine_embedding_loss",
        lambda: F.cosine_embedding_loss(_wanted(ROWS, WIDTH), _wanted(ROWS, WIDTH), _signs()),
    )
    for name in ("triplet_margin_loss", "triplet_margin_with_distance_loss"):
        yield name, lambda n=name: getattr(F, n)(*(_wanted(ROWS, WIDTH) for _ in range(3)))
    yield "soft_margin_loss", lambda: F.soft_margin_loss(_wanted(ROWS), _signs())
    yield (
        "multilabel_soft_margin_loss",
        lambda: F.multilabel_soft_margin_loss(_wanted(ROWS, CLASSES), _rows(CLASSES).sigmoid()),
    )
    yield (
        "multilabel_margin_loss",
        lambda: F.multilabel_margin_loss(_wanted(CLASSES), _labels()[:CLASSES]),
    )
    yield "multi_margin_loss", lambda: F.multi_margin_loss(_wanted(ROWS, CLASSES), _labels())


def _ctc() -> Any:
    """The loss of two short sequences."""
    import jitgrad

    scores = _wanted(ROWS, 2, CLASSES).log_softmax(2)
    targets = jitgrad.tensor([[1, 2], [2, 1]])
    return jitgrad.nn.functional.ctc_loss(
        scores, targets, jitgrad.tensor([ROWS, ROWS]), jitgrad.tensor([2, 2])
    )


def _signs() -> Any:
    import jitgrad

    return (jitgrad.arange(ROWS) % 2 * 2 - 1).float()


def _tensors() -> None:
    """Arithmetic, reductions, shapes and indexing that most scripts use, there and back."""
    import jitgrad

    x, y = _wanted(ROWS, WIDTH), _wanted(ROWS, WIDTH)
    total = ((x + y) * (x - y) / (y.square() + 1.0) + 2.0 * x - y**2).sum()
    for value in (
        x.exp().mean(0),
        x.abs().sqrt().sum(1),
        x.sigmoid().log().amax(1),
        x.softmax(1)[:, 1],
        x.transpose(0, 1).reshape(-1)[2:],
        jitgrad.cat([x, y]).std(0),
        jitgrad.stack([x, y]).var(),
        jitgrad.where(x > 0, x, y).clamp(min=0),
        x @ y.T,
        x[_labels()],
    ):
        total = total + value.sum()
    total.backward()
    with jitgrad.no_grad():
        x.argmax(1).tolist()
        (x.round() == y).all().item()
        x.mul_(0.5).add_(y)


def _matrices() -> None:
    """Factorisations of matrices and what follows from them, there and back."""
    import jitgrad
    from jitgrad import linalg

    a = jitgrad.eye(CLASSES).requires_grad_()
    factor = linalg.cholesky(a)
    (q, r), packed = linalg.qr(a), linalg.lu_factor(a)
    total = jitgrad.cholesky_solve(q, factor) + linalg.solve(a, r) + linalg.lu_solve(*packed, a)
    total = total + linalg.pinv(a) + linalg.eigh(a).eigenvalues
    (total.sum() + linalg.det(a) + linalg.slogdet(a).logabsdet).backward()
