"""`minimize`: SciPy's minimizers with exact gradients and Hessian products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import grad, no_grad
from ..functions import from_numpy
from ..user_frames import warn
from ._structure import Structure, structure_of

WITHOUT_GRADIENT = frozenset(("nelder-mead", "powell", "cobyla", "cobyqa"))
PRODUCTS = frozenset(("newton-cg", "trust-ncg", "trust-krylov", "trust-constr"))  # take Hessian products
HESSIANS = frozenset(("dogleg", "trust-exact"))  # take the whole Hessian
PLAIN_CALLBACK = frozenset(
    ("tnc", "slsqp", "cobyla", "cobyqa")
)  # SciPy tells these's callback the point only
DIFFERENCE = 6e-6  # about the cube root of float64's precision: the best step of a central difference


@dataclass(frozen=True)
class MinimizeResult:
    """What `minimize` found.

    Attributes
    ----------
    x : as x0
        The best point, in the nesting of `x0`; for a module a dict of its parameters by name.
    fun : float
        The value there.
    jac : as x, or None
        The gradient there, where the method has one.
    success, status, message
        Whether and why it stopped.
    nit, nfev, njev, nhev : int
        Iterations, and evaluations of the function, its gradient and Hessian products.
    hessian : str
        ``"exact"``, ``"finite differences of gradients"`` or ``"unused"``.
    scipy : scipy.optimize.OptimizeResult
        SciPy's own result.
    """

    x: Any
    fun: float
    jac: Any
    success: bool
    status: int
    message: str
    nit: int
    nfev: int
    njev: int
    nhev: int
    hessian: str
    scipy: Any


@dataclass(frozen=True)
class Progress:
    """What a callback is given after an iteration: the point, the value there, the number of the iteration."""

    x: Any
    fun: float
    nit: int


def minimize(
    fun: Callable[..., Tensor],
    x0: Any,
    method: str | None = None,
    *,
    args: Sequence[Any] = (),
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[[Progress], Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> MinimizeResult:
    """Minimize a scalar function of tensors by one of SciPy's methods.

    Gradients come from one walk back, and Hessian products from a walk over that walk: both exact.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` gives a tensor of one element; `x` is like `x0`.
    x0 : Tensor, nested tuples, lists and dicts of tensors, or Module
        Where to start. Float64 tensors make tight tolerances possible. Of a module, the parameters that ask
        for gradients are varied in place: in the end they hold the best point, after an error what they
        held before.
    method : str, optional
        As for `scipy.optimize.minimize`: ``BFGS`` (the default without bounds and constraints), ``L-BFGS-B``,
        ``CG``, ``Newton-CG``, ``trust-ncg``, ``trust-krylov``, ``trust-exact``, ``dogleg``, ``trust-constr``,
        ``SLSQP``, ``TNC``, ``Nelder-Mead``, ``Powell``, ``COBYLA``, ``COBYQA``.
    args : sequence
        Further arguments of `fun`.
    bounds : pair, sequence or scipy.optimize.Bounds, optional
        ``(low, high)``, each a number, None or like `x0`; or in SciPy's form for the vector of all elements.
    constraints : dict or sequence of dict, optional
        ``{"type": "eq" or "ineq", "fun": f}`` with ``f(x)`` a tensor that is to be zero, or not negative.
    tol : float, optional
        Tolerance of the method.
    callback : callable, optional
        Called with a `Progress` after each iteration; may raise StopIteration to stop.
    options : mapping, optional
        Options of the method, for example ``{"maxiter": 100}``.

    Returns
    -------
    MinimizeResult

    Raises
    ------
    ImportError
        Without SciPy.
    TypeError
        When `x0` is not made of floating-point tensors, or `fun` gives no tensor.
    RuntimeError
        When the value has more than one element, or does not depend on `x`.

    Notes
    -----
    Where an operation has no formula that can be differentiated twice, products with the Hessian are central
    differences of exact gradients; a warning says so, and ``result.hessian``.
    """
    optimize = _scipy()
    structure = structure_of(x0)
    problem = _Problem(fun, structure, tuple(args))
    name = (method or "").lower()
    keywords: dict[str, Any] = {"method": method, "tol": tol, "options": dict(options or {})}
    keywords["bounds"] = _bounds(optimize, structure, bounds)
    keywords["constraints"] = _constraints(structure, constraints)
    without = name in WITHOUT_GRADIENT
    if not without:
        keywords["jac"] = True
    if name in PRODUCTS:
        keywords["hessp"] = problem.product
    elif name in HESSIANS:
        keywords["hess"] = problem.hessian
    if callback is not None:
        keywords["callback"] = _callback(problem, callback, name)
    start = structure.vector()
    try:
        found = optimize.minimize(problem.value if without else problem.value_and_gradient, start, **keywords)
        x = structure.built(structure.tensors(np.asarray(found.x)))
        structure.put(np.asarray(found.x), False)
    except BaseException:
        structure.restore()
        raise
    jac = getattr(found, "jac", None)
    has_gradient = not without and isinstance(jac, np.ndarray) and jac.shape == start.shape
    return MinimizeResult(
        x=x,
        fun=float(found.fun),
        jac=structure.built(structure.tensors(jac)) if has_gradient else None,
        success=bool(found.success),
        status=int(found.status),
        message=str(found.message),
        nit=int(getattr(found, "nit", 0)),
        nfev=int(found.nfev),
        njev=0 if without else problem.gradients,
        nhev=problem.products,
        hessian=problem.kind,
        scipy=found,
    )


def _scipy() -> Any:
    try:
        from scipy import optimize
    except ImportError:
        raise ImportError("optim.minimize: this needs SciPy: pip install 'jitgrad[science]'") from None
    return optimize


class _Problem:
    """The function as SciPy calls it: on vectors."""

    def __init__(self, fun: Callable[..., Tensor], structure: Structure, args: tuple) -> None:
        self.fun, self.structure, self.args = fun, structure, args
        self.gradients = self.products = 0
        self.last = np.nan
        self.kind = "unused"

    def _run(self, vector: np.ndarray, ask: bool) -> tuple[list[Tensor], Tensor]:
        tensors, x = self.structure.put(vector, ask)
        y = self.fun(x, *self.args)
        if not isinstance(y, Tensor):
            raise TypeError(f"minimize: fun must give a Tensor, got {type(y).__name__}")
        if y.numel() != 1:
            raise RuntimeError(
                f"minimize: fun must give one number, got a tensor of shape {tuple(y.shape)}; sum or average it"
            )
        self.last = float(y.item())
        if ask and not y.requires_grad:
            raise RuntimeError(
                "minimize: the value of fun does not depend on x through recorded operations; compute it from x, "
                "without detach(), item() or NumPy"
            )
        return tensors, y

    def value(self, vector: np.ndarray) -> float:
        """The value alone."""
        with no_grad():
            self._run(vector, False)
        return self.last

    def value_and_gradient(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and its gradient."""
        tensors, y = self._run(vector, True)
        found = grad(y.sum(), tensors, allow_unused=True)  # type: ignore[attr-defined]
        self.gradients += 1
        return self.last, self.structure.vector(list(found))

    def product(self, vector: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """The Hessian at a point times a vector."""
        self.products += 1
        if self.kind != "finite differences of gradients":
            try:
                found = self._exact(vector, direction)
                self.kind = "exact"
                return found
            except NotImplementedError as error:
                warn(f"minimize: Hessian products are finite differences of gradients: {error}")
                self.kind = "finite differences of gradients"
        length = float(np.linalg.norm(direction))
        if length == 0:
            return np.zeros_like(vector)
        step = DIFFERENCE * (1 + float(np.linalg.norm(vector))) / length
        ahead, behind = (self.value_and_gradient(vector + s * step * direction)[1] for s in (1, -1))
        return (ahead - behind) / (2 * step)

    def _exact(self, vector: np.ndarray, direction: np.ndarray) -> np.ndarray:
        tensors, y = self._run(vector, True)
        first = grad(y.sum(), tensors, create_graph=True, allow_unused=True)  # type: ignore[attr-defined]
        pairs = [
            (g, v)
            for g, v in zip(first, self.structure.tensors(direction), strict=True)
            if g is not None and g.requires_grad
        ]
        if not pairs:  # the function is linear
            return np.zeros_like(vector)
        gs, vs = zip(*pairs, strict=True)
        return self.structure.vector(list(grad(gs, tensors, vs, allow_unused=True)))

    def hessian(self, vector: np.ndarray) -> np.ndarray:
        """The whole Hessian, by columns."""
        columns = [self.product(vector, direction) for direction in np.eye(len(vector))]
        whole = np.stack(columns)
        return (whole + whole.T) / 2


def _callback(problem: _Problem, callback: Callable[[Progress], Any], method: str) -> Callable:
    """SciPy's callback, which calls the user's."""
    structure = problem.structure
    count = 0

    def told(vector: np.ndarray, value: float) -> None:
        nonlocal count
        count += 1
        callback(Progress(structure.built(structure.tensors(np.array(vector))), float(value), count))

    if method in PLAIN_CALLBACK:
        return lambda vector: told(vector, problem.value(vector))

    def with_result(intermediate_result: Any) -> None:
        told(intermediate_result.x, intermediate_result.fun)

    return with_result


def _bounds(optimize: Any, structure: Structure, bounds: Any) -> Any:
    """SciPy's bounds from ``(low, high)``; other forms as they are."""
    if not (isinstance(bounds, tuple) and len(bounds) == 2) or isinstance(bounds[0], tuple):
        return bounds
    size = sum(structure.sizes)
    limits = []
    for limit, absent in zip(bounds, (-np.inf, np.inf), strict=True):
        if limit is None or isinstance(limit, int | float):
            limits.append(np.full(size, absent if limit is None else float(limit)))
            continue
        vector = Structure(limit).vector()
        if vector.size != size:
            raise ValueError(f"minimize: a bound has {vector.size} elements, x0 has {size}")
        limits.append(vector)
    return optimize.Bounds(*limits)


def _constraints(structure: Structure, constraints: Any) -> Any:
    """Constraints on vectors, with their Jacobians, from constraints on tensors."""
    given = [constraints] if isinstance(constraints, dict) else list(constraints)
    return [_constraint(structure, c) if isinstance(c, dict) and "jac" not in c else c for c in given]


def _constraint(structure: Structure, constraint: dict[str, Any]) -> dict[str, Any]:
    fun = constraint["fun"]
    args = tuple(constraint.get("args", ()))

    def run(vector: np.ndarray) -> tuple[list[Tensor], Tensor]:
        tensors, x = structure.put(vector, True)
        y = fun(x, *args)
        if not isinstance(y, Tensor):
            raise TypeError(f"minimize: a constraint's fun must give a Tensor, got {type(y).__name__}")
        return tensors, y.reshape(-1)  # type: ignore[attr-defined]

    def value(vector: np.ndarray) -> np.ndarray:
        return run(vector)[1].numpy(force=True).astype(float)

    def jacobian(vector: np.ndarray) -> np.ndarray:
        tensors, y = run(vector)
        rows = []
        for unit in np.eye(y.numel()):
            seed = from_numpy(unit.astype(y.dtype.numpy))
            found = grad(y, tensors, seed, retain_graph=True, allow_unused=True) if y.requires_grad else None
            rows.append(structure.vector(list(found) if found else [None] * len(tensors)))
        return np.stack(rows)

    return {"type": constraint["type"], "fun": value, "jac": jacobian}
