"""What grad modes do, seen from outside."""

from __future__ import annotations

import jitgrad as torch


def recording() -> bool:
    """Whether an operation is recorded now, seen on the result and on what the library says."""
    says = torch.is_grad_enabled()
    does = (torch.ones(1, requires_grad=True) * 2).requires_grad
    assert says == does
    return does
