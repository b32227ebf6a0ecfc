"""Learning to write names, character by character."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .history import History
from .output import write_text
from .task import Measured, Plan, Task
from .text import END, IGNORED, Corpus

CHUNK = 500  # lines that are evaluated at once
MEASURED = 2_000  # training lines that are evaluated at most
SAMPLES = 12
GPT_SIZES = {"n_layer": 2, "n_head": 4, "n_embd": 48, "dropout": 0.1}
LSTM_SIZES = {"embedding_dim": 32, "hidden_size": 128, "dropout": 0.3}


def make_task(plan: Plan, corpus: Corpus) -> Task:
    """The language model for a corpus, and how to train it."""
    from jitgrad import from_numpy, models

    if plan.model == "gpt":
        model: Any = models.GPT(corpus.tokens, corpus.positions, **GPT_SIZES)
        shape = "GPT of {n_layer} blocks, {n_head} heads, width {n_embd}".format(**GPT_SIZES)
    else:
        model = models.LSTMLanguageModel(corpus.tokens, **LSTM_SIZES)
        shape = "LSTM of width {hidden_size}".format(**LSTM_SIZES)
    train, test = (tuple(map(from_numpy, part)) for part in (corpus.train, corpus.test))
    history = History("nats a character", "perplexity")

    def measure() -> tuple[Measured, Measured]:
        some = train[0][:MEASURED], train[1][:MEASURED]
        return tuple(evaluate(model, *lines) for lines in (some, test))

    def result() -> str:
        loss, perplexity = history.test_loss[-1], history.test_metric[-1]
        return f"test loss: {loss:.4f} nats a character on held-out lines (perplexity {perplexity:.2f})"

    def finish(folder: Path) -> list[str]:
        made = samples(model, corpus, plan.seed)
        print("\n".join(["samples:", *(f"  {line}" for line in made)]))
        write_text(folder / "samples.txt", "\n".join(made) + "\n")
        write_text(folder / "characters.txt", corpus.characters)
        return ["samples.txt", "characters.txt"]

    cut = f" ({corpus.cut} cut to the first characters)" if corpus.cut else ""
    data = (
        f"{len(train[0])} lines to train on, {len(test[0])} held out, {len(corpus.characters)} characters, "
        f"at most {corpus.positions - 1} a line{cut}"
    )
    return Task(
        model, train, lambda x, y: loss_of(model, x, y), measure, history, data, shape, result, finish
    )


def loss_of(model: Any, tokens: Any, targets: Any, reduction: str = "mean") -> Any:
    """Cross-entropy of the next characters, in nats; what follows a line's end does not count."""
    from jitgrad.nn.functional import cross_entropy

    scores = model(tokens)
    scores = scores[0] if isinstance(scores, tuple) else scores
    classes = scores.shape[-1]
    return cross_entropy(
        scores.reshape(-1, classes), targets.reshape(-1), ignore_index=IGNORED, reduction=reduction
    )


def evaluate(model: Any, tokens: Any, targets: Any) -> Measured:
    """Nats a character, and the perplexity that this is."""
    from jitgrad import no_grad

    total = 0.0
    with no_grad():
        for at in range(0, len(tokens), CHUNK):
            total += loss_of(model, tokens[at : at + CHUNK], targets[at : at + CHUNK], "sum").item()
    loss = total / int((targets.numpy() != IGNORED).sum())
    return loss, math.exp(min(loss, 700.0))


def samples(model: Any, corpus: Corpus, seed: int) -> list[str]:
    """Lines that a model writes by itself."""
    import jitgrad

    start = jitgrad.full((SAMPLES, 1), END, dtype=jitgrad.int64)
    generator = jitgrad.Generator().manual_seed(seed)
    made = model.generate(start, corpus.positions - 1, generator=generator)
    return [corpus.text(row) for row in made.tolist()]
