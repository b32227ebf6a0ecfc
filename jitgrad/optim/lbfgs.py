"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import enable_grad, no_grad

from ._check import check_group
from ._line_search import Point, strong_wolfe
from .optimizer import Optimizer, Params

# below this y.s the curvature is noise: the pair would spoil the inverse Hessian
_LEAST_CURVATURE = 1e-10


class LBFGS(Optimizer):
    r"""Limited-memory BFGS [1]_: a quasi-Newton method for smooth losses without noise.

    Each step runs up to `max_iter` iterations, in each of which the closure is evaluated once, or several
    times in the line search.

    Parameters
    ----------
    params : iterable
        Parameters; only one group.
    lr : float
        First trial length of an iteration (its length when there is no line search), at least 0.
    max_iter : int
        Iterations in one call of `step`.
    max_eval : int, optional
        Evaluations of the closure in one call of `step`, by default ``max_iter * 5 // 4``.
    tolerance_grad : float
        Stop when no entry of the gradient is larger.
    tolerance_change : float
        Stop when neither a parameter nor the loss changes by more.
    history_size : int
        Pairs of steps and gradient changes that are remembered.
    line_search_fn : {None, "strong_wolfe"}
        How the length of a step is found [2]_.

    Raises
    ------
    ValueError
        If there are several groups or a value is outside its range.
    RuntimeError
        If `line_search_fn` is unknown.

    References
    ----------
    .. [1] Nocedal, Wright: Numerical optimization, 2nd edition, algorithms 7.4 and 7.5. Springer 2006.
    .. [2] The same, section 3.5.
    """

    _notes_steps = True

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(
                "LBFGS doesn't support per-parameter options (parameter groups): "
                f"got {len(self.param_groups)} groups"
            )

    def _check_group(self, group: dict[str, Any], ranges: bool = True) -> None:
        check_group("LBFGS", group, ranges)

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Run the iterations of one step.

        Parameters
        ----------
        closure : callable
            Clears the gradients, evaluates the model, calls ``backward`` and returns the loss.

        Returns
        -------
        Tensor
            The loss before the step.
        """
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that evaluates the model and returns the loss")
        self._opt_called = True
        with no_grad():
            return _Step(self, closure).run()


class _Step:
    """One call of `LBFGS.step`."""

    def __init__(self, owner: LBFGS, closure: Callable[[], Any]) -> None:
        group = owner.param_groups[0]
        self.params: list[Tensor] = group["params"]
        self.closure = closure
        self.group = group
        # all state is kept with the first parameter, as PyTorch does
        self.state = owner.state[self.params[0]]
        self.lr = float(group["lr"])
        self.evaluations = 0

    def run(self) -> Any:
        group, state = self.group, self.state
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = self._evaluate()
        loss, gradient = float(first_loss), self._flat_gradient()
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._choose_direction(gradient)
            direction = state["d"]
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            slope = _dot(gradient, direction)
            state["t"] = self._first_length(gradient)
            if slope > -group["tolerance_change"]:
                break
            last = iteration == group["max_iter"]
            moved = self._move(direction, Point(0.0, loss, gradient, slope), last)
            if moved is None:
                break
            loss, gradient = moved
            if last or self._finished(loss, gradient):
                break
        return first_loss

    def _first_length(self, gradient: Tensor) -> float:
        if self.state["n_iter"] == 1:
            return min(1.0, 1.0 / gradient.abs().sum().item()) * self.lr
        return self.lr

    def _choose_direction(self, gradient: Tensor) -> None:
        state = self.state
        if state["n_iter"] == 1:
            state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return
        change = gradient - state["prev_flat_grad"]
        step = state["d"] * state["t"]
        curvature = _dot(change, step)
        if curvature > _LEAST_CURVATURE:
            for key, value in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
                history = state[key]
                if len(history) >= self.group["history_size"]:
                    del history[0]
                history.append(value)
            state["H_diag"] = curvature / _dot(change, change)
        state["d"] = self._newton_direction(gradient)

    def _newton_direction(self, gradient: Tensor) -> Tensor:
        """Minus the gradient times the approximate inverse Hessian: the two-loop recursion."""
        state = self.state
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        direction = -gradient
        weights = []
        for change, step, inverse in reversed(pairs):
            weight = _dot(step, direction) * float(inverse)
            direction.add_(change, alpha=-weight)
            weights.append(weight)
        direction.mul_(float(state["H_diag"]))
        for (change, step, inverse), weight in zip(pairs, reversed(weights), strict=True):
            back = _dot(change, direction) * float(inverse)
            direction.add_(step, alpha=weight - back)
        return direction

    def _move(self, direction: Tensor, start: Point, last: bool) -> tuple[float, Tensor] | None:
        """Move along `direction`; returns loss and gradient there, or None when they are not needed."""
        search = self.group["line_search_fn"]
        if search is None:
            self._add(direction, self.state["t"])
            if last:
                return None  # without a line search they would only serve another iteration
            loss = float(self._evaluate())
            return loss, self._flat_gradient()
        if search != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, got line_search_fn={search!r}")
        origin = [p.clone() for p in self.params]

        def at(length: float) -> Point:
            self._add(direction, length)
            loss = float(self._evaluate())
            gradient = self._flat_gradient()
            for p, x in zip(self.params, origin, strict=True):
                p.copy_(x)
            return Point(length, loss, gradient, _dot(gradient, direction))

        budget = self.group["max_eval"] - self.evaluations
        found = strong_wolfe(at, self.state["t"], start, _largest(direction), budget)
        self.state["t"] = found.t
        self._add(direction, found.t)
        return found.loss, found.gradient

    def _finished(self, loss: float, gradient: Tensor) -> bool:
        group, state = self.group, self.state
        return (
            self.evaluations >= group["max_eval"]
            or _largest(gradient) <= group["tolerance_grad"]
            or _largest(state["d"]) * abs(state["t"]) <= group["tolerance_change"]
            or abs(loss - state["prev_loss"]) < group["tolerance_change"]
        )

    def _evaluate(self) -> Any:
        self.evaluations += 1
        self.state["func_evals"] += 1
        with enable_grad():
            return self.closure()

    def _flat_gradient(self) -> Tensor:
        return T.cat(
            [
                T.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.detach().reshape(-1)
                for p in self.params
            ]
        )

    def _add(self, direction: Tensor, length: float) -> None:
        start = 0
        for p in self.params:
            p.add_(direction.narrow(0, start, p.numel()).view(p.shape), alpha=length)
            start += p.numel()


def _dot(a: Tensor, b: Tensor) -> float:
    return a.dot(b).item()


def _largest(x: Tensor) -> float:
    return x.abs().max().item()
