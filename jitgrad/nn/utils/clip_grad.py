"""Clipping gradients, and all parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.engine.entry import entries
from jitgrad.functions.arithmetic_in_place import chunks, mul_each_
from jitgrad.functions.norms import total_norm
from jitgrad.user_frames import warn

SMALL = 1 << 15  # elements of a gradient that is not worth sharing among threads


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """List the gradients there are; a single tensor counts as a list of one."""
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [gradient for p in parameters if (gradient := p.grad) is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Return the norm of all tensors' elements taken together.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
    norm_type : float, default 2.0
        ``inf`` takes the largest absolute value.
    error_if_nonfinite : bool, default False
    foreach : bool, optional
        Accepted for PyTorch's sake; it changes nothing.

    Returns
    -------
    Tensor, 0-dim

    Raises
    ------
    RuntimeError
        If asked for and the norm is inf or nan.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    with no_grad():
        if not tensors:
            return T.tensor(0.0)
        norms = _norms(tensors, norm_type)
        total = norms[0] if len(norms) == 1 else T.stack(norms).norm(norm_type)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(
                f"The total norm of order {norm_type} for gradients is non-finite, so it cannot be "
                "clipped. To clip all the same, set error_if_nonfinite=False"
            )
    return total


def _norms(tensors: list[Tensor], norm_type: float) -> list[Tensor]:
    """Take the norms of tensors, that of many small ones together."""
    if norm_type != 2.0:
        return [tensor.norm(norm_type) for tensor in tensors]
    norms = []
    for some in chunks(tensors):
        dense = entries.lie_densely(some, SMALL)
        norms += [total_norm(some)] if dense else [tensor.norm() for tensor in some]
    return norms


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale the gradients, in place, by ``max_norm / total_norm`` where that is below 1."""
    _clip(_gradients(parameters), max_norm, total_norm)


def _clip(gradients: list[Tensor], max_norm: float, total_norm: Tensor) -> None:
    if gradients:
        with no_grad():
            # a product with a tensor: no value is read, so a recorded step can be replayed
            factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
            mul_each_(gradients, factor)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their common norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Their gradients change in place; parameters without one are left out.
    max_norm : float
    norm_type : float, default 2.0
        ``inf`` takes the largest absolute value.
    error_if_nonfinite : bool, default False
        Raise instead of spreading inf or nan; the gradients then stay as they are.
    foreach : bool, optional
        Accepted for PyTorch's sake; it changes nothing.

    Returns
    -------
    Tensor, 0-dim
        The norm before clipping.

    Raises
    ------
    RuntimeError
        If asked for and the norm is inf or nan.
    """
    gradients = _gradients(parameters)
    total = get_total_norm(gradients, norm_type, error_if_nonfinite)
    _clip(gradients, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """`clip_grad_norm_` under its old name, with PyTorch's warning."""
    warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Hold every gradient's elements from ``-clip_value`` to ``clip_value``, in place."""
    clip_value = float(clip_value)
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return the elements of all parameters, one parameter after the other, as one vector."""
    return T.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, in order.

    Raises
    ------
    TypeError
        If ``vec`` is not a tensor.
    RuntimeError
        If it is too short; nothing is changed then.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, but got {type(vec).__name__}")
    parameters = list(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.numel() < needed:
        raise RuntimeError(
            f"vector_to_parameters: the parameters have {needed} elements, the vector {vec.numel()}"
        )
    start = 0
    with no_grad():
        for parameter in parameters:
            stop = start + parameter.numel()
            parameter.copy_(vec[start:stop].reshape(parameter.shape))
            start = stop
