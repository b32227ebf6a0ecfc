"""Layers that normalise channels and may keep running statistics: batch and instance normalisation."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import int64
from jitgrad.engine.layout import S_DIMS, S_NUMEL, S_SHAPE, SLOT_WORDS
from jitgrad.functions._call import require_tensors
from jitgrad.functions.channel_norms import count_up, normalized_channels
from jitgrad.store import store

from ..user_frames import warn
from ._calls import call_with_one
from .functional import instance_norm
from .functional.normalization import refuse_single_values
from .module import Module
from .normalization import make_affine, reset_affine


class _NormBase(Module):
    """What batch and instance normalisation share: parameters, statistics, and how many dimensions fit.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        How far running statistics move towards a batch's.
    affine : bool
        Whether there are a weight, which starts at 1, and a bias, which starts at 0.
    track_running_stats : bool
        Whether there are running statistics, which are used in evaluation mode.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of parameters and statistics; by default the default dtype.
    bias : bool, default True
        With False there is no bias.
    """

    _dims: tuple[int, ...] = ()  # of the inputs that fit
    _version = 2  # since it counts batches, as in PyTorch
    _optional_state = frozenset({"num_batches_tracked"})  # weights of old do not have it

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        make_affine(self, num_features, affine, affine and bias, device, dtype)
        tracked = track_running_stats
        self.register_buffer(
            "running_mean", T.zeros(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer(
            "running_var", T.ones(num_features, device=device, dtype=dtype) if tracked else None
        )
        self.register_buffer("num_batches_tracked", T.tensor(0, dtype=int64) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the count of batches to 0."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Reset the running statistics, set the weight to ones and the bias to zeros."""
        self.reset_running_stats()
        reset_affine(self)

    def _check_input_dim(self, input: Tensor) -> None:
        try:
            dims = store.slots[input._slot * SLOT_WORDS + S_DIMS]
        except AttributeError:
            require_tensors(type(self).__name__, input)
            raise
        if dims not in self._dims:
            wanted = " or ".join(f"{n}D" for n in self._dims)
            raise ValueError(
                f"{type(self).__name__}: expected {wanted} input (got {input.ndim}D input of shape "
                f"{tuple(input.shape)})"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    """Bring every channel to mean 0 and variance 1, then multiply by a weight and add a bias.

    While training the statistics are the batch's; the running ones move towards them by ``momentum``, or with None
    are the average over all batches. In evaluation mode the running ones are used, if they are tracked.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        if not self.training and mean is not None and var is not None:
            return normalized_channels(input, self.weight, self.bias, mean, var, False, 0.0, self.eps)
        at = input._slot * SLOT_WORDS
        if store.slots[at + S_NUMEL] == store.slots[at + S_SHAPE + 1]:
            refuse_single_values(type(self).__name__, input)
        counter = self.num_batches_tracked
        if not (self.training and self.track_running_stats) or counter is None:
            if not self.training:
                mean = var = None
            momentum = 0.0 if self.momentum is None else self.momentum
            return normalized_channels(input, self.weight, self.bias, mean, var, True, momentum, self.eps)
        momentum = self.momentum
        if momentum is None:  # a tensor, so that a recorded step goes on counting
            assert mean is not None  # there is a counter only where there are statistics
            momentum = 1.0 / (counter + 1).to(mean.dtype)
        result = normalized_channels(input, self.weight, self.bias, mean, var, True, momentum, self.eps)
        count_up(counter)
        return result


class BatchNorm1d(_BatchNorm):
    """Normalise the channels of a batch of vectors (N, C) or of sequences (N, C, L).

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        How far running statistics move towards the batch's; None averages over all batches.
    affine : bool, default True
        Whether there are a weight, which starts at 1, and a bias, which starts at 0.
    track_running_stats : bool, default True
        Whether there are running statistics, which are used in evaluation mode.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of parameters and statistics; by default the default dtype.
    bias : bool, default True
        With False there is no bias.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
    running_mean, running_var : Tensor, shape (num_features,), or None
    num_batches_tracked : Tensor of int64, 0-dim, or None

    Raises
    ------
    ValueError
        If the input has another number of dimensions, or one value per channel while training.
    RuntimeError
        If the channels or dtypes do not fit.
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalise the channels of a batch of images (N, C, H, W); otherwise as `BatchNorm1d`."""

    _dims = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalise the channels of a batch of volumes (N, C, D, H, W); otherwise as `BatchNorm1d`."""

    _dims = (5,)


class _InstanceNorm(_NormBase):
    """Bring every channel of every sample to mean 0 and variance 1; then weight and bias by channel."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.ndim == self._dims[0]
        where = 0 if single else 1
        if input.shape[where] != self.num_features:
            text = (
                f"{type(self).__name__}: expected input's size at dim={where} to match num_features "
                f"({self.num_features}), but got: {input.shape[where]}."
            )
            if self.affine:
                raise ValueError(text)
            warn(f"{text} It is not used, because affine=False")
        batch = input.unsqueeze(0) if single else input
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        result = instance_norm(
            batch, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps
        )
        return result.squeeze(0) if single else result


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each sample of (N, C, L), or of one sample (C, L).

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float, default 1e-5
        Added to the variance, which is the biased one.
    momentum : float, default 0.1
        How far running statistics move towards the samples'.
    affine : bool, default False
        Whether there are a weight, which starts at 1, and a bias, which starts at 0.
    track_running_stats : bool, default False
        Whether there are running statistics, which are used in evaluation mode.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of parameters and statistics; by default the default dtype.
    bias : bool, default True
        With False there is no bias.

    Raises
    ------
    ValueError
        If the input has another number of dimensions, other channels than the parameters, or one element a
        channel.
    """

    _dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each image of (N, C, H, W), or of one (C, H, W); else as `InstanceNorm1d`."""

    _dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalise each channel of each volume of (N, C, D, H, W), or of one; else as `InstanceNorm1d`."""

    _dims = (4, 5)
