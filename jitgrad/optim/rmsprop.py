"""RMSprop."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class RMSprop(KernelOptimizer):
    r"""Steps divided by the root of a running mean of the squared gradient [1]_.

    .. math::
        v \leftarrow \alpha v + (1 - \alpha) g^2, \quad
        p \leftarrow p - \gamma \frac{g}{\sqrt{v} + \epsilon}

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    alpha : float
        Decay of the mean, at least 0.
    eps : float
        Added to the root, at least 0.
    weight_decay : float
        L2 penalty, at least 0.
    momentum : float
        Momentum of the scaled gradient, at least 0.
    centered : bool
        Divide by the standard deviation of the gradient: subtract the square of its running mean [2]_.
    maximize : bool
        Go uphill.
    foreach, capturable, differentiable
        For PyTorch's sake, see `Adam`.

    Raises
    ------
    ValueError
        If a value is outside its range.

    References
    ----------
    .. [1] Hinton: Neural networks for machine learning, lecture 6e. 2012.
    .. [2] Graves: Generating sequences with recurrent neural networks. arXiv:1308.0850, 2013.
    """

    _hyper = ("lr", "alpha", "eps", "weight_decay", "momentum", "maximize")
    _choices = ("momentum", "centered")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        name = "rmsprop_centered" if group["centered"] else "rmsprop"
        return f"{name}_momentum" if group["momentum"] > 0 else name
