"""What the backward hooks of a module see of the gradients that pass one of its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import Function

if TYPE_CHECKING:
    from .module import Module


class _Pass(Function):
    """Hands values through; what passes on the way back is shown to a function, which may change it."""

    @staticmethod
    def forward(ctx: Any, see: Callable, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.see = see
        ctx.set_materialize_grads(False)
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.see(gradients))


class Backward:
    """The backward hooks of one call of a module: those before its way back, and those after it."""

    def __init__(self, module: Module, before: list[Callable], after: list[Callable]) -> None:
        self._module, self._before, self._after = module, before, after
        self._inputs = 0
        self._recorded: list[int] = []  # the arguments that ask for gradients
        self._gradients: tuple | None = None  # of the outputs

    def at_inputs(self, args: tuple) -> tuple:
        """The arguments, with the way back to them watched."""
        self._inputs = len(args)
        self._recorded = [k for k, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        if not self._after or not self._recorded:
            return args
        passed = _Pass.apply(self._leaving, *(args[k] for k in self._recorded))
        changed = list(args)
        for k, x in zip(self._recorded, passed, strict=True):
            changed[k] = x
        return tuple(changed)

    def at_outputs(self, result: Any) -> Any:
        """The result, with the way back from it watched."""
        outputs = result if isinstance(result, tuple) else (result,)
        tensors = [k for k, y in enumerate(outputs) if isinstance(y, Tensor)]
        if not any(outputs[k].requires_grad for k in tensors):
            return result

        def entering(gradients: tuple) -> tuple:
            whole = [None] * len(outputs)
            for k, g in zip(tensors, gradients, strict=True):
                whole[k] = g
            changed = self._entering(tuple(whole))
            return tuple(changed[k] for k in tensors)

        passed = _Pass.apply(entering, *(outputs[k] for k in tensors))
        changed = list(outputs)
        for k, y in zip(tensors, passed, strict=True):
            changed[k] = y
        return tuple(changed) if isinstance(result, tuple) else changed[0]

    def _entering(self, gradients: tuple) -> tuple:
        for hook in self._before:
            found = hook(self._module, gradients)
            if found is not None:
                gradients = _checked("backward_pre", found, gradients)
        self._gradients = gradients
        if not self._recorded:  # nothing will come out at the arguments
            for hook in self._after:
                found = hook(self._module, (None,) * self._inputs, gradients)
                if found is not None and any(g is not None for g in _tuple(found)):
                    raise RuntimeError(
                        "backward hook: no argument of the module requires a gradient, so there is none to replace; "
                        "return None"
                    )
        return gradients

    def _leaving(self, gradients: tuple) -> tuple:
        whole: list[Any] = [None] * self._inputs
        for k, g in zip(self._recorded, gradients, strict=True):
            whole[k] = g
        result: tuple = tuple(whole)
        for hook in self._after:
            found = hook(self._module, result, self._gradients)
            if found is not None:
                result = _checked("backward", found, result)
        return tuple(result[k] for k in self._recorded)


def _tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _checked(what: str, found: Any, before: tuple) -> tuple:
    found = _tuple(found)
    if len(found) != len(before):
        raise RuntimeError(
            f"{what} hook has returned an incorrect number of gradients: got {len(found)}, "
            f"but expected {len(before)}"
        )
    return found
