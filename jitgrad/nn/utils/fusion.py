"""Layers for inference that do the work of a layer and the batch normalisation behind it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fused(
    w: Tensor, b: Tensor | None, norm: tuple[Any, ...], shape: list[int]
) -> tuple[Parameter, Parameter]:
    mean, variance, eps, weight, bias = norm
    with no_grad():
        b = T.zeros_like(mean) if b is None else b
        weight = T.ones_like(mean) if weight is None else weight
        bias = T.zeros_like(mean) if bias is None else bias
        scale = weight * T.rsqrt(variance + eps)
        made = w * scale.reshape(shape), (b - mean) * scale + bias
    return Parameter(made[0], w.requires_grad), Parameter(made[1], b.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of a convolution with the batch normalisation of these statistics behind it."""
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    return _fused(conv_w, conv_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), shape)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of a linear layer with the batch normalisation of these statistics behind it."""
    return _fused(linear_w, linear_b, (bn_rm, bn_rv, bn_eps, bn_w, bn_b), [-1, 1])


def _check(name: str, layer: Module, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError(f"{name}: expected both modules in evaluation mode, call eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(f"{name}: expected a batch normalisation with running_mean and running_var")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """Return a copy of a convolution that does the work of the batch normalisation behind it, too.

    Parameters
    ----------
    conv, bn : Module
        In evaluation mode.
    transpose : bool, default False
        Whether the convolution is transposed.

    Raises
    ------
    AssertionError
        If one is in training mode, or the normalisation has no running statistics.
    """
    _check("fuse_conv_bn_eval", conv, bn)
    fused = deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """Return a copy of a linear layer that does the work of the batch normalisation behind it, too.

    Raises
    ------
    AssertionError
        If one is in training mode, the normalisation has no running statistics, or the numbers of features differ.
    """
    _check("fuse_linear_bn_eval", linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            f"fuse_linear_bn_eval: expected a batch normalisation of {linear.out_features} features or one, got "
            f"{bn.num_features}"
        )
    fused = deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
