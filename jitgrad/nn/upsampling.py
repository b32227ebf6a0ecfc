"""Layers that resample images or move elements between channels and pixels, and local response normalisation."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._calls import call_with_one
from .functional import (
    channel_shuffle,
    interpolate,
    local_response_norm,
    pixel_shuffle,
    pixel_unshuffle,
)
from .module import Module


class Upsample(Module):
    """Return the input resampled to another size; see `functional.interpolate`.

    Parameters
    ----------
    size : int or sequence of int, optional
        The size of the result; either this or `scale_factor`.
    scale_factor : float or tuple of float, optional
        By how much to enlarge it.
    mode : str, default "nearest"
    align_corners : bool, optional
    recompute_scale_factor : bool, optional
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        by = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{by}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Return images resampled by repetition."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Return images resampled linearly, the corners kept."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """Make images ``upscale_factor`` times as high and wide from channels; see `functional.pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Make channels from the pixels of squares; see `functional.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Take one channel of every group, then the next of every group; see `functional.channel_shuffle`."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class _ResponseNorm(Module):
    """What the two layers have in common that divide by powers of what neighbouring channels hold."""

    def __init__(self, size: int, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalResponseNorm(_ResponseNorm):
    """Divide by a power of the mean square of neighbouring channels; see `functional.local_response_norm`.

    Parameters
    ----------
    size : int
        Channels in a neighbourhood.
    alpha : float, default 1e-4
    beta : float, default 0.75
    k : float, default 1.0
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__(size, alpha, beta, k)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return local_response_norm(input, self.size, self.alpha, self.beta, self.k)


class CrossMapLRN2d(_ResponseNorm):
    """Torch7's local response normalisation of images, as PyTorch kept it.

    ``input / (k + alpha / size * sum) ** beta``, the sum being that of the squares of the channels less than
    ``(size + 1) // 2`` away and of channel 0, which PyTorch's running sum never gives up. So the first
    ``(size + 1) // 2`` channels are those of `LocalResponseNorm` of an odd size, and the others are not.

    Parameters
    ----------
    size : int
        Channels in a neighbourhood; an even number counts as the odd one below, but for the divisor.
    alpha : float, default 1e-4
    beta : float, default 0.75
    k : float, default 1

    Raises
    ------
    ValueError
        When the input is not of shape (images, channels, height, width).
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 4:
            raise ValueError(
                f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D; it is (images, channels, height, width)"
            )
        if not input.numel():
            return input
        away = (self.size + 1) // 2
        squares = input * input
        parts = [squares[:, max(0, c - away + 1) : c + away].sum(1) for c in range(input.shape[1])]
        total = T.stack(parts, 1)
        total = T.cat([total[:, :away], total[:, away:] + squares[:, :1]], 1)
        return input / (total * (self.alpha / self.size) + self.k) ** self.beta
