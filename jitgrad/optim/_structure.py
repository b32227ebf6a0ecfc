"""What `minimize` varies: tensors in any nesting, or a module's parameters, as one vector of float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import no_grad
from ..functions import from_numpy
from ..nn.module import Module


class Structure:
    """Tensors in tuples, lists and dicts; every evaluation gets tensors of its own."""

    def __init__(self, start: Any) -> None:
        self.start = start
        self.leaves: list[Tensor] = []
        self._collect(start, "x0")
        if not self.leaves:
            raise ValueError("minimize: x0 holds no tensors")
        self.sizes = [x.numel() for x in self.leaves]

    def _collect(self, x: Any, where: str) -> None:
        if isinstance(x, Tensor):
            if not x.is_floating_point():
                raise TypeError(
                    f"minimize: {where} is {x.dtype.name}; only floating-point tensors can be varied: use "
                    ".double()"
                )
            self.leaves.append(x)
        elif isinstance(x, dict):
            for key, item in x.items():
                self._collect(item, f"{where}[{key!r}]")
        elif isinstance(x, tuple | list):
            for k, item in enumerate(x):
                self._collect(item, f"{where}[{k}]")
        else:
            raise TypeError(
                f"minimize: {where} is of type {type(x).__name__}; expected a Tensor, a tuple, list or dict of "
                "tensors, or a Module"
            )

    def vector(self, tensors: list[Tensor | None] | None = None) -> np.ndarray:
        """Tensors, by default those at the start, as a vector; None stands for zeros."""
        found = self.leaves if tensors is None else tensors
        parts = [
            np.zeros(size) if t is None else t.numpy(force=True).astype(float).reshape(-1)
            for t, size in zip(found, self.sizes, strict=True)
        ]
        return np.concatenate(parts)

    def tensors(self, vector: np.ndarray) -> list[Tensor]:
        """Tensors like those at the start, with values from a vector."""
        done, at = [], 0
        for like, size in zip(self.leaves, self.sizes, strict=True):
            values = np.array(vector[at : at + size], dtype=like.dtype.numpy).reshape(tuple(like.shape))
            done.append(from_numpy(values))
            at += size
        return done

    def put(self, vector: np.ndarray, ask: bool) -> tuple[list[Tensor], Any]:
        """Tensors with these values, and the argument for the function; `ask` for gradients."""
        tensors = [t.requires_grad_(ask) for t in self.tensors(vector)]
        return tensors, self.built(tensors)

    def built(self, tensors: list[Tensor]) -> Any:
        """Tensors in the nesting of the start."""
        waiting = iter(tensors)

        def build(x: Any) -> Any:
            if isinstance(x, Tensor):
                return next(waiting)
            if isinstance(x, dict):
                return {key: build(item) for key, item in x.items()}
            items = [build(item) for item in x]
            return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)

        return build(self.start)

    def restore(self) -> None:
        """Nothing of the caller's was changed."""


class ModuleStructure(Structure):
    """A module's parameters that ask for gradients; evaluations write into them."""

    def __init__(self, module: Module) -> None:
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        super().__init__(named)
        self.module = module
        self.before = self.vector()

    def put(self, vector: np.ndarray, ask: bool) -> tuple[list[Tensor], Any]:
        """Write the values into the parameters."""
        with no_grad():
            for p, value in zip(self.leaves, self.tensors(vector), strict=True):
                p.copy_(value)  # type: ignore[attr-defined]
        return self.leaves, self.module

    def restore(self) -> None:
        """Give the parameters the values that they had."""
        self.put(self.before, False)


def structure_of(x0: Any) -> Structure:
    """How to vary `x0`."""
    return ModuleStructure(x0) if isinstance(x0, Module) else Structure(x0)
