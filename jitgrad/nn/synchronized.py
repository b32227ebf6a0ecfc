"""``nn.SyncBatchNorm`` for scripts that convert their models to it: with one process it is a batch normalisation."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors

from .batchnorm import _BatchNorm
from .module import Module


class SyncBatchNorm(_BatchNorm):
    """Normalise the channels of a batch (N, C, ...) of any number of dimensions from 2; there is one process only.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        As of `BatchNorm1d`.
    process_group : optional
        The processes that would share their statistics; kept, not used.

    Raises
    ------
    ValueError
        If the input has fewer than 2 dimensions, or one value per channel while training.
    RuntimeError
        If the channels or dtypes do not fit.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        require_tensors("SyncBatchNorm", input)
        if input.ndim < 2:
            raise ValueError(
                f"SyncBatchNorm: expected at least 2D input (got {input.ndim}D input of shape {tuple(input.shape)})"
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Put a layer of this class in the place of every batch normalisation, with its parameters and statistics.

        Parameters
        ----------
        module : Module
            Its layers are replaced in place.
        process_group : optional
            See the class.

        Returns
        -------
        Module
            `module`, or what takes its place if it is a batch normalisation itself.
        """
        made = module
        if isinstance(module, _BatchNorm):
            made = cls._of(module, process_group)
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made

    @classmethod
    def _of(cls, layer: _BatchNorm, process_group: Any) -> SyncBatchNorm:
        made = cls(
            layer.num_features,
            layer.eps,
            layer.momentum,
            layer.affine,
            layer.track_running_stats,
            process_group,
            bias=layer.bias is not None,
        )
        made.weight, made.bias = layer.weight, layer.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            setattr(made, name, getattr(layer, name))
        made.training = layer.training
        return made
