"""Gradients against finite differences: `gradcheck`, and `gradgradcheck` for gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import float64
from ..user_frames import warn
from .chosen import grad
from .modes import no_grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Array = np.ndarray


class GradcheckError(RuntimeError):
    """A gradient is not what finite differences say."""


_NONDETERMINISTIC = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
    "different values, although analytical gradient matches numerical gradient. The tolerance for nondeterminism "
    "was "
)
_FAST_MODE = (
    "\nThe above quantities relating the numerical and analytical jacobians are computed in fast mode: they are "
    "v^T J u for random u and v. Run with fast_mode=False to see the jacobians themselves."
)
_UNDEFINED = "Expected backward function to handle undefined output grads: they must be treated as zeros"


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare gradients with central differences.

    Parameters
    ----------
    func : callable
        From tensors to a tensor or a tuple of tensors.
    inputs : Tensor or tuple
        Its arguments. Those that require gradients are checked; they should be float64.
    eps : float
        Step of the differences.
    atol, rtol : float
        How far a gradient may be off: ``atol + rtol * |numerical|``.
    raise_exception : bool
        False: return False where an error would be raised for a wrong gradient.
    nondet_tol : float
        How far two runs of the same walk may differ.
    check_undefined_grad : bool
        Whether outputs without a cotangent must count as zeros.
    check_grad_dtypes : bool
        Whether gradients must have the dtype of their inputs.
    check_batched_grad : bool
        Whether to compare with ``grad(..., is_grads_batched=True)``.
    fast_mode : bool
        Compare ``v^T J u`` for one pair of random vectors instead of every entry of J.
    check_batched_forward_grad, check_forward_ad, check_backward_ad, masked
        For PyTorch's signature: there is no forward mode, and no tensor is sparse.

    Returns
    -------
    bool
        True, or False when `raise_exception` is off and a gradient is wrong.

    Raises
    ------
    GradcheckError
        With the numerical and the analytical Jacobian, when they differ.
    """
    del masked
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    if check_forward_ad:
        raise NotImplementedError("gradcheck: check_forward_ad: forward mode is not available")
    check = _Check(func, _tuple(inputs), eps, atol, rtol, nondet_tol)
    try:
        check.run(fast_mode, check_grad_dtypes, check_batched_grad, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _tuple(value: Any) -> tuple:
    if isinstance(value, (tuple, list)):
        return tuple(value)
    return (value,)


def _values(x: Tensor) -> Array:
    return np.array(x.numpy(force=True))  # type: ignore[attr-defined]


def _like(x: Tensor, values: Array) -> Tensor:
    from ..functions.from_data import tensor

    return tensor(values.reshape(tuple(x.shape)), dtype=x.dtype)


class _Check:
    """One function at one point."""

    def __init__(
        self, func: Callable, inputs: tuple, eps: float, atol: float, rtol: float, nondet_tol: float
    ) -> None:
        self._func, self._inputs = func, inputs
        self._eps, self._atol, self._rtol, self._nondet_tol = eps, atol, rtol, nondet_tol
        self._places = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
        self._checked = [inputs[k] for k in self._places]
        self._quotients: dict[int, list[list[Array]]] = {}  # by checked input and step
        for k in self._places:
            _check_input(k, inputs[k])
        if not self._places:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of them have "
                "requires_grad=True."
            )

    def run(self, fast: bool, dtypes: bool, batched: bool, undefined: bool) -> None:
        """Everything; GradcheckError for what is wrong."""
        found = _tuple(self._func(*self._inputs))
        outputs = [y for y in found if isinstance(y, Tensor) and y.requires_grad]
        if not outputs:
            self._check_constant()
            return
        for i, y in enumerate(outputs):
            (self._fast if fast else self._slow)(i, y, dtypes)
            if batched:
                self._batched(y)
        self._zeros(outputs, "backward not multiplied by grad_output")
        if undefined:
            self._undefined(outputs)

    # analytical -------------------------------------------------------------------------------------

    def _pulled(self, y: Tensor, cotangent: Tensor, dtypes: bool = False) -> list[Array]:
        """The gradients of the checked inputs for one cotangent, flat; the walk runs twice."""
        first, second = (
            grad(y, self._checked, cotangent, retain_graph=True, allow_unused=True) for _ in range(2)
        )
        results = []
        for x, g, again in zip(self._checked, first, second, strict=True):
            if g is None:
                results.append(np.zeros(x.numel()))
                continue
            if dtypes and g.dtype is not x.dtype:
                raise GradcheckError("Gradient has dtype mismatch")
            if g.shape != x.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            if not np.allclose(_values(g), _values(again), rtol=0.0, atol=self._nondet_tol, equal_nan=True):
                raise GradcheckError(f"{_NONDETERMINISTIC}{self._nondet_tol}.")
            results.append(_values(g).ravel().astype(float))
        return results

    def _analytical(self, y: Tensor, dtypes: bool) -> list[Array]:
        """For each checked input the Jacobian of an output, (input, output)."""
        columns = []
        for j in range(y.numel()):
            basis = np.zeros(y.numel())
            basis[j] = 1.0
            columns.append(self._pulled(y, _like(y, basis), dtypes))
        return [
            np.stack([c[k] for c in columns], axis=1) if columns else np.zeros((x.numel(), 0))
            for k, x in enumerate(self._checked)
        ]

    # numerical --------------------------------------------------------------------------------------

    def _difference(self, k: int, index: Any, step: Any) -> list[Array]:
        """Central difference quotients of all differentiable outputs, one step from checked input `k`."""
        values = self._checked[k].numpy(force=True)  # type: ignore[attr-defined]
        before = values.copy()
        ends = []
        try:
            for sign in (1, -1):
                values[...] = before
                values[index] += sign * step
                with_graph = _tuple(self._func(*self._inputs))
                kept = [y for y in with_graph if isinstance(y, Tensor) and y.requires_grad]
                ends.append([_values(y).ravel().astype(float) for y in kept or with_graph])
        finally:
            values[...] = before
        return [(a - b) / (2 * self._eps) for a, b in zip(*ends, strict=True)]

    def _numerical(self, k: int, output: int) -> Array:
        if k not in self._quotients:
            places = np.ndindex(tuple(self._checked[k].shape))
            self._quotients[k] = [self._difference(k, index, self._eps) for index in places]
        rows = [quotients[output] for quotients in self._quotients[k]]
        return np.stack(rows) if rows else np.zeros((0, 0))

    # comparing --------------------------------------------------------------------------------------

    def _slow(self, i: int, y: Tensor, dtypes: bool) -> None:
        for k, analytical in enumerate(self._analytical(y, dtypes)):
            numerical = self._numerical(k, i)
            if analytical.size and not self._near(analytical, numerical, self._atol):
                raise GradcheckError(_mismatch(i, self._places[k], numerical, analytical))

    def _fast(self, i: int, y: Tensor, dtypes: bool) -> None:
        rng = np.random.default_rng(0)
        v = rng.random(y.numel())
        v /= np.linalg.norm(v) or 1.0
        pulled = self._pulled(y, _like(y, v), dtypes)
        for k, x in enumerate(self._checked):
            u = rng.random(tuple(x.shape))
            u /= np.linalg.norm(u) or 1.0
            numerical = v @ self._difference(k, ..., self._eps * u)[i]
            analytical = pulled[k] @ u.ravel()
            # the entries' tolerances add up with the weights of the vectors
            atol = self._atol * u.sum() * v.sum()
            if not self._near(np.asarray(analytical), np.asarray(numerical), atol):
                raise GradcheckError(_mismatch(i, self._places[k], numerical, analytical) + _FAST_MODE)

    def _near(self, analytical: Array, numerical: Array, atol: float) -> bool:
        return bool(np.allclose(analytical, numerical, rtol=self._rtol, atol=atol, equal_nan=True))

    def _check_constant(self) -> None:
        for k, x in enumerate(self._checked):
            for index in np.ndindex(tuple(x.shape)):
                if any(np.any(d != 0) for d in self._difference(k, index, self._eps)):
                    raise GradcheckError("Numerical gradient for function expected to be zero")

    # special cotangents -----------------------------------------------------------------------------

    def _zeros(self, outputs: Sequence[Tensor], message: str) -> None:
        zeros = [_like(y, np.zeros(tuple(y.shape))) for y in outputs]
        found = grad(list(outputs), self._checked, zeros, retain_graph=True, allow_unused=True)
        if any(g is not None and np.any(_values(g) != 0) for g in found):
            raise GradcheckError(message)

    def _undefined(self, outputs: Sequence[Tensor]) -> None:
        """One output after another goes without a cotangent."""
        for k in range(len(outputs) if len(outputs) > 1 else 0):
            try:
                self._zeros([y for j, y in enumerate(outputs) if j != k], f"{_UNDEFINED} (output {k})")
            except GradcheckError:
                raise
            except Exception as error:
                raise GradcheckError(f"{_UNDEFINED} (output {k})") from error

    def _batched(self, y: Tensor) -> None:
        from ..functions.from_data import tensor

        rng = np.random.default_rng(1)
        cotangents = rng.standard_normal((3, *y.shape))
        try:
            found = grad(
                y,
                self._checked,
                tensor(cotangents, dtype=y.dtype),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=True,
            )
        except RuntimeError as error:
            raise GradcheckError(f"While computing batched gradients, got: {error}") from error
        for j in range(3):
            single = self._pulled(y, _like(y, cotangents[j]))
            for k, g in enumerate(found):
                if g is not None and not np.allclose(_values(g)[j].ravel(), single[k], rtol=1e-5, atol=1e-8):
                    raise GradcheckError(
                        f"For input {self._places[k]}, the batched gradient {j} is not the one computed alone"
                    )


def _mismatch(output: int, input: int, numerical: Any, analytical: Any) -> str:
    return (
        f"Jacobian mismatch for output {output:d} with respect to input {input:d},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def _check_input(k: int, x: Tensor) -> None:
    if x.dtype is not float64:
        warn(
            f"Input #{k} requires gradient and is not a double precision floating point or complex. This check "
            "will likely fail if all the inputs are not of double precision floating point or complex. "
        )
    if any(step <= 0 and size > 1 for step, size in zip(x.stride(), x.shape, strict=True)):
        raise RuntimeError(
            f"The {k}th input has a dimension with stride 0. gradcheck only supports inputs that are "
            "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
            "on the input before passing it to gradcheck."
        )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compare gradients of gradients with central differences of gradients.

    Parameters
    ----------
    func, inputs
        As for `gradcheck`.
    grad_outputs : Tensor or tuple of Tensor, optional
        Cotangents of the outputs, which are checked like inputs where they require gradients; random ones when
        left out.
    gen_non_contig_grad_outputs : bool
        Make those random ones not contiguous.
    eps, atol, rtol, raise_exception, nondet_tol, check_undefined_grad, check_grad_dtypes, check_batched_grad
        As for `gradcheck`, and so is `fast_mode`.
    check_fwd_over_rev, check_rev_over_rev, masked
        For PyTorch's signature: there is no forward mode, and no tensor is sparse.

    Returns
    -------
    bool
        As for `gradcheck`.
    """
    del masked
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_fwd_over_rev:
        raise NotImplementedError("gradgradcheck: check_fwd_over_rev: forward mode is not available")
    arguments = _tuple(inputs)
    if grad_outputs is None:
        with no_grad():
            found = _tuple(func(*arguments))
        shapes = [y for y in found if isinstance(y, Tensor) and y.is_floating_point()]
        cotangents = tuple(_random_like(y, gen_non_contig_grad_outputs) for y in shapes)
    else:
        cotangents = _tuple(grad_outputs)
    count = len(cotangents)

    def gradients(*values: Any) -> tuple:
        mine, seeds = values[:-count], values[-count:]
        outputs = [y for y in _tuple(func(*mine)) if isinstance(y, Tensor) and y.requires_grad]
        asked = [x for x in mine if isinstance(x, Tensor) and x.requires_grad]
        found = grad(outputs, asked, seeds[: len(outputs)], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients,
        (*arguments, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        fast_mode=fast_mode,
    )


def _random_like(y: Tensor, scattered: bool) -> Tensor:
    from ..functions.from_data import tensor

    rng = np.random.default_rng(2)
    shape = tuple(y.shape)
    made = tensor(rng.standard_normal((*shape, 2) if scattered else shape), dtype=y.dtype)
    return (made[..., 0] if scattered else made).detach().requires_grad_()
