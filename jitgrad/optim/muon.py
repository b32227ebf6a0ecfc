"""Muon."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._check import as_number
from ._kernel import KernelOptimizer
from ._steps import Shape, StepPlan, StepRule
from .optimizer import Params

_HYPER = ("lr", "weight_decay", "momentum", "eps", "a", "b", "c")
_MOST_STEPS = 99
_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(KernelOptimizer):
    r"""Momentum whose matrix is made nearly orthogonal [1]_, for the weights of hidden layers.

    .. math::
        B \leftarrow \mu B + (1 - \mu) g, \quad
        X_0 = \frac{U}{\max(\lVert U \rVert, \epsilon)}, \quad
        X_{k+1} = a X_k + b X_k X_k^T X_k + c (X_k X_k^T)^2 X_k, \quad
        p \leftarrow (1 - \gamma \lambda) p - \gamma s X_n

    with :math:`U = \mu B + (1 - \mu) g` with `nesterov` and :math:`U = B` without. The polynomial moves the
    singular values of :math:`U` to between about 0.7 and 1.2 and keeps its singular vectors.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`; all of them matrices. Give vectors, embeddings and the last
        layer to another optimizer, such as `AdamW`.
    lr : float
        Learning rate :math:`\gamma`, at least 0.
    weight_decay : float
        Decoupled decay :math:`\lambda`, at least 0.
    momentum : float
        :math:`\mu`, at least 0.
    nesterov : bool
        Look ahead along the momentum.
    ns_coefficients : tuple of float
        :math:`a, b, c`.
    eps : float
        Least norm :math:`\epsilon` to divide by.
    ns_steps : int
        Times :math:`n` that the polynomial is applied, less than 100.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        The factor :math:`s` of a matrix of r x c: :math:`\sqrt{\max(1, r / c)}` (the default), or
        :math:`0.2 \sqrt{\max(r, c)}` [2]_, with which learning rates of AdamW fit.

    Raises
    ------
    ValueError
        If a value is outside its range or a parameter is not a matrix.

    Notes
    -----
    The polynomial is computed in the parameter's dtype. PyTorch computes it in bfloat16, so its steps differ
    from these by about one part in a hundred.

    References
    ----------
    .. [1] Jordan et al.: Muon: an optimizer for hidden layers in neural networks.
       https://kellerjordan.github.io/posts/muon, 2024.
    .. [2] Liu et al.: Muon is scalable for LLM training. arXiv:2502.16982, 2025.
    """

    _hyper = ("lr", "weight_decay", "momentum", "eps", "ns_coefficients")
    _choices = ("nesterov", "ns_steps", "adjust_lr_fn")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any], ranges: bool = True) -> None:
        super()._check_group(group, ranges)
        if "ns_coefficients" in group:
            _coefficients(group["ns_coefficients"])
        steps = group.get("ns_steps", 0)
        if not isinstance(steps, int) or not 0 <= steps <= _MOST_STEPS:
            raise ValueError(f"Muon: ns_steps must be an integer in [0, {_MOST_STEPS}], got {steps!r}")
        if group.get("adjust_lr_fn") not in _ADJUSTMENTS:
            raise ValueError(
                f"Muon: adjust_lr_fn {group['adjust_lr_fn']!r} is not supported: give one of {_ADJUSTMENTS}"
            )

    def _check_params(self, group: dict[str, Any]) -> None:
        super()._check_params(group)
        for i, p in enumerate(group["params"]):
            if p.ndim != 2:
                raise ValueError(
                    f"Muon only supports 2D parameters, but params[{i}] has shape {tuple(p.shape)}; give the "
                    "others to another optimizer, such as AdamW"
                )

    def _op(self, group: dict[str, Any]) -> Any:
        return group["nesterov"], group["ns_steps"], group["adjust_lr_fn"]

    def _plan(self, op: Any, params: list[Tensor]) -> StepPlan:
        nesterov, steps, adjusted = op
        update = partial(_update, nesterov=nesterov, steps=steps, adjusted=adjusted)
        return StepPlan(StepRule("Muon", _HYPER, _shapes, update), params)

    def _numbers(self, key: str, value: Any, plan: Any) -> dict[str, float]:
        if key == "ns_coefficients":
            return dict(zip("abc", _coefficients(value), strict=True))
        return super()._numbers(key, value, plan)


def _coefficients(given: Any) -> list[float]:
    if not isinstance(given, tuple | list) or len(given) != 3:
        raise ValueError(f"Muon: ns_coefficients must be three numbers, got {given!r}")
    return [as_number("Muon", f"ns_coefficients[{i}]", x) for i, x in enumerate(given)]


def _shapes(shape: Shape) -> dict[str, Shape]:
    return {"momentum_buffer": shape}


def _update(
    h: Any, p: Any, g: Any, state: dict[str, Any], nesterov: bool, steps: int, adjusted: str | None
) -> None:
    buffer = state["momentum_buffer"]
    buffer.add_((g - buffer) * (1.0 - h.momentum))
    direction = g + (buffer - g) * h.momentum if nesterov else buffer
    p.mul_(1.0 - h.lr * h.weight_decay)
    p.sub_(_orthogonal(h, direction, steps) * (h.lr * _factor(p.shape, adjusted)))


def _orthogonal(h: Any, matrix: Any, steps: int) -> Any:
    """The matrix with singular values near one, by the polynomial of the smaller of its Gram matrices."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / T.maximum(x.norm(), h.eps)
    for _ in range(steps):
        gram = x @ x.T
        x = x * h.a + (gram * h.b + (gram @ gram) * h.c) @ x
    return x.T if tall else x


def _factor(shape: Any, adjusted: str | None) -> float:
    rows, columns = shape
    if adjusted == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns)) if columns else 1.0
