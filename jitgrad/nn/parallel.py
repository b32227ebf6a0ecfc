"""``nn.DataParallel`` for scripts that wrap their model in one: on the CPU it is the model, one level down."""

# ruff: noqa: D102 - what a module's forward does is said by its class

from __future__ import annotations

from typing import Any

from .module import Module

__all__ = ["DataParallel"]


class DataParallel(Module):
    """A module that calls another, whose parameters are named ``module.`` and their own names.

    Parameters
    ----------
    module : Module
    device_ids, output_device, dim
        For several GPUs, of which there are none.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
