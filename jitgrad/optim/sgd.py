"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor

from ._kernel import KernelOptimizer
from .optimizer import Params


class SGD(KernelOptimizer):
    r"""Stochastic gradient descent, with momentum if wanted.

    With gradient :math:`g` (plus ``weight_decay`` times the parameter) a step is
    :math:`b \leftarrow \mu b + (1 - d) g` and :math:`p \leftarrow p - \gamma b`; the first step sets
    :math:`b = g`. Nesterov's form moves along :math:`g + \mu b` instead [1]_.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    momentum, dampening : float
        :math:`\mu`, at least 0, and :math:`d`.
    weight_decay : float
        L2 penalty, at least 0.
    nesterov : bool
        Use Nesterov's momentum; needs a momentum and no dampening.
    maximize : bool
        Go uphill.
    foreach, fused, differentiable
        For PyTorch's sake: the first two change nothing (every step is fused), the last must be False.

    Raises
    ------
    ValueError
        If a value is outside its range.

    References
    ----------
    .. [1] Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep
       learning. ICML 2013.
    """

    _hyper = ("lr", "momentum", "dampening", "weight_decay", "maximize")
    _choices = ("momentum", "nesterov")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening "
                f"(got momentum={momentum}, dampening={dampening})"
            )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        if group["momentum"] == 0:
            return "sgd"
        return "sgd_nesterov" if group["nesterov"] else "sgd_momentum"

    def _saved(self, live: dict[str, Any]) -> dict[str, Any]:
        # PyTorch keeps no step count here
        return {k: v for k, v in live.items() if k != "step"}

    def _loadable(self, param: Tensor, entry: dict[str, Any]) -> dict[str, Any]:
        # a buffer means that the first step, which fills it, is past
        buffer = entry.get("momentum_buffer")
        return {} if buffer is None else {"step": 1.0, "momentum_buffer": buffer}
