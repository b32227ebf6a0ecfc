"""Loading saved optimizer state: checks and casts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor


def check_groups(groups: Sequence[dict[str, Any]], saved: Sequence[dict[str, Any]]) -> None:
    """Check that saved groups fit the optimizer's.

    Raises
    ------
    ValueError
        If the number of groups, or of parameters in one of them, differs.
    """
    if len(groups) != len(saved):
        raise ValueError(
            "loaded state dict has a different number of parameter groups: "
            f"{len(saved)}, the optimizer has {len(groups)}"
        )
    for i, (group, other) in enumerate(zip(groups, saved, strict=True)):
        if len(group["params"]) != len(other["params"]):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                f"group: group {i} has {len(other['params'])} parameters, the optimizer's has "
                f"{len(group['params'])}"
            )


def cast_state(param: Tensor, value: Any, key: str = "") -> Any:
    """A copy of a saved state of `param`, its floating-point tensors in the dtype of `param`.

    Step counts keep their dtype: they must count beyond what a short float can hold.
    """
    if isinstance(value, dict):
        return {k: cast_state(param, v, k) for k, v in value.items()}
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, list | tuple):
        return type(value)(cast_state(param, v, key) for v in value)
    if isinstance(value, Tensor):
        value = value.detach().clone()
    elif hasattr(value, "__array__"):
        # another library's tensors give their values by .numpy(), arrays are their own values
        value = T.tensor(value.detach().numpy() if hasattr(value, "detach") else np.array(value))
    else:
        return value
    if key == "step" or not (value.is_floating_point() and param.is_floating_point()):
        return value
    return value.to(param.dtype)
