"""Adagrad."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T

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
        Where the sum starts in all groups, at least 0.
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

    def _starts(self) -> dict[str, float]:
        # the optimizer's own: PyTorch does not look for one in the groups
        return {"sum": float(self.defaults["initial_accumulator_value"])}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, see `Optimizer.add_param_group`; their state is there at once."""
        super().add_param_group(param_group)
        start = self._starts()["sum"]
        for p in self._groups[-1]["params"]:
            first = {"step": T.tensor(0.0), "sum": T.full(tuple(p.shape), start, dtype=p.dtype)}
            self._table.entries[p] = self._table.new_entry(p, first)
