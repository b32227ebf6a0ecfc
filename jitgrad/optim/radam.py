"""RAdam."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class RAdam(KernelOptimizer):
    r"""Adam that waits with its scaling until the variance of the second moment is known [1]_.

    With :math:`\rho_\infty = 2 / (1 - \beta_2) - 1` and
    :math:`\rho_t = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`, a step with :math:`\rho_t \le 5` is plain
    momentum; the others are Adam's, times
    :math:`\sqrt{(\rho_t - 4)(\rho_t - 2) \rho_\infty / ((\rho_\infty - 4)(\rho_\infty - 2) \rho_t)}`.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        Decay of the means of the gradient and of its square, in [0, 1).
    eps : float
        Added to the denominator, at least 0.
    weight_decay : float
        L2 penalty, or with `decoupled_weight_decay` a shrinking of the parameter as in AdamW.
    decoupled_weight_decay : bool
        See `weight_decay`.
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
    .. [1] Liu, Jiang, He, Chen, Liu, Gao, Han: On the variance of the adaptive learning rate and beyond.
       ICLR 2020.
    """

    _hyper = ("lr", "betas", "eps", "weight_decay", "maximize")
    _choices = ("decoupled_weight_decay",)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "radamw" if group["decoupled_weight_decay"] else "radam"
