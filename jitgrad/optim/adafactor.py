"""Adafactor."""

from __future__ import annotations

import math
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._check import as_number
from ._kernel import KernelOptimizer
from ._steps import Shape, StepPlan, StepRule
from .optimizer import Params

_HYPER = ("lr", "beta2_decay", "eps1", "eps2", "d", "weight_decay", "sign")


class Adafactor(KernelOptimizer):
    r"""Adam's scaling with the second moments of a matrix kept as a row and a column [1]_.

    .. math::
        R \leftarrow (1 - t^\delta) R + t^\delta \, \mathrm{mean}_j(g^2), \quad
        C \leftarrow (1 - t^\delta) C + t^\delta \, \mathrm{mean}_i(g^2), \quad
        u = \frac{g}{\max(\sqrt{R C / \mathrm{mean}(R)}, \epsilon_1)}

    .. math::
        p \leftarrow (1 - \gamma \lambda) p - \min(\gamma, t^{-1/2}) \, \max(\epsilon_2, \mathrm{rms}(p)) \,
        \frac{u}{\max(1, \mathrm{rms}(u) / d)}

    Vectors keep all their second moments, and of parameters of more dimensions the last two are a matrix.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Largest relative step :math:`\gamma`, at least 0.
    beta2_decay : float
        :math:`\delta`, at most 0.
    eps : tuple of (float or None, float)
        :math:`\epsilon_1`, by default the dtype's ``finfo(dtype).eps``, and :math:`\epsilon_2`; at least 0.
    d : float
        Largest root mean square of a scaled gradient, at least 1.
    weight_decay : float
        Decoupled decay :math:`\lambda`, at least 0.
    foreach
        For PyTorch's sake, see `Adam`.
    maximize : bool
        Go uphill.

    Raises
    ------
    ValueError
        If a value is outside its range.

    References
    ----------
    .. [1] Shazeer, Stern: Adafactor: adaptive learning rates with sublinear memory cost. ICML 2018.
    """

    _hyper = ("lr", "beta2_decay", "eps", "d", "weight_decay", "maximize")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any], ranges: bool = True) -> None:
        super()._check_group({k: v for k, v in group.items() if k != "eps"}, ranges)
        numbers = {k: as_number("Adafactor", k, group[k]) for k in ("beta2_decay", "d") if k in group}
        if "eps" in group:
            first, second = _two_eps(group["eps"])
            numbers |= {"eps[0]": 0.0 if first is None else first, "eps[1]": second}
        for key, lowest, highest in _RANGES if ranges else ():
            if key in numbers and not lowest <= numbers[key] <= highest:
                raise ValueError(
                    f"Adafactor: {key} must be in [{lowest:g}, {highest:g}], got {numbers[key]:g}"
                )

    def _op(self, group: dict[str, Any]) -> Any:
        return "adafactor"

    def _plan(self, op: Any, params: list[Tensor]) -> StepPlan:
        return StepPlan(StepRule("Adafactor", _HYPER, _shapes, _update), params)

    def _numbers(self, key: str, value: Any, plan: Any) -> dict[str, float]:
        if key != "eps":
            return super()._numbers(key, value, plan)
        first, second = _two_eps(value)
        if first is None:
            first = finfo(plan.params[0].dtype).eps if plan.params else 0.0
        return {"eps1": first, "eps2": second}

    def _state_shape(self, param: Tensor, name: str) -> Shape:
        shape = tuple(param.shape)
        return _shapes(shape).get(name, shape)


_RANGES = (
    ("beta2_decay", -math.inf, 0.0),
    ("d", 1.0, math.inf),
    ("eps[0]", 0.0, math.inf),
    ("eps[1]", 0.0, math.inf),
)


def _two_eps(given: Any) -> tuple[float | None, float]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"Adafactor: eps must be a pair of numbers, of which the first may be None, got {given!r}"
        )
    first, second = given
    return None if first is None else as_number("Adafactor", "eps[0]", first), as_number(
        "Adafactor", "eps[1]", second
    )


def _shapes(shape: Shape) -> dict[str, Shape]:
    if len(shape) < 2:
        return {"step": (), "variance": shape}
    return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}


def _update(h: Any, p: Any, g: Any, state: dict[str, Any]) -> None:
    step = state["step"]
    step.add_(1.0)
    if not p.numel():
        return
    g = g * h.sign
    weight = step**h.beta2_decay
    root = math.sqrt(p.numel())
    length = T.maximum(p.norm() / root, h.eps2) * T.minimum(h.lr, step**-0.5)
    update = _variance(h, g, state, weight).clamp(min=h.eps1 * h.eps1).rsqrt() * g
    too_long = T.maximum(update.norm() / (h.d * root), T.ones_like(h.d))
    p.mul_(1.0 - h.lr * h.weight_decay)
    p.sub_(update * (length / too_long))


def _variance(h: Any, g: Any, state: dict[str, Any], weight: Any) -> Any:
    """The estimate of the second moments of `g`, after it has gone into its state."""
    squares = g * g
    if g.ndim < 2:
        variance = state["variance"]
        variance.add_((squares - variance) * weight)
        return variance
    row, column = state["row_var"], state["col_var"]
    row.add_((squares.mean(-1, keepdim=True) - row) * weight)
    column.add_((squares.mean(-2, keepdim=True) - column) * weight)
    return row * column / T.maximum(row.mean(-2, keepdim=True), h.eps1)
