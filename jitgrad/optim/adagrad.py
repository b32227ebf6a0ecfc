"""Adagrad."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._kernel import KernelOptimizer
from .optimizer import Params


class Adagrad(KernelOptimizer):
    r"""Steps divided by the root of the sum of all squared gradients [1]_.

    .. math::
        s \leftarrow s + g^2, \quad
        p \leftarrow p - \frac{\gamma}{1 + (t - 1) \eta} \frac{g}{\sqrt{s} + \epsilon}

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr, lr_decay : float
        Learning rate :math:`\gamma` and its decay :math:`\eta`, at least 0.
    weight_decay : float
        L2 penalty, at least 0.
    initial_accumulator_value : float
        Where the sum starts, at least 0.
    eps : float
        Added to the root, at least 0.
    maximize : bool
        Go uphill.
    foreach, fused, differentiable
        For PyTorch's sake, see `Adam`.

    Raises
    ------
    ValueError
        If a value is outside its range.

    References
    ----------
    .. [1] Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic
       optimization. JMLR 12, 2011.
    """

    _hyper = ("lr", "lr_decay", "weight_decay", "eps", "maximize")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "adagrad"

    def _first_state(self, group: dict[str, Any], param: Tensor) -> dict[str, Any]:
        start = float(group["initial_accumulator_value"])
        shape = tuple(param.shape)
        return {"step": T.tensor(0.0), "sum": T.full(shape, start, dtype=param.dtype)}
