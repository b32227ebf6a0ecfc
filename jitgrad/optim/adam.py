"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class Adam(KernelOptimizer):
    r"""Adam: steps scaled by running means of the gradient and of its square [1]_.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        p \leftarrow p - \gamma \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    betas : pair of float
        Decay of the two means, in [0, 1).
    eps : float
        Added to the denominator, at least 0.
    weight_decay : float
        At least 0: an L2 penalty, or with `decoupled_weight_decay` the parameter shrinks by
        ``lr * weight_decay`` of itself before the step [3]_.
    amsgrad : bool
        Divide by the largest second moment so far [2]_.
    maximize : bool
        Go uphill.
    decoupled_weight_decay : bool
        See `weight_decay`.
    foreach, fused, capturable, differentiable
        For PyTorch's sake: the first three change nothing (every step is fused and can be recorded), the
        last must be False.

    Raises
    ------
    ValueError
        If a value is outside its range.

    References
    ----------
    .. [1] Kingma, Ba: Adam: A method for stochastic optimization. ICLR 2015.
    .. [2] Reddi, Kale, Kumar: On the convergence of Adam and beyond. ICLR 2018.
    .. [3] Loshchilov, Hutter: Decoupled weight decay regularization. ICLR 2019.
    """

    _hyper = ("lr", "betas", "eps", "weight_decay", "maximize")
    _choices = ("amsgrad", "decoupled_weight_decay")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        name = "adamw" if group["decoupled_weight_decay"] else "adam"
        return f"{name}_amsgrad" if group["amsgrad"] else name


class AdamW(Adam):
    """Adam with decoupled weight decay, 0.01 by default; see `Adam` for the parameters."""

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def _op(self, group: dict[str, Any]) -> str:
        # always decoupled, whatever a loaded state of an older version says
        return "adamw_amsgrad" if group["amsgrad"] else "adamw"
