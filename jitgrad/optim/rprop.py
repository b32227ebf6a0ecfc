"""Rprop."""

from __future__ import annotations

from typing import Any

from ._kernel import KernelOptimizer
from .optimizer import Params


class Rprop(KernelOptimizer):
    r"""Steps whose sizes follow the signs of the gradient, not its size [1]_.

    Every element has a step size :math:`s` of its own. It grows while the gradient keeps its sign and
    shrinks when the sign turns, and then the element waits for one step:

    .. math::
        s \leftarrow \begin{cases} \min(\eta_+ s, s_{max}) & g\, g_{prev} > 0 \\
        \max(\eta_- s, s_{min}), \; g \leftarrow 0 & g\, g_{prev} < 0 \\
        s & \text{otherwise} \end{cases}, \quad
        p \leftarrow p - s\, \mathrm{sign}(g), \quad g_{prev} \leftarrow g

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        The step size that every element starts with, at least 0.
    etas : pair of float
        The factors :math:`\eta_-`, in (0, 1), and :math:`\eta_+`, above 1.
    step_sizes : pair of float
        The bounds :math:`s_{min}` and :math:`s_{max}`.
    maximize : bool
        Go uphill.
    capturable, foreach, differentiable
        For PyTorch's sake, see `Adam`.

    Raises
    ------
    ValueError
        If a value is outside its range.

    Notes
    -----
    As in PyTorch, a step of an element whose gradient is NaN leaves it where it is, and `lr` is read in the
    first step of a parameter only: a schedule does not change the steps after that.

    References
    ----------
    .. [1] Riedmiller, Braun: A direct adaptive method for faster backpropagation learning: the RPROP
       algorithm. ICNN 1993.
    """

    _hyper = ("lr", "etas", "step_sizes", "maximize")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _op(self, group: dict[str, Any]) -> str:
        return "rprop"
