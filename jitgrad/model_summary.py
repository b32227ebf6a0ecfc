"""`summary`: a model's layers with output shapes, parameters and multiply-adds, as one pass shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._tensor import Tensor
from .autograd import enable_grad
from .engine import layout
from .engine.layout import T_INPUTS, T_KIND, T_OP, T_WORDS
from .kernels import OPS
from .kernels.work import multiply_adds
from .nn.module import Module
from .slots import slot_shape
from .store import store
from .tape import slots_of

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass
class Layer:
    """One module of a model.

    Attributes
    ----------
    name : str
        Its name in the model, dotted; empty for the model itself.
    kind : str
        Its class.
    depth : int
        How deep it lies in the tree.
    output : str
        Shape of what it gives, or of each tensor in it; empty when it was not called.
    trainable, frozen : int
        Elements of its own parameters (not of modules in it); a shared one counts where it comes first.
    multiply_adds : int
        Of the operations that ran in it, but not in a module inside it.
    calls : int
        How often it was called.
    """

    name: str
    kind: str
    depth: int
    output: str = ""
    trainable: int = 0
    frozen: int = 0
    multiply_adds: int = 0
    calls: int = 0


@dataclass(frozen=True)
class Summary:
    """What `summary` found; printing it gives a table.

    Attributes
    ----------
    layers : list of Layer
        In the order of the tree.
    inputs : tuple of tuple of int
        Shapes of the inputs.
    bytes : int
        Size of parameters and buffers.
    """

    layers: list[Layer]
    inputs: tuple[tuple[int, ...], ...]
    bytes: int

    @property
    def trainable(self) -> int:
        """Elements of all parameters that ask for gradients."""
        return sum(x.trainable for x in self.layers)

    @property
    def frozen(self) -> int:
        """Elements of all parameters that do not."""
        return sum(x.frozen for x in self.layers)

    @property
    def parameters(self) -> int:
        """Elements of all parameters."""
        return self.trainable + self.frozen

    @property
    def multiply_adds(self) -> int:
        """Of one forward pass on these inputs."""
        return sum(x.multiply_adds for x in self.layers)

    def __str__(self) -> str:
        lines = [("layer", "output", "trainable", "frozen", "multiply-adds")]
        for x in self.layers:
            label = "  " * x.depth + (f"{x.name.rpartition('.')[2]}: {x.kind}" if x.name else x.kind)
            if x.calls > 1:
                label += f" (called {x.calls} times)"
            cells = (f"{n:,}" if n else "-" for n in (x.trainable, x.frozen, x.multiply_adds))
            lines.append((label, x.output or "-", *cells))
        widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        rule = "  ".join("-" * w for w in widths)
        text = []
        for line in lines:
            left = [c.ljust(w) for c, w in zip(line[:2], widths[:2], strict=True)]
            right = [c.rjust(w) for c, w in zip(line[2:], widths[2:], strict=True)]
            text.append("  ".join([*left, *right]).rstrip())
        text.insert(1, rule)
        inputs = ", ".join(str(list(shape)) for shape in self.inputs)
        text += [
            rule,
            f"parameters: {self.parameters:,} ({self.trainable:,} trainable, {self.frozen:,} frozen), "
            f"{_short(self.bytes)}B with buffers",
            f"one forward pass on {inputs}: {_short(self.multiply_adds)} multiply-adds",
        ]
        return "\n".join(text)

    __repr__ = __str__


def _short(count: float) -> str:
    for unit, letter in UNITS:
        if count >= unit:
            return f"{count / unit:.2f} {letter}"
    return f"{count:.0f} "


def summary(model: Module, *inputs: Any) -> Summary:
    """Layers, output shapes, parameters and multiply-adds of a model, seen in one forward pass.

    Parameters
    ----------
    model : Module
        The model. The pass runs in evaluation mode, and nothing of the model is changed.
    *inputs : Tensor or sequence of int
        What the model is called with; a shape stands for random numbers of the default dtype.

    Returns
    -------
    Summary
        Print it for a table; ``.layers``, ``.parameters``, ``.trainable``, ``.multiply_adds``.

    Raises
    ------
    TypeError
        If `model` is no module, or an input neither a tensor nor a shape.

    Notes
    -----
    Multiply-adds are counted on the tape, from the shapes of the rows that the pass recorded: matrix products,
    convolutions, attention, recurrent steps. What runs inside an `autograd.Function` is not on the tape.

    Examples
    --------
    >>> print(jitgrad.summary(model, (1, 28, 28)))   # doctest: +SKIP
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expected a Module, got {type(model).__name__}")
    tensors = [_input(x) for x in inputs]
    layers = _layers(model)
    _run(model, layers, tensors)
    members = (*model.parameters(), *model.buffers())
    return Summary(
        list(layers.values()),
        tuple(tuple(t.shape) for t in tensors if isinstance(t, Tensor)),
        sum(t.nbytes for t in members),
    )


def _input(x: Any) -> Any:
    """A tensor of its own for the pass."""
    from .functions import Generator, randn

    if isinstance(x, Tensor):
        return x.detach().clone()  # type: ignore[attr-defined]
    if isinstance(x, Sequence) and all(isinstance(n, int) for n in x):
        return randn(*x, generator=Generator().manual_seed(0))  # the program's own draws go on as before
    raise TypeError(
        f"summary: expected a Tensor or a shape as input, got {type(x).__name__}: summary(model, (1, 28, 28))"
    )


def _layers(model: Module) -> dict[int, Layer]:
    """A line for every module, with its own parameters."""
    layers: dict[int, Layer] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        layer = layers[id(module)] = Layer(name, type(module).__name__, name.count(".") + bool(name))
        for p in module.parameters(recurse=False):
            if id(p) not in seen:
                seen.add(id(p))
                layer.trainable += p.numel() if p.requires_grad else 0
                layer.frozen += 0 if p.requires_grad else p.numel()
    return layers


def _run(model: Module, layers: dict[int, Layer], inputs: list[Any]) -> None:
    """Run the model with everything on the tape, and put what is seen into the lines."""
    modules = [m for m in model.modules() if id(m) in layers]
    training = [m.training for m in modules]
    asked = [(p, p.requires_grad) for p in model.parameters()]
    open_calls: list[list[int]] = []  # where the tape stood at the beginning, and work in modules inside

    def before(module: Module, args: Any) -> None:
        open_calls.append([store.field("tape_top"), 0])

    def after(module: Module, args: Any, output: Any) -> None:
        start, inside = open_calls.pop()
        work = _work(start)
        layer = layers[id(module)]
        layer.multiply_adds += work - inside
        layer.calls += 1
        layer.output = _shapes(output)
        if open_calls:
            open_calls[-1][1] += work

    handles = []
    store.set_field("walks", store.field("walks") + 1)  # rows stay where they are meanwhile
    try:
        for module in modules:
            module.training = False
            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        for p, _ in asked:
            if p.is_floating_point():
                p.requires_grad_(True)
        with enable_grad():
            wanted = [
                x.requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x for x in inputs
            ]
            model(*wanted)
    finally:
        store.set_field("walks", store.field("walks") - 1)
        for handle in handles:
            handle.remove()
        for module, mode in zip(modules, training, strict=True):
            module.training = mode
        for p, flag in asked:
            p.requires_grad_(flag)


def _work(start: int) -> int:
    """Multiply-adds of the rows that were recorded since the tape stood at `start`."""
    tape, total, at = store.tape, 0, start
    while at < len(tape):
        code, kind = int(tape[at + T_OP]), int(tape[at + T_KIND])
        if code != layout.DEAD_OP and kind == layout.ARRAYS:
            shapes = [slot_shape(s) if s else None for s in slots_of(at)]
            inputs = int(tape[at + T_INPUTS])
            total += multiply_adds(OPS[code].name, shapes[:inputs], shapes[inputs:])
        at += int(tape[at + T_WORDS])
    return total


def _shapes(output: Any) -> str:
    """Shapes of the tensors in an output, in its nesting."""
    if isinstance(output, Tensor):
        return str(list(output.shape))
    if isinstance(output, tuple | list):
        inner = ", ".join(filter(None, map(_shapes, output)))
        return f"({inner})" if inner else ""
    if isinstance(output, dict):
        return ", ".join(f"{k}: {_shapes(v)}" for k, v in output.items())
    return ""
