"""ASGD."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class ASGD(KernelOptimizer):
    r"""Gradient descent that keeps an average :math:`\bar p` of the points it went through [1]_.

    .. math::
        p \leftarrow (1 - \lambda \eta_t) p - \eta_t g, \quad
        \bar p \leftarrow \bar p + \mu_t (p - \bar p)

    with :math:`\eta_1 = \gamma`, :math:`\mu_1 = 1` and, after step :math:`t`,

    .. math::
        \eta_{t+1} = \frac{\gamma}{(1 + \lambda \gamma t)^\alpha}, \quad
        \mu_{t+1} = \frac{1}{\max(1, t - t_0)}

    The average is ``state[p]["ax"]``; the parameter itself is not replaced by it.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    lambd : float
        Decay :math:`\lambda` of the parameter, and of the rate.
    alpha : float
        Power :math:`\alpha` in the decay of the rate.
    t0 : float
        The step after which points are averaged; up to there the average is the last point.
    weight_decay : float
        L2 penalty, at least 0.
    foreach, capturable, differentiable
        For PyTorch's sake, see `Adam`.
    maximize : bool
        Go uphill.

    Raises
    ------
    ValueError
        If a value is outside its range.
    TypeError
        If one is not a number.

    Notes
    -----
    As in PyTorch, a learning rate that was changed holds one step later than in other optimizers: the rate
    of a step is made in the step before it. PyTorch keeps :math:`\eta` and :math:`\mu` in float32; here they
    have the dtype of the parameter. To change them by hand, replace them, as in
    ``optimizer.state[p]["eta"] = tensor``: writing into the tensor found there reaches one element only.

    References
    ----------
    .. [1] Polyak, Juditsky: Acceleration of stochastic approximation by averaging. SIAM Journal on Control
       and Optimization 30, 1992.
    """

    _hyper = ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize")
    _free = ("lambd", "alpha", "t0")
    _uniform = ("eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "asgd"
