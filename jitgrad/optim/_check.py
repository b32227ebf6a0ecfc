"""Checks of hyper-parameters, shared by all optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad._tensor import Tensor

# key -> PyTorch's words for it, and the accepted range
_RULES: dict[str, tuple[str, str]] = {
    "lr": ("learning rate", ">= 0"),
    "eps": ("epsilon value", ">= 0"),
    "weight_decay": ("weight_decay value", ">= 0"),
    "momentum": ("momentum value", ">= 0"),
    "alpha": ("alpha value", ">= 0"),
    "rho": ("rho value", "in [0, 1]"),
    "lr_decay": ("lr_decay value", ">= 0"),
    "initial_accumulator_value": ("initial_accumulator_value value", ">= 0"),
    "momentum_decay": ("momentum_decay value", ">= 0"),
}


def check_group(owner: str, group: dict[str, Any], ranges: bool, free: Sequence[str] = ()) -> None:
    """Check a group with `check_hyper`; without `ranges`, as of saved ones, with `check_numbers`."""
    (check_hyper if ranges else check_numbers)(owner, group, free)


def check_hyper(owner: str, group: dict[str, Any], free: Sequence[str] = ()) -> None:
    """Check the hyper-parameters of one group.

    Parameters
    ----------
    owner : str
        Name of the optimizer, for messages.
    group : dict
        Hyper-parameters by name; those without a rule are not looked at.
    free : sequence of str
        Those that may be any number.

    Raises
    ------
    ValueError
        If a value is outside its range (NaN is outside every range).
    TypeError
        If a value is not a number.
    RuntimeError
        If ``differentiable=True`` is asked for, or ``fused`` together with ``foreach``.
    """
    check_numbers(owner, group, free)
    for key, (words, accepted) in _RULES.items():
        if key in group and key not in free:
            top = 1.0 if accepted == "in [0, 1]" else float("inf")
            if not 0.0 <= float(group[key]) <= top:
                raise ValueError(f"Invalid {words}: {group[key]} ({owner}: {key} must be {accepted})")
    if "betas" in group:
        _check_betas(owner, group["betas"])
    if "etas" in group:
        _check_etas(owner, group["etas"])
    if group.get("fused") and group.get("foreach"):
        raise RuntimeError(f"{owner}: `fused` and `foreach` cannot be `True` together.")
    if group.get("differentiable"):
        raise RuntimeError(
            f"{owner}: differentiable=True is not supported: the update runs in place in compiled code; "
            "write the update with tensor operations to differentiate through it"
        )


def check_numbers(owner: str, group: dict[str, Any], free: Sequence[str] = ()) -> None:
    """Check that the hyper-parameters of a group are numbers, of any size.

    That is all that is asked of saved ones: a schedule may have ended a little below 0.

    Raises
    ------
    TypeError, ValueError
        If a value is not a number, or not a pair of numbers where there should be one.
    """
    for key in (*_RULES, *free):
        if key in group:
            as_number(owner, key, group[key])
    for key in ("betas", "etas", "step_sizes"):
        if key in group:
            _check_pair(owner, key, group[key])


def _check_betas(owner: str, betas: Any) -> None:
    for i, beta in enumerate(_check_pair(owner, "betas", betas)):
        if not 0.0 <= beta < 1.0:
            raise ValueError(
                f"Invalid beta parameter at index {i}: {beta} ({owner}: betas[{i}] must be in [0, 1))"
            )


def _check_etas(owner: str, etas: Any) -> None:
    minus, plus = _check_pair(owner, "etas", etas)
    if not 0.0 < minus < 1.0 < plus:
        raise ValueError(
            f"Invalid eta values: {minus}, {plus} ({owner}: the first of etas must be in (0, 1), the second "
            "above 1)"
        )


def _check_pair(owner: str, key: str, pair: Any) -> tuple[float, float]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"Invalid {key}: {pair!r} ({owner}: {key} must be a pair of numbers)")
    return as_number(owner, f"{key}[0]", pair[0]), as_number(owner, f"{key}[1]", pair[1])


def as_number(owner: str, key: str, value: Any) -> float:
    """A hyper-parameter as a number.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If it is a tensor of several elements.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            shape = tuple(value.shape)
            raise ValueError(f"Tensor {key} must be 1-element ({owner}: {key} has shape {shape})")
        return float(value)
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise TypeError(f"{owner}: {key} must be a number, got {value!r} ({type(value).__name__})")
    return float(value)
