"""Dropout of whole channels, and dropout that keeps mean and variance."""

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions._random import check_floating
from jitgrad.user_frames import warn

# The value that SELU, far below zero, comes to: -scale * alpha (Klambauer et al., "Self-normalizing neural
# networks", 2017, section "New dropout technique").
ALPHA = 1.7580993408473766


def _check(name: str, input: Tensor, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")
    require_tensors(name, input)
    check_floating(name, input)


def _noise(name: str, input: Tensor, p: float, channels: bool) -> Tensor:
    """Ones, and zeros with probability `p`; one number for each channel of each image, or for each element."""
    shape = tuple(input.shape)
    if channels:
        if len(shape) < 2:
            raise RuntimeError(
                f"{name}: Feature dropout requires at least 2 dimensions in the input, got {len(shape)}"
            )
        shape = (*shape[:2], *(1,) * (len(shape) - 2))
    return T.empty(shape, dtype=input.dtype).bernoulli_(1.0 - p)


def _written(input: Tensor, result: Tensor, inplace: bool) -> Tensor:
    return input.copy_(result) if inplace else result


def _drop_channels(name: str, input: Tensor, p: float, inplace: bool) -> Tensor:
    if p == 0.0 or not input.numel():
        return input
    noise = _noise(name, input, p, True)
    scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return _written(input, input * (noise * scale), inplace)


def _drop_to_alpha(name: str, input: Tensor, p: float, channels: bool, inplace: bool) -> Tensor:
    if p == 0.0 or not input.numel():
        return input
    noise = _noise(name, input, p, channels)
    if p == 1.0:
        return _written(input, input * 0.0, inplace)
    # what is kept is scaled by a, what is dropped becomes -ALPHA * a, and all is moved back to mean 0
    a = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1.0) * (1.0 - p))
    shift = (noise - (1.0 - p)) * (ALPHA * a)
    return _written(input, input * (noise * a) + shift, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability ``p`` and divide the others by ``1 - p``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, length) or (channels, length)
    p : float, default 0.5
    training : bool, default True
        When False the input is returned as it is.
    inplace : bool, default False
        Write the result into ``input``.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    RuntimeError
        If the input has not two or three dimensions.
    """
    _check("dropout1d", input, p)
    dims = input.dim()
    if dims not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {dims}D input. Note that dropout1d exists "
            "to provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and "
            "an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _with_images("dropout1d", input, p, training, inplace, dims == 3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability ``p`` and divide the others by ``1 - p``; see `dropout1d`.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width)
        Of three dimensions the second is taken for the channels, as PyTorch does, with a warning.
    """
    _check("dropout2d", input, p)
    dims = input.dim()
    if dims not in (3, 4):
        _warn("dropout2d", dims, "2 spatial dimensions, a channel dimension", "3D or 4D")
    if dims == 3:
        warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
            "desired - input is interpreted as shape (N, C, L), where C is the channel dim. Use dropout1d to "
            "say so."
        )
    return _drop_channels("dropout2d", input, p, inplace) if training else input


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability ``p`` and divide the others by ``1 - p``; see `dropout1d`.

    Parameters
    ----------
    input : Tensor, shape (images, channels, depth, height, width) or without images
    """
    _check("dropout3d", input, p)
    dims = input.dim()
    if dims not in (4, 5):
        _warn("dropout3d", dims, "3 spatial dimensions, a channel dimension", "4D or 5D")
    return _with_images("dropout3d", input, p, training, inplace, dims == 5)


def _with_images(name: str, input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    if not training:
        return input
    if batched:
        return _drop_channels(name, input, p, inplace)
    return _written(input, _drop_channels(name, input.unsqueeze(0), p, False).squeeze(0), inplace)


def _warn(name: str, dims: int, has: str, wanted: str) -> None:
    warn(
        f"{name}: Received a {dims}-D input to {name}, which is deprecated and will result in an error in "
        "a future release. To retain the behavior and silence this warning, please use dropout instead. "
        f"Note that {name} exists to provide channel-wise dropout on inputs with {has}, and an optional "
        f"batch dimension (i.e. {wanted} inputs)."
    )


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Put elements to SELU's lower limit with probability ``p``, so that mean 0 and variance 1 stay what they are.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
    training : bool, default False
        When False the input is returned as it is.
    inplace : bool, default False
        Write the result into ``input``.

    Raises
    ------
    ValueError
        If ``p`` is not between 0 and 1.
    """
    _check("alpha_dropout", input, p)
    return _drop_to_alpha("alpha_dropout", input, p, False, inplace) if training else input


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Do what `alpha_dropout` does with whole channels, the second dimension."""
    _check("feature_alpha_dropout", input, p)
    return _drop_to_alpha("feature_alpha_dropout", input, p, True, inplace) if training else input
