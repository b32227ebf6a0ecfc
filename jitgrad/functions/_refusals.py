"""The refusal of what is no tensor."""

from __future__ import annotations

from typing import Any, NoReturn


def refuse_operand(name: str, value: Any, position: str = "input") -> NoReturn:
    """An operand is not a tensor."""
    raise TypeError(
        f"{name}(): argument '{position}' must be Tensor, not {type(value).__name__}; "
        "wrap the value with torch.tensor(...)"
    )
