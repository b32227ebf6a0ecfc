"""Adamax."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class Adamax(KernelOptimizer):
    r"""Adam with the infinity norm in place of the second moment [1]_.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        u \leftarrow \max(\beta_2 u, |g| + \epsilon), \quad
        p \leftarrow p - \frac{\gamma}{1 - \beta_1^t} \frac{m}{u}

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate, at least 0.
    betas : pair of float
        Decay of the mean and of the norm, in [0, 1).
    eps : float
        Added to the gradient's size, at least 0.
    weight_decay : float
        L2 penalty, at least 0.
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
    .. [1] Kingma, Ba: Adam: A method for stochastic optimization. ICLR 2015, section 7.1.
    """

    _hyper = ("lr", "betas", "eps", "weight_decay", "maximize")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "adamax"
