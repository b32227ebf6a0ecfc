"""NAdam."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class NAdam(KernelOptimizer):
    r"""Adam with Nesterov's momentum [1]_.

    The momentum of step :math:`t` is :math:`\mu_t = \beta_1 (1 - 0.96^{t \psi} / 2)`, and

    .. math::
        p \leftarrow p - \gamma \left(\frac{1 - \mu_t}{1 - \prod_{i \le t} \mu_i} g
        + \frac{\mu_{t+1}}{1 - \prod_{i \le t+1} \mu_i} m \right)
        \Big/ \left(\sqrt{v / (1 - \beta_2^t)} + \epsilon\right)

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    betas : pair of float
        Decay of the means of the gradient and of its square, in [0, 1).
    eps : float
        Added to the denominator, at least 0.
    weight_decay : float
        L2 penalty, or with `decoupled_weight_decay` a shrinking of the parameter as in AdamW.
    momentum_decay : float
        :math:`\psi`, at least 0.
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
    .. [1] Dozat: Incorporating Nesterov momentum into Adam. ICLR workshop 2016.
    """

    _hyper = ("lr", "betas", "eps", "weight_decay", "momentum_decay", "maximize")
    _choices = ("decoupled_weight_decay",)
    _uniform = ("mu_product",)

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "nadamw" if group["decoupled_weight_decay"] else "nadam"
